"""Statuses of checks: which are final, when to request again, and how reliable they are."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.clients.whatsapp_business_responses import is_resolved, next_pause, status_is_reliable


@pytest.mark.parametrize("status", ["valid", "invalid", "failed"])
def test_three_statuses_are_final(status):
    assert is_resolved(status)


@pytest.mark.parametrize("status", ["processing", "pending", "unknown", "", "Valid"])
def test_any_other_status_is_not_final(status):
    assert not is_resolved(status)


def test_pauses_grow_from_five_seconds_to_two_minutes():
    shortest = [next_pause(attempt, 0.0).total_seconds() for attempt in range(1, 8)]

    assert shortest == [5, 10, 20, 40, 80, 80, 80]
    assert next_pause(5, 1.0) == timedelta(minutes=2)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_never_shorter_than_five_seconds_nor_longer_than_two_minutes(attempt, jitter):
    assert timedelta(seconds=5) <= next_pause(attempt, jitter) <= timedelta(minutes=2)


def test_waiting_tasks_do_not_all_request_at_the_same_time():
    assert len({next_pause(1, jitter / 100) for jitter in range(100)}) == 100


@pytest.mark.parametrize(
    ("retry_after", "jitter", "pause"), [(1, 0.0, 5), (300, 0.0, 300), (300, 0.5, 315), (0, 0.5, 6.25)]
)
def test_retry_after_is_a_lower_bound(retry_after, jitter, pause):
    assert next_pause(1, jitter, timedelta(seconds=retry_after)).total_seconds() == pytest.approx(pause)


@pytest.mark.parametrize(
    ("version", "reliable"),
    [
        ("v2.42.9", True),
        ("2.27.8", True),
        ("v2.43.1", False),
        ("v2.45.1", False),
        ("2.43", False),
        ("v2.100.0", False),
        ("v3.0.0", False),
        ("v1.99", True),
        ("v2.42.1-rc1", True),
        (None, None),
        ("", None),
        ("latest", None),
        ("v2", None),
    ],
)
def test_from_v2_43_valid_is_not_reliable(version, reliable):
    assert status_is_reliable(version) is reliable
