"""
The suppression list: keyed hashes of people who were erased, and of their contacts.

A person is a WhatsApp id or an international number, as digits; both have one hash. If there is a secret for
pseudonyms, the hash is computed over the pseudonym. Then rows with digits and rows with their pseudonym both match.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple, Protocol, TypeVar

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import PSEUDONYM_PATTERN, is_pseudonym, pseudonymize

__all__ = ["NO_SUPPRESSIONS", "Contact", "SuppressionKey", "SuppressionList", "read_person"]

#: Of a number with its country code.
MIN_DIGITS, MAX_DIGITS = 7, 15
WA_ID = re.compile(r"(?P<local>.*?)(?:@(?:c\.us|s\.whatsapp\.net))?", re.DOTALL)
#: The contact ids of some contacts without a WhatsApp id are digits with this suffix.
USER_SUFFIX = "@s.whatsapp.net"
PHONE_NUMBER = re.compile(r"[\s\u200e\u200f\u202a-\u202e]*\+?[\d\s().\-\u2010-\u2015\u200e\u200f\u202a-\u202e]+")
JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
#: Digits with at most three separators between two of them, including invisible ones.
DIGIT_RUN = re.compile(r"\d(?:[\s().\-/\u2010-\u2015\u2212\u200b-\u200f\u202a-\u202e\u2066-\u2069]{0,3}\d)+")
#: As in +44 (0)1234: not dialed from abroad.
TRUNK_PREFIX = "(0)"
PSEUDONYM = re.compile(rf"{PSEUDONYM_PATTERN}(?![0-9a-f])")


class HasContactIds(Protocol):
    """A contact's row: of it, only these fields are compared with the list."""

    @property
    def contact_id(self) -> str:
        """The system's own key."""

    @property
    def wa_id(self) -> str | None:
        """Digits, or a pseudonym; ``None`` if the system gave none."""


class HasBody(Protocol):
    """A reject: only its body is searched."""

    @property
    def body(self) -> bytes:
        """The row as received."""


RowT = TypeVar("RowT", bound=HasContactIds)
RejectT = TypeVar("RejectT", bound=HasBody)


class Contact(NamedTuple):
    """The key of a contact in tables and files."""

    source: str
    account: str
    contact_id: str


def read_person(value: object) -> str:
    """
    Read a WhatsApp id or an international number, with or without a plus sign.

    :param value: a string, an integer, or an integral float of a spreadsheet.
    :returns: digits; a pseudonym unchanged.
    :raises ValueError: it is neither. The message does not contain it.
    """
    text = f"{value:.0f}" if isinstance(value, (float, Decimal)) and value == value // 1 else str(value).strip()
    found = WA_ID.fullmatch(text)
    local = found["local"] if found else ""
    if is_pseudonym(local):
        return local
    digits = _digits(local.replace(TRUNK_PREFIX, ""))
    if not PHONE_NUMBER.fullmatch(local) or not MIN_DIGITS <= len(digits) <= MAX_DIGITS or digits.startswith("0"):
        raise ValueError("neither a WhatsApp id nor an international number")
    return digits


class SuppressionKey:
    """
    The key of the hashes in a suppression list.

    :param key: secret; anybody who has it can find a number by trying all of them.
    :param secret: of pseudonyms; ``None`` if there is none.
    :ivar key_id: 32 hexadecimal digits that differ between keys and reveal nothing of them.
    """

    def __init__(self, key: bytes, secret: bytes | None = None) -> None:
        derived = blake2b(key, digest_size=32, person=b"wacontacts erase").digest()
        self._hashers = {
            kind: blake2b(key=derived, digest_size=16, person=kind) for kind in (b"key", b"person", b"contact")
        }
        self._secret = secret
        self.key_id = self._hash(b"key", "").hex()

    @classmethod
    def from_secret(cls, secret: bytes) -> SuppressionKey:
        """Derive a key from the secret of pseudonyms."""
        return cls(secret, secret)

    def hash_person(self, person: str) -> bytes:
        """Return 16 bytes: the hash of digits, and the same of their pseudonym."""
        return self._hash(b"person", self.pseudonymize(person) or person)

    def hash_contact(self, contact: Contact) -> bytes:
        """Return 16 bytes: the hash of a contact."""
        return self._hash(b"contact", "\0".join(contact))

    def pseudonymize(self, person: str) -> str | None:
        """Return the pseudonym of digits; ``None`` without a secret, or if it is a pseudonym already."""
        if self._secret is None or is_pseudonym(person):
            return None
        return pseudonymize(Identifier(Kind.WA_ID, person), self._secret)

    def _hash(self, kind: bytes, text: str) -> bytes:
        hasher = self._hashers[kind].copy()
        hasher.update(text.encode(errors="surrogatepass"))
        return hasher.digest()


class SuppressionList:
    """
    The people and contacts that were erased.

    :param hashes: by the key that made them.
    """

    def __init__(self, hashes: Mapping[SuppressionKey, Collection[bytes]]) -> None:
        self._hashes = [(key, frozenset(known)) for key, known in hashes.items() if known]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def has_person(self, person: str | None) -> bool:
        """Tell whether the person with these digits or this pseudonym was erased."""
        return person is not None and any(key.hash_person(person) in known for key, known in self._hashes)

    def has_contact(self, contact: Contact) -> bool:
        """Tell whether the contact was erased."""
        return any(key.hash_contact(contact) in known for key, known in self._hashes)

    def has_record(self, source: str, account: str, record: HasContactIds) -> bool:
        """Tell whether a row belongs to a person or contact that was erased."""
        contact_id = record.contact_id
        if self.has_person(record.wa_id) or self.has_contact(Contact(source, account, contact_id)):
            return True
        return "@" in contact_id and self.has_person(contact_id.removesuffix(USER_SUFFIX))

    def found_in(self, text: bytes | str) -> bool:
        """
        Tell whether a text contains the digits or the pseudonym of a person who was erased.

        Escapes of JSON are decoded first. Spaces, brackets, dots, dashes and slashes between digits are ignored, and
        digits before and after may belong to the text: in doubt, the answer is yes. A number without its country code
        is not found.
        """
        return bool(self._hashes) and any(map(self.has_person, _candidates(text)))

    def remove_suppressed(self, source: str, account: str, records: Iterable[RowT]) -> list[RowT]:
        """Return the records that :meth:`has_record` does not match."""
        return [row for row in records if not self.has_record(source, account, row)] if self._hashes else list(records)

    def remove_suppressed_rejects(self, rejects: Iterable[RejectT]) -> list[RejectT]:
        """Return the rejects in which :meth:`found_in` finds no person."""
        return [reject for reject in rejects if not self.found_in(reject.body)]


NO_SUPPRESSIONS = SuppressionList({})


def _candidates(text: bytes | str) -> Iterator[str]:
    """Yield every substring that could be a number or a pseudonym."""
    plain = text if isinstance(text, str) else text.decode(errors="replace")
    plain = JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)), plain)
    yield from PSEUDONYM.findall(plain)
    for version in {plain, plain.replace(TRUNK_PREFIX, "")}:
        for run in DIGIT_RUN.findall(version):
            digits = _digits(run)
            for length in range(MIN_DIGITS, min(MAX_DIGITS, len(digits)) + 1):
                yield from (digits[start : start + length] for start in range(len(digits) - length + 1))


def _digits(text: str) -> str:
    """Return the digits of a text, of any script, as ASCII."""
    return "".join(str(int(sign)) for sign in text if sign.isdecimal())
