"""The store of a connection on an event loop, and the few threads in which the triggers of a triggerer use it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from airflow_provider_wacontacts.hooks.refcounted import refcounted
from airflow_provider_wacontacts.hooks.store import create_store, read_store_connection_async
from airflow_provider_wacontacts.hooks.store_connection import StoreConnection

if TYPE_CHECKING:
    from airflow_provider_wacontacts.store import Store

__all__ = ["SharedStore", "shared_store"]

T = TypeVar("T")

#: Threads compete with the event loop for the interpreter, and 20 requests a second need no more.
THREADS = 2


class SharedStore(NamedTuple):
    """A store, and the few threads in which the triggers of a triggerer use it."""

    store: Store
    threads: ThreadPoolExecutor

    async def run_in_thread(self, work: Callable[..., T], *given: object) -> T:
        """
        Run work that blocks in one of the threads.

        If it is cancelled, it is awaited, so that no two threads use the same objects.
        """
        return await _run_in_thread(self.threads, work, *given)


@asynccontextmanager
async def shared_store(conn_id: str) -> AsyncIterator[SharedStore]:
    """
    Share the store of a connection: the first trigger opens it, the last closes it. It does not connect.

    :raises ConfigError: the connection is missing or invalid.
    """
    async with AsyncExitStack() as stack:
        threads = await stack.enter_async_context(refcounted("threads", _threads))
        store = await stack.enter_async_context(refcounted(("store", conn_id), partial(_store, conn_id, threads)))
        yield SharedStore(store, threads)


@asynccontextmanager
async def _threads() -> AsyncIterator[ThreadPoolExecutor]:
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wacontacts-store")
    try:
        yield threads
    finally:
        threads.shutdown(wait=False)


@asynccontextmanager
async def _store(conn_id: str, threads: ThreadPoolExecutor) -> AsyncIterator[Store]:
    connection = await read_store_connection_async(conn_id)
    try:
        yield await _run_in_thread(threads, _open_store, connection)
    finally:
        await _run_in_thread(threads, connection.engine.dispose)


def _open_store(connection: StoreConnection) -> Store:
    """Open a store, and import the modules of checks."""
    import airflow_provider_wacontacts.store.checks.sender  # noqa: F401

    return create_store(connection)


async def _run_in_thread(threads: ThreadPoolExecutor, work: Callable[..., T], *given: object) -> T:
    context = contextvars.copy_context()
    done = asyncio.get_running_loop().run_in_executor(threads, partial(context.run, work, *given))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise
