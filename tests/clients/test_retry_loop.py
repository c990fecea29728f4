"""The loop that both drivers run, without a network."""

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.failures import Failure
from airflow_provider_wacontacts.clients.http import Call, Request, Response, Send, Sleep
from airflow_provider_wacontacts.clients.retry import RetryLoop, RetryPolicy
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    ConfigError,
    NetworkError,
    RateLimitedError,
    ServerError,
)

TRANSIENT = [Response(429), *(Response(status) for status in (500, 502, 503, 504)), Failure.DROPPED, Failure.TIMED_OUT]


class Tokens:
    """Authentication with a list of tokens; each renewal uses the next, up to the last."""

    def __init__(self, *tokens):
        self.tokens = list(tokens)

    def headers(self):
        return {"authorization": f"Bearer {self.tokens[0]}"}
        yield

    def renew(self, sent):
        assert sent == {"authorization": f"Bearer {self.tokens[0]}"}
        if len(self.tokens) == 1:
            return False
        yield Call(lambda: self.tokens.pop(0))
        return True


class Login:
    """Authentication with a token that a request returns."""

    def __init__(self):
        self.token = None

    def headers(self):
        if self.token is None:
            response = yield Request("turn.login", "POST", "/login")
            self.token = response.body.decode()
        return {"authorization": self.token}


def ask(path="/", **options):
    return (yield Request("turn.contacts.page", "GET", path, **options))


def loop_of(clock, *tokens, **options):
    return RetryLoop(Tokens(*tokens) if tokens else None, clock=clock, jitter=lambda: 0.0, **options)


class Server:
    """Runs the loop's steps, and returns the next outcome for each request; finally 200."""

    def __init__(self, clock, *outcomes):
        self.clock = clock
        self.outcomes = list(outcomes)
        self.requests = []

    def run(self, loop, flow):
        steps = loop.run(flow)
        result = None
        try:
            while True:
                result = self.do(steps.send(result))
        except StopIteration as stop:
            return stop.value

    def do(self, step):
        match step:
            case Send(request):
                self.requests.append(request)
                return self.outcomes.pop(0) if self.outcomes else Response(200)
            case Sleep(seconds):
                return self.clock.sleep(seconds)
            case Call(function):
                return function()

    @property
    def tokens(self):
        return [request.headers.get("authorization") for request in self.requests]


@pytest.mark.parametrize("outcome", TRANSIENT, ids=str)
def test_transient_outcomes_are_retried_with_growing_pauses(clock, outcome):
    server = Server(clock, outcome, outcome, outcome)

    assert server.run(loop_of(clock), ask()).status == 200
    assert clock.sleeps == [0.5, 1, 2]


def test_the_pause_is_the_one_that_the_server_requests(clock):
    server = Server(clock, Response(429, {"retry-after": "1", "x-ratelimit-reset": "1663156827.25"}))

    server.run(loop_of(clock), ask())
    assert clock.sleeps == [27.25]


@pytest.mark.parametrize(("outcome", "error"), [(Response(503), ServerError), (Failure.DROPPED, NetworkError)])
def test_a_request_is_not_retried_after_its_time_budget(clock, outcome, error):
    server = Server(clock, *[outcome] * 9)

    with pytest.raises(error) as caught:
        server.run(loop_of(clock, policy=RetryPolicy(budget=timedelta(seconds=10))), ask())
    assert (clock.sleeps, caught.value.attempts, len(server.requests)) == ([0.5, 1, 2, 4], 5, 5)


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 418])
def test_every_other_response_is_passed_to_the_flow(clock, status):
    server = Server(clock, Response(status, {"retry-after": "5"}))

    assert server.run(loop_of(clock), ask()).status == status
    assert (clock.sleeps, len(server.requests)) == ([], 1)


@pytest.mark.parametrize("outcome", [each for each in TRANSIENT if each != Response(429)], ids=str)
def test_a_request_that_is_not_idempotent_is_not_retried_after_it_may_have_been_processed(clock, outcome):
    server = Server(clock, outcome)

    with pytest.raises((ServerError, NetworkError)):
        server.run(loop_of(clock), ask(idempotent=False))
    assert len(server.requests) == 1


@pytest.mark.parametrize("outcome", [Response(429), Response(503, {"retry-after": "0"}), Failure.UNREACHABLE], ids=str)
def test_a_request_that_is_not_idempotent_is_retried_if_it_was_not_processed(clock, outcome):
    server = Server(clock, outcome)

    assert server.run(loop_of(clock), ask(idempotent=False)).status == 200


def test_the_status_is_normalized_first(clock):
    def normalize(response):
        return Response(429, response.headers) if response.body == b"slower" else response

    server = Server(clock, Response(400, {"retry-after": "7"}, b"slower"), Response(400, body=b"no"))
    assert server.run(loop_of(clock, normalize=normalize), ask()).body == b"no"
    assert clock.sleeps == [7]


def test_before_sleep_is_called_with_the_attempt_and_the_pause(clock):
    seen = []

    def before_sleep(attempt, pause):
        seen.append((attempt.outcome.status, attempt.is_rate_limited, pause.total_seconds(), len(clock.sleeps)))

    server = Server(clock, Response(502), Response(429, {"retry-after": "7"}))
    server.run(loop_of(clock, before_sleep=before_sleep), ask())
    assert seen == [(502, False, 0.5, 0), (429, True, 7.0, 1)]


def test_after_401_credentials_are_renewed_once_per_request_and_retried_immediately(clock):
    def two():
        first = yield from ask("/a")
        return [first.status, (yield from ask("/b")).status]

    server = Server(clock, Response(401), Response(200), Response(401), Response(401))
    assert server.run(loop_of(clock, "1", "2", "3", "4"), two()) == [200, 401]
    assert (server.tokens, clock.sleeps) == (["Bearer 1", "Bearer 2", "Bearer 2", "Bearer 3"], [])


def test_the_same_credentials_are_not_sent_twice(clock):
    server = Server(clock, Response(401))

    assert server.run(loop_of(clock, "1"), ask()).status == 401
    assert server.tokens == ["Bearer 1"]


def test_no_header_of_a_request_replaces_the_credentials(clock):
    server = Server(clock)
    server.run(loop_of(clock, "1"), ask(headers={"Authorization": "Basic eDp5"}))
    server.run(loop_of(clock), ask(headers={"Authorization": "Basic eDp5"}))

    assert server.tokens == ["Bearer 1", "Basic eDp5"]


def test_a_login_is_retried_like_any_request_and_has_no_credentials(clock):
    server = Server(clock, Response(503), Response(200, body=b"token"))

    assert server.run(RetryLoop(Login(), clock=clock), ask("/a")).status == 200
    assert [request.path for request in server.requests] == ["/login", "/login", "/a"]
    assert server.tokens == [None, None, "token"]


def test_an_error_is_thrown_into_the_flow_which_may_handle_it(clock):
    def patient():
        try:
            yield from ask("/a")
        except RateLimitedError as error:
            return error.retry_after, (yield from ask("/b")).status

    server = Server(clock, Response(429, {"retry-after": "3600"}))
    assert server.run(loop_of(clock), patient()) == (timedelta(hours=1), 200)
    assert clock.sleeps == []


def test_an_error_of_the_driver_is_thrown_into_the_flow(clock):
    steps = loop_of(clock).run(ask())
    next(steps)

    with pytest.raises(ConfigError, match="nothing"):
        steps.throw(ConfigError("nothing"))


def test_an_error_of_the_flow_has_the_number_of_attempts(clock):
    def strict():
        yield from ask()
        raise AuthError("no", source="turn", operation="turn.a", status=401)

    with pytest.raises(AuthError) as caught:
        Server(clock, Response(503), Response(503)).run(loop_of(clock), strict())
    assert caught.value.attempts == 3


def test_a_flow_without_requests_returns(clock):
    def nothing():
        return 7
        yield

    assert Server(clock).run(loop_of(clock), nothing()) == 7
