"""Things that the tasks of an event loop use together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["shared"]

T = TypeVar("T")


@dataclass(slots=True)
class _Thing:
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    manager: AbstractAsyncContextManager[Any] | None = None
    value: Any = None


_THINGS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Thing]] = WeakKeyDictionary()


@asynccontextmanager
async def shared(key: Hashable, make: Callable[[], AbstractAsyncContextManager[T]]) -> AsyncIterator[T]:
    """
    Open something for the first task of this event loop that wants it, and close it after the last.

    Those who wait for the first go on one after another, for all at once would stop the loop.

    :param key: tasks with the same one share.
    :param make: where it cannot be opened, each of the tasks tries, and is told.
    """
    things = _THINGS.setdefault(asyncio.get_running_loop(), {})
    thing = things.setdefault(key, _Thing())
    thing.users += 1
    try:
        async with thing.lock:
            if thing.manager is None:
                manager = make()
                thing.value = await manager.__aenter__()
                thing.manager = manager
        yield thing.value
    finally:
        thing.users -= 1
        if not thing.users:
            del things[key]
            if thing.manager is not None:
                await thing.manager.__aexit__(None, None, None)
