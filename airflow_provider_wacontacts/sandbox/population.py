"""
Example contacts: those of the vendors' documentation, and any number of invented people, the same in both feeds.

None of the invented people exists. Names are of no language, so a search of logs for them finds leaks and nothing else.
Numbers are of ranges that no carrier assigns: Ofcom's drama range, North America's 555-01xx, and +999.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from airflow_provider_wacontacts.sandbox.core.clock import write_time
from airflow_provider_wacontacts.sandbox.green_api.contact_list import ContactList, ListedContact, ListedState
from airflow_provider_wacontacts.sandbox.turn.world import RESERVED_FIELDS, Event, World

__all__ = [
    "DEFAULT_START",
    "NAMES",
    "SURNAMES",
    "bob",
    "example_contact_list",
    "seeded_contact_list",
    "seeded_world",
    "synthetic_number",
]

DEFAULT_START = datetime(2022, 9, 12, tzinfo=UTC)

NAMES = (
    "Zorblatt", "Quillimar", "Vexandra", "Mizzelby", "Oxanthe", "Brindlewok", "Jasquorin", "Thimbrella",
    "Wuxombe", "Kervandil", "Ploribex", "Yttrania", "Droswick", "Fenquilla", "Umbrasto", "Hexolyn",
)  # fmt: skip
SURNAMES = (
    "Glimworthy", "Vandersnoot", "Okquabena", "Trellifax", "Morqundi", "Zweeblethorn", "Pantaquill", "Izmerovich",
    "Bruxtable", "Nkwezzilo", "Fjorgrim", "Quaddlestone",
)  # fmt: skip

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
_OTHER_NAMES = ("Zoë Žlutoučká", "זורבלט", "قويليمار", "Mizzelby 👩🏽‍⚕️", "Øxånthe", "瓦克松贝")
_PROFILE_NAMES = NAMES + _OTHER_NAMES
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


def example_contact_list() -> ContactList:
    """Make the list of the contract's example: two users and a group, who never change."""
    contacts = (
        ListedContact("11001234567@c.us", "Ivan Petrov", "Ivan Petorov Work"),
        ListedContact("79001234568@c.us", "Lyusya Sidorova", "Liusya Sidorova Sewing Circle"),
        ListedContact("79001234569-1479621234@g.us", "My group"),
    )
    return ContactList.from_states(ListedState(_ALWAYS, contact.id, contact) for contact in contacts)


def seeded_contact_list(
    seed: int = 0,
    *,
    contacts: int = 300,
    start: datetime = DEFAULT_START,
    days: int = 14,
    changing_share: float = 0.3,
) -> ContactList:
    """
    Make a list that follows from its arguments alone. 200,000 contacts take a few seconds.

    Of twenty contacts, sixteen are users with a number, one is a user with a ``@lid``, two are groups, one with an old
    id and one with a new one; the fourth of all is ``null@c.us``. One user in four is not in the phone book, one in
    four has no profile name. A contact is the same however many others there are.

    :param contacts: how many there are in all.
    :param start: when four in five of them are already there.
    :param days: how long the others join, and contacts change; 0 has all of them there, and nothing change.
    :param changing_share: how many of them change, of 1: renamed in the phone book or by themselves, renamed and
        renamed back, gone, gone and back.
    """
    people = (_Seeded(seed, number, start, days * _DAY_S) for number in range(1, contacts + 1))
    return ContactList.from_states(state for each in people for state in each.states(changing_share))


class _Seeded:
    def __init__(self, seed: int, number: int, start: datetime, span_s: int) -> None:
        self._draw = hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=24).digest()
        self._number = number
        self._start = start
        self._span_s = span_s

    def states(self, changing_share: float) -> Iterator[ListedState]:
        draw = self._draw
        contact = self._contact(draw[0], draw[1])
        joins_late = self._span_s > 0 and draw[2] < 51
        changes = self._changes(contact) if self._span_s and draw[3] < changing_share * 256 else ()
        moments = sorted({self._moment(at) for at in (8, 12, 16)}) if joins_late or changes else []
        yield ListedState(moments.pop(0) if joins_late else self._start, contact.id, contact)
        for moment, changed in zip(moments, changes, strict=False):
            yield ListedState(moment, contact.id, changed)

    def _changes(self, contact: ListedContact) -> tuple[ListedContact | None, ...]:
        draw = self._draw
        other = self._contact(draw[4], draw[5])
        if contact.is_group:
            renamed = ListedContact(contact.id, f"{other.name} {draw[6]}")
        elif draw[7] % 2:
            renamed = ListedContact(contact.id, contact.name, f"{NAMES[draw[4] % len(NAMES)]} at work")
        else:
            renamed = ListedContact(contact.id, f"{other.name} {draw[6]}", contact.contact_name)
        return ((renamed,), (renamed, contact), (None,), (None, contact), (None, renamed))[draw[7] // 2 % 5]

    def _contact(self, name: int, surname: int) -> ListedContact:
        family = SURNAMES[surname % len(SURNAMES)]
        chat_id = _chat_id(self._number)
        if chat_id.endswith("@g.us"):
            return ListedContact(chat_id, f"{family} circle" if surname % 8 else "")
        given = _PROFILE_NAMES[name % len(_PROFILE_NAMES)]
        return ListedContact(chat_id, given if name % 4 else "", f"{given} {family}" if surname % 4 else None)

    def _moment(self, at: int) -> datetime:
        drawn = int.from_bytes(self._draw[at : at + 4])
        return self._start + timedelta(seconds=1 + drawn % (self._span_s - 1))


def _chat_id(number: int) -> str:
    if number == 4:
        return "null@c.us"
    match number % 20:
        case 9:
            return f"120363{number:012d}@g.us"
        case 14:
            return f"{100_000_000_000_000 + number}@lid"
        case 19:
            return f"{synthetic_number(number - 1)}-{1_479_621_234 + number}@g.us"
        case _:
            return f"{synthetic_number(number - 1)}@c.us"
