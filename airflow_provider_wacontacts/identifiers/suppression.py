"""
Who was erased, without saying who: keyed hashes of people and of their contacts, and the means to tell them again.

A person is a WhatsApp id or an international number, digits; of both of the same digits there is one hash. Where there
is a secret for pseudonyms, the hash is over the pseudonym, so that a person is told whether a row has digits or the
pseudonym of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple, Protocol, TypeVar

from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymize
from airflow_provider_wacontacts.identifiers.wa_ids import is_pseudonym

__all__ = ["NO_SUPPRESSIONS", "Contact", "SuppressionKey", "SuppressionList", "read_person"]

T = TypeVar("T")

#: Digits of a number with its country code.
FEWEST, MOST = 7, 15
USER = re.compile(r"(?P<who>.*?)(?:@(?:c\.us|s\.whatsapp\.net))?", re.DOTALL)
#: Stands behind the digits of some contacts that have no WhatsApp id of their own.
OTHER_SERVER = "@s.whatsapp.net"
DIALLED = re.compile(r"[\s\u200e\u200f\u202a-\u202e]*\+?[\d\s().\-\u2010-\u2015\u200e\u200f\u202a-\u202e]+")
ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
#: A number in whatever way people write it: digits with at most three signs in between, invisible ones among them.
RUN = re.compile(r"\d(?:[\s().\-/\u2010-\u2015\u2212\u200b-\u200f\u202a-\u202e\u2066-\u2069]{0,3}\d)+")
#: As in +44 (0)1234, where it is not dialled from abroad.
TRUNK_ZERO = "(0)"
PSEUDONYM = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class Row(Protocol):
    """What a contact's row is told by, whatever else is read of it."""

    @property
    def contact_id(self) -> str:
        """The system's own key."""

    @property
    def wa_id(self) -> str | None:
        """Digits, or a pseudonym; ``None`` where the system gave none."""


class Rejected(Protocol):
    """Something that cannot be kept as a contact; only its text is looked at."""

    @property
    def body(self) -> bytes:
        """What came, as bytes."""


RowT = TypeVar("RowT", bound=Row)
RejectT = TypeVar("RejectT", bound=Rejected)


class Contact(NamedTuple):
    """A contact, as the tables and the manifests name it."""

    source: str
    account: str
    contact_id: str


def read_person(value: object) -> str:
    """
    Read a WhatsApp id or an international number, with or without a plus sign.

    :returns: digits; a pseudonym as it is.
    :raises ValueError: it is none; it is not in the message.
    """
    text = f"{value:.0f}" if isinstance(value, (float, Decimal)) and value == value // 1 else str(value).strip()
    found = USER.fullmatch(text)
    who = found["who"] if found else ""
    if is_pseudonym(who):
        return who
    digits = _digits(who.replace(TRUNK_ZERO, ""))
    if not DIALLED.fullmatch(who) or not FEWEST <= len(digits) <= MOST or digits.startswith("0"):
        raise ValueError("neither a WhatsApp id nor an international number")
    return digits


class SuppressionKey:
    """
    What people are hashed with.

    :param key: whoever has it can find a number by trying all of them.
    :param secret: that of pseudonyms; ``None`` where there is none.
    :ivar key_id: tells keys apart, and nothing about them.
    """

    def __init__(self, key: bytes, secret: bytes | None = None) -> None:
        own = blake2b(key, digest_size=32, person=b"wacontacts erase").digest()
        self._begun = {kind: blake2b(key=own, digest_size=16, person=kind) for kind in (b"key", b"person", b"contact")}
        self._secret = secret
        self.key_id = self._hash(b"key", "").hex()

    @classmethod
    def from_secret(cls, secret: bytes) -> SuppressionKey:
        """Make a key of the secret for pseudonyms."""
        return cls(secret, secret)

    def hash_person(self, person: str) -> bytes:
        """Return the hash of digits, or of a pseudonym: the same where it is theirs."""
        return self._hash(b"person", self.pseudonymize(person) or person)

    def hash_contact(self, contact: Contact) -> bytes:
        """Return the hash of a contact, which stands for whoever it ever was."""
        return self._hash(b"contact", "\0".join(contact))

    def pseudonymize(self, person: str) -> str | None:
        """Return what stands for digits in pseudonymised rows; ``None`` where nothing does, or it is one already."""
        if self._secret is None or is_pseudonym(person):
            return None
        return pseudonymize(person, self._secret)

    def _hash(self, kind: bytes, text: str) -> bytes:
        hashing = self._begun[kind].copy()
        hashing.update(text.encode(errors="surrogatepass"))
        return hashing.digest()


class SuppressionList:
    """
    All who were erased.

    :param hashes: by the key they were made with.
    """

    def __init__(self, hashes: Mapping[SuppressionKey, Collection[bytes]]) -> None:
        self._hashes = [(key, frozenset(known)) for key, known in hashes.items() if known]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def has_person(self, person: str | None) -> bool:
        """Tell whether digits, or a pseudonym, are of somebody who was erased."""
        return person is not None and any(key.hash_person(person) in known for key, known in self._hashes)

    def has_contact(self, contact: Contact) -> bool:
        """Tell whether a contact was of somebody who was erased."""
        return any(key.hash_contact(contact) in known for key, known in self._hashes)

    def has_record(self, source: str, account: str, record: Row) -> bool:
        """Tell whether a row of a contact is of somebody who was erased."""
        name = record.contact_id
        if self.has_person(record.wa_id) or self.has_contact(Contact(source, account, name)):
            return True
        return "@" in name and self.has_person(name.removesuffix(OTHER_SERVER))

    def found_in(self, text: bytes | str) -> bool:
        """
        Tell whether somebody who was erased is named in a text, by digits or by pseudonym.

        JSON's escapes are read first. Blanks, brackets, dots, dashes and slashes between digits do not matter, nor what
        digits stand before and after: in doubt somebody is named. A number without its country code is not found.
        """
        return bool(self._hashes) and any(map(self.has_person, _people_in(text)))

    def remove_suppressed(self, source: str, account: str, records: Iterable[RowT]) -> list[RowT]:
        """Return the contacts of those who were not erased."""
        return list(self._kept(lambda record: self.has_record(source, account, record), records))

    def remove_suppressed_rejects(self, rejects: Iterable[RejectT]) -> list[RejectT]:
        """Return the rejects in which nobody is named who was erased."""
        return list(self._kept(lambda reject: self.found_in(reject.body), rejects))

    def _kept(self, is_erased: Callable[[T], bool], found: Iterable[T]) -> Iterable[T]:
        return (one for one in found if not is_erased(one)) if self._hashes else found


NO_SUPPRESSIONS = SuppressionList({})


def _people_in(text: bytes | str) -> Iterator[str]:
    """Yield every stretch of a text that could be a number, or a pseudonym."""
    plain = text if isinstance(text, str) else text.decode(errors="replace")
    plain = ESCAPED.sub(lambda match: chr(int(match[1], 16)), plain)
    yield from PSEUDONYM.findall(plain)
    for version in {plain, plain.replace(TRUNK_ZERO, "")}:
        for run in RUN.findall(version):
            digits = _digits(run)
            for length in range(FEWEST, min(MOST, len(digits)) + 1):
                yield from (digits[start : start + length] for start in range(len(digits) - length + 1))


def _digits(text: str) -> str:
    """Return the digits of a text, of whatever script, as ASCII."""
    return "".join(str(int(sign)) for sign in text if sign.isdecimal())
