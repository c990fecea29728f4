"""The limiter spaces what an event loop sends, and holds all of it back when the server wants rest."""

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
    """When so many tasks, which came at the same time, were let through."""
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


def test_tasks_are_let_through_one_after_another_in_their_order(clock, loop_clock):
    assert passings(clock, AsyncRateLimiter(QUARTER, clock=loop_clock), 4) == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]


def test_a_hold_keeps_all_back_and_then_they_go_at_their_pace(clock, loop_clock):
    limiter = AsyncRateLimiter(QUARTER, clock=loop_clock)

    def hold(number):
        if number == 1:
            limiter.block_for(timedelta(seconds=60))

    assert passings(clock, limiter, 4, hold) == [(0, 0.0), (1, 0.25), (2, 60.25), (3, 60.5)]


def test_a_shorter_hold_does_not_end_a_longer_one(clock, loop_clock):
    limiter = AsyncRateLimiter(QUARTER, clock=loop_clock)
    limiter.block_for(timedelta(seconds=60))
    limiter.block_for(timedelta(seconds=5))

    assert passings(clock, limiter, 1) == [(0, 60.0)]


def test_a_hold_tells_by_how_much_longer_it_is(clock, loop_clock):
    limiter = AsyncRateLimiter(QUARTER, clock=loop_clock)
    clock.sleep(10.0)

    longer = [limiter.block_for(timedelta(seconds=seconds)).total_seconds() for seconds in (60, 5, 60, 90)]

    assert longer == [60.0, 0.0, 0.0, 30.0]


def test_waiting_for_it_to_open_takes_no_turn(clock, loop_clock):
    limiter = AsyncRateLimiter(QUARTER, clock=loop_clock)
    limiter.block_for(timedelta(seconds=60))
    asyncio.run(limiter.wait_unblocked())

    assert clock.passed == 60.0
    assert passings(clock, limiter, 1) == [(0, 60.0)]


def test_no_more_are_on_the_other_side_than_may_be():
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


def test_whoever_is_cancelled_gives_their_turn_and_place_away(clock):
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
