"""
The change logs of versions and identities. Their IDs are in commit order, so readers can resume from the largest ID.

A transaction writes its changes last, right before it commits, under one lock that it holds until then. So a reader
that remembers the largest ID misses nothing.

Versions do not change, so their log has each write. Identities change: their log gets the current status of an identity
if it differs from the last logged one. So it does not matter which of several writers logs it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.batches import Row
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.copy_rows import change_rows, copy_into
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.locks import Locks
from airflow_provider_wacontacts.store.person_keys import refresh_contacts_of
from airflow_provider_wacontacts.store.rules import IS_PENDING

__all__ = ["Changes", "log_erased_identities", "log_identities"]

CHUNK = 5_000
INSERT_SQLITE = """
INSERT INTO wacontacts_change_log (account_id, version_id, change_kind)
SELECT :account_id, value, :change_kind FROM json_each(:version_ids)
"""

LAST_KIND = """coalesce((
    SELECT l.change_kind FROM {at}wacontacts_identity_change_log l WHERE l.identity_id = {id}
    ORDER BY l.change_id DESC LIMIT 1
), '')"""
LOG_IDENTITIES = f"""
INSERT INTO {{at}}wacontacts_identity_change_log (identity_id, change_kind)
SELECT s.identity_id, s.change_kind FROM (
    SELECT i.identity_id,
        CASE WHEN i.acknowledged THEN 'acknowledged' WHEN {IS_PENDING} THEN 'pending' ELSE 'superseded' END
            AS change_kind
    FROM {{at}}wacontacts_identity i WHERE i.sender = :sender AND i.wa_id IN (SELECT given.wa_id FROM {{given}})
) s
WHERE s.change_kind <> {LAST_KIND.replace("{id}", "s.identity_id")} ORDER BY s.identity_id
"""
LOG_ERASED_IDENTITIES = f"""
INSERT INTO {{at}}wacontacts_identity_change_log (identity_id, change_kind)
SELECT given.identity_id, 'erased' FROM {{given}}
WHERE NOT EXISTS (SELECT 1 FROM {{at}}wacontacts_identity i WHERE i.identity_id = given.identity_id)
    AND {LAST_KIND.replace("{id}", "given.identity_id")} <> 'erased'
ORDER BY given.identity_id
"""


class Changes:
    """
    The changes of one transaction to one account.

    It keeps only version IDs, 8 bytes each: a snapshot may have millions of new contacts.
    """

    def __init__(self, account_id: int) -> None:
        self._account_id = account_id
        self._versions: dict[str, array[int]] = {}
        self._linking = array("q")

    def add(self, kinds: Mapping[int, str], rows: Iterable[Row] = ()) -> None:
        """
        Add versions by id, each with its kind.

        The kind is ``new``, ``changed`` or ``returned`` for a version that became the current one, ``late`` for one
        that did not, ``gone`` for a contact that is missing, and ``erased``.

        :param rows: the versions, if a system returned them: their identifiers may change person keys.
        """
        for version_id, kind in kinds.items():
            self._versions.setdefault(kind, array("q")).append(version_id)
        self._linking.extend(
            row.version_id for row in rows if (row.record.user_id or row.record.lid) and row.version_id in kinds
        )

    def extend(self, kind: str, version_ids: Iterable[int]) -> None:
        """Add versions of one kind."""
        self._versions.setdefault(kind, array("q")).extend(version_ids)

    def write(self, connection: Connection, context: StoreContext) -> None:
        """Write the changes. Nothing else may be written until the transaction ends."""
        if not any(self._versions.values()):
            return
        context.locks.change_log_lock(connection)
        for kind, version_ids in self._versions.items():
            if context.transactions.is_sqlite:
                self._insert_sqlite(connection, kind, version_ids)
            else:
                copy_into(connection, context.tables, "change_log", change_rows(self._account_id, kind, version_ids))
        refresh_contacts_of(Database(connection, context.tables), self._account_id, self._linking)

    def _insert_sqlite(self, connection: Connection, kind: str, version_ids: Iterable[int]) -> None:
        for chunk in batched(version_ids, CHUNK):
            row = {"account_id": self._account_id, "change_kind": kind, "version_ids": json.dumps(chunk)}
            connection.execute(text(INSERT_SQLITE), row)


def log_identities(db: Database, locks: Locks, sender: str, wa_ids: Iterable[str]) -> None:
    """
    Log the current status of some users' identities. Nothing else may be written until the transaction ends.

    :param wa_ids: the users.
    """
    locks.change_log_lock(db.connection)
    given = db.given(wa_id="text")
    db.execute(LOG_IDENTITIES.replace("{given}", given), rows=[{"wa_id": one} for one in wa_ids], sender=sender)


def log_erased_identities(db: Database, locks: Locks, identity_ids: Iterable[int]) -> None:
    """Log that identities were erased. Nothing else may be written until the transaction ends."""
    locks.change_log_lock(db.connection)
    given = db.given(identity_id="bigint")
    rows = [{"identity_id": identity_id} for identity_id in identity_ids]
    db.execute(LOG_ERASED_IDENTITIES.replace("{given}", given), rows=rows)
