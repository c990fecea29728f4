"""Identity changes: which users have potentially changed, and which of their identities are acknowledged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.suppression import SuppressionList
from airflow_provider_wacontacts.records.identities import Identity, IdentityChange
from airflow_provider_wacontacts.records.windows import format_time
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.changes import log_identities
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.rules import IS_PENDING

__all__ = ["ChangeLog", "SenderIdentities", "StoredIdentity", "count_pending", "find_change_log"]

BATCH_SIZE = 1_000
MAX_ID = 2**63 - 1
#: The ``identity_id`` of an identity that the store does not have.
NOT_STORED = 0
UPSERT = """
INSERT INTO {at}wacontacts_identity AS kept
    (sender, wa_id, wa_id_key, person_key, hash, created_at, detected_at)
SELECT CAST(:sender AS text), given.wa_id, given.wa_id_key, given.wa_id_key, given.hash,
    CAST(given.created_at AS {time}), CAST(:detected_at AS {time})
FROM {given} WHERE true ORDER BY given.wa_id, given.hash
ON CONFLICT (sender, wa_id, hash) DO UPDATE SET
    wa_id_key = excluded.wa_id_key,
    person_key = CASE WHEN kept.wa_id_key = excluded.wa_id_key THEN kept.person_key ELSE excluded.person_key END,
    created_at = CASE WHEN kept.created_at IS NULL OR excluded.created_at < kept.created_at
        THEN excluded.created_at ELSE kept.created_at END,
    detected_at = CASE WHEN excluded.detected_at < kept.detected_at THEN excluded.detected_at ELSE kept.detected_at END
"""
RECORD_LATEST = """
UPDATE {at}wacontacts_identity SET acknowledged = :acknowledged, superseded = false, unknown_at = NULL
WHERE sender = :sender AND wa_id = :wa_id AND hash = :hash
"""
#: Callbacks have times in seconds, and the API in milliseconds: within a second, the API's order counts. If the API
#: returns an older identity as the latest, it does not know the newer one yet.
SUPERSEDE = """
UPDATE {at}wacontacts_identity SET superseded = true, unknown_at = NULL
WHERE identity_id = :identity_id AND hash <> :hash AND coalesce(created_at, detected_at) <= :latest
"""
COLUMNS = "SELECT i.identity_id, i.wa_id, i.hash, i.acknowledged FROM {at}wacontacts_identity i"
BY_HASH = COLUMNS + " WHERE i.sender = :sender AND i.wa_id = :wa_id AND i.hash = :hash"
BY_ID = COLUMNS + " WHERE i.sender = :sender AND i.identity_id IN :identity_ids"
BY_USER = f"""
{COLUMNS} WHERE i.sender = :sender AND i.wa_id IN :wa_ids
ORDER BY coalesce(i.created_at, i.detected_at), i.detected_at, i.hash
"""
WA_IDS = """
SELECT number, wa_id FROM {at}wacontacts_number WHERE sender = :sender AND number IN :numbers AND wa_id IS NOT NULL
"""
PENDING = f"""
{COLUMNS} WHERE i.sender = :sender AND {IS_PENDING}
ORDER BY i.unknown_at IS NOT NULL, i.unknown_at, coalesce(i.created_at, i.detected_at), i.identity_id LIMIT :limit
"""
COUNT_PENDING = f"""
SELECT i.sender, count(*) AS identities FROM {{at}}wacontacts_identity i WHERE {IS_PENDING} GROUP BY i.sender
"""
#: If an identity was logged several times, only the last entry counts.
CHANGES = """
SELECT c.change_id, c.identity_id FROM {at}wacontacts_identity_change_log c
JOIN {at}wacontacts_identity i ON i.identity_id = c.identity_id
WHERE c.change_id > :after AND c.change_id <= :newest AND c.change_kind = 'pending' AND i.sender = :sender
    AND NOT EXISTS (
        SELECT 1 FROM {at}wacontacts_identity_change_log l
        WHERE l.identity_id = c.identity_id AND l.change_id > c.change_id
    )
ORDER BY c.change_id LIMIT :limit
"""
NEWEST_CHANGE = "SELECT coalesce(max(change_id), 0) FROM {at}wacontacts_identity_change_log"
RECORD_ACKNOWLEDGED = "UPDATE {at}wacontacts_identity SET acknowledged = true WHERE identity_id = :identity_id"
RECORD_UNKNOWN = "UPDATE {at}wacontacts_identity SET unknown_at = :now WHERE identity_id = :identity_id"


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """
    A user's identity in the store.

    :param identity_id: key of its row, without personal data; 0 if the store does not have it.
    :param wa_id: digits.
    """

    identity_id: int
    wa_id: str = field(repr=False)
    hash: str = field(repr=False)
    acknowledged: bool


class ChangeLog(NamedTuple):
    """
    The log of identity changes of all senders of a store.

    :param created_at: when the store was created, which differs from store to store.
    :param newest: ID of the last change; 0 without one. No smaller ID is added later.
    """

    created_at: datetime
    newest: int


class SenderIdentities:
    """
    The identities of one sender's users.

    :param sender: name that they are stored under.
    """

    def __init__(self, context: StoreContext, sender: str) -> None:
        self.context = context
        self.sender = sender

    def store(
        self, db: Database, suppression_list: SuppressionList, changes: Iterable[IdentityChange], detected_at: datetime
    ) -> set[str]:
        """
        Store notifications that users have potentially changed, in a transaction. Call :meth:`log` afterwards.

        Idempotent and order-independent: the earliest of an identity's times is stored. Erased users are left out.

        :param suppression_list: the suppression list, which is locked.
        :param detected_at: when the notifications arrived, timezone-aware.
        :returns: the WhatsApp IDs of users that are not erased.
        """
        rows: list[dict[str, Any]] = [
            {
                "wa_id": change.wa_id,
                **db.keys_of({Kind.WA_ID: change.wa_id}),
                "hash": change.hash,
                "created_at": change.at and format_time(change.at),
            }
            for change in _distinct(changes)
            if not suppression_list.has(Identifier(Kind.WA_ID, change.wa_id))
        ]
        if rows:
            given = db.given(wa_id="text", wa_id_key="text", hash="text", created_at="text")
            db.execute(UPSERT.replace("{given}", given), rows=rows, sender=self.sender, detected_at=detected_at)
        return {row["wa_id"] for row in rows}

    def log(self, db: Database, wa_ids: Collection[str]) -> None:
        """Log the current status of some users' identities. Call it last in a transaction."""
        if wa_ids:
            log_identities(db, self.context.locks, self.sender, wa_ids)

    def record_latest(
        self, wa_id: str, latest: Identity, *, instead_of: StoredIdentity | None = None
    ) -> StoredIdentity | None:
        """
        Store the identity that the API has returned as a user's latest, and whether it is acknowledged.

        :param instead_of: the store's latest identity when the API was called. It is no longer pending, unless it is
            the same one or newer.
        :returns: the latest identity in the store; ``None`` for an erased user.
        :raises LandingError: the database failed.
        """
        key: dict[str, Any] = {"sender": self.sender, "wa_id": wa_id, "hash": latest.hash}

        def work(db: Database) -> StoredIdentity | None:
            suppression_list = self.context.suppression_list.locked(db.connection)
            change = IdentityChange(wa_id, latest.hash, latest.created_at)
            if not self.store(db, suppression_list, [change], self.context.now(db.connection)):
                return None
            db.execute(RECORD_LATEST, acknowledged=latest.acknowledged, **key)
            if instead_of is not None and latest.created_at is not None:
                before = instead_of.identity_id
                db.execute(SUPERSEDE, identity_id=before, hash=latest.hash, latest=latest.created_at)
            self.log(db, {wa_id})
            return _stored(db.execute(BY_HASH, **key).one())

        return self.context.run(work)

    def pending(self, limit: int) -> list[StoredIdentity]:
        """
        Return each user's latest identity if it is not acknowledged.

        :returns: at most ``limit``, oldest first; users that the API did not know come last.
        :raises LandingError: the database failed.
        """
        with self.context.read() as db:
            return [_stored(row) for row in db.execute(PENDING, sender=self.sender, limit=limit)]

    def changes(self, after: int, limit: int, newest: int = MAX_ID) -> list[tuple[int, int]]:
        """
        Return the identities that have become pending since a change and are still pending.

        :param after: the ID of a change.
        :param newest: ID of the last change to return.
        :returns: at most ``limit`` pairs of ``change_id`` and ``identity_id``, in the order of the change log.
        :raises LandingError: the database failed.
        """
        with self.context.read() as db:
            rows = db.execute(CHANGES, sender=self.sender, after=after, newest=newest, limit=limit)
            return [(row.change_id, row.identity_id) for row in rows]

    def find(self, identity_ids: Sequence[int]) -> list[StoredIdentity]:
        """
        Return identities by their IDs, each once, in the order given.

        :raises ConfigError: some are not in the store, or belong to another sender.
        :raises LandingError: the database failed.
        """
        wanted = list(dict.fromkeys(identity_ids))
        possible = [identity_id for identity_id in wanted if 0 < identity_id <= MAX_ID]
        with self.context.read() as db:
            rows = [
                row
                for batch in batched(possible, BATCH_SIZE)
                for row in db.execute(BY_ID, sender=self.sender, identity_ids=batch).all()
            ]
        found = {row.identity_id: _stored(row) for row in rows}
        if len(found) < len(wanted):
            raise ConfigError(
                f"identity_ids: {len(wanted) - len(found)} of {len(wanted)} are not identities of this sender. Set keys"
                " of wacontacts_identity."
            )
        return [found[identity_id] for identity_id in wanted]

    def wa_ids_of(self, numbers: Sequence[str]) -> dict[str, str]:
        """
        Return the WhatsApp IDs that checks last returned for numbers, by number.

        :raises LandingError: the database failed.
        """
        with self.context.read() as db:
            rows = [
                row
                for batch in batched(numbers, BATCH_SIZE)
                for row in db.execute(WA_IDS, sender=self.sender, numbers=batch).all()
            ]
        return {row.number: row.wa_id for row in rows}

    def of_users(self, wa_ids: Sequence[str]) -> list[StoredIdentity]:
        """
        Return each user's latest identity, in the order given. If the store has none, its ``identity_id`` is 0.

        :raises LandingError: the database failed.
        """
        wanted = list(dict.fromkeys(wa_ids))
        with self.context.read() as db:
            rows = [
                row
                for batch in batched(wanted, BATCH_SIZE)
                for row in db.execute(BY_USER, sender=self.sender, wa_ids=batch).all()
            ]
        latest = {row.wa_id: _stored(row) for row in rows}
        return [latest.get(wa_id) or StoredIdentity(NOT_STORED, wa_id, "", acknowledged=False) for wa_id in wanted]

    def record_acknowledged(self, identity_id: int) -> None:
        """
        Store that an identity is acknowledged.

        :raises LandingError: the database failed.
        """

        def work(db: Database) -> None:
            rows = db.execute(BY_ID, sender=self.sender, identity_ids=[identity_id]).all()
            db.execute(RECORD_ACKNOWLEDGED, identity_id=identity_id)
            self.log(db, {row.wa_id for row in rows})

        self.context.run(work)

    def record_unknown(self, identity_id: int) -> None:
        """
        Store that the API does not know the user: other pending users are processed first.

        :raises LandingError: the database failed.
        """

        def work(db: Database) -> None:
            db.execute(RECORD_UNKNOWN, identity_id=identity_id, now=self.context.now(db.connection))

        self.context.run(work)


def find_change_log(context: StoreContext) -> ChangeLog:
    """
    Return which log of identity changes the store has, and how far it goes.

    :raises LandingError: the database failed.
    """
    versions = context.tables.schema_version.c
    with context.read() as db:
        first = select(versions.upgraded_at).order_by(versions.schema_version).limit(1)
        created_at = db.connection.execute(first).scalar_one()
        return ChangeLog(created_at, int(db.execute(NEWEST_CHANGE).scalar_one()))


def count_pending(db: Database) -> dict[str, int]:
    """Count each sender's users with a pending identity."""
    return {row.sender: row.identities for row in db.execute(COUNT_PENDING)}


def _distinct(changes: Iterable[IdentityChange]) -> list[IdentityChange]:
    """Return each identity once, with the earliest of its times."""
    found: dict[tuple[str, str], IdentityChange] = {}
    for change in changes:
        before = found.setdefault((change.wa_id, change.hash), change)
        if change.at is not None and (before.at is None or change.at < before.at):
            found[change.wa_id, change.hash] = change
    return list(found.values())


def _stored(row: Any) -> StoredIdentity:
    return StoredIdentity(row.identity_id, row.wa_id, row.hash, bool(row.acknowledged))
