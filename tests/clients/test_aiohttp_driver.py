"""Sending over a real socket with aiohttp."""

import asyncio
import gzip
import logging
import traceback
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.aiohttp_driver import AsyncDriver, Route, open_session
from airflow_provider_wacontacts.clients.http import Request, Response
from airflow_provider_wacontacts.clients.rate_limiter import AsyncRateLimiter
from airflow_provider_wacontacts.clients.retry import Clock, RetryLoop, RetryPolicy
from airflow_provider_wacontacts.exceptions import ConfigError, NetworkError, WaContactsError
from tests.clients.test_log_filter import SECRETS, TOKEN, WAYS_TO_FAIL, chain, strict, told
from tests.clients.test_requests_driver import BROKEN, ask
from tests.clients.test_retry_loop import Tokens
from tests.clients.wire import SILENCE, Answer, Wire, chunked


def of_clock(clock):
    async def sleep(seconds):
        clock.sleep(seconds)

    return Clock(sleep=sleep, monotonic=clock.monotonic, now=clock.now)


@pytest.fixture
def drive(wire, clock):
    """Run flows one by one in one session."""

    def run(*flows, url=wire.url, token="example-token", timeout=(5, 5), space=None, **options):
        times = of_clock(clock)
        loop = RetryLoop(Tokens(token), clock=times, jitter=lambda: 0.0, **options)
        limiter = AsyncRateLimiter(space, clock=times) if space else None

        async def all_of_them():
            async with open_session("tests/1") as session:
                driver = AsyncDriver(session, Route(url), loop, timeout=timeout, rate_limiter=limiter)
                return [await driver.run(flow) for flow in flows]

        return asyncio.run(all_of_them())

    return run


def test_a_request_arrives_as_the_flow_made_it(drive, wire):
    drive(ask("/v1/a%2Fb%41?c=d%20e", method="POST", headers={"Accept": "text/plain"}, body=b'{"x": 1}'))

    (asked,) = wire.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/v1/a%2Fb%41?c=d%20e", b'{"x": 1}')
    assert (asked.headers["accept"], asked.headers["user-agent"]) == ("text/plain", "tests/1")
    assert asked.headers["authorization"] == "Bearer example-token"


def test_a_request_without_a_body_has_none(drive, wire):
    drive(ask(method="POST"))

    assert (wire.asked[0].body, wire.asked[0].headers["content-length"]) == (b"", "0")


def test_a_response_has_its_body_and_lower_case_header_names(drive, wire):
    wire.will(Answer(201, b"0123", {"X-Some-Thing": "Value"}))

    assert drive(ask()) == [Response(201, {"content-length": "4", "x-some-thing": "Value"}, b"0123")]


@pytest.mark.parametrize("body", [b"", b"x", b"\x00\xff" * 2_000_000], ids=["empty", "small", "large"])
def test_a_compressed_response_is_decompressed(drive, wire, body):
    wire.will(Answer(body=gzip.compress(body), headers={"content-encoding": "gzip"}))

    assert drive(ask())[0].body == body


def test_a_chunked_response_is_joined(drive, wire):
    wire.will(chunked(b"01", b"23"))

    assert drive(ask())[0].body == b"0123"


def test_flows_of_one_session_share_a_connection(drive, wire):
    drive(ask("/a"), ask("/b"), ask("/c"))

    assert ([asked.path for asked in wire.asked], wire.lines) == (["/a", "/b", "/c"], 1)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_failures_are_retried(drive, wire, clock, broken):
    wire.will(broken, Answer(body=b"whole"))

    assert drive(ask("/a", body=b"b", method="POST"))[0].body == b"whole"
    assert [(asked.method, asked.path, asked.body) for asked in wire.asked] == [("POST", "/a", b"b")] * 2
    assert clock.sleeps == [0.5]


def test_a_silent_server_times_out(drive, wire):
    wire.will(SILENCE, Answer(body=b"whole"))

    assert drive(ask(), timeout=(5, 1))[0].body == b"whole"
    assert len(wire.asked) == 2


def test_a_timeout_has_its_own_message(drive, wire):
    wire.will(ever_after=SILENCE)

    with pytest.raises(NetworkError, match="The server took too long"):
        drive(ask(), timeout=(5, 0.05), policy=RetryPolicy(budget=timedelta(0)))


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_a_body_is_complete(drive, wire, status):
    wire.will(Answer(status, b"", {"content-length": "10"}))

    assert drive(ask())[0].status == status
    assert len(wire.asked) == 1


def test_an_unreachable_host_is_a_network_error(drive, unused_url, clock):
    with pytest.raises(NetworkError, match="3 attempts: The host refused the connection"):
        drive(ask(), url=unused_url, policy=RetryPolicy(budget=timedelta(seconds=2)))

    assert clock.sleeps == [0.5, 1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["{other}/stolen", "/v1/elsewhere", "http://[", ""])
def test_no_redirect_is_followed(drive, wire, status, location):
    with Wire() as other:
        wire.will(Answer(status, headers={"location": location.format(other=other.url)}))

        assert drive(ask())[0].status == status
        assert (len(wire.asked), other.asked) == (1, [])


def test_a_flow_is_closed_when_its_task_is_cancelled(wire):
    wire.will(ever_after=SILENCE)
    ended = []

    def careful():
        try:
            yield Request("turn.a", "GET", "/a")
        finally:
            ended.append(True)

    async def cancelled():
        async with open_session("tests/1") as session:
            task = asyncio.create_task(AsyncDriver(session, Route(wire.url)).run(careful()))
            while not wire.asked:  # noqa: ASYNC110 - another thread fills it
                await asyncio.sleep(0)
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert ended == [True]


def test_no_cookie_is_sent_back(drive, wire):
    wire.will(Answer(headers={"set-cookie": "sticky=yes"}))

    drive(ask(), ask())
    assert [asked.headers.get("cookie") for asked in wire.asked] == [None, None]


@pytest.mark.parametrize("path", ["v1/contacts", "@evil.example/", ":81/"])
def test_a_path_cannot_change_the_host(drive, wire, path):
    with pytest.raises(ConfigError, match="slash"):
        drive(ask(path))
    assert wire.asked == []


def test_invalid_header_values_are_neither_sent_nor_revealed(drive, wire):
    with pytest.raises(ConfigError) as caught:
        drive(ask(), token="example\r\ntoken")
    assert ("example" in str(caught.value), wire.asked) == (False, [])


@pytest.mark.parametrize("answers", WAYS_TO_FAIL.values(), ids=WAYS_TO_FAIL.keys())
@pytest.mark.filterwarnings("ignore")
def test_no_failure_reveals_a_secret(drive, wire, caplog, answers):
    caplog.set_level(logging.DEBUG)
    for name in ("aiohttp", "asyncio", "airflow_provider_wacontacts"):
        caplog.set_level(logging.DEBUG, logger=name)
    wire.will(*answers)

    with pytest.raises(WaContactsError) as caught:
        drive(strict(), token=TOKEN, timeout=(5, 0.1))
    errors = list(chain(caught.value))
    shown = "".join(traceback.format_exception(caught.value)) + repr(errors) + repr([vars(one) for one in errors])
    assert wire.asked
    assert [secret for secret in SECRETS if secret in shown or secret in told(caplog.records)] == []


def test_requests_are_spaced_by_the_rate_limiter(drive, clock):
    drive(ask(), ask(), space=timedelta(seconds=3))

    assert clock.sleeps == [3]
