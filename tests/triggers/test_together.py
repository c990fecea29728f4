"""Triggers of one connection share its rate limit, one client and one store."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from airflow_provider_wacontacts.hooks import whatsapp_business_shared
from airflow_provider_wacontacts.sandbox import Fault
from tests.triggers.waiting import event_of, numbers, trigger, until

pytestmark = pytest.mark.usefixtures("hasty")


async def together(triggers):
    return await asyncio.gather(*(event_of(one) for one in triggers))


def run(*triggers):
    return asyncio.run(together(triggers))


def test_fifty_triggers_share_one_rate_limiter(place):
    checks = [place.check(numbers(1, first=number), run=str(number)) for number in range(50)]
    place.api.whatsapp.checks.clear_counts()

    events = run(*(trigger(check) for check in checks))

    assert [event["state"] for event in events] == ["resolved"] * 50
    assert len(place.api.whatsapp.calls) == 50
    assert most_in_a_second(call.at for call in place.api.whatsapp.calls) <= 20


def test_retry_after_blocks_all_triggers_of_a_connection(place):
    checks = [place.check(numbers(1, first=number), run=str(number)) for number in range(5)]
    place.api.whatsapp.change(retry_after="integer")
    place.api.fail(Fault(on="check", kind="rate_limited", delay_s=1.0))
    place.api.whatsapp.checks.clear_counts()
    begun = asyncio.run(begin_of_hold(place, checks))

    assert place.api.requests.count("check", 429) == 1
    assert sum(call.at > begun + 1.0 for call in place.api.whatsapp.calls) >= 4


def test_triggers_of_a_connection_share_a_client_and_a_store_and_close_them(place, monkeypatch):
    opened, closed = Counter(), Counter()
    for name in ("AsyncContacts", "_store", "_threads"):
        count_calls(monkeypatch, whatsapp_business_shared, name, opened, closed)
    checks = [place.check(numbers(1, first=number), run=str(number)) for number in range(5)]

    run(*(trigger(check) for check in checks))

    assert opened == closed == {"AsyncContacts": 1, "_store": 1, "_threads": 1}


async def begin_of_hold(place, checks):
    waiting = asyncio.gather(*(event_of(trigger(check)) for check in checks))
    await until(lambda: place.api.requests.count("check", 429))
    begun = time.time()
    events = await waiting
    assert [event["state"] for event in events] == ["resolved"] * 5
    return begun


def most_in_a_second(moments):
    times = sorted(moments)
    return max(sum(0 <= other - first < 1.0 for other in times) for first in times)


def count_calls(monkeypatch, module, name, opened, closed):
    original = getattr(module, name)

    @asynccontextmanager
    async def counted(*given, **options):
        opened[name] += 1
        async with original(*given, **options) as value:
            yield value
        closed[name] += 1

    monkeypatch.setattr(module, name, counted)
