"""Sending over a real socket with requests."""

import gzip
import http.cookies
from datetime import timedelta

import pytest
import requests

from airflow_provider_wacontacts.clients.http import Request, Response
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.retry import Clock, RetryLoop, RetryPolicy
from airflow_provider_wacontacts.exceptions import ConfigError, NetworkError
from tests.clients.test_retry_loop import Tokens
from tests.clients.wire import DROP, SILENCE, Answer, Wire, chunked


def one(request):
    return (yield request)


def ask(path="/", *, method="GET", headers=None, body=None):
    return one(Request("turn.contacts.page", method, path, headers or {}, body))


def of_clock(clock):
    return Clock(sleep=clock.sleep, monotonic=clock.monotonic, now=clock.now)


@pytest.fixture
def session():
    with requests.Session() as session:
        yield session


@pytest.fixture
def driver(session, wire, clock):
    return driver_for(wire, session, clock)


def driver_for(wire, session, clock, *, token="example-token", timeout=(5, 5), **options):
    loop = RetryLoop(Tokens(token), clock=of_clock(clock), jitter=lambda: 0.0)
    return Driver(session, wire.url, loop, timeout=timeout, **options)


def sent_tokens(wire):
    return [asked.headers["authorization"] for asked in wire.asked]


def test_a_request_arrives_as_the_flow_made_it(driver, wire):
    driver.run(ask("/v1/a%2Fb?c=d", method="POST", headers={"accept": "text/plain"}, body=b'{"x": 1}'))

    (asked,) = wire.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/v1/a%2Fb?c=d", b'{"x": 1}')
    assert asked.headers["accept"] == "text/plain"
    assert asked.headers["authorization"] == "Bearer example-token"


def test_a_response_has_its_body_and_lower_case_header_names(driver, wire):
    wire.will(Answer(201, b"0123", {"X-Some-Thing": "Value"}))

    assert driver.run(ask()) == Response(201, {"content-length": "4", "x-some-thing": "Value"}, b"0123")


@pytest.mark.parametrize("body", [b"", b"x", b"\x00\xff" * 2_000_000], ids=["empty", "small", "large"])
def test_a_compressed_response_is_decompressed(driver, wire, body):
    wire.will(Answer(body=gzip.compress(body), headers={"content-encoding": "gzip"}))

    assert driver.run(ask()).body == body


def test_a_chunked_response_is_joined(driver, wire):
    wire.will(chunked(b"01", b"23"))

    assert driver.run(ask()).body == b"0123"


def test_requests_of_a_flow_share_a_connection(driver, wire):
    def three():
        for path in ("/a", "/b", "/c"):
            yield Request("turn.a", "GET", path)

    driver.run(three())

    assert [asked.path for asked in wire.asked] == ["/a", "/b", "/c"]
    assert wire.lines == 1


BROKEN = {
    "500": Answer(500),
    "502": Answer(502),
    "503": Answer(503),
    "504": Answer(504),
    "dropped": DROP,
    "half read": Answer(body=b"0123456789", cut=4),
    "no body read": Answer(body=b"0123456789", cut=0),
    "chunks without an end": chunked(b"0123", is_ended=False),
    "not what it is packed as": Answer(body=b"plain", headers={"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_failures_are_retried(driver, wire, clock, broken):
    wire.will(broken, Answer(body=b"whole"))

    assert driver.run(ask("/a", body=b"b", method="POST")).body == b"whole"
    assert [(asked.method, asked.path, asked.body) for asked in wire.asked] == [("POST", "/a", b"b")] * 2
    assert clock.sleeps == [0.5]


def test_a_silent_server_times_out(wire, session, clock):
    wire.will(SILENCE, Answer(body=b"whole"))

    assert driver_for(wire, session, clock, timeout=(5, 1)).run(ask()).body == b"whole"
    assert len(wire.asked) == 2


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_a_body_is_complete(driver, wire, status):
    wire.will(Answer(status, b"", {"content-length": "10"}))

    assert driver.run(ask()).status == status
    assert len(wire.asked) == 1


def test_an_unreachable_host_is_a_network_error(session, unused_url, clock):
    loop = RetryLoop(policy=RetryPolicy(budget=timedelta(seconds=2)), clock=of_clock(clock), jitter=lambda: 0.0)
    driver = Driver(session, unused_url, loop)
    with pytest.raises(NetworkError, match="3 attempts: The host refused the connection"):
        driver.run(ask())

    assert clock.sleeps == [0.5, 1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["{other}/stolen", "/v1/elsewhere", "http://[", ""])
def test_no_redirect_is_followed(driver, wire, status, location):
    with Wire() as other:
        wire.will(Answer(status, headers={"location": location.format(other=other.url)}))

        assert driver.run(ask()).status == status
        assert (len(wire.asked), other.asked) == (1, [])


def test_a_flow_is_closed_after_an_unexpected_error(wire, session, clock):
    ended = []

    def careful():
        try:
            yield Request("turn.a", "GET", "/a")
        finally:
            ended.append(True)

    def interrupted(seconds):
        raise KeyboardInterrupt

    clock.sleep = interrupted
    wire.will(Answer(503))
    flow = careful()

    with pytest.raises(KeyboardInterrupt):
        driver_for(wire, session, clock).run(flow)
    assert ended == [True]


def test_a_netrc_file_does_not_replace_the_credentials(driver, wire, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.get(wire.url, timeout=5).request.headers["authorization"].startswith("Basic ")

    driver.run(ask())
    assert sent_tokens(wire)[-1] == "Bearer example-token"


def test_no_cookie_is_sent_back(driver, wire):
    cookie = http.cookies.SimpleCookie({"sticky": "yes"})["sticky"].OutputString()
    wire.will(Answer(headers={"set-cookie": cookie}))

    driver.run(ask())
    driver.run(ask())
    assert [asked.headers.get("cookie") for asked in wire.asked] == [None, None]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("verify", "/no/such/file"), ("cert", "/no/such/file"), ("proxies", {"https": "http://"})],
)
def test_an_invalid_session_is_a_config_error(session, clock, attribute, value):
    setattr(session, attribute, value)
    driver = Driver(session, "https://127.0.0.1:9", RetryLoop(clock=of_clock(clock)))

    with pytest.raises(ConfigError, match=attribute):
        driver.run(ask())
    assert clock.sleeps == []


@pytest.mark.parametrize("path", ["v1/contacts", "@evil.example/", ":81/"])
def test_a_path_cannot_change_the_host(driver, wire, path):
    with pytest.raises(ConfigError, match="slash"):
        driver.run(ask(path))
    assert wire.asked == []


@pytest.mark.parametrize("token", ["example\r\ntoken", "exämple-tøken-\u0142"])
def test_invalid_header_values_are_neither_sent_nor_revealed(wire, session, clock, token):
    with pytest.raises(ConfigError) as caught:
        driver_for(wire, session, clock, token=token).run(ask())
    assert (token in str(caught.value), wire.asked) == (False, [])


def test_requests_are_spaced_by_the_rate_limiter(wire, session, clock):
    driver = driver_for(wire, session, clock, rate_limiter=RateLimiter(timedelta(seconds=3)))

    driver.run(ask())
    driver.run(ask())
    assert clock.sleeps == [3]
