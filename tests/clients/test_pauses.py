"""Whoever wants to know is told of each pause before it is slept through, by either driver."""

import asyncio

import pytest
import requests

from airflow_provider_wacontacts.clients.aiohttp_driver import AsyncClock, AsyncDriver, Route, open_session
from airflow_provider_wacontacts.clients.http import Request
from airflow_provider_wacontacts.clients.requests_driver import Clock, Driver
from tests.clients.wire import Answer


def ask():
    return (yield Request("turn.contacts.page", "GET", "/"))


def run(url, clock, paused):
    times = Clock(sleep=clock.sleep, monotonic=clock.monotonic, now=clock.now)
    with requests.Session() as session:
        return Driver(session, url, clock=times, chance=lambda: 0.0, paused=paused).run(ask())


def run_on_a_loop(url, clock, paused):
    async def sleep(seconds):
        clock.sleep(seconds)

    async def one():
        times = AsyncClock(sleep=sleep, monotonic=clock.monotonic, now=clock.now)
        async with open_session("tests/1") as session:
            return await AsyncDriver(session, Route(url), clock=times, chance=lambda: 0.0, paused=paused).run(ask())

    return asyncio.run(one())


@pytest.mark.parametrize("drive", [run, run_on_a_loop])
def test_a_pause_is_told_with_what_came_before_it_is_slept_through(wire, clock, drive):
    wire.will(Answer(502), Answer(429, headers={"retry-after": "7"}))
    told = []

    def paused(last, pause):
        told.append((last.outcome.status, last.is_rate_limited, pause.total_seconds(), len(clock.sleeps)))

    assert drive(wire.url, clock, paused).status == 200
    assert told == [(502, False, 0.5, 0), (429, True, 7.0, 1)]
