"""Turns: one after the other for one key, however many threads want one, and none that waits for another key."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter, RateLimiters
from airflow_provider_wacontacts.clients.retry import Clock


@pytest.fixture
def limiter():
    return RateLimiter(timedelta(seconds=1.5))


def test_the_first_turn_is_at_once_and_the_next_an_interval_later(limiter, clock):
    limiter.acquire(clock)
    assert clock.sleeps == []

    limiter.acquire(clock)
    limiter.acquire(clock)
    assert clock.sleeps == [1.5, 1.5]


def test_time_that_passed_anyway_is_not_waited_for_again(limiter, clock):
    limiter.acquire(clock)
    clock.passed += 1
    limiter.acquire(clock)
    assert clock.sleeps == [0.5]

    clock.passed += 60
    limiter.acquire(clock)
    assert clock.sleeps == [0.5]


def test_a_long_rest_saves_no_turns_up(limiter, clock):
    limiter.acquire(clock)
    clock.passed += 60
    limiter.acquire(clock)
    limiter.acquire(clock)

    assert clock.sleeps == [1.5]


def test_each_key_has_a_limiter_of_its_own(clock):
    limiters = RateLimiters(timedelta(seconds=1.5))
    for key in ("a", "b", ("a", "b"), "a"):
        limiters[key].acquire(clock)

    assert clock.sleeps == [1.5]


def test_threads_that_come_at_once_get_turns_of_their_own(limiter):
    sleeps, barrier = [], threading.Barrier(8)
    stopped = Clock(sleep=sleeps.append, monotonic=lambda: 1000.0)

    def come(_):
        barrier.wait()
        limiter.acquire(stopped)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come, range(8)))
    assert sorted(sleeps) == [1.5 * turn for turn in range(1, 8)]
