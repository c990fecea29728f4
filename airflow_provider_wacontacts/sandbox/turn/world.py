"""Contacts of Turn.io over time. An event is the complete state of one contact, starting at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

from airflow_provider_wacontacts.sandbox.core.clock import read_time
from airflow_provider_wacontacts.sandbox.core.timeline import Timeline

__all__ = ["RESERVED_FIELDS", "Event", "World", "next_midnight"]

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
class Event:
    """
    The state of a contact, starting at a time.

    :param at: the contact's ``updated_at``; for the first event its ``inserted_at`` as well.
    :param id: Turn's ``id``, which identifies the contact.
    :param details: the reserved and the custom fields together, complete; values may be :class:`Raw`.
    :param uuid: empty to derive it from the ID.
    :param extra: top-level keys in addition to or in place of the documented ones; values may be :class:`Raw`.
    :param deleted: whether the contact was deleted.
    :param sequence: set by the world; identifies events, and orders events with the same time.
    """

    at: datetime
    id: int
    details: Mapping[str, object] = field(default_factory=dict)
    uuid: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)
    deleted: bool = False
    sequence: int = field(default=0, compare=False)


class World(Timeline[Event]):
    """
    All past, current and future states of Turn.io's contacts.

    :param seed: derives UUIDs and cursors.
    :param number_id: the ``number_id`` of all contacts.
    """

    def __init__(self, *, seed: int = 0, number_id: int = 1) -> None:
        super().__init__()
        self.seed = seed
        self.number_id = number_id
        self._sequence = 0
        self._current: tuple[tuple[int, int], list[Event]] = (0, 0), []

    @classmethod
    def from_events(cls, events: Iterable[Event], *, seed: int = 0, number_id: int = 1) -> Self:
        """Create a world from events in any order. Of a contact's events with the same time, the last one is newest."""
        world = cls(seed=seed, number_id=number_id)
        for event in sorted(events, key=lambda event: event.at):
            world.add(event)
        return world

    def add(self, event: Event) -> Event:
        """Add one event, past or future, and return it as stored."""
        self._sequence += 1
        event = replace(event, at=read_time(event.at), uuid=event.uuid or self._uuid(event.id), sequence=self._sequence)
        return self.insert(event)

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
        Change a contact as of a time, or create one. Other fields stay unchanged.

        :param contact_id: None for a new contact with the next free ID.
        """
        contact_id = contact_id if contact_id is not None else max((event.id for event in self), default=0) + 1
        before = self.state_at(contact_id, at)
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

        :raises LookupError: there is no such contact at that time.
        """
        before = self.state_at(contact_id, at)
        if before is None:
            raise LookupError(f"no contact {contact_id}")
        return self.add(replace(before, at=at, details=dict(RESERVED_FIELDS), extra={}, deleted=True))

    def inserted_at(self, contact_id: int) -> datetime:
        """Return the time of a contact's first event."""
        return self._by_contact[contact_id][0].at

    def current(self, now: datetime) -> list[Event]:
        """Return the newest state of every contact as of a time, by time and ID; deleted contacts are marked."""
        edition = self.edition(now)
        if edition != self._current[0]:
            self._current = edition, sorted(self.newest(now), key=lambda event: (event.at, event.id))
        return self._current[1]

    def personal_texts(self) -> frozenset[str]:
        """Return the WhatsApp IDs, names and surnames of all states, which must not be in logs."""
        keys = ("whatsapp_id", "name", "surname", "whatsapp_profile_name")
        values = (event.details.get(key) for event in self for key in keys)
        return frozenset(value for value in values if isinstance(value, str))

    def _uuid(self, contact_id: int) -> str:
        known = self._by_contact.get(contact_id)
        if known:
            return known[0].uuid
        digest = hashlib.blake2b(f"{self.seed}:{contact_id}".encode(), digest_size=16).digest()
        return str(UUID(bytes=digest, version=4))


def next_midnight(moment: datetime) -> datetime:
    """
    Return the first midnight after a time.

    :param moment: UTC.
    """
    return datetime.combine(moment.date(), datetime.min.time(), UTC) + timedelta(days=1)
