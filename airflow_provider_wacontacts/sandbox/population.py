"""
Ready worlds: the contract's Bob, and any number of invented people.

Nobody here exists. Names are of no language, so that a search of logs for them finds leaks and nothing else. Numbers
are of ranges that no carrier gives out: Ofcom's drama range, North America's 555-01xx, and the unassigned +999.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from airflow_provider_wacontacts.sandbox.clock import write_time
from airflow_provider_wacontacts.sandbox.world import RESERVED_FIELDS, Event, World

__all__ = ["DEFAULT_START", "NAMES", "SURNAMES", "bob", "seeded_world", "synthetic_number"]

DEFAULT_START = datetime(2022, 9, 12, tzinfo=UTC)

NAMES = (
    "Zorblatt", "Quillimar", "Vexandra", "Mizzelby", "Oxanthe", "Brindlewok", "Jasquorin", "Thimbrella",
    "Wuxombe", "Kervandil", "Ploribex", "Yttrania", "Droswick", "Fenquilla", "Umbrasto", "Hexolyn",
)  # fmt: skip
SURNAMES = (
    "Glimworthy", "Vandersnoot", "Okquabena", "Trellifax", "Morqundi", "Zweeblethorn", "Pantaquill", "Izmerovich",
    "Bruxtable", "Nkwezzilo", "Fjorgrim", "Quaddlestone",
)  # fmt: skip

_LANGUAGES = ("eng", "zul", "fra", "swh", "por", "hin", "ara")
_CLINICS = ("north", "south", "riverside", "hill")
_REMARKS = ("called back", "prefers evenings ☎", 'said "yes"\nthen left', "naïve façade, žluťoučký", "👩🏽‍⚕️ visit")
_HOURS = (1, 1, 1, 1, 1, 2, 4, 7, 9, 8, 7, 7, 8, 7, 6, 6, 7, 8, 9, 8, 6, 4, 2, 1)
_BROADCAST = timedelta(hours=9)
_DAY = timedelta(days=1)
_MILLISECOND = timedelta(milliseconds=1)


def bob() -> World:
    """
    Make the world of the contract's example: Bob has 100 on Monday and 120 from Tuesday on.

    The page prints the year as 20222; here it is 2022.
    """
    monday = datetime(2022, 9, 12, 8, 30, tzinfo=UTC)
    tuesday = datetime(2022, 9, 13, 10, 0, tzinfo=UTC)
    details: Mapping[str, object] = {
        "birthday": "1988-06-14T18:15:35.873852Z",
        "language": "eng",
        "location": None,
        "name": "bob",
        "opted_in": False,
        "opted_in_at": None,
        "surname": None,
        "whatsapp_id": "44623456700",
        "whatsapp_profile_name": "bob",
    }
    uuid = "f6c4e666-81ad-430e-aea5-1ba33e6f4c35"
    return World.from_events(
        Event(at=at, id=1, uuid=uuid, details={**details, "current_savings": savings})
        for at, savings in ((monday, 100), (tuesday, 120))
    )


def seeded_world(
    seed: int = 0,
    *,
    contacts: int = 300,
    start: datetime = DEFAULT_START,
    days: int = 14,
    deleted_share: float = 0.0,
) -> World:
    """
    Make a world that follows from its arguments alone.

    Most things happen by day. About one update in six falls on 09:00 sharp, as a broadcast's do, so that many contacts
    share one ``updated_at``. Every state differs from the one before it. A contact is the same however many others
    there are.

    :param contacts: how many there are in the end.
    :param start: the midnight before anything happens.
    :param days: how long things happen.
    :param deleted_share: how many of the contacts are deleted at some time, of 1.
    """
    people = (_Person(seed, contact_id, start, days, deleted_share) for contact_id in range(1, contacts + 1))
    return World.from_events((event for person in people for event in person.events()), seed=seed)


def synthetic_number(index: int) -> str:
    """
    Give a WhatsApp id that nobody has, digits only; another index gives another id.

    :param index: from 0.
    """
    if index < 1_000:
        return f"447700900{index:03d}"
    area, line = divmod(index - 1_000, 100)
    return f"1{201 + area:03d}55501{line:02d}" if area < 700 else f"999{index:09d}"


class _Person:
    def __init__(self, seed: int, contact_id: int, start: datetime, days: int, deleted_share: float) -> None:
        self.contact_id = contact_id
        self.start = start
        self.days = days
        self.rng = random.Random(f"{seed}:{contact_id}")  # noqa: S311
        self.deleted = self.rng.random() < deleted_share

    def events(self) -> list[Event]:
        first_day = int(self.days * self.rng.random() ** 1.7)
        created = self._moment(first_day)
        updates = min(int(self.rng.expovariate(1 / 3)), 12)
        later = {self._update_time(self.rng.randrange(first_day, self.days)) for _ in range(updates)}
        details = self._first_details()
        events = [Event(at=created, id=self.contact_id, details=details)]
        for at in sorted(moment for moment in later if moment > created):
            details = {**self._changed(details, at), "visits": len(events)}
            events.append(Event(at=at, id=self.contact_id, details=details))
        if self.deleted:
            gone = events[-1].at + timedelta(hours=self.rng.randrange(1, 48))
            events.append(Event(at=gone, id=self.contact_id, details=dict(RESERVED_FIELDS), deleted=True))
        return events

    def _moment(self, day: int) -> datetime:
        hour = self.rng.choices(range(24), _HOURS)[0]
        return self.start + day * _DAY + timedelta(hours=hour) + self.rng.randrange(3_600_000) * _MILLISECOND

    def _update_time(self, day: int) -> datetime:
        if self.rng.random() < 1 / 6:
            return self.start + day * _DAY + _BROADCAST
        return self._moment(day)

    def _first_details(self) -> dict[str, object]:
        name = self.rng.choice(NAMES)
        return {
            **RESERVED_FIELDS,
            "language": self.rng.choice(_LANGUAGES),
            "name": name,
            "whatsapp_id": synthetic_number(self.contact_id - 1),
            "whatsapp_profile_name": name,
            "clinic": None,
            "consent": None,
            "current_savings": self.rng.randrange(0, 500),
            "due_at": None,
            "remark": None,
            "visits": 0,
        }

    def _changed(self, details: Mapping[str, object], at: datetime) -> dict[str, object]:
        changes: tuple[Callable[[], dict[str, object]], ...] = (
            lambda: {"opted_in": True, "opted_in_at": write_time(at)},
            lambda: {"opted_in": False, "opted_in_at": None},
            lambda: {"surname": self.rng.choice(SURNAMES)},
            lambda: {"name": self.rng.choice(NAMES)},
            lambda: {"current_savings": round(self.rng.uniform(0, 900), 2)},
            lambda: {"clinic": self.rng.choice(_CLINICS), "consent": self.rng.random() < 0.7},
            lambda: {"due_at": write_time(at + self.rng.randrange(20, 200) * _DAY)},
            lambda: {"remark": self.rng.choice(_REMARKS)},
            lambda: {"birthday": write_time(at - self.rng.randrange(7_000, 25_000) * _DAY)},
            lambda: {"location": {"latitude": -26.2, "longitude": round(self.rng.uniform(27, 29), 4)}},
        )
        return {**details, **self.rng.choice(changes)()}
