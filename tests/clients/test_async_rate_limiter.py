"""The limiter spaces requests on an event loop, and blocks all of them after a rate limit."""

import asyncio
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.rate_limiter import AsyncRateLimiter
from airflow_provider_wacontacts.clients.retry import Clock

QUARTER = timedelta(seconds=0.25)


@pytest.fixture
def loop_clock(clock):
    async def sleep(seconds):
        clock.sleep(seconds)
        await asyncio.sleep(0)

    return Clock(sleep=sleep, monotonic=clock.monotonic, now=clock.now)


def passings(clock, limiter, count, meanwhile=None):
    """Return the times at which concurrent tasks acquired a slot."""
    passed = []

    async def task(number):
        async with limiter.acquire():
            passed.append((number, round(clock.passed, 6)))
            if meanwhile:
                meanwhile(number)

    async def tasks():
        await asyncio.gather(*(task(number) for number in range(count)))

    asyncio.run(tasks())
    return passed


def test_tasks_acquire_in_order(clock, loop_clock):
    assert passings(clock, AsyncRateLimiter(QUARTER, clock=loop_clock), 4) == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]


def test_block_for_delays_all_tasks_which_then_keep_the_interval(clock, loop_clock):
    limiter = AsyncRateLimiter(QUARTER, clock=loop_clock)

    def hold(number):
        if number == 1:
            limiter.block_for(timedelta(seconds=60))

    assert passings(clock, limiter, 4, hold) == [(0, 0.0), (1, 0.25), (2, 60.25), (3, 60.5)]


def test_a_shorter_block_does_not_end_a_longer_one(clock, loop_clock):
    limiter = AsyncRateLimiter(QUARTER, clock=loop_clock)
    limiter.block_for(timedelta(seconds=60))
    limiter.block_for(timedelta(seconds=5))

    assert passings(clock, limiter, 1) == [(0, 60.0)]


def test_block_for_returns_the_additional_time(clock, loop_clock):
    limiter = AsyncRateLimiter(QUARTER, clock=loop_clock)
    clock.sleep(10.0)

    longer = [limiter.block_for(timedelta(seconds=seconds)).total_seconds() for seconds in (60, 5, 60, 90)]

    assert longer == [60.0, 0.0, 0.0, 30.0]


def test_wait_unblocked_uses_no_slot(clock, loop_clock):
    limiter = AsyncRateLimiter(QUARTER, clock=loop_clock)
    limiter.block_for(timedelta(seconds=60))
    asyncio.run(limiter.wait_unblocked())

    assert clock.passed == 60.0
    assert passings(clock, limiter, 1) == [(0, 60.0)]


def test_max_in_flight_is_not_exceeded():
    limiter, there, most = AsyncRateLimiter(timedelta(0), max_in_flight=3), set(), []

    async def task(number):
        async with limiter.acquire():
            there.add(number)
            most.append(len(there))
            await asyncio.sleep(0.01)
            there.remove(number)

    async def tasks():
        await asyncio.gather(*(task(number) for number in range(12)))

    asyncio.run(tasks())
    assert max(most) == 3


def test_a_cancelled_task_frees_its_slot(clock):
    passed = []

    async def task(limiter, number):
        async with limiter.acquire():
            passed.append(number)

    async def tasks():
        limiter = AsyncRateLimiter(timedelta(seconds=0.01), max_in_flight=1)
        async with limiter.acquire():
            waiting = [asyncio.create_task(task(limiter, number)) for number in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(tasks())
    assert passed == [1, 2]
