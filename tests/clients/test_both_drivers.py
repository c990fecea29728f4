"""Sizes, deadlines, proxies and refusals: both drivers behave the same."""

import asyncio
import gzip
import socket
import ssl
import tracemalloc
import zlib
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.clients.aiohttp_driver import AsyncDriver, open_session, resolve_route
from airflow_provider_wacontacts.clients.bodies import BodyTooLargeError, Limits, decompress
from airflow_provider_wacontacts.clients.deadlines import DeadlineAdapter
from airflow_provider_wacontacts.clients.http import Request
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.retry import RetryLoop, RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business_errors import normalize_status
from airflow_provider_wacontacts.exceptions import ContractError, NetworkError, ServerError
from tests.clients import test_aiohttp_driver, test_requests_driver
from tests.clients.test_log_filter import chain
from tests.clients.test_tls import certificate
from tests.clients.wire import DROP, SILENCE, Answer, Wire, chunked

MEGABYTE = 1_000_000
#: The budget allows one retry, but not a second.
BRIEFLY = RetryPolicy(budget=timedelta(seconds=1))
HOST = "waba.example.org"


def over_requests(flow, clock, url, *, proxy=None, verify=True, **options):
    loop = RetryLoop(clock=test_requests_driver.of_clock(clock), jitter=lambda: 0.0, **options.pop("loop"))
    with requests.Session() as session:
        session.trust_env, session.verify = False, verify
        session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        session.mount("http://", DeadlineAdapter())
        session.mount("https://", DeadlineAdapter())
        return Driver(session, url, loop, **options).run(flow)


def over_aiohttp(flow, clock, url, *, proxy=None, verify=True, **options):
    loop = RetryLoop(clock=test_aiohttp_driver.of_clock(clock), jitter=lambda: 0.0, **options.pop("loop"))
    proxies = {"http": proxy, "https": proxy} if proxy else None
    route = resolve_route(url, verify=verify, proxies=proxies, trust_env=False)

    async def run():
        async with open_session("tests/1") as session:
            return await AsyncDriver(session, route, loop, **options).run(flow)

    return asyncio.run(run())


@pytest.fixture(params=[over_requests, over_aiohttp], ids=["requests", "aiohttp"])
def drive(request, wire, clock):
    """Run a flow against the server, directly or through a proxy."""

    def run(flow, url=wire.url, *, limits=None, timeout=(5, 5), **options):
        route = {name: options.pop(name) for name in ("proxy", "verify") if name in options}
        loop = {"policy": BRIEFLY, **options}
        return request.param(flow, clock, url, limits=limits or Limits(1, 60), timeout=timeout, loop=loop, **route)

    return run


def ask(*, idempotent=True):
    return (yield Request("turn.contacts.page", "POST", "/v1/secret", idempotent=idempotent))


def check():
    """Send a non-idempotent request over a connection that was used before."""
    yield Request("whatsapp_business.health", "GET", "/v1/health")
    return (yield from ask(idempotent=False))


def headerless(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def packed(body, encoding):
    return Answer(body=body, headers={"content-encoding": encoding})


def fifty_megabytes():
    return bytes(50 * MEGABYTE)


#: The last two never end, so reading the whole body would raise another error.
TOO_LARGE = {
    "gzip": lambda: packed(gzip.compress(fifty_megabytes(), 1), "gzip"),
    "deflate": lambda: packed(zlib.compress(fifty_megabytes(), 1), "deflate"),
    "deflate without a header": lambda: packed(headerless(fifty_megabytes()), "deflate"),
    "members that are small": lambda: packed(gzip.compress(bytes(MEGABYTE // 2)) * 3, "gzip"),
    "not compressed": lambda: Answer(body=bytes(MEGABYTE + 1), headers={"content-length": "9000000"}),
    "in chunks": lambda: replace(chunked(*[bytes(100_000)] * 11, is_ended=False), cut=None),
}


@contextmanager
def peak_megabytes():
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1] / MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_a_body_that_is_too_large_is_refused_immediately_with_little_memory(drive, wire, answer):
    wire.will(ever_after=answer())

    with peak_megabytes() as peak:
        with pytest.raises(ContractError, match=r"larger than 1 MB\..*extra 'max_response_mb'"):
            drive(ask())
        assert peak() < 10
    assert len(wire.asked) == 1


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_a_body_may_be_as_large_as_allowed(drive, wire, encoding):
    body = bytes(MEGABYTE)
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)
    wire.will(packed(pack(body), encoding))

    assert drive(ask()).body == body


@given(size=st.integers(0, 3000), bound=st.integers(0, 2000), pack=st.sampled_from([gzip.compress, bytes]))
def test_a_body_is_refused_if_it_exceeds_the_limit_by_one_byte(size, bound, pack):
    body, encoding = pack(bytes(size)), "gzip" if pack is gzip.compress else ""

    if size <= bound:
        assert decompress(body, encoding, bound) == bytes(size)
    else:
        with pytest.raises(BodyTooLargeError):
            decompress(body, encoding, bound)


TOO_SLOW = {
    "head": Answer(body=b"{}", headers={"x-long": "x" * 200}, drip_from=20),
    "body": Answer(body=bytes(200), drip_from=80),
    "chunks": Answer(body=chunked(*[b"x"] * 40).body, headers={"transfer-encoding": "chunked"}, drip_from=80),
    "nothing": SILENCE,
}


@pytest.mark.parametrize("answer", TOO_SLOW.values(), ids=TOO_SLOW.keys())
def test_a_slow_response_ends_at_the_deadline(drive, wire, answer):
    """Without a deadline, each response is complete after four seconds."""
    wire.will(answer)

    with pytest.raises(ContractError, match=r"took longer than 0\.9 s\..*extra 'max_response_seconds'") as caught:
        drive(ask(), limits=Limits(1, 0.9))
    assert (len(wire.asked), len(list(chain(caught.value)))) == (1, 1)


@pytest.fixture
def tls(tmp_path):
    """A certificate file for this host, and a server's TLS context with it."""
    path = certificate(tmp_path / "host.pem", address="127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


LOST = {
    "dropped": DROP,
    "half a body": Answer(body=b"0123456789", cut=4),
    "no body": Answer(body=b"0123456789", cut=0),
    "half a compressed body": packed(gzip.compress(b"0123456789")[:-4], "gzip"),
}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST.keys())
def test_a_non_idempotent_request_is_not_retried_if_a_proxy_loses_its_response(drive, wire, clock, lost):
    wire.will(Answer(), lost)

    with pytest.raises(NetworkError, match=r"connection was dropped|incomplete"):
        drive(check(), f"http://{HOST}", proxy=wire.url)
    assert ([asked.method for asked in wire.asked], clock.sleeps) == (["GET", "POST"], [])


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST.keys())
def test_a_non_idempotent_request_is_not_retried_if_a_tunnel_loses_its_response(drive, tls, clock, lost):
    path, context = tls
    with Wire(tunnel=context) as proxy:
        proxy.will(Answer(body=b""), Answer(), lost)

        with pytest.raises(NetworkError, match=r"connection was dropped|incomplete"):
            drive(check(), "https://127.0.0.1:9", proxy=proxy.url, verify=path)
    assert ([asked.method for asked in proxy.asked], clock.sleeps) == (["CONNECT", "GET", "POST"], [])


def test_a_non_idempotent_request_is_not_retried_after_a_proxy_timeout(drive, wire, clock):
    wire.will(Answer(), SILENCE)

    with pytest.raises(NetworkError, match="took too long"):
        drive(check(), f"http://{HOST}", proxy=wire.url, timeout=(5, 1))
    assert ([asked.method for asked in wire.asked], clock.sleeps) == (["GET", "POST"], [])


@pytest.mark.parametrize("status", [407, 502, 503])
def test_a_failed_tunnel_is_an_unreachable_proxy(drive, wire, clock, status):
    wire.will(ever_after=Answer(status, b"no"))

    with pytest.raises(NetworkError, match=r"2 attempts: The proxy could not be reached.*extra 'proxies'"):
        drive(ask(idempotent=False), f"https://{HOST}", proxy=wire.url)
    assert ([asked.method for asked in wire.asked], clock.sleeps) == (["CONNECT", "CONNECT"], [0.5])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_connections_is_unreachable(drive, unused_url, clock, scheme):
    with pytest.raises(NetworkError, match="2 attempts: The proxy could not be reached"):
        drive(ask(idempotent=False), f"{scheme}://{HOST}", proxy=unused_url)
    assert clock.sleeps == [0.5]


@pytest.fixture
def full_url():
    """A URL of a server that neither accepts nor refuses connections."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = [socket.socket() for _ in range(3)]
        for line in waiting:
            line.setblocking(False)
            line.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for line in waiting:
            line.close()


@pytest.mark.parametrize("scheme", [None, "http", "https"])
def test_a_connection_timeout_is_unreachable(drive, full_url, clock, scheme):
    route = {"url": f"{scheme}://{HOST}", "proxy": full_url} if scheme else {"url": full_url}

    with pytest.raises(NetworkError, match=r"2 attempts: The (proxy could not|connection attempt timed out)"):
        drive(ask(idempotent=False), timeout=(0.1, 5), **route)
    assert clock.sleeps == [0.5]


def of_client(code):
    return Answer(503, b'{"errors": [{"code": %d, "title": "no"}]}' % code)


@pytest.mark.parametrize(
    "refusal",
    [Answer(503, headers={"retry-after": "0"}), of_client(1016), of_client(1011)],
    ids=["header", "1016", "1011"],
)
def test_a_non_idempotent_request_is_retried_after_a_503_refusal(drive, wire, refusal):
    wire.will(refusal, Answer(body=b"whole"))

    assert drive(ask(idempotent=False), normalize=normalize_status).body == b"whole"


@pytest.mark.parametrize(
    "answer",
    [Answer(503, b"<html>"), Answer(503, b'{"message": "no"}'), of_client(1014), of_client(999_999)],
    ids=["html", "json", "1014", "unknown code"],
)
def test_a_non_idempotent_request_is_not_retried_after_a_gateways_503(drive, wire, clock, answer):
    wire.will(answer)

    with pytest.raises(ServerError):
        drive(ask(idempotent=False), normalize=normalize_status)
    assert (len(wire.asked), clock.sleeps) == (1, [])


def test_a_response_with_two_lengths_is_invalid_http(drive, wire):
    wire.will(Answer(body=b"whole", headers={"Content-Length": "3"}))

    with pytest.raises(ContractError, match="not valid HTTP"):
        drive(ask(idempotent=False))
    assert len(wire.asked) == 1


@pytest.mark.parametrize("kind", [ValueError, RecursionError, OverflowError, ZeroDivisionError, UnicodeError, KeyError])
@pytest.mark.parametrize("has_sent", [True, False])
def test_any_other_exception_of_a_flow_becomes_an_error_without_its_text(drive, kind, has_sent):
    def flow():
        if has_sent:
            yield Request("turn.contacts.page", "GET", "/")
        raise kind("+16315551000")

    with pytest.raises(ContractError, match=rf"could not be read: {kind.__name__} in flow, line \d+") as caught:
        drive(flow())
    assert list(chain(caught.value)) == [caught.value]
    assert "16315551000" not in str(caught.value)
