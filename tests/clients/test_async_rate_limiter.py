"""The gate spaces what an event loop sends, and holds all of it back when the server wants rest."""

import asyncio
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.aiohttp_driver import AsyncClock
from airflow_provider_wacontacts.clients.async_rate_limiter import AsyncRateLimiter


@pytest.fixture
def loop_clock(clock):
    async def sleep(seconds):
        clock.sleep(seconds)
        await asyncio.sleep(0)

    return AsyncClock(sleep=sleep, monotonic=clock.monotonic, now=clock.now)


def passings(clock, gate, count, meanwhile=None):
    """When so many tasks, which came at the same time, were let through."""
    passed = []

    async def task(number):
        async with gate.through():
            passed.append((number, round(clock.passed, 6)))
            if meanwhile:
                meanwhile(number)

    async def tasks():
        await asyncio.gather(*(task(number) for number in range(count)))

    asyncio.run(tasks())
    return passed


def test_tasks_are_let_through_one_after_another_in_their_order(clock, loop_clock):
    assert passings(clock, AsyncRateLimiter(4.0, clock=loop_clock), 4) == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]


def test_a_hold_keeps_all_back_and_then_they_go_at_their_pace(clock, loop_clock):
    gate = AsyncRateLimiter(4.0, clock=loop_clock)

    def hold(number):
        if number == 1:
            gate.hold(timedelta(seconds=60))

    assert passings(clock, gate, 4, hold) == [(0, 0.0), (1, 0.25), (2, 60.25), (3, 60.5)]


def test_a_shorter_hold_does_not_end_a_longer_one(clock, loop_clock):
    gate = AsyncRateLimiter(4.0, clock=loop_clock)
    gate.hold(timedelta(seconds=60))
    gate.hold(timedelta(seconds=5))

    assert passings(clock, gate, 1) == [(0, 60.0)]


def test_a_hold_tells_by_how_much_longer_it_is(clock, loop_clock):
    gate = AsyncRateLimiter(4.0, clock=loop_clock)
    clock.sleep(10.0)

    longer = [gate.hold(timedelta(seconds=seconds)).total_seconds() for seconds in (60, 5, 60, 90)]

    assert longer == [60.0, 0.0, 0.0, 30.0]


def test_waiting_for_it_to_open_takes_no_turn(clock, loop_clock):
    gate = AsyncRateLimiter(4.0, clock=loop_clock)
    gate.hold(timedelta(seconds=60))
    asyncio.run(gate.opened())

    assert clock.passed == 60.0
    assert passings(clock, gate, 1) == [(0, 60.0)]


def test_no_more_are_on_the_other_side_than_may_be():
    gate, there, most = AsyncRateLimiter(1e6, at_once=3), set(), []

    async def task(number):
        async with gate.through():
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

    async def task(gate, number):
        async with gate.through():
            passed.append(number)

    async def tasks():
        gate = AsyncRateLimiter(100.0, at_once=1)
        async with gate.through():
            waiting = [asyncio.create_task(task(gate, number)) for number in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(tasks())
    assert passed == [1, 2]
