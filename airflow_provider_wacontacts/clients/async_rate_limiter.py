"""One way out for all that an event loop sends to a host: so many requests a second, and none when it wants rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from airflow_provider_wacontacts.clients.aiohttp_driver import AsyncClock

__all__ = ["AsyncRateLimiter"]

#: More at once than lines are kept would wait for one of those, and then go out in a burst.
AT_ONCE = 20


class AsyncRateLimiter:
    """
    Lets the tasks of one event loop through one at a time, in the order in which they come.

    :param a_second: how often, more than 0.
    :param at_once: how many may be on the other side.
    :param clock: a seam for tests.
    """

    def __init__(self, a_second: float, *, at_once: int = AT_ONCE, clock: AsyncClock | None = None) -> None:
        self._gap = 1 / a_second
        self._clock = clock or AsyncClock()
        self._places = asyncio.Semaphore(at_once)
        self._turns = asyncio.Lock()
        self._waiting = asyncio.Lock()
        self._next = float("-inf")
        self._held_until = float("-inf")

    @asynccontextmanager
    async def through(self) -> AsyncIterator[None]:
        """Wait for one's turn; the block is what may be sent."""
        async with self._places:
            async with self._turns:
                await self._until(lambda: max(self._next, self._held_until))
                self._next = self._clock.monotonic() + self._gap
            yield

    async def opened(self) -> None:
        """Wait while nobody is let through; those who do go on one after another, for all at once stop a loop."""
        async with self._waiting:
            await self._until(lambda: self._held_until)

    def hold(self, pause: timedelta) -> timedelta:
        """
        Let nobody through for a while from now on, or for longer if that was said before.

        :returns: how much longer than without it, zero and up.
        """
        now = self._clock.monotonic()
        before, self._held_until = self._held_until, max(self._held_until, now + pause.total_seconds())
        return timedelta(seconds=self._held_until - max(before, now))

    async def _until(self, moment: Callable[[], float]) -> None:
        while (left := moment() - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
