"""Deliveries that wait for a transaction, in the order in which they arrived."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_wacontacts.exceptions import ContractError
from airflow_provider_wacontacts.pipelines.callbacks import Delivery, parse_delivery

__all__ = ["Group", "Waiting", "WaitingDeliveries"]


@dataclass(slots=True, eq=False)
class Waiting:
    """
    A delivery that waits to be recorded.

    :param done: ends when it is recorded, or when its client has left.
    :param delivery: its content; ``None`` if it cannot be read.
    :param is_ready: whether it is parsed, and can be recorded.
    """

    sender: str
    body: bytes
    done: asyncio.Future[None]
    delivery: Delivery | None = None
    is_ready: bool = False

    def parse(self) -> None:
        """Parse its body."""
        try:
            self.delivery = parse_delivery(self.body, self.sender)
        except ContractError:
            self.delivery = None

    @property
    def is_empty(self) -> bool:
        """Whether it was read, and there is nothing to record."""
        return self.delivery is not None and self.delivery.is_empty and not self.delivery.unreadable

    @property
    def numbers(self) -> Collection[str]:
        """Numbers that it has a result for."""
        return self.delivery.results if self.delivery else ()


class Group(NamedTuple):
    """
    Deliveries that are recorded together.

    :param together: the contents of those that can be read; ``None`` if none can.
    """

    members: list[Waiting]
    together: Delivery | None

    @property
    def numbers(self) -> Collection[str]:
        """Numbers that it has a result for."""
        return self.together.results if self.together else ()


class WaitingDeliveries:
    """A queue that keeps the order of the results of each number."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()
        #: Numbers whose results are being written.
        self._numbers: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: Waiting) -> None:
        """Give a delivery its place, whether it is parsed or not."""
        self._waiting.append(waiting)

    def take(self) -> Group | None:
        """
        Take the next deliveries that can be recorded together. Call :meth:`release` afterwards.

        Deliveries with a number whose earlier result is being written, or waits, are passed over. A delivery that is
        not parsed yet may have any number, so the ones behind it wait.

        :returns: ``None`` if there is none.
        """
        members: list[Waiting] = []
        together: Delivery | None = None
        passed: list[Waiting] = []
        numbers = set(self._numbers)
        while self._waiting:
            waiting = self._waiting[0]
            if not waiting.done.done():
                if not waiting.is_ready or (members and waiting.sender != members[0].sender):
                    break
                if numbers.isdisjoint(waiting.numbers):
                    joined = _join(together, waiting.delivery)
                    if joined is None and waiting.delivery is not None:
                        break
                    together = joined
                    members.append(waiting)
                else:
                    numbers.update(waiting.numbers)
                    passed.append(waiting)
            self._waiting.popleft()
        self._waiting.extendleft(reversed(passed))
        if not members:
            return None
        group = Group(members, together)
        self._numbers.update(group.numbers)
        return group

    def release(self, group: Group) -> None:
        """Let the next results of a group's numbers be taken."""
        self._numbers.difference_update(group.numbers)


def _join(together: Delivery | None, following: Delivery | None) -> Delivery | None:
    """Return the contents of deliveries and of the next one; ``None`` if they must be recorded separately."""
    if together is None or following is None:
        return together or following
    return together.with_next(following)
