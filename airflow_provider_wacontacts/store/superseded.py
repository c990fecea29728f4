"""
Find and delete versions that were superseded before an account's purge limit.

A purge stores its limit with the account, as ``versions_purged_before``. From then on, a version whose validity ended
before the limit is not kept when it arrives again, from a backfill or a file. The current version of a contact is
always kept, whatever its age.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.engine import CursorResult

from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.rules import VALID_TO

__all__ = ["SUPERSEDED", "DeletedVersions", "delete_superseded", "without_purged"]

#: Whether version ``v`` was superseded before a time, according to ``wacontacts_history``.
SUPERSEDED = f"""
    v.updated_at <= :before AND {VALID_TO} <= :before AND NOT EXISTS (
        SELECT 1 FROM {{at}}wacontacts_contact_current c
        WHERE c.account_id = v.account_id AND c.contact_id = v.contact_id AND c.version_id = v.version_id
    )
"""
GIVEN = "v.account_id = :account_id AND v.version_id IN (SELECT given.version_id FROM {given})"
#: Versions that a sync is writing are left for the next purge. A locked version cannot become current.
LOCK = f"SELECT v.version_id FROM {{at}}wacontacts_contact_version v WHERE {GIVEN} FOR UPDATE SKIP LOCKED"
FOUND = f"""
SELECT v.version_id, p.user_id, p.lid FROM {{at}}wacontacts_contact_version v
LEFT JOIN {{at}}wacontacts_contact_payload p ON p.account_id = v.account_id AND p.version_id = v.version_id
WHERE {GIVEN} AND {SUPERSEDED}
"""
DELETE_PAYLOADS = f"DELETE FROM {{at}}wacontacts_contact_payload AS v WHERE {GIVEN}"
DELETE_VERSIONS = f"DELETE FROM {{at}}wacontacts_contact_version AS v WHERE {GIVEN}"
LIMIT = "SELECT versions_purged_before FROM {at}wacontacts_account WHERE account_id = :account_id"


class DeletedVersions(NamedTuple):
    """Deleted versions, and the identifiers that they linked to a WhatsApp ID."""

    version_ids: list[int]
    user_ids: set[str]
    lids: set[str]


def delete_superseded(db: Database, account_id: int, version_ids: Iterable[int], before: datetime) -> DeletedVersions:
    """Delete the given versions that were superseded before a time, except locked ones."""
    ids = list(version_ids)
    if not db.is_sqlite:
        ids = [version_id for (version_id,) in _execute(db, LOCK, account_id, ids)]
    found = _execute(db, FOUND, account_id, ids, before=before).all()
    deleted = [row.version_id for row in found]
    for sql in (DELETE_PAYLOADS, DELETE_VERSIONS):
        _execute(db, sql, account_id, deleted)
    return DeletedVersions(deleted, {row.user_id for row in found} - {None}, {row.lid for row in found} - {None})


def without_purged(db: Database, account_id: int, new: Mapping[int, str]) -> Mapping[int, str]:
    """
    Delete new versions that a purge of the account would have deleted; return the others.

    Call it while the writer lock is held: a purge stores its limit, and waits for such transactions.

    :param new: versions by ID, with their kind of change.
    """
    late = [version_id for version_id, kind in new.items() if kind == "late"]
    before = db.execute(LIMIT, times=["versions_purged_before"], account_id=account_id).scalar() if late else None
    if before is None:
        return new
    purged = {*delete_superseded(db, account_id, late, before).version_ids}
    return {version_id: kind for version_id, kind in new.items() if version_id not in purged}


def _execute(db: Database, sql: str, account_id: int, version_ids: Iterable[int], **values: Any) -> CursorResult[Any]:
    rows = [{"version_id": version_id} for version_id in version_ids]
    return db.execute(sql.replace("{given}", db.given(version_id="bigint")), rows=rows, account_id=account_id, **values)
