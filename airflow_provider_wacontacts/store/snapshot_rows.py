"""Compare a snapshot's contacts with the tables: known, missing and gone ones."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Boolean, LargeBinary, Text, bindparam, column, text
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import TextClause

from airflow_provider_wacontacts.identifiers.whatsapp_ids import GROUP_DOMAIN
from airflow_provider_wacontacts.records.record import Record
from airflow_provider_wacontacts.store.batch_writers import KEEP_WIDEST, VERSION_COLUMNS
from airflow_provider_wacontacts.store.tables import Tables, UtcDateTime, sqlite_time

__all__ = ["Known", "SnapshotRows", "version_to_write"]

IS_GROUP = f"substr(h.contact_id, length(h.contact_id) - {len(GROUP_DOMAIN) - 1}) = '{GROUP_DOMAIN}'"
#: The contacts that can be missing from a snapshot. An ID without a type, for example a pseudonym, has neither type.
SCOPES = {None: "1 = 1", True: IS_GROUP, False: f"NOT {IS_GROUP} AND h.contact_id LIKE '%@%'"}

CURRENT = "FROM {at}wacontacts_contact_current h WHERE h.account_id = :account_id"
KNOWN_SQLITE = f"""
SELECT h.contact_id, h.updated_at, h.last_seen_at, h.row_hash, h.is_present
{CURRENT} AND h.contact_id IN :contact_ids
"""
#: One index lookup for each contact. Otherwise the planner may scan the account for each batch: within one transaction
#: its statistics do not include the new rows.
KNOWN_POSTGRES = f"""
SELECT known.contact_id, known.updated_at, known.last_seen_at, known.row_hash, known.is_present
FROM unnest(CAST(:contact_ids AS text[])) AS given (contact_id)
CROSS JOIN LATERAL (
    SELECT h.contact_id, h.updated_at, h.last_seen_at, h.row_hash, h.is_present
    {CURRENT} AND h.contact_id = given.contact_id
    LIMIT 1
) known
"""
MARK_SEEN = """
UPDATE {at}wacontacts_contact_current SET last_seen_at = :seen_at
WHERE account_id = :account_id AND contact_id = :contact_id AND last_seen_at < :seen_at
"""
#: One lookup for each contact, as in KNOWN_POSTGRES.
MARK_UNCHANGED_POSTGRES = f"""
INSERT INTO {{at}}wacontacts_contact_current AS kept ({VERSION_COLUMNS})
SELECT {VERSION_COLUMNS.replace("contact_id", "known.contact_id").replace("row_hash", "known.row_hash")}
FROM unnest(CAST(:contact_ids AS text[]), CAST(:hashes AS text[])) AS given (contact_id, row_hash)
CROSS JOIN LATERAL (SELECT * {CURRENT} AND h.contact_id = given.contact_id LIMIT 1) known
WHERE known.is_present AND known.last_seen_at < :seen_at AND known.row_hash = decode(given.row_hash, 'hex')
ON CONFLICT (account_id, contact_id) DO UPDATE SET last_seen_at = :seen_at
RETURNING contact_id
"""
UNCHANGED_SQLITE = """
SELECT contact_id, row_hash FROM wacontacts_contact_current
WHERE account_id = ? AND is_present AND last_seen_at < ? AND contact_id IN (SELECT value FROM json_each(?))
"""
MARK_UNCHANGED_SQLITE = """
UPDATE wacontacts_contact_current SET last_seen_at = ? WHERE account_id = ? AND contact_id = ?
"""
SEEN = f"""
SELECT coalesce(sum(CASE WHEN {IS_GROUP} THEN 1 ELSE 0 END), 0), count(*)
{CURRENT} AND h.last_seen_at = :seen_at AND h.is_present
"""
#: An unchanged contact is found by the times of its current version; one that has changed, by an earlier version.
KEPT = """
SELECT count(*) FROM {at}wacontacts_contact_current h
WHERE h.account_id = :account_id AND h.last_seen_at = :seen_at AND h.is_present AND {scope} AND (
    h.first_seen_at <= :taken_at OR EXISTS (
        SELECT 1 FROM {at}wacontacts_contact_version s
        JOIN {at}wacontacts_contact_payload b ON b.account_id = s.account_id AND b.version_id = s.version_id
        WHERE s.account_id = h.account_id AND s.contact_id = h.contact_id
            AND s.first_seen_at <= :taken_at AND s.last_seen_at >= :taken_at AND b.state = 'present'
    )
)
"""
GONE = f"""
INSERT INTO {{at}}wacontacts_contact_version ({VERSION_COLUMNS})
SELECT CAST(:first AS bigint) - 1 + row_number() OVER (ORDER BY h.contact_id),
    h.account_id, :seen_at, :seen_at, :seen_at, h.contact_id, h.row_hash
{CURRENT} AND h.last_seen_at < :seen_at AND h.is_present AND {{scope}}
"""
PAYLOADS = """
INSERT INTO {at}wacontacts_contact_payload
    (version_id, account_id, repaired, state, wa_id, user_id, lid, payload)
SELECT s.version_id, s.account_id, b.repaired, 'gone', b.wa_id, b.user_id, b.lid, b.payload
FROM {at}wacontacts_contact_version s
JOIN {at}wacontacts_contact_current h ON h.account_id = s.account_id AND h.contact_id = s.contact_id
JOIN {at}wacontacts_contact_payload b ON b.account_id = h.account_id AND b.version_id = h.version_id
WHERE s.account_id = :account_id AND s.version_id BETWEEN :first AND :last
"""
COPY_SEEN = f"""
INSERT INTO {{at}}wacontacts_contact_version AS kept ({VERSION_COLUMNS})
SELECT h.version_id, h.account_id, h.updated_at, h.first_seen_at, h.last_seen_at, h.contact_id, h.row_hash
FROM {{at}}wacontacts_contact_version s
JOIN {{at}}wacontacts_contact_current h ON h.account_id = s.account_id AND h.contact_id = s.contact_id
WHERE s.account_id = :account_id AND s.version_id BETWEEN :first AND :last
{KEEP_WIDEST}
"""
MAKE_CURRENT = """
INSERT INTO {at}wacontacts_contact_current
    (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, is_present)
SELECT version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, false
FROM {at}wacontacts_contact_version
WHERE account_id = :account_id AND version_id BETWEEN :first AND :last
ON CONFLICT (account_id, contact_id) DO UPDATE
SET version_id = excluded.version_id, updated_at = excluded.updated_at, first_seen_at = excluded.first_seen_at,
    last_seen_at = excluded.last_seen_at, is_present = excluded.is_present
"""


class Known(NamedTuple):
    """The current version of a contact."""

    updated_at: datetime
    last_seen_at: datetime
    row_hash: bytes
    is_present: bool


def version_to_write(record: Record, known: Known | None, seen_at: datetime) -> Record | None:
    """
    Decide how a contact of a snapshot is stored.

    A contact that was already seen at this time or later is skipped: its first row counts. So a contact that is listed
    twice gets one version, and no two versions of a contact have the same time, even if two responses came within a
    second.

    :param known: its current version; ``None`` if it has none.
    :returns: a new version with the snapshot's time, or the current one with wider seen times; ``None`` if it is
        skipped.
    """
    if known is None:
        return record._replace(updated_at=seen_at)
    if known.last_seen_at >= seen_at:
        return None
    is_unchanged = known.is_present and known.row_hash == record.row_hash
    return record._replace(updated_at=known.updated_at if is_unchanged else seen_at)


class SnapshotRows:
    """The rows of one account, in the transaction that stores a snapshot of one time."""

    def __init__(self, connection: Connection, tables: Tables, account_id: int, seen_at: datetime) -> None:
        self._connection = connection
        self._at = tables.prefix
        self._given: dict[str, Any] = {"account_id": account_id, "seen_at": seen_at}
        self._seen_at = seen_at

    def known(self, contact_ids: Iterable[str]) -> Mapping[str, Known]:
        """Return the current versions of known contacts."""
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
            column("is_present", Boolean),
        )
        given = {"account_id": self._given["account_id"], "contact_ids": list(contact_ids)}
        return {contact_id: Known(*state) for contact_id, *state in self._connection.execute(typed, given)}

    def mark_unchanged(self, hashes: Mapping[str, bytes]) -> Collection[str]:
        """
        Mark unchanged contacts as seen.

        :param hashes: hashes of the rows in the snapshot, by contact.
        :returns: the unchanged contacts.
        """
        in_order = sorted(hashes)
        if self._connection.dialect.name == "postgresql":
            given = {"contact_ids": in_order, "hashes": [hashes[name].hex() for name in in_order]}
            return set(self._connection.execute(self._timed(MARK_UNCHANGED_POSTGRES), self._given | given).scalars())
        account_id, seen_at = self._given["account_id"], sqlite_time(self._seen_at)
        found = self._connection.exec_driver_sql(UNCHANGED_SQLITE, (account_id, seen_at, json.dumps(in_order)))
        unchanged = [name for name, row_hash in found if row_hash == hashes[name]]
        if unchanged:
            rows = [(seen_at, account_id, name) for name in unchanged]
            self._connection.exec_driver_sql(MARK_UNCHANGED_SQLITE, rows)
        return set(unchanged)

    def mark_seen(self, contact_ids: Iterable[str]) -> None:
        """Mark contacts with rejected rows as seen: they still exist, with their last known content."""
        given = [{**self._given, "contact_id": contact_id} for contact_id in contact_ids]
        if given:
            self._connection.execute(self._timed(MARK_SEEN), given)

    def seen(self) -> tuple[int, int]:
        """Count the groups, and the others, that were seen at the snapshot's time."""
        groups, everybody = self._connection.execute(self._timed(SEEN), self._given).one()
        return int(groups), int(everybody) - int(groups)

    def kept(self, taken_at: tuple[datetime | None, datetime | None]) -> int:
        """
        Count the contacts of an earlier snapshot that are also in this one.

        :param taken_at: times of the earlier snapshots of groups and of others; ``None`` for none.
        """
        scopes = (IS_GROUP, f"NOT {IS_GROUP}")
        return sum(self._kept(scope, moment) for scope, moment in zip(scopes, taken_at, strict=True) if moment)

    def _kept(self, scope: str, taken_at: datetime) -> int:
        query = self._timed(KEPT, scope=scope).bindparams(bindparam("taken_at", type_=UtcDateTime))
        return int(self._connection.execute(query, {**self._given, "taken_at": taken_at}).scalar_one())

    def mark_gone(self, first: int, *, group: bool | None) -> int:
        """
        Mark contacts that were not seen as gone, with one statement for each table.

        A gone version keeps the last known content of the contact, so queries with and without gone contacts find the
        same columns filled. Later snapshots do not widen its seen times, which would cost more with each gone contact.

        :param first: the first free version ID.
        :param group: groups only, or persons only; ``None`` for both.
        :returns: their count; their version IDs start at ``first``.
        """
        insert = self._timed(GONE, scope=SCOPES[group]).bindparams(bindparam("first", type_=BigInteger))
        gone = self._connection.execute(insert, {**self._given, "first": first}).rowcount
        if gone:
            span = {"account_id": self._given["account_id"], "first": first, "last": first + gone - 1}
            for statement in (PAYLOADS, COPY_SEEN, MAKE_CURRENT):
                self._connection.execute(text(statement.format(at=self._at)), span)
        return gone

    def _timed(self, statement: str, **parts: str) -> TextClause:
        return text(statement.format(at=self._at, **parts)).bindparams(bindparam("seen_at", type_=UtcDateTime))
