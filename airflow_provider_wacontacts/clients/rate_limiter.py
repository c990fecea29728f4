"""Turns for those who may not ask more often than so and so, however many threads want to."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from datetime import timedelta

from airflow_provider_wacontacts.clients.requests_driver import Clock

__all__ = ["RateLimiter"]


class RateLimiter:
    """
    Hands out turns, each a span of time after the one before it.

    One stands for all threads of a process that share a limit; other processes are not known to it.

    :param interval: the least time between two turns of the same key.
    """

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval.total_seconds()
        self._next: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def wait(self, key: Hashable, clock: Clock) -> None:
        """
        Take the next free turn, and sleep until it comes.

        :param key: what the limit is for; keys do not wait for each other.
        """
        with self._lock:
            now = clock.monotonic()
            turn = max(now, self._next.get(key, now))
            self._next[key] = turn + self._interval
        if turn > now:
            clock.sleep(turn - now)
