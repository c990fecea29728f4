"""Resources that the tasks of an event loop share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["refcounted"]

T = TypeVar("T")


@dataclass(slots=True)
class _Entry:
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    manager: AbstractAsyncContextManager[Any] | None = None
    value: Any = None


_ENTRIES: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Entry]] = WeakKeyDictionary()


@asynccontextmanager
async def refcounted(key: Hashable, make: Callable[[], AbstractAsyncContextManager[T]]) -> AsyncIterator[T]:
    """
    Open a resource for the first task of this event loop that uses it, and close it after the last.

    Waiting tasks proceed one after another, because all at once would stall the loop.

    :param key: tasks with the same key share the resource.
    :param make: opens the resource. If it fails, each waiting task calls it, and raises the error.
    """
    entries = _ENTRIES.setdefault(asyncio.get_running_loop(), {})
    entry = entries.setdefault(key, _Entry())
    entry.users += 1
    try:
        async with entry.lock:
            if entry.manager is None:
                manager = make()
                entry.value = await manager.__aenter__()
                entry.manager = manager
        yield entry.value
    finally:
        entry.users -= 1
        if not entry.users:
            del entries[key]
            if entry.manager is not None:
                await entry.manager.__aexit__(None, None, None)
