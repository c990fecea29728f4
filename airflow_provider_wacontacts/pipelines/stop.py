"""A signal that ends work early, at the next sleep or the next item."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["StopSignal", "Stopped"]

T = TypeVar("T")


class Stopped(BaseException):
    """The work was stopped."""


class StopSignal(threading.Event):
    """An event that several threads watch; :meth:`set` stops them."""

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
