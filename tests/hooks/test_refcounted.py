"""A resource that tasks of an event loop share is opened by the first and closed by the last of them."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from airflow_provider_wacontacts.hooks.refcounted import refcounted


class Things:
    """Things to open, and what became of them."""

    def __init__(self, failures=0):
        self.log = []
        self.failures = failures

    @asynccontextmanager
    async def open(self):
        await asyncio.sleep(0.01)
        if self.failures:
            self.failures -= 1
            raise OSError("not now")
        self.log.append("opened")
        yield object()
        self.log.append("closed")


async def use(things, key="key", seconds=0.02):
    async with refcounted(key, things.open) as thing:
        await asyncio.sleep(seconds)
        return thing


def test_tasks_share_a_resource_and_the_last_closes_it():
    things = Things()

    async def tasks():
        return await asyncio.gather(*(use(things, seconds=seconds) for seconds in (0.01, 0.05, 0.03)))

    assert len(set(asyncio.run(tasks()))) == 1
    assert things.log == ["opened", "closed"]


def test_a_closed_resource_is_opened_again():
    things = Things()

    async def tasks():
        return await use(things), await use(things)

    first, second = asyncio.run(tasks())
    assert first is not second
    assert things.log == ["opened", "closed"] * 2


def test_each_key_has_its_own_resource():
    things = Things()

    async def tasks():
        return await asyncio.gather(use(things, "one"), use(things, "other"))

    assert len(set(asyncio.run(tasks()))) == 2


def test_other_loops_do_not_share():
    things = Things()

    first, second = asyncio.run(use(things)), asyncio.run(use(things))
    assert first is not second


def test_a_failing_resource_fails_each_task_until_it_opens():
    things = Things(failures=2)

    async def tasks():
        return await asyncio.gather(*(use(things) for _ in range(4)), return_exceptions=True)

    outcomes = asyncio.run(tasks())
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError, object, object]
    assert things.log == ["opened", "closed"]


@pytest.mark.parametrize("when", [0.005, 0.03], ids=["while opening", "while in use"])
def test_a_cancelled_task_leaves_the_resource_to_the_others(when):
    things = Things()

    async def tasks():
        first, second = asyncio.create_task(use(things, seconds=0.1)), asyncio.create_task(use(things, seconds=0.1))
        await asyncio.sleep(when)
        first.cancel()
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = asyncio.run(tasks())
    assert (type(first), type(second)) == (asyncio.CancelledError, object)
    assert things.log == ["opened", "closed"]
