"""
Example contacts: the contacts of the vendors' documentation, and any number of invented people, same in both feeds.

Invented names belong to no language, so a search of logs for them finds only leaks. Numbers are from ranges that no
carrier assigns: Ofcom's drama range, North America's 555-01xx, and +999.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from airflow_provider_wacontacts.sandbox.core.clock import write_time
from airflow_provider_wacontacts.sandbox.green_api.contact_list import ContactList, ListedContact, ListedState
from airflow_provider_wacontacts.sandbox.turn.world import RESERVED_FIELDS, Event, World
from airflow_provider_wacontacts.sandbox.whatsapp_business.numbers import user_id_of

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
    Create the world of the contract's example: Bob has 100 on Monday, and 120 from Tuesday.

    The documentation has a typo in the year, 20222; here it is 2022.
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
    hidden: float = 0.0,
) -> World:
    """
    Create a world that depends only on the arguments.

    Most updates are during the day. One in six is at exactly 09:00, like after a broadcast, so many contacts share one
    ``updated_at``. Each state differs from the previous one. A contact does not depend on the number of contacts.

    :param contacts: final number of contacts.
    :param start: the midnight before the first contact.
    :param days: number of days in which contacts are added and changed.
    :param hidden: share of contacts that have a username and hide their number. Their ``whatsapp_id`` is a
        business-scoped user ID.
    """
    people = (_Person(seed, number, start, days, hidden) for number in range(1, contacts + 1))
    return World.from_events((event for person in people for event in person.events()), seed=seed)


def synthetic_number(index: int) -> str:
    """
    Return a WhatsApp ID that no contact has, digits only. Different indexes give different IDs.

    :param index: 0 and up.
    """
    if index < 1_000:
        return f"447700900{index:03d}"
    area, line = divmod(index - 1_000, 100)
    return f"1{201 + area:03d}55501{line:02d}" if area < 700 else f"999{index:09d}"


def example_contact_list() -> ContactList:
    """Create the list of the contract's example: two users and a group, without changes."""
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
    hidden: float = 0.0,
) -> ContactList:
    """
    Create a list of the same people that depends only on the arguments.

    Of twenty contacts, sixteen are users with a number, one is a user with a ``@lid``, two are groups with an ID of
    either form. The fourth contact is ``null@c.us``. One user in four is not in the phone book, one in four has no
    profile name. A contact does not depend on the number of contacts.

    :param contacts: total number of contacts.
    :param start: time when the list has four in five of them.
    :param days: number of days in which the others are added, and three in ten are renamed, removed or returned; 0 for
        no changes.
    :param hidden: share of users that have a username and hide their number: their ID is a ``@lid``.
    """
    people = (_Person(seed, number, start, days, hidden) for number in range(1, contacts + 1))
    return ContactList.from_states(state for person in people for state in person.states())


class _Person:
    """An invented person: the states of a contact at Turn.io, or of a row at GREEN-API."""

    def __init__(self, seed: int, number: int, start: datetime, days: int, hidden: float) -> None:
        self.number = number
        self.is_hidden = random.Random(f"{seed}:{number}:hidden").random() < hidden  # noqa: S311
        self.start = start
        self.days = days
        self.rng = random.Random(f"{seed}:{number}")  # noqa: S311

    def events(self) -> list[Event]:
        first_day = int(self.days * self.rng.random() ** 1.7)
        created = self._moment(first_day)
        updates = min(int(self.rng.expovariate(1 / 3)), 12)
        later = {self._update_time(self.rng.randrange(first_day, self.days)) for _ in range(updates)}
        details = self._first_details()
        events = [Event(at=created, id=self.number, details=details)]
        for at in sorted(moment for moment in later if moment > created):
            details = {**self._changed(details, at), "visits": len(events)}
            events.append(Event(at=at, id=self.number, details=details))
        return events

    def states(self) -> Iterator[ListedState]:
        row, renamed = self._row(), self._row()
        joins_late, changes = (self.rng.random() < share and self.days > 0 for share in (0.2, 0.3))
        first, *later = sorted(self._moment(self.rng.randrange(max(self.days, 1))) for _ in range(3))
        yield ListedState(first if joins_late else self.start, row.id, row)
        if changes:
            courses = ((renamed,), (renamed, row), (None,), (None, row), (None, renamed))
            for moment, changed in zip(later, self.rng.choice(courses), strict=False):
                yield ListedState(moment, row.id, changed)

    def _moment(self, day: int) -> datetime:
        hour = self.rng.choices(range(24), _HOURS)[0]
        return self.start + day * _DAY + timedelta(hours=hour) + self.rng.randrange(3_600_000) * _MILLISECOND

    def _update_time(self, day: int) -> datetime:
        if self.rng.random() < 1 / 6:
            return self.start + day * _DAY + _BROADCAST
        return self._moment(day)

    def _first_details(self) -> dict[str, object]:
        name, digits = self.rng.choice(NAMES), synthetic_number(self.number - 1)
        return {
            **RESERVED_FIELDS,
            "language": self.rng.choice(_LANGUAGES),
            "name": name,
            "whatsapp_id": user_id_of(digits) if self.is_hidden else digits,
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

    def _row(self) -> ListedContact:
        chat_id, given, family = _chat_id(self.number), self.rng.choice(_PROFILE_NAMES), self.rng.choice(SURNAMES)
        if chat_id.endswith("@g.us"):
            return ListedContact(chat_id, f"{family} circle {self.rng.randrange(100)}")
        if self.is_hidden and chat_id.endswith("@c.us"):
            extra = {"username": f"{given.lower()}.{self.number}", "phoneNumber": ""}
            return ListedContact(f"{100_000_000_000_000 + self.number}@lid", given, extra=extra)
        in_phone_book, has_profile_name = (self.rng.random() < 0.75 for _ in range(2))
        return ListedContact(chat_id, given if has_profile_name else "", f"{given} {family}" if in_phone_book else None)


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
