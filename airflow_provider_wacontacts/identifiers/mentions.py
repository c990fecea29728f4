"""
Find identifiers in unparsed text, for example in rejected rows, rejected inputs and callers' keys.

If in doubt, text counts as an identifier: digits around a number may belong to other text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import PSEUDONYM_PATTERN
from airflow_provider_wacontacts.identifiers.whatsapp_ids import group_creator, ids_by_kind, read_group

__all__ = ["Mentions", "UnsearchableError", "find_identifiers", "has_identifiers", "identifiers_in_contact_id"]

#: Digits of a number with its country code.
MIN_DIGITS, MAX_DIGITS = 7, 15
#: Texts with more digits are not searched: each digit starts nine possible numbers, which take a few microseconds.
MAX_SEARCHED_DIGITS = 5_000
#: Up to this number, identifiers are searched one by one; otherwise by a set.
FEW = 100
JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
#: Digits with at most three separators between two of them, including invisible ones.
DIGIT_RUN = re.compile(r"\d(?:[\s().\-/\u2010-\u2015\u2212\u200b-\u200f\u202a-\u202e\u2066-\u2069]{0,3}\d)+")
#: The trunk prefix in +44 (0)1234, which is not dialed from abroad.
TRUNK_PREFIX = "(0)"
PSEUDONYM = re.compile(rf"{PSEUDONYM_PATTERN}(?![0-9a-f])")
#: IDs with a domain, and business-scoped user IDs, between other characters.
ID = re.compile(r"[0-9A-Za-z_.:+-]{1,200}@[A-Za-z_.]{3,14}|(?<![0-9A-Za-z])[A-Z]{2}\.[0-9A-Za-z.]{1,140}")
OTHER_DIGIT = re.compile(r"(?![0-9])\d")
NOT_DIGITS = bytes(sign for sign in range(256) if not 0x30 <= sign <= 0x39)
SCHEME = "whatsapp:"


class UnsearchableError(ValueError):
    """A text has too many digits to be searched for numbers."""


def find_identifiers(text: bytes | str) -> Iterator[Identifier]:
    """
    Yield everything in a text that could be an identifier, even inside other text.

    JSON escapes are decoded first. Spaces, brackets, dots, dashes and slashes between digits are ignored. A number
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
    Yield the identifiers in a system's own ID of a contact, for example a number with a domain.

    An ID of digits only is the system's own numbering.
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
    Return whether a contact's ID may contain identifiers. Most IDs are numbers or UUIDs.

    The only identifiers with a hyphen are IDs of groups in the old form, which have a domain.
    """
    return "@" in contact_id or not ("-" in contact_id or contact_id.isalnum())


class Mentions:
    """Finds texts that mention given identifiers. It finds the same as :func:`find_identifiers`, but faster."""

    def __init__(self, identifiers: Iterable[Identifier]) -> None:
        self._wanted = frozenset(one.as_wa_id() for one in identifiers)
        self._locals = [one.value.partition("@")[0].encode(errors="surrogatepass") for one in self._wanted]
        self._numbers = [one.value.encode() for one in self._wanted if one.value.isdecimal()]

    def found_in(self, text: bytes | str) -> bool:
        """Return whether a text mentions one of the identifiers, or has too many digits to be searched."""
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
