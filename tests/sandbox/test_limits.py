"""The rate limit and its headers, in a time that the test sets."""

import pytest

from airflow_provider_wacontacts.sandbox import TurnBehaviour
from airflow_provider_wacontacts.sandbox.limits import RateLimit


def calls(behaviour, *moments):
    limit = RateLimit()
    return [limit.ask(behaviour, moment) for moment in moments]


def test_there_is_no_limit_unless_it_is_set(client):
    headers = client.create().headers

    assert [name for name in headers if name.lower().startswith(("x-ratelimit", "retry"))] == []


def test_so_many_calls_are_allowed_in_a_window_from_its_first():
    behaviour = TurnBehaviour(rate_limit=2, rate_window_s=10)

    assert [grant.allowed for grant in calls(behaviour, 100, 105, 109.9, 110, 111, 112)] == [
        *(True, True, False),
        *(True, True, False),
    ]


@pytest.mark.parametrize(
    ("style", "retry_after", "reset"),
    [
        ("integer", {"Retry-After": "9"}, "1000000010"),
        ("fraction", {"Retry-After": "8.250"}, "1000000010.000"),
        ("date", {"Retry-After": "Sun, 09 Sep 2001 01:46:50 GMT"}, "1000000010"),
        ("missing", {}, "1000000010"),
    ],
)
def test_a_refused_call_is_told_when_to_come_back(style, retry_after, reset):
    behaviour = TurnBehaviour(rate_limit=1, rate_window_s=10, retry_after=style)
    _, refused = calls(behaviour, 1_000_000_000, 1_000_000_001.75)

    assert refused.headers(behaviour, 1_000_000_001.75) == {
        "X-Ratelimit-Bucket": "general",
        "X-Ratelimit-Limit": "1",
        "X-Ratelimit-Remaining": "0",
        "X-Ratelimit-Reset": reset,
        **retry_after,
    }


def test_the_limits_headers_may_be_missing():
    behaviour = TurnBehaviour(rate_limit=1, rate_headers=False)
    allowed, refused = calls(behaviour, 100, 130)

    assert (allowed.headers(behaviour, 100), refused.headers(behaviour, 130)) == ({}, {"Retry-After": "30"})


def test_all_calls_of_a_number_count_together(client, sandbox):
    sandbox.change(rate_limit=3)
    answers = [client.create(), client.page("unknown"), client.create(), client.create()]

    assert [answer.status_code for answer in answers] == [200, 404, 200, 429]
    assert [answer.headers["X-Ratelimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[3].json() == {
        "errors": [
            {
                "code": 429,
                "title": "Rate limit hit for bucket general",
                "details": "You are being rate limited by Turn.",
            }
        ]
    }


def test_when_to_come_back_is_told_in_the_time_that_the_answer_bears(client, sandbox):
    sandbox.clock.set("2022-09-13T00:00:00Z")
    sandbox.change(rate_limit=0, rate_window_s=60, retry_after="date")

    headers = client.create().headers

    assert headers["Date"] == "Tue, 13 Sep 2022 00:00:00 GMT"
    assert headers["Retry-After"] == "Tue, 13 Sep 2022 00:01:00 GMT"
    assert headers["X-Ratelimit-Reset"] == "1663027260"
