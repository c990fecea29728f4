"""A snapshot's contacts beside those that the tables hold: what is known of them, who is missing, who is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, LargeBinary, Text, bindparam, column, text
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import TextClause

from airflow_provider_wacontacts.records.record import Record
from airflow_provider_wacontacts.store.tables import Tables, UtcDateTime

__all__ = ["Known", "SnapshotRows", "as_landed"]

IS_GROUP = "substr(h.contact_id, length(h.contact_id) - 4) = '@g.us'"
#: Whom a snapshot can tell to be missing. An id that says nothing of its type, a pseudonym say, is of none of the two.
SCOPES = {None: "1 = 1", True: IS_GROUP, False: f"NOT {IS_GROUP} AND h.contact_id LIKE '%@%'"}

KNOWN_SQLITE = """
SELECT h.contact_id, h.updated_at, h.last_seen_at, h.row_hash, b.state
FROM {at}wacontacts_head h
JOIN {at}wacontacts_body b ON b.version_id = h.version_id
WHERE h.account_id = :account_id AND h.contact_id IN :contact_ids
"""
#: One look into the index a contact. A planner that is left to choose may go over the whole account with each batch: in
#: one transaction it has no idea of what has landed meanwhile.
KNOWN_POSTGRES = """
SELECT known.contact_id, known.updated_at, known.last_seen_at, known.row_hash, known.state
FROM unnest(CAST(:contact_ids AS text[])) AS given (contact_id)
CROSS JOIN LATERAL (
    SELECT h.contact_id, h.updated_at, h.last_seen_at, h.row_hash, b.state
    FROM {at}wacontacts_head h
    JOIN {at}wacontacts_body b ON b.version_id = h.version_id
    WHERE h.account_id = :account_id AND h.contact_id = given.contact_id
    LIMIT 1
) known
"""
SPARE = """
UPDATE {at}wacontacts_head SET last_seen_at = :seen_at
WHERE account_id = :account_id AND contact_id = :contact_id AND last_seen_at < :seen_at
"""
SEEN = """
SELECT coalesce(sum(CASE WHEN {is_group} THEN 1 ELSE 0 END), 0), count(*)
FROM {at}wacontacts_head h
JOIN {at}wacontacts_body b ON b.version_id = h.version_id
WHERE h.account_id = :account_id AND h.last_seen_at = :seen_at AND b.state = 'present'
"""
GONE = """
INSERT INTO {at}wacontacts_sighting
    (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
SELECT CAST(:first AS bigint) - 1 + row_number() OVER (ORDER BY h.contact_id),
    h.account_id, :seen_at, :seen_at, :seen_at, h.contact_id, h.row_hash
FROM {at}wacontacts_head h
JOIN {at}wacontacts_body b ON b.version_id = h.version_id
WHERE h.account_id = :account_id AND h.last_seen_at < :seen_at AND b.state = 'present' AND {scope}
"""
BODIES = """
INSERT INTO {at}wacontacts_body (version_id, repaired, state, wa_id, payload)
SELECT s.version_id, b.repaired, 'gone', b.wa_id, b.payload
FROM {at}wacontacts_sighting s
JOIN {at}wacontacts_head h ON h.account_id = s.account_id AND h.contact_id = s.contact_id
JOIN {at}wacontacts_body b ON b.version_id = h.version_id
WHERE s.version_id BETWEEN :first AND :last
"""
HEADS = """
INSERT INTO {at}wacontacts_head (version_id, account_id, updated_at, last_seen_at, contact_id, row_hash)
SELECT version_id, account_id, updated_at, last_seen_at, contact_id, row_hash
FROM {at}wacontacts_sighting
WHERE version_id BETWEEN :first AND :last
ON CONFLICT (account_id, contact_id) DO UPDATE
SET version_id = excluded.version_id, updated_at = excluded.updated_at, last_seen_at = excluded.last_seen_at
"""


class Known(NamedTuple):
    """The current state of a contact."""

    updated_at: datetime
    last_seen_at: datetime
    row_hash: bytes
    state: str


def as_landed(record: Record, known: Known | None, seen_at: datetime) -> Record | None:
    """
    Decide how a contact of a snapshot lands.

    A contact that was seen at that very moment already, or later, is settled: the first of its rows has said what it
    was then. So a contact that comes twice is one, two answers of one second contradict each other nowhere, and no two
    versions of a contact are of the same time.

    :param known: its current state; ``None`` where it has none.
    :returns: a new state of the snapshot's time, or the current one, to be widened; ``None`` where it is settled.
    """
    if known is None:
        return record._replace(updated_at=seen_at)
    if known.last_seen_at >= seen_at:
        return None
    is_unchanged = (known.state, known.row_hash) == ("present", record.row_hash)
    return record._replace(updated_at=known.updated_at if is_unchanged else seen_at)


class SnapshotRows:
    """The rows of one account, in the transaction in which a snapshot of one time lands."""

    def __init__(self, connection: Connection, tables: Tables, account_id: int, seen_at: datetime) -> None:
        self._connection = connection
        self._at = tables.prefix
        self._given = {"account_id": account_id, "seen_at": seen_at}

    def known(self, contact_ids: Iterable[str]) -> Mapping[str, Known]:
        """Return the current states of contacts, of those that have one."""
        if self._connection.dialect.name == "postgresql":
            query = text(KNOWN_POSTGRES.format(at=self._at))
        else:
            query = text(KNOWN_SQLITE.format(at=self._at)).bindparams(
                bindparam("contact_ids", expanding=True, type_=Text)
            )
        typed = query.columns(
            column("contact_id", Text),
            column("updated_at", UtcDateTime),
            column("last_seen_at", UtcDateTime),
            column("row_hash", LargeBinary),
            column("state", Text),
        )
        given = {"account_id": self._given["account_id"], "contact_ids": list(contact_ids)}
        return {contact_id: Known(*state) for contact_id, *state in self._connection.execute(typed, given)}

    def spare(self, contact_ids: Iterable[str]) -> None:
        """Count contacts as seen although nothing of theirs could be kept: their current state is not widened."""
        given = [{**self._given, "contact_id": contact_id} for contact_id in contact_ids]
        if given:
            self._connection.execute(self._timed(SPARE), given)

    def seen(self) -> tuple[int, int]:
        """Count the groups, and the others, that were seen at the snapshot's time."""
        groups, everybody = self._connection.execute(self._timed(SEEN, is_group=IS_GROUP), self._given).one()
        return int(groups), int(everybody) - int(groups)

    def leave(self, first: int, *, group: bool | None) -> int:
        """
        Let those be gone who were not seen, in one statement a table.

        A gone version keeps what was last known of the contact: a query over ``current`` that leaves out the gone and
        one that does not find the same columns filled. It is not widened by the snapshots that miss it again, which
        would cost more the more contacts ever went.

        :param first: the first number that a version may get.
        :param group: groups only, or persons only; both where it is ``None``.
        :returns: how many they are.
        """
        insert = self._timed(GONE, scope=SCOPES[group]).bindparams(bindparam("first", type_=BigInteger))
        gone = self._connection.execute(insert, {**self._given, "first": first}).rowcount
        if gone:
            for statement in (BODIES, HEADS):
                numbers = {"first": first, "last": first + gone - 1}
                self._connection.execute(text(statement.format(at=self._at)), numbers)
        return gone

    def _timed(self, statement: str, **parts: str) -> TextClause:
        return text(statement.format(at=self._at, **parts)).bindparams(bindparam("seen_at", type_=UtcDateTime))
