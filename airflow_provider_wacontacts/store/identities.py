"""Which users have potentially changed, and which of those changes are acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.records.identities import Identity, IdentityChange
from airflow_provider_wacontacts.records.windows import format_time
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database

__all__ = ["SenderIdentities", "StoredIdentity", "count_pending"]

LARGEST_ID = 2**63 - 1
LEARN = """
INSERT INTO {at}wacontacts_identity AS kept (sender, wa_id, wa_id_pseudonym, hash, created_at, detected_at)
SELECT :sender, given.wa_id, given.pseudonym, given.hash, CAST(given.created_at AS {time}), CAST(:detected_at AS {time})
FROM {given} WHERE true ORDER BY given.wa_id, given.hash
ON CONFLICT (sender, wa_id, hash) DO UPDATE SET
    wa_id_pseudonym = excluded.wa_id_pseudonym,
    created_at = CASE WHEN kept.created_at IS NULL OR excluded.created_at < kept.created_at
        THEN excluded.created_at ELSE kept.created_at END,
    detected_at = CASE WHEN excluded.detected_at < kept.detected_at THEN excluded.detected_at ELSE kept.detected_at END
"""
CONFIRM = """
UPDATE {at}wacontacts_identity SET acknowledged = :acknowledged, superseded = false, unknown_at = NULL
WHERE sender = :sender AND wa_id = :wa_id AND hash = :hash
"""
#: Deliveries tell seconds, and the API tells milliseconds: of one second, the API knows which came last. What it calls
#: the latest although that is older has not heard of the newer one yet.
SUPERSEDE = """
UPDATE {at}wacontacts_identity SET superseded = true, unknown_at = NULL
WHERE identity_id = :identity_id AND hash <> :hash AND coalesce(created_at, detected_at) <= :latest_at
"""
SEEN = """
SELECT identity_id, wa_id, hash, acknowledged FROM {at}wacontacts_identity
WHERE sender = :sender AND wa_id = :wa_id AND hash = :hash
"""
#: The latest that a sender has heard of a user, unless the API has said since that another one is.
IS_PENDING = """
NOT i.acknowledged AND NOT i.superseded AND NOT EXISTS (
    SELECT 1 FROM {at}wacontacts_identity n
    WHERE n.sender = i.sender AND n.wa_id = i.wa_id AND NOT n.superseded
        AND (coalesce(n.created_at, n.detected_at), n.detected_at, n.hash)
            > (coalesce(i.created_at, i.detected_at), i.detected_at, i.hash)
)
"""
PENDING = f"""
SELECT i.identity_id, i.wa_id, i.hash, i.acknowledged FROM {{at}}wacontacts_identity i
WHERE i.sender = :sender AND {IS_PENDING}
ORDER BY i.unknown_at IS NOT NULL, i.unknown_at, coalesce(i.created_at, i.detected_at), i.identity_id LIMIT :limit
"""  # noqa: S608 - no value of a row is in it
COUNT_PENDING = f"""
SELECT i.sender, count(*) AS identities FROM {{at}}wacontacts_identity i WHERE {IS_PENDING} GROUP BY i.sender
"""  # noqa: S608 - no value of a row is in it
FIND = """
SELECT identity_id, wa_id, hash, acknowledged FROM {at}wacontacts_identity
WHERE sender = :sender AND identity_id IN :identity_ids
"""
ACKNOWLEDGED = "UPDATE {at}wacontacts_identity SET acknowledged = true WHERE identity_id = :identity_id"
UNKNOWN = "UPDATE {at}wacontacts_identity SET unknown_at = :now_at WHERE identity_id = :identity_id"


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """
    An identity of a user, as the store has it.

    :param identity_id: the key of its row, which tells nothing about the user.
    :param wa_id: digits.
    """

    identity_id: int
    wa_id: str = field(repr=False)
    hash: str = field(repr=False)
    acknowledged: bool


class SenderIdentities:
    """
    The identities of one sender's users, in a store.

    :param sender: what they are filed under.
    """

    def __init__(self, context: StoreContext, sender: str) -> None:
        self.context = context
        self.sender = sender

    def record_changes(self, changes: Iterable[IdentityChange], *, detected_at: datetime | None = None) -> None:
        """
        Keep the news that users have potentially changed.

        Doing so again, or in another order, makes no difference: of the times of one identity the earliest counts.

        :param detected_at: when the news came in, aware; the store's own time by default.
        :raises LandingError: the database failed.
        """
        known = _each_once(changes)
        if known:
            self.context.run(lambda db: self._learn(db, self._kept(db, known), detected_at or self.context.now()))

    def record_latest(
        self, wa_id: str, latest: Identity, *, instead_of: StoredIdentity | None = None
    ) -> StoredIdentity | None:
        """
        Keep what the API has just called the latest identity of a user, and whether it is acknowledged.

        :param instead_of: the one that was taken for it when the API was asked. It stays as it is, but is not pending
            any more, unless it is the same, or newer.
        :returns: the latest, as the store has it now; ``None`` for a user who was erased.
        :raises LandingError: the database failed.
        """
        own: dict[str, Any] = {"sender": self.sender, "wa_id": wa_id, "hash": latest.hash}

        def work(db: Database) -> StoredIdentity | None:
            changes = self._kept(db, [IdentityChange(wa_id, latest.hash, latest.created_at)])
            if not changes:
                return None
            self._learn(db, changes, self.context.now())
            db.execute(CONFIRM, acknowledged=latest.acknowledged, **own)
            if instead_of is not None and latest.created_at is not None:
                before = instead_of.identity_id
                db.execute(SUPERSEDE, identity_id=before, hash=latest.hash, latest_at=latest.created_at)
            return _kept(db.execute(SEEN, **own).one())

        return self.context.run(work)

    def pending(self, limit: int) -> list[StoredIdentity]:
        """
        Return the latest identity of each user where that is not acknowledged.

        :param limit: at most so many.
        :returns: oldest first; those whose user the API did not know come last.
        :raises LandingError: the database failed.
        """
        with self.context.read() as db:
            return [_kept(row) for row in db.execute(PENDING, sender=self.sender, limit=limit)]

    def find(self, identity_ids: Sequence[int]) -> list[StoredIdentity]:
        """
        Return identities by their ids, each once, in the order given.

        :raises ConfigError: the store does not know some of them, or they are another sender's.
        :raises LandingError: the database failed.
        """
        wanted = list(dict.fromkeys(identity_ids))
        possible = [identity_id for identity_id in wanted if 0 < identity_id <= LARGEST_ID]
        with self.context.read() as db:
            rows = [row for some in _in_parts(possible) for row in self._find(db, some)]
        found = {row.identity_id: _kept(row) for row in rows}
        if len(found) < len(wanted):
            raise ConfigError(
                f"identity_ids: the store has no identities of this sender by {len(wanted) - len(found)} of the"
                f" {len(wanted)} ids; they are keys of wacontacts_identity"
            )
        return [found[identity_id] for identity_id in wanted]

    def acknowledged(self, identity_id: int) -> None:
        """
        Keep that an identity is acknowledged.

        :raises LandingError: the database failed.
        """
        self.context.run(lambda db: db.execute(ACKNOWLEDGED, identity_id=identity_id))

    def unknown(self, identity_id: int) -> None:
        """
        Keep that the API does not know the user: whoever else is pending comes first from now on.

        :raises LandingError: the database failed.
        """
        self.context.run(lambda db: db.execute(UNKNOWN, identity_id=identity_id, now_at=self.context.now()))

    def _kept(self, db: Database, changes: Sequence[IdentityChange]) -> list[IdentityChange]:
        """Leave out those of users who were erased."""
        erased = self.context.suppressions.locked(db.connection)
        return [change for change in changes if not erased.has_person(change.wa_id)]

    def _learn(self, db: Database, changes: Sequence[IdentityChange], detected_at: datetime) -> None:
        source = db.given(wa_id="text", pseudonym="text", hash="text", created_at="text")
        rows = [
            {
                "wa_id": change.wa_id,
                "pseudonym": db.pseudonym(change.wa_id),
                "hash": change.hash,
                "created_at": change.at and format_time(change.at),
            }
            for change in changes
        ]
        db.execute(LEARN.replace("{given}", source), rows=rows, sender=self.sender, detected_at=detected_at)

    def _find(self, db: Database, identity_ids: Sequence[int]) -> Iterable[Any]:
        return db.execute(FIND, sender=self.sender, identity_ids=list(identity_ids)).all()


def count_pending(db: Database) -> dict[str, int]:
    """Count the users of each sender who have potentially changed and are not acknowledged."""
    return {row.sender: row.identities for row in db.execute(COUNT_PENDING)}


def _each_once(changes: Iterable[IdentityChange]) -> list[IdentityChange]:
    """Return each identity once, with the earliest of its times."""
    found: dict[tuple[str, str], IdentityChange] = {}
    for change in changes:
        before = found.setdefault((change.wa_id, change.hash), change)
        if change.at is not None and (before.at is None or change.at < before.at):
            found[change.wa_id, change.hash] = change
    return list(found.values())


def _in_parts(identity_ids: Sequence[int], size: int = 1_000) -> Iterator[Sequence[int]]:
    return (identity_ids[first : first + size] for first in range(0, len(identity_ids), size))


def _kept(row: Any) -> StoredIdentity:
    return StoredIdentity(row.identity_id, row.wa_id, row.hash, bool(row.acknowledged))
