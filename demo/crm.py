"""An invented company's table of contacts, with numbers as people write them down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import phonenumbers
from sqlalchemy import text
from sqlalchemy.engine import Engine

__all__ = ["SENDER", "Contact", "Crm", "invented_contacts", "newcomers"]

#: The company's own number; numbers without a plus sign are of its country.
SENDER = "+12015550100"
#: Last four digits of the first neighbour, and of the first that comes later.
FIRST, LATER = 1000, 5000
SPELLINGS = ("+1201555{0}", "(201) 555-{0}", "1-201-555-{0}", "+1 201 555 {0}", "201.555.{0}", "tel:+1-201-555-{0}")
ABROAD = ("AR", "BR", "GB", "IN", "MX")
NO_NUMBERS = ("ask at the desk", "555-01")

TABLE = """
CREATE TABLE IF NOT EXISTS contacts (contact_key varchar(40) PRIMARY KEY, number varchar(40), opted_in boolean)
"""
ADD = "INSERT INTO contacts (contact_key, number, opted_in) VALUES (:contact_key, :number, :opted_in)"
OPT_OUT = "UPDATE contacts SET opted_in = false WHERE contact_key = :contact_key"


@dataclass(frozen=True)
class Contact:
    """
    One row of the table.

    :param number: as somebody wrote it.
    :param e164: the number that it stands for; ``None`` where it can be none.
    :param opted_in: ``False`` where nobody may ask about it; ``None`` where that is not known.
    """

    contact_key: str
    number: str
    e164: str | None
    opted_in: bool | None = True


class Crm:
    """
    The table, in a database of its own.

    :ivar contacts: its rows, in the order in which they came.
    """

    def __init__(self, engine: Engine, contacts: Iterable[Contact]) -> None:
        self._engine = engine
        self.contacts: list[Contact] = []
        self._execute(TABLE)
        self.add(contacts)

    def add(self, contacts: Iterable[Contact]) -> None:
        """Put more rows into it."""
        for contact in contacts:
            row = {"contact_key": contact.contact_key, "number": contact.number, "opted_in": contact.opted_in}
            self._execute(ADD, row)
            self.contacts.append(contact)

    def opt_out(self, numbers: Iterable[str]) -> None:
        """Have it that nobody may ask about some numbers any more, in E.164."""
        gone = frozenset(numbers)
        for at, contact in enumerate(self.contacts):
            if contact.e164 in gone:
                self._execute(OPT_OUT, {"contact_key": contact.contact_key})
                self.contacts[at] = replace(contact, opted_in=False)

    @property
    def opted_out(self) -> frozenset[str]:
        """The numbers nobody may be asked about: one row that says so is enough."""
        return frozenset(one.e164 for one in self.contacts if one.e164 and one.opted_in is False)

    @property
    def numbers(self) -> list[str]:
        """The numbers that may be asked about, each once, in the order of the rows."""
        return [number for number in _distinct(self.contacts) if number not in self.opted_out]

    def _execute(self, sql: str, row: Mapping[str, object] | None = None) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(sql), dict(row or {}))


def invented_contacts(count: int = 200) -> list[Contact]:
    """
    Make up neighbours, some of them twice or opted out, and add a few people from abroad, and some without a number.

    :param count: of neighbours.
    """
    lines = range(FIRST, FIRST + count)
    neighbours = [_neighbour(line, opted_in=line % 25 != 4) for line in lines]
    again = [_neighbour(line, style=line + 1) for line in lines if line % 15 == 3]
    #: Nobody knows of this row that its number has opted out in another.
    silent = _neighbour(FIRST + 4, style=1, opted_in=None)
    strangers = [Contact("", number, None) for number in NO_NUMBERS]
    return _numbered([*neighbours, *again, silent, *_travellers(), *strangers], "C")


def newcomers(count: int = 12) -> list[Contact]:
    """Make up neighbours that are none of the others."""
    return _numbered([_neighbour(line) for line in range(LATER, LATER + count)], "N")


def _numbered(contacts: Iterable[Contact], letter: str) -> list[Contact]:
    return [replace(one, contact_key=f"{letter}{place:03d}") for place, one in enumerate(contacts, 1)]


def _neighbour(line: int, *, style: int | None = None, opted_in: bool | None = True) -> Contact:
    spelling = SPELLINGS[(line if style is None else style) % len(SPELLINGS)]
    return Contact("", spelling.format(line), f"+1201555{line}", opted_in)


def _travellers() -> list[Contact]:
    """Take the example numbers that phonenumbers has for other countries."""
    kind, form = phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberFormat
    found = [phonenumbers.example_number_for_type(region, kind) for region in ABROAD]
    return [
        Contact(
            "",
            phonenumbers.format_number(number, form.INTERNATIONAL),
            phonenumbers.format_number(number, form.E164),
        )
        for number in found
        if number is not None
    ]


def _distinct(contacts: Iterable[Contact]) -> list[str]:
    return list(dict.fromkeys(one.e164 for one in contacts if one.e164))
