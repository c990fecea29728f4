"""
How the page reads the store without slowing down the API server that it runs in.

At most four of its queries run at once, in threads of its own. When all are busy, further requests are refused at
once, so no request waits in Airflow's thread pool. Requests for the same counts share one query, whose result is reused
for five seconds. A query is abandoned after three seconds.

At most four of its pages are rendered at once, too. Other requests for pages wait first, so that requests to Airflow
itself, which share the event loop, are served in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_wacontacts.exceptions import LandingError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["BusyError", "ConcurrencyLimit", "Readers", "StoreTimeoutError"]

T = TypeVar("T")

MAX_CONCURRENT_READS = 4
TIME_LIMIT = timedelta(seconds=3)
CACHED_FOR = timedelta(seconds=5)
MAX_CACHED = 256


class BusyError(Exception):
    """All threads for queries are busy."""


class StoreTimeoutError(LandingError):
    """The store did not respond in time."""


class Readers:
    """
    Runs functions that block, a few at once. It belongs to one event loop.

    :param max_concurrent: how many may run.
    :param time_limit: how long a caller waits for one. Its thread is free again when the function returns.
    """

    def __init__(
        self,
        *,
        max_concurrent: int = MAX_CONCURRENT_READS,
        time_limit: timedelta = TIME_LIMIT,
        cached_for: timedelta = CACHED_FOR,
    ) -> None:
        self._threads = ThreadPoolExecutor(max_concurrent, thread_name_prefix="wacontacts-page")
        self._max_concurrent = max_concurrent
        self._time_limit_s = time_limit.total_seconds()
        self._cached_for_s = cached_for.total_seconds()
        self._running = 0
        self._shared: dict[Hashable, tuple[float, Future[Any]]] = {}

    async def run(self, work: Callable[[], T]) -> T:
        """
        Run a function in a thread.

        :raises BusyError: all threads are busy.
        :raises StoreTimeoutError: it took too long.
        """
        return await self._wait(self._start(work))

    async def shared(self, key: Hashable, work: Callable[[], T]) -> T:
        """
        Run a function, or reuse the result of its last run with this key, or wait for the run that has begun.

        Errors are shared, too: a store that is down is not queried once for every viewer.

        :raises BusyError: it has to run, and all threads are busy.
        :raises StoreTimeoutError: it took too long.
        """
        now = time.monotonic()
        until, future = self._shared.get(key, (0.0, None))
        if future is None or (future.done() and until < now):
            self._forget(now)
            future = self._start(work)
            self._shared[key] = (now + self._cached_for_s, future)
        return await self._wait(future)

    def _start(self, work: Callable[[], T]) -> Future[T]:
        if self._running >= self._max_concurrent:
            raise BusyError
        loop = asyncio.get_running_loop()
        self._running += 1
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._end))
        return future

    def _end(self) -> None:
        self._running -= 1

    async def _wait(self, future: Future[T]) -> T:
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), self._time_limit_s)
        except TimeoutError:
            raise StoreTimeoutError(
                f"The store did not respond within {self._time_limit_s:g} seconds. Check that its database is up and"
                " can be reached from the API server."
            ) from None

    def _forget(self, now: float) -> None:
        old = [key for key, (until, future) in self._shared.items() if future.done() and until < now]
        for key in old[: len(old) if len(self._shared) >= MAX_CACHED else 32]:
            del self._shared[key]


class ConcurrencyLimit:
    """
    ASGI middleware that serves a few requests for pages at once; the others wait their turn.

    Requests with a body pass: one that is sent slowly would hold up the others.

    :param max_concurrent: how many.
    """

    def __init__(self, app: ASGIApp, max_concurrent: int = MAX_CONCURRENT_READS) -> None:
        self._app = app
        self._turns = asyncio.Semaphore(max_concurrent)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return await self._app(scope, receive, send)
        async with self._turns:
            return await self._app(scope, receive, send)
