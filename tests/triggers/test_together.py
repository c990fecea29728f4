"""Triggers of one connection share its rate limit, one client and one store."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from airflow_provider_wacontacts.exceptions import AuthError, RateLimitedError, RejectedError, ServerError
from airflow_provider_wacontacts.hooks import shared_store, whatsapp_business_shared
from airflow_provider_wacontacts.sandbox import Fault
from tests.triggers.waiting import client, event_of, numbers, trigger, until

pytestmark = pytest.mark.usefixtures("hasty")
#: The limiter reads the monotonic clock, the server that of the day.
CLOCKS_DIFFER_BY_S = 0.05


async def together(triggers):
    return await asyncio.gather(*(event_of(one) for one in triggers))


def run(*triggers):
    return asyncio.run(together(triggers))


def test_fifty_triggers_share_one_rate_limiter(place):
    checks = [place.check(numbers(1, first=number), run=str(number)) for number in range(50)]
    place.api.whatsapp.checks.clear_counts()
    before = time.time()

    events = run(*(trigger(check, batch_size=1) for check in checks))

    assert [event["state"] for event in events] == ["resolved"] * 50
    assert len(place.api.whatsapp.calls) == 50
    # Requests may arrive in bursts, but none before its time.
    assert place.api.whatsapp.calls[-1].at >= before + 49 / 20 - CLOCKS_DIFFER_BY_S


def test_retry_after_blocks_all_triggers_of_a_connection(place):
    checks = [place.check(numbers(1, first=number), run=str(number)) for number in range(5)]
    place.api.whatsapp.change(retry_after="integer")
    place.api.fail(Fault(on="check", kind="rate_limited", delay_s=1.0))
    place.api.whatsapp.checks.clear_counts()
    before = time.time()

    events = asyncio.run(wait_after_a_rate_limit(checks))

    assert [event["state"] for event in events] == ["resolved"] * 5
    assert place.api.requests.count("check", 429) == 1
    assert sum(call.size for call in place.api.whatsapp.calls) == 5
    assert all(call.at >= before + 1.0 - CLOCKS_DIFFER_BY_S for call in place.api.whatsapp.calls)


async def ask_together(place, parts, *, max_numbers=100):
    """Have clients that are shared check numbers at once, and return what each is answered or raises."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client()) for _ in parts]
        place.api.whatsapp.checks.clear_counts()
        sent = (one.send_check(part, max_numbers) for one, part in zip(clients, parts, strict=True))
        return await asyncio.gather(*sent, return_exceptions=True)


def test_numbers_of_many_triggers_are_sent_in_requests_of_a_hundred(place):
    parts = [[number] for number in numbers(250)]

    answers = asyncio.run(ask_together(place, parts))

    assert [list(answer.results) for answer in answers] == parts
    assert sorted(call.size for call in place.api.whatsapp.calls) == [50, 100, 100]


def test_no_request_has_more_numbers_than_allowed(place):
    asyncio.run(ask_together(place, [numbers(2, first=2 * n) for n in range(6)], max_numbers=5))

    assert [call.size for call in place.api.whatsapp.calls] == [4, 4, 4]


def test_two_triggers_that_wait_for_one_number_both_get_its_result(place):
    first, second = asyncio.run(ask_together(place, [numbers(1), numbers(2)]))

    assert ([*first.results], [*second.results]) == (numbers(1), numbers(2))
    assert [call.size for call in place.api.whatsapp.calls] == [2]


def test_a_rejected_request_is_split_so_that_only_one_trigger_fails(place):
    place.api.fail(Fault(on="check", kind="status", status=400, times=2))

    first, *others = asyncio.run(ask_together(place, [[number] for number in numbers(4)]))

    assert isinstance(first, RejectedError)
    assert [list(answer.results) for answer in others] == [[number] for number in numbers(4)[1:]]


@pytest.mark.parametrize("status", [401, 500])
def test_an_error_of_the_connection_fails_all_triggers_after_one_request(place, status):
    place.api.fail(Fault(on="check", kind="status", status=status, every=1))
    before = place.api.requests.count("check")

    errors = asyncio.run(ask_together(place, [[number] for number in numbers(4)]))

    assert {type(error) for error in errors} == {{401: AuthError, 500: ServerError}[status]}
    assert place.api.requests.count("check") - before == 1


def test_a_cancelled_trigger_does_not_cancel_the_request_of_others(place):
    async def cancel_one():
        async with client() as one, client() as other:
            leaving = asyncio.create_task(one.send_check(numbers(1), 100))
            staying = asyncio.create_task(other.send_check(numbers(2)[1:], 100))
            await until(lambda: place.api.faults.to_json()[0]["seen"])
            leaving.cancel()
            return await staying

    place.api.fail(Fault(on="check", kind="delay", delay_s=0.3, every=1))

    assert list(asyncio.run(cancel_one()).results) == numbers(2)[1:]


def test_triggers_of_a_connection_share_a_client_and_a_store_and_close_them(place, monkeypatch):
    opened, closed = Counter(), Counter()
    count_calls(monkeypatch, whatsapp_business_shared, "AsyncWhatsAppNumberClient", opened, closed)
    for name in ("_store", "_threads"):
        count_calls(monkeypatch, shared_store, name, opened, closed)
    checks = [place.check(numbers(1, first=number), run=str(number)) for number in range(5)]

    run(*(trigger(check) for check in checks))

    assert opened == closed == {"AsyncWhatsAppNumberClient": 1, "_store": 1, "_threads": 1}


async def wait_after_a_rate_limit(checks):
    """Have one client be refused for its rate, and wait for checks as long as it is shared."""
    async with client() as shared:
        with pytest.raises(RateLimitedError):
            await shared.send_check(numbers(1), 100)
        return await together(trigger(check) for check in checks)


def count_calls(monkeypatch, module, name, opened, closed):
    original = getattr(module, name)

    @asynccontextmanager
    async def counted(*given, **options):
        opened[name] += 1
        async with original(*given, **options) as value:
            yield value
        closed[name] += 1

    monkeypatch.setattr(module, name, counted)
