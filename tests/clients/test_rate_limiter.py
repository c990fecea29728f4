"""Turns: one after the other for one key, however many threads want one, and none that waits for another key."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
from airflow_provider_wacontacts.clients.requests_driver import Clock


@pytest.fixture
def pacer():
    return RateLimiter(timedelta(seconds=1.5))


def test_the_first_turn_is_at_once_and_the_next_an_interval_later(pacer, clock):
    pacer.wait("a", clock)
    assert clock.sleeps == []

    pacer.wait("a", clock)
    pacer.wait("a", clock)
    assert clock.sleeps == [1.5, 1.5]


def test_time_that_passed_anyway_is_not_waited_for_again(pacer, clock):
    pacer.wait("a", clock)
    clock.passed += 1
    pacer.wait("a", clock)
    assert clock.sleeps == [0.5]

    clock.passed += 60
    pacer.wait("a", clock)
    assert clock.sleeps == [0.5]


def test_a_long_rest_saves_no_turns_up(pacer, clock):
    pacer.wait("a", clock)
    clock.passed += 60
    pacer.wait("a", clock)
    pacer.wait("a", clock)

    assert clock.sleeps == [1.5]


def test_keys_do_not_wait_for_each_other(pacer, clock):
    for key in ("a", "b", ("a", "b")):
        pacer.wait(key, clock)

    assert clock.sleeps == []


def test_threads_that_come_at_once_get_turns_of_their_own(pacer):
    sleeps, gate = [], threading.Barrier(8)
    stopped = Clock(sleep=sleeps.append, monotonic=lambda: 1000.0)

    def come(_):
        gate.wait()
        pacer.wait("a", stopped)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come, range(8)))
    assert sorted(sleeps) == [1.5 * turn for turn in range(1, 8)]
