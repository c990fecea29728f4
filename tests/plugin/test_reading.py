"""The page's queries share threads: their number is limited, and equal queries run once."""

import asyncio
import threading
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.plugin.reading import BusyError, ConcurrencyLimit, Readers, StoreTimeoutError


@pytest.fixture
def gate():
    """Queries wait for it."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_query_above_the_limit_is_refused_until_another_ends(gate):
    async def scenario():
        readers = Readers(max_concurrent=2)
        running = [asyncio.ensure_future(readers.run(gate.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await readers.run(gate.wait)
        gate.set()
        assert await asyncio.gather(*running) == [True, True]
        return await readers.run(lambda: "again")

    assert asyncio.run(scenario()) == "again"


def test_a_query_past_its_time_limit_fails_and_keeps_its_thread_until_it_ends(gate):
    async def scenario():
        readers = Readers(max_concurrent=1, time_limit=timedelta(milliseconds=20))
        with pytest.raises(StoreTimeoutError, match=r"within 0\.02 seconds"):
            await readers.run(gate.wait)
        with pytest.raises(BusyError):
            await readers.run(gate.wait)

    asyncio.run(scenario())


def test_concurrent_readers_share_one_query(gate):
    asked = []

    def query():
        gate.wait()
        asked.append(1)
        return len(asked)

    async def scenario():
        readers = Readers(max_concurrent=1, cached_for=timedelta(minutes=1))
        waiting = [asyncio.ensure_future(readers.shared("key", query)) for _ in range(200)]
        await asyncio.sleep(0)
        gate.set()
        return {*await asyncio.gather(*waiting), await readers.shared("key", query)}

    assert asyncio.run(scenario()) == {1}


def test_a_cached_result_expires(gate):
    gate.set()
    asked = []

    async def scenario():
        readers = Readers(cached_for=timedelta(0))
        return [await readers.shared("key", lambda: asked.append(1) or len(asked)) for _ in range(2)]

    assert asyncio.run(scenario()) == [1, 2]


def test_readers_share_an_error(gate):
    gate.set()
    asked = []

    def fail():
        asked.append(1)
        raise LookupError("down")

    async def scenario():
        readers = Readers(cached_for=timedelta(minutes=1))
        for _ in range(2):
            with pytest.raises(LookupError):
                await readers.shared("key", fail)

    asyncio.run(scenario())
    assert asked == [1]


def test_the_number_of_concurrent_pages_is_limited_and_all_are_served():
    running, most, served = 0, 0, 0

    async def page(*_):
        nonlocal running, most, served
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running, served = running - 1, served + 1

    async def scenario():
        few = ConcurrencyLimit(page, max_concurrent=4)
        await asyncio.gather(*(few({"type": "http", "method": "GET"}, None, None) for _ in range(30)))

    asyncio.run(scenario())
    assert (most, served) == (4, 30)


def test_a_request_with_a_body_does_not_block_pages():
    served = []

    async def scenario():
        is_over = asyncio.Event()

        async def page(scope, *_):
            if scope["method"] == "POST":
                await is_over.wait()
            served.append(scope["method"])

        few = ConcurrencyLimit(page, max_concurrent=1)
        slow = asyncio.create_task(few({"type": "http", "method": "POST"}, None, None))
        await asyncio.sleep(0)
        await few({"type": "http", "method": "GET"}, None, None)
        is_over.set()
        await slow

    asyncio.run(scenario())
    assert served == ["GET", "POST"]
