"""What a store's tables would hold, out of files: every state that was seen, and the newest of each contact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, TypeAlias

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.files.layout import ObjectPath
from airflow_provider_wacontacts.files.reader import StoredContact, read_contacts

__all__ = ["Version", "current", "merge_versions", "versions"]

#: Feeds whose contacts have no time of their own.
SNAPSHOTS = frozenset({"green_api"})
Key: TypeAlias = tuple[str, str, str, datetime, bytes]


class Version(NamedTuple):
    """
    One state of a contact, as a row of ``wacontacts_version`` has it.

    :param first_seen_at: time of the first extraction that brought it; ``last_seen_at`` is that of the last one.
    :param repaired: any extraction had to replace text in it.
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

    @property
    def contact(self) -> tuple[str, str, str]:
        """Whose state it is."""
        return self[:3]

    @property
    def key(self) -> Key:
        """What makes it a version of its own."""
        return self[:5]


def merge_versions(contacts: Iterable[StoredContact]) -> Iterator[Version]:
    """
    Bring contacts, in any order and any number of times, together into versions, in the order of their keys.

    All versions are held in memory.

    :raises LandingError: contacts of a feed without time, whose history is made by comparing snapshots in a store.
    """
    seen: dict[Key, Version] = {}
    for contact in contacts:
        if contact.source in SNAPSHOTS:
            raise LandingError(
                f"files of {contact.source} are snapshots, which tell no history by themselves: land them in a store"
                " with ContactFilesToSqlOperator, or name another source"
            )
        version = _version_of(contact)
        known = seen.get(version.key)
        seen[version.key] = version if known is None else _widened(known, version)
    return iter(sorted(seen.values(), key=lambda version: version.key))


def versions(path: ObjectPath, *, source: str | None = None, account: str | None = None) -> Iterator[Version]:
    """
    Yield what ``wacontacts_version`` would hold, in the order of its key.

    :raises LandingError: as :func:`~airflow_provider_wacontacts.files.read_contacts` does.
    """
    return merge_versions(read_contacts(path, source=source, account=account))


def current(path: ObjectPath, *, source: str | None = None, account: str | None = None) -> Iterator[Version]:
    """
    Yield what ``wacontacts_current`` would hold, in the order of its key.

    That is, of each contact, the version that is the greatest by ``(updated_at, last_seen_at, row_hash)``.

    :raises LandingError: as :func:`~airflow_provider_wacontacts.files.read_contacts` does.
    """
    newest: dict[tuple[str, str, str], Version] = {}
    for version in versions(path, source=source, account=account):
        newest[version.contact] = max(newest.get(version.contact, version), version, key=_age)
    return iter(newest.values())


def _version_of(contact: StoredContact) -> Version:
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
    )


def _widened(known: Version, again: Version) -> Version:
    return known._replace(
        first_seen_at=min(known.first_seen_at, again.first_seen_at),
        last_seen_at=max(known.last_seen_at, again.last_seen_at),
        repaired=known.repaired or again.repaired,
    )


def _age(version: Version) -> tuple[datetime, datetime, bytes]:
    return version.updated_at, version.last_seen_at, version.row_hash
