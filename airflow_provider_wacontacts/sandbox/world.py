"""
Contacts and how they change: a list of events, and what is true as of a time.

An event is the whole state of one contact from its time on, so the state as of a time is the latest event not after
it. Nothing else is kept, hence the same events give the same answers however requests are interleaved.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

from airflow_provider_wacontacts.sandbox.clock import read_time

__all__ = ["RESERVED_FIELDS", "Event", "Raw", "World", "as_json", "from_json"]

RESERVED_FIELDS: Mapping[str, object] = {
    "birthday": None,
    "language": None,
    "location": None,
    "name": None,
    "opted_in": False,
    "opted_in_at": None,
    "surname": None,
    "whatsapp_id": None,
    "whatsapp_profile_name": None,
}


@dataclass(frozen=True, slots=True)
class Raw:
    """
    JSON text that is sent as it stands, for what an encoder would refuse to write.

    In the JSON of control routes and of the truth it is ``{"$raw": "<one character a byte, Latin-1>"}``.
    """

    content: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """
    The state of a contact from a time on.

    :param at: becomes the contact's ``updated_at``; the first event's is its ``inserted_at`` as well.
    :param id: Turn's ``id``, which tells contacts apart.
    :param details: the reserved and the custom fields together, complete; values may be :class:`Raw`.
    :param uuid: empty for one that follows from the id.
    :param extra: top-level keys beside or in place of the documented ones; values may be :class:`Raw`.
    :param deleted: the contact was deleted then.
    :param sequence: given by the world; orders events of one time, and tells them apart.
    """

    at: datetime
    id: int
    details: Mapping[str, object] = field(default_factory=dict)
    uuid: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)
    deleted: bool = False
    sequence: int = field(default=0, compare=False)

    @classmethod
    def from_json(cls, item: Mapping[str, object]) -> Self:
        """
        Read an event as control routes write it.

        :raises ValueError: a key is unknown, missing or of another type.
        """
        unknown = set(item) - {"at", "id", "details", "uuid", "extra", "deleted"}
        at, contact, details, extra = item.get("at"), item.get("id"), item.get("details", {}), item.get("extra", {})
        if unknown or not isinstance(at, str) or not isinstance(contact, int):
            raise ValueError("an event has at (time), id (integer), and may have details, uuid, extra, deleted")
        if not isinstance(details, dict) or not isinstance(extra, dict):
            raise ValueError("details and extra are objects")  # noqa: TRY004
        return cls(
            at=read_time(at),
            id=contact,
            details=from_json(details),
            uuid=str(item.get("uuid", "")),
            extra=from_json(extra),
            deleted=bool(item.get("deleted", False)),
        )


class World:
    """
    Every state that contacts had, have and will have.

    :param seed: what derived uuids and cursor texts follow from.
    :param number_id: the line that all contacts belong to.
    """

    def __init__(self, *, seed: int = 0, number_id: int = 1) -> None:
        self.seed = seed
        self.number_id = number_id
        self._events: list[Event] = []
        self._by_contact: defaultdict[int, list[Event]] = defaultdict(list)
        self._sequence = 0
        self._seen: tuple[int, int] | None = None
        self._current: list[Event] = []

    @classmethod
    def from_events(cls, events: Iterable[Event], *, seed: int = 0, number_id: int = 1) -> Self:
        """Make a world of events in any order; of one contact's at one time, the later in the list is the newer."""
        world = cls(seed=seed, number_id=number_id)
        for event in sorted(events, key=lambda event: event.at):
            world.add(event)
        return world

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._by_contact)

    @property
    def end(self) -> datetime | None:
        """The time of the last event, None in an empty world."""
        return self._events[-1].at if self._events else None

    def add(self, event: Event) -> Event:
        """Add one event, past or future, and return it as it is kept."""
        self._sequence += 1
        event = replace(event, at=read_time(event.at), uuid=event.uuid or self._uuid(event.id), sequence=self._sequence)
        for events in (self._events, self._by_contact[event.id]):
            insort(events, event, key=_order)
        return event

    def upsert(
        self,
        contact_id: int | None = None,
        details: Mapping[str, object] | None = None,
        *,
        at: datetime,
        extra: Mapping[str, object] | None = None,
        uuid: str = "",
    ) -> Event:
        """
        Change a contact as of a time, or make one: its other fields stay as they were then.

        :param contact_id: None for a new contact, under the next free id.
        """
        contact_id = contact_id if contact_id is not None else max(self._by_contact, default=0) + 1
        before = self.newest(contact_id, at)
        kept = before.details if before else RESERVED_FIELDS
        return self.add(
            Event(
                at=at,
                id=contact_id,
                details={**kept, **(details or {})},
                uuid=uuid or (before.uuid if before else ""),
                extra={**(before.extra if before else {}), **(extra or {})},
            )
        )

    def delete(self, contact_id: int, *, at: datetime) -> Event:
        """
        Delete a contact as of a time.

        :raises LookupError: there is no such contact then.
        """
        before = self.newest(contact_id, at)
        if before is None:
            raise LookupError(f"no contact {contact_id}")
        return self.add(replace(before, at=at, details=dict(RESERVED_FIELDS), extra={}, deleted=True))

    def newest(self, contact_id: int, now: datetime) -> Event | None:
        """Give the state of one contact as of a time, None where it does not exist yet."""
        events = self._by_contact.get(contact_id, [])
        index = bisect_right(events, now, key=_at)
        return events[index - 1] if index else None

    def inserted_at(self, contact_id: int) -> datetime:
        """Give the time of a contact's first event."""
        return self._by_contact[contact_id][0].at

    def until(self, now: datetime) -> list[Event]:
        """Give every state up to and including a time, oldest first: what nobody can ask the API for later."""
        return self._events[: bisect_right(self._events, now, key=_at)]

    def current(self, now: datetime) -> list[Event]:
        """Give the newest state of every contact as of a time, by time and id; deleted ones are marked as such."""
        seen = (self._sequence, bisect_right(self._events, now, key=_at))
        if seen != self._seen:
            newest = {event.id: event for event in self._events[: seen[1]]}
            self._current = sorted(newest.values(), key=lambda event: (event.at, event.id))
            self._seen = seen
        return self._current

    def personal_texts(self) -> frozenset[str]:
        """Give every WhatsApp id, name and surname that any state holds: what may stand in no log."""
        keys = ("whatsapp_id", "name", "surname", "whatsapp_profile_name")
        values = (event.details.get(key) for event in self._events for key in keys)
        return frozenset(value for value in values if isinstance(value, str))

    def _uuid(self, contact_id: int) -> str:
        known = self._by_contact.get(contact_id)
        if known:
            return known[0].uuid
        digest = hashlib.blake2b(f"{self.seed}:{contact_id}".encode(), digest_size=16).digest()
        return str(UUID(bytes=digest, version=4))


def next_midnight(moment: datetime) -> datetime:
    """
    Give the first midnight after a time.

    :param moment: in UTC.
    """
    return datetime.combine(moment.date(), datetime.min.time(), UTC) + timedelta(days=1)


def as_json(values: Mapping[str, object]) -> dict[str, object]:
    """Make :class:`Raw` values readable in JSON."""
    return {
        key: {"$raw": value.content.decode("latin-1")} if isinstance(value, Raw) else value
        for key, value in values.items()
    }


def from_json(values: Mapping[str, object]) -> dict[str, object]:
    """Undo :func:`as_json`."""
    return {
        key: Raw(str(value["$raw"]).encode("latin-1")) if isinstance(value, dict) and set(value) == {"$raw"} else value
        for key, value in values.items()
    }


def _order(event: Event) -> tuple[datetime, int]:
    return (event.at, event.sequence)


def _at(event: Event) -> datetime:
    return event.at
