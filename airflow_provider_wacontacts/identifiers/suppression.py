"""
The suppression list: keyed hashes of erased people's identifiers and contacts.

A number and the WhatsApp ID with the same digits have one hash. If there is a secret for pseudonyms, the hash is
computed over the pseudonym. So rows with and without pseudonyms match.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import filterfalse
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.mentions import (
    UnsearchableError,
    find_identifiers,
    has_identifiers,
    identifiers_in_contact_id,
)
from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymizer, validate_secret
from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind

__all__ = ["NO_SUPPRESSIONS", "Contact", "Named", "SuppressionKey", "SuppressionList"]

HASH_BYTES = 16
KINDS = (Kind.WA_ID, Kind.LID, Kind.USER_ID, Kind.GROUP, Kind.CONTACT)


class ContactRow(Protocol):
    """A contact's row. Only these fields are compared with the list."""

    @property
    def contact_id(self) -> str:
        """The system's own key."""

    @property
    def ids(self) -> IdsByKind:
        """The identifiers from the system, or their pseudonyms."""


class Contact(NamedTuple):
    """The key of a contact in tables and files."""

    source: str
    account: str
    contact_id: str


#: The values that are hashed in the suppression list.
Named: TypeAlias = Identifier | Contact


class RejectedRow(Protocol):
    """A rejected row. Its body is searched."""

    @property
    def body(self) -> bytes:
        """The row as received."""

    def _replace(self, *, body: bytes) -> RejectedRow:
        """Return the row with another body."""


RowT = TypeVar("RowT", bound=ContactRow)
RejectT = TypeVar("RejectT", bound=RejectedRow)


class SuppressionKey:
    """
    The key of the hashes in a suppression list.

    :param key: secret: with it, numbers can be found by brute force.
    :param secret: the secret of pseudonyms; ``None`` if there is none.
    :ivar key_id: 32 hexadecimal digits that differ between keys and reveal nothing of them.
    """

    def __init__(self, key: bytes, secret: bytes | None = None) -> None:
        derived = blake2b(key, digest_size=32, person=b"wacontacts erase").digest()
        labels = ("key", "account contact", *KINDS)
        self._hashers = {label: blake2b(key=derived, digest_size=HASH_BYTES, person=label.encode()) for label in labels}
        self._secret = secret
        self.key_id = self._hash("key", "").hex()

    @classmethod
    def from_secret(cls, secret: bytes) -> SuppressionKey:
        """
        Derive a key from the secret of pseudonyms.

        :raises ConfigError: the secret is shorter than 16 bytes.
        """
        return cls(validate_secret(secret), secret)

    def hash(self, identifier: Identifier) -> bytes:
        """Return 16 bytes: the hash of an identifier. Its pseudonym has the same hash."""
        return self.hashes(identifier.as_wa_id().kind, [identifier.key])[0]

    def hashes(self, kind: str, keys: Iterable[str]) -> list[bytes]:
        """Return the hashes of the keys of identifiers of one kind, except ``number``; see :meth:`hash`."""
        if self._secret is not None and kind != Kind.CONTACT:
            keys = map(pseudonymizer(Kind(kind), self._secret), keys)
        return _hash_all(self._hashers[kind], keys)

    def hash_contact(self, contact: Contact) -> bytes:
        """Return 16 bytes: the hash of a contact."""
        hashed = self.hash(Identifier(Kind.CONTACT, contact.contact_id))
        return next(self.mask(contact.source, contact.account, [hashed]))

    def mask(self, source: str, account: str, hashes: Iterable[bytes]) -> Iterator[bytes]:
        """Convert the hashes of contacts to the hashes of their IDs, or back: the XOR with a mask for the account."""
        mask = int.from_bytes(self._hash("account contact", f"{source}\0{account}"))
        return ((int.from_bytes(digest) ^ mask).to_bytes(HASH_BYTES) for digest in hashes)

    def _hash(self, label: str, text: str) -> bytes:
        return _hash_all(self._hashers[label], [text])[0]


def _hash_all(prefix: blake2b, texts: Iterable[str]) -> list[bytes]:
    begin, digests = prefix.copy, []
    for text in texts:
        hasher = begin()
        hasher.update(text.encode("utf-8", "surrogatepass"))
        digests.append(hasher.digest())
    return digests


class SuppressionList:
    """
    Erased people and contacts.

    :param hashes: hashes by key.
    """

    def __init__(self, hashes: Mapping[SuppressionKey, Collection[bytes]]) -> None:
        self._hashes = [(key, frozenset(known)) for key, known in hashes.items() if known]
        self._contacts: dict[tuple[str, str], list[frozenset[bytes]]] = {}

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def plus(
        self, identifiers: Iterable[Identifier], contacts: Iterable[Contact], secret: bytes | None
    ) -> SuppressionList:
        """Return a list with further people and contacts. It is not stored."""
        key = SuppressionKey(b"not kept", secret)
        hashes = {*map(key.hash, identifiers), *map(key.hash_contact, contacts)}
        return SuppressionList({**dict(self._hashes), key: hashes})

    def has(self, identifier: Identifier) -> bool:
        """Return whether the person with this identifier was erased."""
        return any(key.hash(identifier) in known for key, known in self._hashes)

    def has_contact(self, contact: Contact) -> bool:
        """Return whether a contact was erased, by its ID alone or by feed, account and ID."""
        of_any_account = Identifier(Kind.CONTACT, contact.contact_id)
        return any(key.hash_contact(contact) in known for key, known in self._hashes) or self.has(of_any_account)

    def find_rows(self, source: str, account: str, rows: Sequence[ContactRow]) -> set[int]:
        """Return the indices of an account's rows that belong to erased people or contacts."""
        if not self._hashes:
            return set()
        contact_ids = [row.contact_id for row in rows]
        found = {index for index, contact_id in enumerate(contact_ids) if self._is_in_contact_id(contact_id)}
        columns = _columns([row.ids for row in rows])
        for (key, known), contacts in zip(self._hashes, self._contacts_of(source, account), strict=True):
            found |= _known_places(key.hashes(Kind.CONTACT, contact_ids), contacts)
            for kind, (places, values) in columns.items():
                found |= {places[place] for place in _known_places(key.hashes(kind, values), known)}
        return found

    def _contacts_of(self, source: str, account: str) -> list[frozenset[bytes]]:
        """Return the hashes of the IDs of an account's erased contacts, by key, among other hashes."""
        if (source, account) not in self._contacts:
            of_account = [known.union(key.mask(source, account, known)) for key, known in self._hashes]
            self._contacts[source, account] = of_account
        return self._contacts[source, account]

    def _is_in_contact_id(self, contact_id: str) -> bool:
        return has_identifiers(contact_id) and any(map(self.has, identifiers_in_contact_id(contact_id)))

    def has_record(self, source: str, account: str, record: ContactRow) -> bool:
        """Return whether a row belongs to an erased person or contact."""
        return bool(self.find_rows(source, account, [record]))

    def found_in(self, text: bytes | str) -> bool:
        """
        Return whether a text mentions an erased person; see :func:`.find_identifiers`.

        If in doubt, it returns ``True``, for example for a text with too many digits to be searched.
        """
        try:
            return bool(self._hashes) and any(map(self.has, find_identifiers(text)))
        except UnsearchableError:
            return True

    def remove_suppressed(self, source: str, account: str, records: Iterable[RowT]) -> tuple[list[RowT], set[Named]]:
        """
        Remove the records that :meth:`find_rows` finds.

        :returns: the remaining records, and identifiers and contacts in the removed ones that are not on the list.
        """
        records = list(records)
        found = self.find_rows(source, account, records)
        unlisted = set[Named]().union(*(self.unlisted(source, account, records[index]) for index in found))
        return [record for index, record in enumerate(records) if index not in found], unlisted

    def unlisted(self, source: str, account: str, record: ContactRow) -> set[Named]:
        """
        Return the identifiers and the contact of a record with an identifier on the list, if they are not on the list.

        Without such an identifier, they may be other people's: the contact's number may have changed.
        """
        contact = Contact(source, account, record.contact_id)
        ids = {Identifier(Kind(kind), value) for kind, value in record.ids._asdict().items() if value}
        if not any(map(self.has, {*ids, *identifiers_in_contact_id(record.contact_id)})):
            return set()
        return {*filterfalse(self.has, ids), *filterfalse(self.has_contact, [contact])}

    def remove_suppressed_rejects(self, rejects: Iterable[RejectT]) -> list[RejectT]:
        """Return the rejects that mention no erased person. If a reject cannot be searched, its body is cleared."""
        return [kept for reject in rejects if (kept := self._searched(reject)) is not None]

    def _searched(self, reject: RejectT) -> RejectT | None:
        try:
            is_theirs = bool(self._hashes) and any(map(self.has, find_identifiers(reject.body)))
        except UnsearchableError:
            return reject._replace(body=b"")  # type: ignore[return-value]
        return None if is_theirs else reject


def _columns(ids: Sequence[IdsByKind]) -> dict[str, tuple[Sequence[int], Sequence[str]]]:
    """Return the identifiers by kind, with the indices of their rows."""
    columns: dict[str, tuple[Sequence[int], Sequence[str]]] = {}
    for kind, values in zip(IdsByKind._fields, zip(*ids, strict=True), strict=False):
        if all(values):
            columns[kind] = range(len(values)), values
        elif places := [place for place, value in enumerate(values) if value]:
            columns[kind] = places, [values[place] for place in places]
    return columns


def _known_places(hashes: Sequence[bytes], known: frozenset[bytes]) -> set[int]:
    """Return the indices of known hashes."""
    if known.isdisjoint(hashes):
        return set()
    return {place for place, digest in enumerate(hashes) if digest in known}


NO_SUPPRESSIONS = SuppressionList({})
