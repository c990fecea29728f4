"""
The states of contacts over time. A state applies until the next one of the same contact.

There is no other state, so responses do not depend on the order of requests.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from datetime import datetime
from typing import Generic, Protocol, TypeVar

__all__ = ["State", "Timeline"]


class State(Protocol):
    """The state of a contact, starting at a time."""

    @property
    def at(self) -> datetime:
        """The time, in UTC."""

    @property
    def id(self) -> int | str:
        """Identifies the contact."""


T = TypeVar("T", bound=State)


class Timeline(Generic[T]):
    """All past, current and future states of contacts. If two have the same time, the one added later is newer."""

    def __init__(self) -> None:
        self._states: list[T] = []
        self._by_contact: dict[int | str, list[T]] = {}
        self._newest: tuple[tuple[int, int], list[T]] = (0, 0), []

    def __iter__(self) -> Iterator[T]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._by_contact)

    @property
    def end(self) -> datetime | None:
        """The time of the last state; None if there is none."""
        return self._states[-1].at if self._states else None

    def insert(self, state: T) -> T:
        """Add a state, past or future."""
        for states in (self._states, self._by_contact.setdefault(state.id, [])):
            if states and state.at < states[-1].at:
                insort(states, state, key=_at)
            else:
                states.append(state)
        return state

    def state_at(self, contact_id: int | str, now: datetime) -> T | None:
        """Return the state of a contact as of a time; None before its first."""
        states = self._by_contact.get(contact_id, [])
        index = bisect_right(states, now, key=_at)
        return states[index - 1] if index else None

    def until(self, now: datetime) -> list[T]:
        """Return every state up to and including a time, oldest first."""
        return self._states[: bisect_right(self._states, now, key=_at)]

    def edition(self, now: datetime) -> tuple[int, int]:
        """Return a key that differs if the states as of a time may differ."""
        return len(self._states), bisect_right(self._states, now, key=_at)

    def newest(self, now: datetime) -> list[T]:
        """Return the newest state of every contact as of a time, ordered by the contacts' first appearance."""
        edition = self.edition(now)
        if edition != self._newest[0]:
            newest = {state.id: state for state in self._states[: edition[1]]}
            self._newest = edition, list(newest.values())
        return self._newest[1]


def _at(state: State) -> datetime:
    return state.at
