"""Bodies of requests to the control API: ``msgspec`` reads them, and rejects unknown fields and other types."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from airflow_provider_wacontacts.sandbox.core.clock import read_time
from airflow_provider_wacontacts.sandbox.green_api.contact_list import ContactList
from airflow_provider_wacontacts.sandbox.population import (
    DEFAULT_START,
    bob,
    example_contact_list,
    seeded_contact_list,
    seeded_world,
)
from airflow_provider_wacontacts.sandbox.turn.world import Event, World

__all__ = [
    "Clock",
    "Contact",
    "ListPopulation",
    "Message",
    "Number",
    "Population",
    "Removal",
    "Renaming",
    "Row",
    "Sent",
    "User",
]


class Clock(Struct, forbid_unknown_fields=True):
    """Set the clock, or advance it."""

    now: str | None = None
    advance_s: float = 0.0
    rate: float | None = None


class Contact(Struct, forbid_unknown_fields=True):
    """A contact of Turn.io, or fields of it that change."""

    id: int | None = None
    details: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    uuid: str = ""
    at: str | None = None


class Population(Struct, forbid_unknown_fields=True):
    """Which example contacts to load."""

    name: Literal["bob"] | UnsetType = UNSET
    seed: int = 0
    contacts: int = 300
    start: str | None = None
    days: int = 14
    deleted_share: float = 0.0
    events: list[dict[str, Any]] | UnsetType = UNSET

    def world(self) -> World:
        """Make Turn.io's contacts."""
        if self.name == "bob":
            return bob()
        if self.events is not UNSET:
            return World.from_events(map(Event.from_json, self.events), seed=self.seed)
        return seeded_world(self.seed, deleted_share=self.deleted_share, **self._size())

    def contact_list(self) -> ContactList:
        """Make GREEN-API's list."""
        if self.name is not UNSET or self.events is not UNSET:
            return example_contact_list()
        return seeded_contact_list(self.seed, **self._size())

    def _size(self) -> dict[str, Any]:
        start = read_time(self.start) if self.start else DEFAULT_START
        return {"contacts": self.contacts, "start": start, "days": self.days}


class ListPopulation(Struct, forbid_unknown_fields=True):
    """Which example contacts to load into GREEN-API's list."""

    name: Literal["example"] | UnsetType = UNSET
    seed: int = 0
    contacts: int = 300
    start: str | None = None
    days: int = 14
    changing_share: float = 0.3

    def contact_list(self) -> ContactList:
        """Make GREEN-API's list."""
        if self.name is not UNSET:
            return example_contact_list()
        start = read_time(self.start) if self.start else DEFAULT_START
        share = self.changing_share
        return seeded_contact_list(self.seed, contacts=self.contacts, start=start, days=self.days, changing_share=share)


class Number(Struct, forbid_unknown_fields=True):
    """What is true of a phone number."""

    number: str
    status: Literal["valid", "invalid", "failed"] = "valid"
    wa_id: str | None = None
    slow: bool = False
    missing: bool = False


class Sent(Struct, forbid_unknown_fields=True):
    """A count of sent messages."""

    count: int


class User(Struct, forbid_unknown_fields=True):
    """A WhatsApp user."""

    wa_id: str


class Message(Struct, forbid_unknown_fields=True):
    """A message from a user."""

    sender: str = field(name="from")
    text: str = "hello"


class Removal(Struct, forbid_unknown_fields=True):
    """A contact that leaves a list."""

    id: str
    at: str | None = None


class Renaming(Removal):
    """A contact of a list under another name."""

    name: str | dict[str, str] | None = None
    contact_name: str | dict[str, str] | None = None


class Row(Renaming):
    """A contact that a list gets."""

    name: str | dict[str, str] | None = ""
    type: str = ""
    extra: dict[str, Any] = {}
