"""Driving a flow over a real socket."""

import gzip
import http.cookies
from datetime import timedelta

import pytest
import requests
from requests.adapters import HTTPAdapter

from airflow_provider_wacontacts.clients.http import Request, Response
from airflow_provider_wacontacts.clients.requests_driver import Clock, Driver
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    ConfigError,
    NetworkError,
    RateLimitedError,
    ServerError,
)
from tests.clients.wire import DROP, SILENCE, Answer, Wire, chunked


class Token:
    """Credentials that :meth:`renew` to the next of the given tokens, and stay at the last."""

    def __init__(self, *tokens):
        self.tokens = list(tokens)
        self.renewals = 0

    def headers(self):
        return {"authorization": f"Bearer {self.tokens[0]}"}

    def renew(self):
        self.renewals += 1
        if len(self.tokens) > 1:
            del self.tokens[0]
            return True
        return False


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


def driver_for(wire, session, clock, *, token=None, policy=None, timeout=(5, 5)):
    return Driver(
        session,
        wire.url,
        token or Token("example-token"),
        policy=policy,
        timeout=timeout,
        clock=of_clock(clock),
        chance=lambda: 0.0,
    )


def sent_tokens(wire):
    return [asked.headers["authorization"] for asked in wire.asked]


def test_a_request_arrives_as_the_flow_made_it(driver, wire):
    driver.run(ask("/v1/a%2Fb?c=d", method="POST", headers={"accept": "text/plain"}, body=b'{"x": 1}'))

    (asked,) = wire.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/v1/a%2Fb?c=d", b'{"x": 1}')
    assert asked.headers["accept"] == "text/plain"
    assert asked.headers["authorization"] == "Bearer example-token"


def test_an_answer_arrives_whole_with_its_header_names_in_lower_case(driver, wire):
    wire.will(Answer(201, b"0123", {"X-Some-Thing": "Value"}))

    assert driver.run(ask()) == Response(201, {"content-length": "4", "x-some-thing": "Value"}, b"0123")


@pytest.mark.parametrize("body", [b"", b"x", b"\x00\xff" * 2_000_000], ids=["empty", "small", "large"])
def test_a_compressed_answer_arrives_unpacked(driver, wire, body):
    wire.will(Answer(body=gzip.compress(body), headers={"content-encoding": "gzip"}))

    assert driver.run(ask()).body == body


def test_an_answer_in_chunks_arrives_joined(driver, wire):
    wire.will(chunked(b"01", b"23"))

    assert driver.run(ask()).body == b"0123"


def test_a_flow_of_many_requests_uses_one_line(driver, wire):
    def three():
        for path in ("/a", "/b", "/c"):
            yield Request("turn.a", "GET", path)

    driver.run(three())

    assert [asked.path for asked in wire.asked] == ["/a", "/b", "/c"]
    assert wire.lines == 1


def test_a_flow_that_asks_for_nothing_returns(driver, wire):
    def nothing():
        return 7
        yield

    assert driver.run(nothing()) == 7
    assert wire.asked == []


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
def test_what_can_change_is_sent_again_with_growing_pauses(driver, wire, clock, broken):
    wire.will(broken, broken, broken, Answer(body=b"whole"))

    assert driver.run(ask("/a", body=b"b", method="POST")).body == b"whole"
    assert [(asked.method, asked.path, asked.body) for asked in wire.asked] == [("POST", "/a", b"b")] * 4
    assert clock.sleeps == [0.5, 1, 2]


def test_an_answer_that_does_not_come_is_sent_for_again(wire, session, clock):
    wire.will(SILENCE, Answer(body=b"whole"))

    assert driver_for(wire, session, clock, timeout=(5, 0.05)).run(ask()).body == b"whole"
    assert len(wire.asked) == 2


def test_a_half_read_answer_is_none_even_where_urllib3_takes_it_for_whole(driver, wire, session):
    class AsUrllib3Below2(HTTPAdapter):
        def send(self, *args, **kwargs):
            response = super().send(*args, **kwargs)
            response.raw.enforce_content_length = False
            return response

    session.mount("http://", AsUrllib3Below2())
    wire.will(Answer(body=b"0123456789", cut=4), Answer(body=b"whole"))

    assert driver.run(ask()).body == b"whole"
    assert len(wire.asked) == 2


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_may_have_no_body_is_whole_without(driver, wire, status):
    wire.will(Answer(status, b"", {"content-length": "10"}))

    assert driver.run(ask()).status == status
    assert len(wire.asked) == 1


def test_a_server_that_never_recovers_is_asked_within_the_budget(wire, session, clock):
    wire.will(ever_after=Answer(503))

    with pytest.raises(ServerError) as caught:
        driver_for(wire, session, clock, policy=RetryPolicy(budget=timedelta(seconds=10))).run(ask())
    assert clock.sleeps == [0.5, 1, 2, 4]
    assert (caught.value.attempts, len(wire.asked)) == (5, 5)


def test_a_line_that_always_breaks_is_tried_within_the_budget(wire, session, clock):
    wire.will(ever_after=DROP)

    with pytest.raises(NetworkError) as caught:
        driver_for(wire, session, clock, policy=RetryPolicy(budget=timedelta(seconds=10))).run(ask())
    assert (caught.value.attempts, len(wire.asked)) == (5, 5)


def test_a_host_that_nobody_listens_on_is_a_failure_of_the_network(session, unheard_url, clock):
    policy = RetryPolicy(budget=timedelta(seconds=2))
    driver = Driver(session, unheard_url, Token("t"), policy=policy, clock=of_clock(clock), chance=lambda: 0.0)
    with pytest.raises(NetworkError, match="3 attempts: the connection could not be made"):
        driver.run(ask())

    assert clock.sleeps == [0.5, 1]


@pytest.mark.parametrize(
    ("headers", "slept"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "7.5"}, 7.5),
        ({"retry-after": "Wed, 14 Sep 2022 12:00:30 GMT"}, 30),
        ({"retry-after": "1", "x-ratelimit-reset": "1663156860"}, 60),
        ({"retry-after": "1", "x-ratelimit-reset": "1663156827.25"}, 27.25),
        ({"x-ratelimit-reset": "1663160460", "date": "Wed, 14 Sep 2022 13:00:00 GMT"}, 60),
        ({}, 0.5),
        ({"retry-after": "soon", "x-ratelimit-reset": "later"}, 0.5),
    ],
)
def test_a_rate_limit_is_waited_for_as_it_says(driver, wire, clock, headers, slept):
    wire.will(Answer(429, headers=headers))

    assert driver.run(ask()).status == 200
    assert (clock.sleeps, len(wire.asked)) == ([slept], 2)


def test_a_rate_limit_longer_than_a_worker_may_sleep_is_not_asked_early(driver, wire, clock):
    wire.will(Answer(429, headers={"retry-after": "3600"}))

    with pytest.raises(RateLimitedError) as caught:
        driver.run(ask())
    assert caught.value.retry_after == timedelta(hours=1)
    assert (clock.sleeps, len(wire.asked)) == ([], 1)


@pytest.mark.parametrize("status", [400, 403, 404, 418])
def test_an_answer_that_cannot_change_is_the_flows_at_once(driver, wire, clock, status):
    wire.will(Answer(status, b"why", {"retry-after": "5"}))

    response = driver.run(ask())

    assert (response.status, response.body) == (status, b"why")
    assert (clock.sleeps, len(wire.asked)) == ([], 1)


def test_a_token_that_is_not_accepted_is_renewed_and_sent_at_once(wire, session, clock):
    wire.will(Answer(401))

    assert driver_for(wire, session, clock, token=Token("old", "new")).run(ask()).status == 200
    assert sent_tokens(wire) == ["Bearer old", "Bearer new"]
    assert clock.sleeps == []


def test_it_is_renewed_once_a_request_then_the_flow_is_told(wire, session, clock):
    wire.will(ever_after=Answer(401))
    token = Token("old", "new", "newest")

    assert driver_for(wire, session, clock, token=token).run(ask()).status == 401
    assert sent_tokens(wire) == ["Bearer old", "Bearer new"]
    assert token.renewals == 1


def test_every_request_may_have_its_renewal(wire, session, clock):
    def two():
        yield Request("turn.a", "GET", "/a")
        yield Request("turn.b", "GET", "/b")

    wire.will(Answer(401), Answer(), Answer(401), Answer())
    driver_for(wire, session, clock, token=Token("1", "2", "3")).run(two())

    assert sent_tokens(wire) == ["Bearer 1", "Bearer 2", "Bearer 2", "Bearer 3"]


def test_the_same_token_is_not_sent_twice(driver, wire):
    wire.will(ever_after=Answer(401))

    assert driver.run(ask()).status == 401
    assert len(wire.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["{other}/stolen", "/v1/elsewhere", "http://[", ""])
def test_no_redirect_is_followed(driver, wire, status, location):
    with Wire() as other:
        wire.will(Answer(status, headers={"location": location.format(other=other.url)}))

        assert driver.run(ask()).status == status
        assert (len(wire.asked), other.asked) == (1, [])


def test_an_error_of_the_transport_is_thrown_into_the_flow_which_may_go_on(driver, wire):
    def patient():
        try:
            yield Request("turn.a", "GET", "/a")
        except RateLimitedError as error:
            response = yield Request("turn.b", "GET", "/b")
            return error.retry_after, response.status

    wire.will(Answer(429, headers={"retry-after": "3600"}))

    assert driver.run(patient()) == (timedelta(hours=1), 200)
    assert [asked.path for asked in wire.asked] == ["/a", "/b"]


def test_an_error_of_the_flow_learns_how_often_its_request_was_sent(driver, wire):
    def strict():
        yield Request("turn.a", "GET", "/a")
        raise AuthError("no", source="turn", operation="turn.a", status=401)

    wire.will(Answer(503), Answer(503), Answer())

    with pytest.raises(AuthError) as caught:
        driver.run(strict())
    assert caught.value.attempts == 3


def test_a_flow_is_closed_when_something_else_goes_wrong(wire, session, clock):
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


def test_no_login_of_a_netrc_replaces_the_credentials(driver, wire, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.get(wire.url, timeout=5).request.headers["authorization"].startswith("Basic ")

    driver.run(ask())
    assert sent_tokens(wire)[-1] == "Bearer example-token"


def test_no_header_of_a_request_replaces_the_credentials(driver, wire):
    driver.run(ask(headers={"Authorization": "Bearer other"}))

    assert sent_tokens(wire) == ["Bearer example-token"]


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
def test_a_session_that_cannot_send_is_a_matter_of_configuration(session, clock, attribute, value):
    setattr(session, attribute, value)
    driver = Driver(session, "https://127.0.0.1:9", Token("example-token"), clock=of_clock(clock))

    with pytest.raises(ConfigError, match=attribute):
        driver.run(ask())
    assert clock.sleeps == []


@pytest.mark.parametrize("path", ["v1/contacts", "@evil.example/", ":81/"])
def test_a_path_cannot_change_the_host(driver, wire, path):
    with pytest.raises(ConfigError, match="slash"):
        driver.run(ask(path))
    assert wire.asked == []


@pytest.mark.parametrize("token", ["example\r\ntoken", "exämple-tøken-\u0142"])
def test_credentials_that_are_no_header_are_not_sent_nor_told(wire, session, clock, token):
    with pytest.raises(ConfigError) as caught:
        driver_for(wire, session, clock, token=Token(token)).run(ask())
    assert (token in str(caught.value), wire.asked) == (False, [])
