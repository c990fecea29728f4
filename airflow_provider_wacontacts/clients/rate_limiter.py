"""Rate limiters: for the threads of a process, and for the tasks of an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from datetime import timedelta

from airflow_provider_wacontacts.clients.retry import Clock

__all__ = ["AsyncRateLimiter", "RateLimiter", "RateLimiters"]

#: aiohttp's limit of connections: more requests would wait for a connection, and then be sent in a burst.
MAX_IN_FLIGHT = 20


class RateLimiter:
    """
    Spaces the requests of all threads that share it.

    :param interval: minimum time between two requests.
    """

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval.total_seconds()
        self._next = float("-inf")
        self._lock = threading.Lock()

    def acquire(self, clock: Clock) -> None:
        """Sleep until the next request may be sent."""
        with self._lock:
            now = clock.monotonic()
            slot = max(now, self._next)
            self._next = slot + self._interval
        if slot > now:
            clock.sleep(slot - now)


class RateLimiters:
    """One rate limiter for each key, such as a host and an account; created on first use."""

    def __init__(self, interval: timedelta) -> None:
        self.interval = interval
        self._limiters: dict[Hashable, RateLimiter] = {}

    def __getitem__(self, key: Hashable) -> RateLimiter:
        return self._limiters.setdefault(key, RateLimiter(self.interval))


class AsyncRateLimiter:
    """
    Spaces the requests of the tasks of one event loop, in their order.

    :param interval: minimum time between two requests.
    :param max_in_flight: maximum concurrent requests.
    :param clock: sleeps on the event loop.
    """

    def __init__(self, interval: timedelta, *, max_in_flight: int = MAX_IN_FLIGHT, clock: Clock | None = None) -> None:
        self._interval = interval.total_seconds()
        self._clock = clock or Clock(sleep=asyncio.sleep)
        self._in_flight = asyncio.Semaphore(max_in_flight)
        self._queue = asyncio.Lock()
        self._blocked_queue = asyncio.Lock()
        self._next = float("-inf")
        self._blocked_until = float("-inf")

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Wait until the next request may be sent; send it in the block."""
        async with self._in_flight:
            async with self._queue:
                await self._until(lambda: max(self._next, self._blocked_until))
                self._next = self._clock.monotonic() + self._interval
            yield

    async def wait_unblocked(self) -> None:
        """Wait while requests are blocked; tasks proceed one by one, because all at once would stall the loop."""
        async with self._blocked_queue:
            await self._until(lambda: self._blocked_until)

    def block_for(self, pause: timedelta) -> timedelta:
        """
        Block all requests for a time, unless they are already blocked for longer.

        :returns: the added time, zero and up.
        """
        now = self._clock.monotonic()
        before, self._blocked_until = self._blocked_until, max(self._blocked_until, now + pause.total_seconds())
        return timedelta(seconds=self._blocked_until - max(before, now))

    async def _until(self, moment: Callable[[], float]) -> None:
        while (left := moment() - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
