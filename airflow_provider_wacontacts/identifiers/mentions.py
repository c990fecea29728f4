"""
Identifiers in text that could not be parsed, for example in rejected rows, rejected inputs and callers' keys.

In doubt, an identifier is found: digits before and after a number may belong to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import PSEUDONYM_PATTERN
from airflow_provider_wacontacts.identifiers.whatsapp_ids import group_creator, ids_by_kind, read_group

__all__ = ["Mentions", "UnsearchableError", "find_identifiers", "has_identifiers", "identifiers_in_contact_id"]

#: Of a number with its country code.
MIN_DIGITS, MAX_DIGITS = 7, 15
#: A text with more digits is not searched: each is the start of nine possible numbers, which take some microseconds.
MAX_SEARCHED_DIGITS = 5_000
#: Identifiers are looked for one by one up to this number; more are looked up in a set.
FEW = 100
JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
#: Digits with at most three separators between two of them, including invisible ones.
DIGIT_RUN = re.compile(r"\d(?:[\s().\-/\u2010-\u2015\u2212\u200b-\u200f\u202a-\u202e\u2066-\u2069]{0,3}\d)+")
#: As in +44 (0)1234: not dialed from abroad.
TRUNK_PREFIX = "(0)"
PSEUDONYM = re.compile(rf"{PSEUDONYM_PATTERN}(?![0-9a-f])")
#: IDs with a domain, and business-scoped user IDs, as they stand between other characters.
ID = re.compile(r"[0-9A-Za-z_.:+-]{1,200}@[A-Za-z_.]{3,14}|(?<![0-9A-Za-z])[A-Z]{2}\.[0-9A-Za-z.]{1,140}")
OTHER_DIGIT = re.compile(r"(?![0-9])\d")
NOT_DIGITS = bytes(sign for sign in range(256) if not 0x30 <= sign <= 0x39)
SCHEME = "whatsapp:"


class UnsearchableError(ValueError):
    """A text has too many digits to be searched for numbers."""


def find_identifiers(text: bytes | str) -> Iterator[Identifier]:
    """
    Yield everything in a text that could be an identifier, also inside of other text.

    Escapes of JSON are decoded first. Spaces, brackets, dots, dashes and slashes between digits are ignored. A number
    without its country code is not found.

    :raises UnsearchableError: the text has more than 5,000 digits.
    """
    plain = _plain(text)
    yield from (Identifier(Kind.WA_ID, pseudonym) for pseudonym in PSEUDONYM.findall(plain))
    for found in ID.findall(plain):
        yield from identifiers_in_contact_id(found)
    numbers: set[str] = set()
    searched = 0
    for version in {plain, plain.replace(TRUNK_PREFIX, "")}:
        for run in DIGIT_RUN.findall(version):
            digits = "".join(str(int(sign)) for sign in run if sign.isdecimal())
            searched += len(digits)
            if searched > 2 * MAX_SEARCHED_DIGITS:
                raise UnsearchableError
            numbers.update(_numbers_in(digits))
    yield from (Identifier(Kind.WA_ID, number) for number in numbers)


def identifiers_in_contact_id(contact_id: str) -> Iterator[Identifier]:
    """
    Yield the identifiers that a system's own ID of a contact is made of, for example a number and a domain.

    Digits alone are no more than the system's own count.
    """
    if not has_identifiers(contact_id):
        return
    text = contact_id.removeprefix(SCHEME)
    if group := read_group(text):
        yield group
        if creator := group_creator(group):
            yield creator
    for kind, value in ids_by_kind(text)._asdict().items():
        if value:
            yield Identifier(Kind(kind), value)


def has_identifiers(contact_id: str) -> bool:
    """
    Return whether a contact's ID may be made of identifiers. Most are numbers or UUIDs.

    Of the identifiers, only the old form of groups has a hyphen, and it has a domain.
    """
    return "@" in contact_id or not ("-" in contact_id or contact_id.isalnum())


class Mentions:
    """Finds texts that mention one of some identifiers. It finds what :func:`find_identifiers` does, and is faster."""

    def __init__(self, identifiers: Iterable[Identifier]) -> None:
        self._wanted = frozenset(one.as_wa_id() for one in identifiers)
        self._locals = [one.value.partition("@")[0].encode(errors="surrogatepass") for one in self._wanted]
        self._numbers = [one.value.encode() for one in self._wanted if one.value.isdecimal()]

    def found_in(self, text: bytes | str) -> bool:
        """Return whether a text mentions one of the identifiers; also if it has too many digits for a search."""
        if not self._wanted or (len(self._wanted) <= FEW and not self._is_possible(text)):
            return False
        try:
            return not self._wanted.isdisjoint(find_identifiers(text))
        except UnsearchableError:
            return True

    def _is_possible(self, text: bytes | str) -> bool:
        data = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
        digits = data.translate(None, NOT_DIGITS)
        if len(digits) > MAX_SEARCHED_DIGITS or any(number in digits for number in self._numbers):
            return True
        if b"\\u" in data or TRUNK_PREFIX.encode() in data or any(local in data for local in self._locals):
            return True
        return not data.isascii() and OTHER_DIGIT.search(data.decode(errors="replace")) is not None


def _numbers_in(digits: str) -> Iterator[str]:
    for length in range(MIN_DIGITS, min(MAX_DIGITS, len(digits)) + 1):
        yield from (digits[start : start + length] for start in range(len(digits) - length + 1))


def _plain(text: bytes | str) -> str:
    plain = text if isinstance(text, str) else text.decode(errors="replace")
    return JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)), plain)
