"""Merge contacts in files into versions, like the tables of a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, TypeAlias

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.files.layout import ObjectPath
from airflow_provider_wacontacts.files.reader import StoredContact, read_contacts

__all__ = ["Version", "current", "merge_versions", "versions"]

#: Feeds of contacts without ``updated_at``.
SNAPSHOT_SOURCES = frozenset({"green_api"})
Key: TypeAlias = tuple[str, str, str, datetime, bytes]


class Version(NamedTuple):
    """
    One version of a contact, like a row of ``wacontacts_version``.

    :param first_seen_at: time of the first extraction that contains it, like ``last_seen_at`` of the last.
    :param repaired: whether text in it was replaced by U+FFFD in any extraction.
    :param payload: canonical JSON, UTF-8.
    """

    source: str
    account: str
    contact_id: str
    updated_at: datetime
    row_hash: bytes
    state: str
    first_seen_at: datetime
    last_seen_at: datetime
    wa_id: str | None
    repaired: bool
    payload: bytes
    lid: str | None = None
    user_id: str | None = None

    @property
    def contact(self) -> tuple[str, str, str]:
        """Source, account and contact id."""
        return self[:3]

    @property
    def key(self) -> Key:
        """Contact, ``updated_at`` and content hash, which identify a version."""
        return self[:5]


def merge_versions(contacts: Iterable[StoredContact]) -> Iterator[Version]:
    """
    Merge contacts into versions, sorted by key. It is order-independent and idempotent.

    All versions are held in memory.

    :raises LandingError: the contacts are of a snapshot, which has no history without a store.
    """
    seen: dict[Key, Version] = {}
    for contact in contacts:
        if contact.source in SNAPSHOT_SOURCES:
            raise LandingError(
                f"Files of {contact.source} are snapshots, which have no change history. Load them into a store"
                " with ContactFilesToSqlOperator, or choose another source."
            )
        version = _version(contact)
        known = seen.get(version.key)
        seen[version.key] = version if known is None else _widen(known, version)
    return iter(sorted(seen.values(), key=lambda version: version.key))


def versions(path: ObjectPath, *, source: str | None = None, account: str | None = None) -> Iterator[Version]:
    """
    Yield the rows of ``wacontacts_version``, sorted by key.

    :raises LandingError: see :func:`~airflow_provider_wacontacts.files.read_contacts`.
    """
    return merge_versions(read_contacts(path, source=source, account=account))


def current(path: ObjectPath, *, source: str | None = None, account: str | None = None) -> Iterator[Version]:
    """
    Yield the rows of ``wacontacts_current``, sorted by key.

    These are the latest versions of the contacts: the greatest by ``(updated_at, last_seen_at, row_hash)``.

    :raises LandingError: see :func:`~airflow_provider_wacontacts.files.read_contacts`.
    """
    newest: dict[tuple[str, str, str], Version] = {}
    for version in versions(path, source=source, account=account):
        newest[version.contact] = max(newest.get(version.contact, version), version, key=_recency)
    return iter(newest.values())


def _version(contact: StoredContact) -> Version:
    record, seen_at = contact.record, contact.extracted_at
    return Version(
        source=contact.source,
        account=contact.account,
        contact_id=record.contact_id,
        updated_at=record.updated_at,
        row_hash=record.row_hash,
        state=record.state,
        first_seen_at=seen_at,
        last_seen_at=seen_at,
        wa_id=record.wa_id,
        repaired=record.repaired,
        payload=record.payload,
        lid=record.lid,
        user_id=record.user_id,
    )


def _widen(known: Version, other: Version) -> Version:
    return known._replace(
        first_seen_at=min(known.first_seen_at, other.first_seen_at),
        last_seen_at=max(known.last_seen_at, other.last_seen_at),
        repaired=known.repaired or other.repaired,
    )


def _recency(version: Version) -> tuple[datetime, datetime, bytes]:
    return version.updated_at, version.last_seen_at, version.row_hash
