"""A signal that ends work early: at the next sleep or item, or while it waits for a server."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["StopSignal", "Stopped"]

T = TypeVar("T")


class Stopped(BaseException):
    """The work was stopped."""


class StopSignal(threading.Event):
    """An event that several threads watch; :meth:`set` stops them."""

    _is_interruptible = False

    def interrupt(self) -> None:
        """
        Set the signal. Call it from an operating system signal handler, which runs in the main thread.

        :raises Stopped: the main thread is in a block of :meth:`interruptible_block`, which this ends.
        """
        self.set()
        if self._is_interruptible and threading.current_thread() is threading.main_thread():
            raise Stopped

    @contextmanager
    def interruptible_block(self, *, allowed: bool = True) -> Iterator[None]:
        """
        Let :meth:`interrupt` end the block if ``allowed``. Blocks can be nested.

        :raises Stopped: the signal is set.
        """
        if allowed:
            self.sleep(0)
        before, self._is_interruptible = self._is_interruptible, allowed
        try:
            yield
        finally:
            self._is_interruptible = before

    def sleep(self, seconds: float) -> None:
        """
        Sleep.

        :raises Stopped: the signal is set.
        """
        if self.wait(seconds):
            raise Stopped

    def interruptible(self, items: Iterable[T]) -> Iterator[T]:
        """
        Iterate.

        :raises Stopped: the signal is set.
        """
        for item in items:
            self.sleep(0)
            yield item
