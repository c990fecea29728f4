"""How the page's queries share threads: few at once, none waits, and the same question is asked once."""

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


def test_one_more_than_may_run_is_refused_at_once_and_later_let_in(gate):
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


def test_a_query_that_takes_too_long_is_given_up_and_holds_its_thread_until_it_ends(gate):
    async def scenario():
        readers = Readers(max_concurrent=1, time_limit=timedelta(milliseconds=20))
        with pytest.raises(StoreTimeoutError, match=r"within 0\.02 seconds"):
            await readers.run(gate.wait)
        with pytest.raises(BusyError):
            await readers.run(gate.wait)

    asyncio.run(scenario())


def test_the_same_question_is_asked_once_however_many_ask(gate):
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


def test_an_answer_grows_old(gate):
    gate.set()
    asked = []

    async def scenario():
        readers = Readers(cached_for=timedelta(0))
        return [await readers.shared("key", lambda: asked.append(1) or len(asked)) for _ in range(2)]

    assert asyncio.run(scenario()) == [1, 2]


def test_an_error_is_shared_too(gate):
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


def test_a_few_pages_are_made_at_once_and_all_are_served():
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


def test_a_request_with_a_body_does_not_hold_up_pages():
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
