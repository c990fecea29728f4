"""Exports: the contacts of a window, their order, and cursors."""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from airflow_provider_wacontacts.sandbox.turn.behaviour import TurnBehaviour
from airflow_provider_wacontacts.sandbox.turn.contacts import ScrubbingRules
from airflow_provider_wacontacts.sandbox.turn.world import Event, World

__all__ = ["Cursors", "Export", "Page", "Place", "move_contacts", "read_page"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_Key = tuple[Any, ...]


@dataclass(slots=True)
class Export:
    """
    An export of one window.

    :param expires_at: sandbox time.
    :param touched: real time of its last request.
    """

    start: datetime
    until: datetime
    ordering: str
    page_size: int
    rules: ScrubbingRules
    expires_at: datetime
    touched: float
    pages: int = 0
    finished: bool = False
    expired: bool = False
    served: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a cursor: after a contact (keyset), and after a number of contacts (offset)."""

    export: Export
    after: _Key | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Contacts in order, and where the next page starts; None at the end."""

    contacts: list[Event]
    following: Place | None


class Cursors:
    """
    The cursors of all exports: strings with positions.

    :param seed: seed of the strings.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers = count(1)
        self._places: dict[str, Place] = {}
        self._read: set[str] = set()

    def make(self, place: Place, *, needs_quoting: bool) -> str:
        """Return a new cursor for a position."""
        number = next(self._numbers)
        digest = hashlib.blake2b(f"{self._seed}:{number}".encode(), digest_size=9).hexdigest()
        text = f"{digest}/{number}+a=" if needs_quoting else f"{digest}-{number}"
        self._places[text] = place
        return text

    def find(self, text: str) -> Place | None:
        """Return the position of a cursor; None if it is unknown."""
        return self._places.get(text)

    def was_read(self, text: str) -> bool:
        """Return whether a cursor was read before, and mark it as read."""
        before = text in self._read
        self._read.add(text)
        return before

    def count_open(self, since: float) -> int:
        """Count the exports that are neither finished nor expired, and were used since a real time."""
        exports = {id(place.export): place.export for place in self._places.values()}.values()
        return sum(not export.finished and not export.expired and export.touched >= since for export in exports)


def read_page(world: World, now: datetime, place: Place, behaviour: TurnBehaviour) -> Page:
    """Read the contacts after a position, in their current state."""
    export = place.export
    key = _key(export.ordering)
    contacts = sorted(_window(world, now, export, behaviour), key=key)
    first = place.offset
    if behaviour.cursor_kind == "keyset":
        first = 0 if place.after is None else bisect_right(contacts, place.after, key=key)
    page = contacts[first : first + export.page_size]
    full = len(page) == export.page_size
    more = len(contacts) > first + len(page) or (full and behaviour.trailing_empty_page)
    following = Place(export, key(page[-1]), place.offset + len(page)) if more else None
    return Page(page, following)


def move_contacts(world: World, now: datetime, export: Export, behaviour: TurnBehaviour) -> None:
    """Update contacts of the window according to the behaviour."""
    contacts = [contact for contact in _window(world, now, export, behaviour) if not contact.deleted]
    if behaviour.moving != "any":
        contacts = [each for each in contacts if (each.id in export.served) == (behaviour.moving == "served")]
    draw = random.Random(f"{world.seed}:{export.start}:{export.pages}")  # noqa: S311
    for contact in draw.sample(contacts, min(behaviour.moves_per_page, len(contacts))):
        moves = contact.details.get("moves")
        world.upsert(contact.id, {"moves": moves + 1 if isinstance(moves, int) else 1}, at=now)


def _window(world: World, now: datetime, export: Export, behaviour: TurnBehaviour) -> list[Event]:
    current = world.current(now)
    lower = bisect_left if behaviour.from_inclusive else bisect_right
    upper = bisect_right if behaviour.until_inclusive else bisect_left
    first, end = lower(current, export.start, key=_at), upper(current, export.until, key=_at)
    return [event for event in current[first:end] if not event.deleted or behaviour.deleted == "tombstone"]


def _key(ordering: str) -> Callable[[Event], _Key]:
    return {"asc": _ascending, "desc": _descending, "id": _by_id, "shuffled": _shuffled}[ordering]


def _ascending(event: Event) -> _Key:
    return (event.at, event.id)


def _descending(event: Event) -> _Key:
    return (-((event.at - _EPOCH) // _MICROSECOND), -event.id)


def _by_id(event: Event) -> _Key:
    return (event.id,)


def _shuffled(event: Event) -> _Key:
    return (hashlib.blake2b(event.uuid.encode(), digest_size=8).digest(), event.id)


def _at(event: Event) -> datetime:
    return event.at
