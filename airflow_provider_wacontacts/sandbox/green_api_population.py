"""
Ready lists: the contract's example, and any number of invented contacts of all kinds that there are.

Users have the numbers that :func:`~airflow_provider_wacontacts.sandbox.seeded_world` gives to Turn's contacts, in the
same order, so that the two feeds are about the same people. Nobody here exists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from airflow_provider_wacontacts.sandbox.green_api_list import ContactList, ListedContact, ListedState
from airflow_provider_wacontacts.sandbox.population import DEFAULT_START, NAMES, SURNAMES, synthetic_number

__all__ = ["example_contact_list", "seeded_contact_list"]

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
_OTHER_NAMES = ("Zoë Žlutoučká", "זורבלט", "قويليمار", "Mizzelby 👩🏽‍⚕️", "Øxånthe", "瓦克松贝")
_PROFILE_NAMES = NAMES + _OTHER_NAMES


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
