"""The rate limiter spaces the threads of each key, independently of other keys."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter, RateLimiters
from airflow_provider_wacontacts.clients.retry import Clock


@pytest.fixture
def limiter():
    return RateLimiter(timedelta(seconds=1.5))


def test_the_first_request_is_immediate_and_the_next_an_interval_later(limiter, clock):
    limiter.acquire(clock)
    assert clock.sleeps == []

    limiter.acquire(clock)
    limiter.acquire(clock)
    assert clock.sleeps == [1.5, 1.5]


def test_elapsed_time_counts_toward_the_interval(limiter, clock):
    limiter.acquire(clock)
    clock.passed += 1
    limiter.acquire(clock)
    assert clock.sleeps == [0.5]

    clock.passed += 60
    limiter.acquire(clock)
    assert clock.sleeps == [0.5]


def test_idle_time_is_not_saved_for_a_burst(limiter, clock):
    limiter.acquire(clock)
    clock.passed += 60
    limiter.acquire(clock)
    limiter.acquire(clock)

    assert clock.sleeps == [1.5]


def test_each_key_has_its_own_limiter(clock):
    limiters = RateLimiters(timedelta(seconds=1.5))
    for key in ("a", "b", ("a", "b"), "a"):
        limiters[key].acquire(clock)

    assert clock.sleeps == [1.5]


def test_concurrent_threads_get_different_slots(limiter):
    sleeps, barrier = [], threading.Barrier(8)
    stopped = Clock(sleep=sleeps.append, monotonic=lambda: 1000.0)

    def come(_):
        barrier.wait()
        limiter.acquire(stopped)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come, range(8)))
    assert sorted(sleeps) == [1.5 * turn for turn in range(1, 8)]
