"""The rate limit and its headers, in a time that the test sets."""

import pytest

from airflow_provider_wacontacts.sandbox import TurnBehaviour
from airflow_provider_wacontacts.sandbox.turn.rate_limit import RateLimit


def calls(behaviour, *moments):
    limit = RateLimit()
    return [limit.ask(behaviour, moment) for moment in moments]


def test_so_many_calls_are_allowed_in_a_window_from_its_first():
    behaviour = TurnBehaviour(rate_limit=2)

    assert [grant.allowed for grant in calls(behaviour, 100, 105, 159.9, 160, 161, 162)] == [
        *(True, True, False),
        *(True, True, False),
    ]


@pytest.mark.parametrize(
    ("style", "retry_after", "reset"),
    [
        ("integer", {"Retry-After": "59"}, "1000000060"),
        ("fraction", {"Retry-After": "58.250"}, "1000000060.000"),
        ("date", {"Retry-After": "Sun, 09 Sep 2001 01:47:40 GMT"}, "1000000060"),
        ("missing", {}, "1000000060"),
    ],
)
def test_a_refused_call_is_told_when_to_come_back(style, retry_after, reset):
    behaviour = TurnBehaviour(rate_limit=1, retry_after=style)
    _, refused = calls(behaviour, 1_000_000_000, 1_000_000_001.75)

    assert refused.headers(behaviour, 1_000_000_001.75) == {
        "X-Ratelimit-Bucket": "general",
        "X-Ratelimit-Limit": "1",
        "X-Ratelimit-Remaining": "0",
        "X-Ratelimit-Reset": reset,
        **retry_after,
    }
