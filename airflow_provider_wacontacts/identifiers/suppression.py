"""
The suppression list: keyed hashes of the identifiers of people who were erased, and of their contacts.

A number and the WhatsApp ID with the same digits have one hash. If there is a secret for pseudonyms, the hash is
computed over the pseudonym. Then rows in clear and rows with pseudonyms both match.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple, Protocol, TypeVar

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.mentions import (
    UnsearchableError,
    find_identifiers,
    identifiers_in_contact_id,
)
from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymize
from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind

__all__ = ["NO_SUPPRESSIONS", "Contact", "SuppressionKey", "SuppressionList"]

KINDS = (Kind.WA_ID, Kind.LID, Kind.USER_ID, Kind.GROUP, Kind.CONTACT)


class HasContactIds(Protocol):
    """A contact's row: of it, only these fields are compared with the list."""

    @property
    def contact_id(self) -> str:
        """The system's own key."""

    @property
    def ids(self) -> IdsByKind:
        """The identifiers that the system gave, or their pseudonyms."""


class Contact(NamedTuple):
    """The key of a contact in tables and files."""

    source: str
    account: str
    contact_id: str


class IsReject(Protocol):
    """A row that was rejected; its body is searched."""

    @property
    def body(self) -> bytes:
        """The row as received."""

    def _replace(self, *, body: bytes) -> IsReject:
        """Return it with another body."""


RowT = TypeVar("RowT", bound=HasContactIds)
RejectT = TypeVar("RejectT", bound=IsReject)


class SuppressionKey:
    """
    The key of the hashes in a suppression list.

    :param key: secret; anybody who has it can find a number by trying all of them.
    :param secret: of pseudonyms; ``None`` if there is none.
    :ivar key_id: 32 hexadecimal digits that differ between keys and reveal nothing of them.
    """

    def __init__(self, key: bytes, secret: bytes | None = None) -> None:
        derived = blake2b(key, digest_size=32, person=b"wacontacts erase").digest()
        labels = ("key", "account contact", *KINDS)
        self._hashers = {label: blake2b(key=derived, digest_size=16, person=label.encode()) for label in labels}
        self._secret = secret
        self.key_id = self._hash("key", "").hex()

    @classmethod
    def from_secret(cls, secret: bytes) -> SuppressionKey:
        """Derive a key from the secret of pseudonyms."""
        return cls(secret, secret)

    def hash(self, identifier: Identifier) -> bytes:
        """Return 16 bytes: the hash of an identifier, and the same of its pseudonym."""
        kind, value = identifier.as_wa_id().kind, identifier.key
        if self._secret is not None and kind is not Kind.CONTACT:
            value = pseudonymize(identifier, self._secret)
        return self._hash(kind, value)

    def hash_contact(self, contact: Contact) -> bytes:
        """Return 16 bytes: the hash of a contact."""
        return self._hash("account contact", "\0".join(contact))

    def _hash(self, label: str, text: str) -> bytes:
        hasher = self._hashers[label].copy()
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

    def plus(
        self, identifiers: Iterable[Identifier], contacts: Iterable[Contact], secret: bytes | None
    ) -> SuppressionList:
        """Return a list with further people and contacts, which is not stored."""
        key = SuppressionKey(b"not kept", secret)
        hashes = {*map(key.hash, identifiers), *map(key.hash_contact, contacts)}
        return SuppressionList({**dict(self._hashes), key: hashes})

    def has(self, identifier: Identifier) -> bool:
        """Return whether the person with this identifier was erased."""
        return any(key.hash(identifier) in known for key, known in self._hashes)

    def has_contact(self, contact: Contact) -> bool:
        """Return whether the contact was erased, by its own ID or by its feed's, account's and its own."""
        of_any_account = Identifier(Kind.CONTACT, contact.contact_id)
        return any(key.hash_contact(contact) in known for key, known in self._hashes) or self.has(of_any_account)

    def has_ids(self, ids: IdsByKind) -> bool:
        """Return whether the person with one of these identifiers was erased."""
        return any(self.has(Identifier(Kind(kind), value)) for kind, value in ids._asdict().items() if value)

    def has_record(self, source: str, account: str, record: HasContactIds) -> bool:
        """Return whether a row belongs to a person or contact that was erased."""
        contact_id = record.contact_id
        if self.has_ids(record.ids) or self.has_contact(Contact(source, account, contact_id)):
            return True
        return any(map(self.has, identifiers_in_contact_id(contact_id)))

    def found_in(self, text: bytes | str) -> bool:
        """
        Return whether a text mentions a person who was erased; see :func:`.find_identifiers`.

        In doubt the answer is yes, also for a text with too many digits to be searched.
        """
        try:
            return bool(self._hashes) and any(map(self.has, find_identifiers(text)))
        except UnsearchableError:
            return True

    def remove_suppressed(self, source: str, account: str, records: Iterable[RowT]) -> list[RowT]:
        """Return the records that :meth:`has_record` does not match."""
        return [row for row in records if not self.has_record(source, account, row)] if self._hashes else list(records)

    def remove_suppressed_rejects(self, rejects: Iterable[RejectT]) -> list[RejectT]:
        """Return the rejects that mention no person. One that cannot be searched loses its body."""
        return [kept for reject in rejects if (kept := self._searched(reject)) is not None]

    def _searched(self, reject: RejectT) -> RejectT | None:
        try:
            is_theirs = bool(self._hashes) and any(map(self.has, find_identifiers(reject.body)))
        except UnsearchableError:
            return reject._replace(body=b"")  # type: ignore[return-value]
        return None if is_theirs else reject


NO_SUPPRESSIONS = SuppressionList({})
