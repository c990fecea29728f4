"""Retries: which outcomes are retried, after which pause, and when to give up."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.clients.failures import CONFIGURATION, UNSENT, Failure
from airflow_provider_wacontacts.clients.http import Request, Response, Send, Sleep
from airflow_provider_wacontacts.clients.retry import (
    Attempt,
    Clock,
    RetryLoop,
    RetryPolicy,
    pause_before_retry,
    read_retry_after,
)
from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    ContractError,
    NetworkError,
    RateLimitedError,
    ServerError,
    TransientError,
)

NOW = datetime(2026, 8, 10, 3, 15, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
POLICY = RetryPolicy()
REQUEST = Request("turn.contacts.page", "GET", "/")
LOST = [Failure.DROPPED, Failure.TIMED_OUT, Failure.INCOMPLETE]
NETWORK = [Failure.UNREACHABLE, Failure.REFUSED, Failure.CONNECT_TIMED_OUT, Failure.PROXY, *LOST]


def judge(outcome, *, policy=POLICY, number=1, elapsed=0.0, jitter=0.0):
    pause = pause_before_retry(policy, Attempt(REQUEST, outcome, number, timedelta(seconds=elapsed), NOW, jitter))
    return None if pause is None else pause.total_seconds()


def answer(status, **headers):
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()})


def two_requests():
    yield REQUEST
    yield REQUEST


ASKED = {
    "nothing": ({}, None),
    "whole seconds": ({"retry_after": "7"}, 7),
    "a fraction": ({"retry_after": "7.25"}, 7.25),
    "zero": ({"retry_after": "0"}, 0),
    "a date": ({"retry_after": "Mon, 10 Aug 2026 03:15:30 GMT"}, 30),
    "a date in another zone": ({"retry_after": "Mon, 10 Aug 2026 05:15:30 +0200"}, 30),
    "a date gone by": ({"retry_after": "Mon, 10 Aug 2026 03:14:00 GMT"}, 0),
    "a moment": ({"x_ratelimit_reset": str(EPOCH + 20)}, 20),
    "a moment with a fraction": ({"x_ratelimit_reset": f"{EPOCH + 20}.5"}, 20.5),
    "a moment gone by": ({"x_ratelimit_reset": str(EPOCH - 20)}, 0),
    "a moment as a date": ({"x_ratelimit_reset": "Mon, 10 Aug 2026 03:15:20 GMT"}, 20),
    "both, the moment later": ({"retry_after": "1", "x_ratelimit_reset": str(EPOCH + 20)}, 20),
    "both, the duration longer": ({"retry_after": "40", "x_ratelimit_reset": str(EPOCH + 20)}, 40),
    "one of them nonsense": ({"retry_after": "soon", "x_ratelimit_reset": str(EPOCH + 20)}, 20),
    "a word": ({"retry_after": "soon"}, None),
    "nothing in it": ({"retry_after": "", "x_ratelimit_reset": " "}, None),
    "a negative number": ({"retry_after": "-5"}, None),
    "not a number": ({"retry_after": "nan", "x_ratelimit_reset": "nan"}, None),
    "no end": ({"retry_after": "inf", "x_ratelimit_reset": "1e999"}, None),
    "milliseconds": ({"x_ratelimit_reset": f"{EPOCH}000"}, None),
    "a date that is none": ({"retry_after": "Mon, 31 Feb 2026 03:15:30 GMT"}, None),
    "two numbers": ({"retry_after": "1, 2"}, None),
}


@pytest.mark.parametrize(("headers", "seconds"), ASKED.values(), ids=ASKED.keys())
def test_retry_after_is_read_from_the_headers(headers, seconds):
    asked = read_retry_after(answer(429, **headers), NOW)

    assert asked == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "headers",
    [{"x_ratelimit_reset": str(EPOCH + 3620)}, {"retry_after": "Mon, 10 Aug 2026 04:15:20 GMT"}],
    ids=["moment", "date"],
)
def test_dates_are_compared_with_the_servers_clock(headers):
    ahead = answer(429, date="Mon, 10 Aug 2026 04:15:00 GMT", **headers)

    assert read_retry_after(ahead, NOW) == timedelta(seconds=20)


def test_an_implausible_server_date_is_replaced_by_the_local_time():
    lost = answer(429, date="Thu, 01 Jan 1970 00:00:00 GMT", x_ratelimit_reset=str(EPOCH + 20))

    assert read_retry_after(lost, NOW) == timedelta(seconds=20)


def test_the_rate_limit_is_not_read_from_a_server_error():
    assert read_retry_after(answer(503, x_ratelimit_reset=str(EPOCH + 20)), NOW) is None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize(
    ("seconds", "jitter", "pause"), [(7.25, 0, 7.25), (60, 0.5, 63), (119.9, 0.9, 120), (120, 0, 120)]
)
def test_retry_after_is_a_lower_bound_with_jitter(status, seconds, jitter, pause):
    assert judge(answer(status, retry_after=str(seconds)), jitter=jitter) == pause


def test_a_short_retry_after_still_backs_off():
    pauses = [judge(answer(429, retry_after="1"), number=number) for number in range(1, 9)]

    assert pauses == [1, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("outcome", [answer(429), answer(429, retry_after="0"), answer(500), *NETWORK])
def test_without_retry_after_it_backs_off(outcome):
    assert [judge(outcome, number=number) for number in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_the_other_half_of_a_backoff_is_jitter():
    assert [judge(Failure.TIMED_OUT, number=3, jitter=jitter) for jitter in (0.0, 0.5, 0.75)] == [2, 3, 3.5]


def test_a_backoff_never_exceeds_max_pause():
    policy = RetryPolicy(max_pause=timedelta(seconds=5))

    assert judge(Failure.INCOMPLETE, policy=policy, number=2000, jitter=0.999) <= 5


@pytest.mark.parametrize("status", [*range(200, 429), *range(430, 500)])
def test_other_responses_are_passed_to_the_flow(status):
    assert judge(answer(status, retry_after="5"), elapsed=10_000) is None


def test_a_pause_longer_than_max_pause_is_not_started():
    with pytest.raises(RateLimitedError) as caught:
        judge(answer(429, retry_after="120.5"), number=2)

    error = caught.value
    assert (error.retry_after, error.status, error.attempts) == (timedelta(seconds=120.5), 429, 2)
    assert (error.source, error.operation) == ("turn", "turn.contacts.page")
    assert str(error).startswith(
        "turn.contacts.page, HTTP 429, 2 attempts: The server's rate limit is reached. Try again in 121 s."
    )


def test_a_pause_longer_than_the_rest_of_the_budget_is_not_started():
    assert judge(answer(429, retry_after="60"), elapsed=540) == 60
    with pytest.raises(RateLimitedError) as caught:
        judge(answer(429, retry_after="60"), elapsed=540.1)

    assert caught.value.retry_after == timedelta(seconds=60)


def test_5xx_beyond_the_budget_raises_a_server_error():
    with pytest.raises(ServerError) as caught:
        judge(answer(502), number=9, elapsed=599.9)

    error = caught.value
    assert (error.status, error.attempts, error.retry_after) == (502, 9, None)
    assert str(error).startswith("turn.contacts.page, HTTP 502, 9 attempts: The server failed. Try again later.")


def test_the_error_after_a_long_retry_after_has_the_time_of_the_next_attempt():
    with pytest.raises(ServerError) as caught:
        judge(answer(503, retry_after="3600"))

    assert caught.value.retry_after == timedelta(hours=1)


@pytest.mark.parametrize("failure", NETWORK)
def test_network_failures_beyond_the_budget_raise_a_network_error(failure):
    with pytest.raises(NetworkError) as caught:
        judge(failure, number=4, elapsed=600)

    error = caught.value
    assert (error.status, error.attempts, error.retry_after) == (None, 4, None)
    assert str(error).startswith(f"turn.contacts.page, 4 attempts: {failure.value}")


@pytest.mark.parametrize("failure", CONFIGURATION)
def test_a_tls_failure_is_not_retried(failure):
    with pytest.raises(ConfigError, match=re.escape(failure.value)):
        judge(failure)


@pytest.mark.parametrize("failure", UNSENT)
def test_a_host_that_never_responded_is_retried_for_half_a_minute(failure):
    assert judge(failure, elapsed=29.5) == 0.5
    kind = ConfigError if failure is Failure.UNKNOWN_HOST else NetworkError
    with pytest.raises(kind, match=re.escape(failure.value)):
        judge(failure, elapsed=29.6)


@pytest.mark.parametrize("failure", UNSENT)
def test_a_server_that_restarts_after_a_response_is_retried_for_ten_minutes(failure):
    pauses = [0.0]
    steps = RetryLoop(clock=Clock(monotonic=lambda: sum(pauses)), jitter=lambda: 0.0).run(two_requests())

    assert isinstance(steps.send(None), Send)
    assert isinstance(steps.send(Response(200)), Send)
    with suppress(NetworkError, ConfigError):
        while isinstance(pause := steps.send(failure), Sleep):
            pauses.append(pause.seconds)
            steps.send(None)

    assert 540 < sum(pauses) <= 600


def test_a_response_that_is_not_http_finally_is_a_contract_error():
    assert judge(Failure.MALFORMED) == 0.5
    with pytest.raises(ContractError, match="not valid HTTP"):
        judge(Failure.MALFORMED, elapsed=600)


@given(
    status=st.sampled_from([429, 500, 503]),
    seconds=st.floats(0, 10**6),
    number=st.integers(1, 10**6),
    elapsed=st.floats(0, 1000),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_a_retry_is_never_earlier_than_retry_after(status, seconds, number, elapsed, jitter):
    outcome = answer(status, retry_after=repr(seconds))
    try:
        pause = judge(outcome, number=number, elapsed=elapsed, jitter=jitter)
    except TransientError as error:
        told, fits = error.retry_after.total_seconds(), False
    else:
        told, fits = pause, True

    assert told >= seconds - 1e-6
    assert not fits or (0.5 <= told <= 120 and elapsed + told <= 600 + 1e-6)


TEXTS = st.text(max_size=40) | st.from_regex(
    r"\A[A-Z][a-z]{2}, \d{1,12} [A-Z][a-z]{2} \d{1,12} [\d:]{1,20} [+-]?\w{1,12}\Z"
)


@given(status=st.sampled_from([429, 503]), retry_after=TEXTS, reset=TEXTS)
def test_arbitrary_headers_raise_no_unexpected_error(status, retry_after, reset):
    asked = read_retry_after(answer(status, retry_after=retry_after, x_ratelimit_reset=reset), NOW)

    assert asked is None or timedelta(0) <= asked <= timedelta(days=31)


COUNTED = Request("whatsapp_business.contacts.check", "POST", "/", idempotent=False)


def judge_counted(outcome):
    return pause_before_retry(POLICY, Attempt(COUNTED, outcome, 1, timedelta(0), NOW, 0.0))


REFUSAL = Response(503, is_refusal=True)


@pytest.mark.parametrize("outcome", [answer(429), answer(503, retry_after="0"), REFUSAL, *UNSENT])
def test_a_non_idempotent_request_is_retried_if_it_was_not_processed(outcome):
    assert judge_counted(outcome) == timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        *((answer(status), ServerError) for status in (500, 502, 503, 504, 599)),
        (answer(503, retry_after="soon"), ServerError),
        *((failure, NetworkError) for failure in LOST),
        (Failure.MALFORMED, ContractError),
    ],
)
def test_a_non_idempotent_request_is_not_retried_if_it_may_have_been_processed(outcome, kind):
    with pytest.raises(kind):
        judge_counted(outcome)
