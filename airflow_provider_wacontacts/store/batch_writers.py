"""
Write a batch of contacts to PostgreSQL or SQLite: versions, their payloads, and each contact's current version.

The seen times of the current version are only in the row of ``contact_current``, so an unchanged contact updates one
row. They are copied to the version's own row before another version of the contact is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import compress
from typing import Any

from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.store import copy_rows
from airflow_provider_wacontacts.store.batches import Batch, Row, Write
from airflow_provider_wacontacts.store.copy_rows import copy_into
from airflow_provider_wacontacts.store.tables import Tables, sqlite_time

__all__ = ["KEEP_WIDEST", "VERSION_COLUMNS", "batch_writer"]

KEEP_WIDEST = """
ON CONFLICT (account_id, contact_id, updated_at, row_hash) DO UPDATE
SET first_seen_at = CASE WHEN excluded.first_seen_at < kept.first_seen_at THEN excluded.first_seen_at
        ELSE kept.first_seen_at END,
    last_seen_at = CASE WHEN excluded.last_seen_at > kept.last_seen_at THEN excluded.last_seen_at
        ELSE kept.last_seen_at END
WHERE excluded.first_seen_at < kept.first_seen_at OR excluded.last_seen_at > kept.last_seen_at
"""
#: The greatest version becomes the current one. The seen times of the current one only widen.
UPSERT_CURRENT = """
ON CONFLICT (account_id, contact_id) DO UPDATE
SET version_id = excluded.version_id, updated_at = excluded.updated_at, first_seen_at = excluded.first_seen_at,
    last_seen_at = excluded.last_seen_at, row_hash = excluded.row_hash, is_present = excluded.is_present,
    wa_id = excluded.wa_id, user_id = excluded.user_id, lid = excluded.lid,
    person_key = CASE WHEN coalesce(excluded.wa_id, '') = coalesce(kept.wa_id, '')
            AND coalesce(excluded.user_id, '') = coalesce(kept.user_id, '')
            AND coalesce(excluded.lid, '') = coalesce(kept.lid, '')
        THEN kept.person_key ELSE excluded.person_key END
WHERE (excluded.updated_at, excluded.last_seen_at, excluded.row_hash)
        > (kept.updated_at, kept.last_seen_at, kept.row_hash)
    OR (excluded.version_id = kept.version_id AND excluded.first_seen_at < kept.first_seen_at)
"""
VERSION_COLUMNS = "version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash"
PAYLOAD_COLUMNS = "version_id, account_id, repaired, state, wa_id, user_id, lid, payload"
CURRENT_COLUMNS = f"{VERSION_COLUMNS}, is_present, wa_id, user_id, lid, person_key"

#: For batches with mostly new contacts: it costs a third of the next statement.
POSTGRES_FIND = """
SELECT given.place FROM unnest(CAST(%(contacts)s AS text[])) WITH ORDINALITY AS given (contact_id, place)
CROSS JOIN LATERAL (
    SELECT 1 FROM {at}wacontacts_contact_current c
    WHERE c.account_id = %(account_id)s AND c.contact_id = given.contact_id LIMIT 1
) kept
"""
#: Known contacts are locked first, in the order of their code points, so that workers do not lock rows in different
#: orders. Each is found by its key, whatever the statistics say: they do not include recently written rows.
POSTGRES_KNOWN = """
WITH known AS MATERIALIZED (
    SELECT given.place, kept.*, given.updated_at = kept.updated_at AND given.row_hash = kept.row_hash AS is_current
    FROM unnest(CAST(%(contacts)s AS text[]), CAST(%(times)s AS timestamptz[]), CAST(%(hashes)s AS bytea[]))
        WITH ORDINALITY AS given (contact_id, updated_at, row_hash, place)
    CROSS JOIN LATERAL (
        SELECT * FROM {at}wacontacts_contact_current c
        WHERE c.account_id = %(account_id)s AND c.contact_id = given.contact_id LIMIT 1 FOR UPDATE
    ) kept
), widened AS (
    INSERT INTO {at}wacontacts_contact_current AS kept
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
    SELECT version_id, account_id, updated_at, %(seen_at)s, %(seen_at)s, contact_id, row_hash FROM known
    WHERE is_current AND (first_seen_at > %(seen_at)s OR last_seen_at < %(seen_at)s)
    ON CONFLICT (account_id, contact_id) DO UPDATE
    SET first_seen_at = least(kept.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at)
)
SELECT place, is_current FROM known
"""
POSTGRES_COPY_SEEN = f"""
INSERT INTO {{at}}wacontacts_contact_version AS kept ({VERSION_COLUMNS})
SELECT c.version_id, c.account_id, c.updated_at, c.first_seen_at, c.last_seen_at, c.contact_id, c.row_hash
FROM (SELECT DISTINCT unnest(CAST(%(contacts)s AS text[])) AS contact_id ORDER BY contact_id) given
CROSS JOIN LATERAL (
    SELECT * FROM {{at}}wacontacts_contact_current c
    WHERE c.account_id = %(account_id)s AND c.contact_id = given.contact_id LIMIT 1
) c
CROSS JOIN LATERAL (
    SELECT v.first_seen_at, v.last_seen_at FROM {{at}}wacontacts_contact_version v
    WHERE v.account_id = c.account_id AND v.version_id = c.version_id LIMIT 1
) v
WHERE c.first_seen_at < v.first_seen_at OR c.last_seen_at > v.last_seen_at
{KEEP_WIDEST}
"""
#: A version that is not widened cannot become the current one: versions seen before and after it already did.
POSTGRES_CHANGED = f"""
WITH given AS (
    SELECT * FROM unnest(
        CAST(%(numbers)s AS bigint[]), CAST(%(times)s AS timestamptz[]), CAST(%(contacts)s AS text[]),
        CAST(%(hashes)s AS bytea[]), CAST(%(present)s AS boolean[]), CAST(%(wa_ids)s AS text[]),
        CAST(%(user_ids)s AS text[]), CAST(%(lids)s AS text[])
    ) AS given (version_id, updated_at, contact_id, row_hash, is_present, wa_id, user_id, lid)
), landed AS (
    INSERT INTO {{at}}wacontacts_contact_version AS kept ({VERSION_COLUMNS})
    SELECT given.version_id, %(account_id)s, given.updated_at, %(seen_at)s, %(seen_at)s, given.contact_id,
        given.row_hash
    FROM given
    {KEEP_WIDEST}
    RETURNING version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash
), became_current AS (
    INSERT INTO {{at}}wacontacts_contact_current AS kept ({CURRENT_COLUMNS})
    SELECT DISTINCT ON (l.contact_id)
        l.version_id, l.account_id, l.updated_at, l.first_seen_at, l.last_seen_at, l.contact_id, l.row_hash,
        g.is_present, g.wa_id, g.user_id, g.lid, CASE WHEN g.wa_id IS NULL THEN coalesce(g.user_id, g.lid) END
    FROM landed l
    JOIN given g ON g.contact_id = l.contact_id AND g.updated_at = l.updated_at AND g.row_hash = l.row_hash
    ORDER BY l.contact_id, l.updated_at DESC, l.last_seen_at DESC, l.row_hash DESC
    {UPSERT_CURRENT}
    RETURNING version_id
)
SELECT l.version_id, CASE WHEN c.version_id IS NULL THEN 'late' ELSE 'changed' END AS change_kind
FROM landed l LEFT JOIN became_current c ON c.version_id = l.version_id
WHERE l.version_id = ANY (CAST(%(numbers)s AS bigint[]))
"""
SPECIAL = re.compile(r'[\\"]')

SQLITE_KNOWN = """
SELECT contact_id, updated_at, row_hash FROM wacontacts_contact_current
WHERE account_id = ? AND contact_id IN (SELECT value FROM json_each(?))
"""
SQLITE_WIDEN = """
UPDATE wacontacts_contact_current
SET first_seen_at = min(first_seen_at, ?), last_seen_at = max(last_seen_at, ?)
WHERE account_id = ? AND contact_id = ?
"""
SQLITE_COPY_SEEN = f"""
INSERT INTO wacontacts_contact_version AS kept ({VERSION_COLUMNS})
SELECT {VERSION_COLUMNS} FROM wacontacts_contact_current WHERE account_id = ? AND contact_id = ?
{KEEP_WIDEST}
"""
SQLITE_VERSIONS = f"""
INSERT INTO wacontacts_contact_version AS kept ({VERSION_COLUMNS})
VALUES (?, ?, ?, ?, ?, ?, ?)
{KEEP_WIDEST}
"""
SQLITE_NEW = """
SELECT v.version_id, c.contact_id IS NULL FROM wacontacts_contact_version v
LEFT JOIN wacontacts_contact_current c ON c.account_id = v.account_id AND c.contact_id = v.contact_id
WHERE v.account_id = ? AND v.version_id BETWEEN ? AND ?
"""
SQLITE_PAYLOADS = f"INSERT INTO wacontacts_contact_payload ({PAYLOAD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
SQLITE_CURRENT = f"""
INSERT INTO wacontacts_contact_current AS kept ({CURRENT_COLUMNS})
SELECT v.version_id, v.account_id, v.updated_at, v.first_seen_at, v.last_seen_at, v.contact_id, v.row_hash,
    p.state = 'present', p.wa_id, p.user_id, p.lid,
    CASE WHEN p.wa_id IS NULL THEN coalesce(p.user_id, p.lid) END
FROM wacontacts_contact_version v
JOIN wacontacts_contact_payload p ON p.account_id = v.account_id AND p.version_id = v.version_id
WHERE v.account_id = ? AND v.contact_id = ? AND v.updated_at = ? AND v.row_hash = ?
{UPSERT_CURRENT}
"""
SQLITE_IS_CURRENT = """
SELECT version_id FROM wacontacts_contact_current WHERE account_id = ? AND version_id BETWEEN ? AND ?
"""


def batch_writer(tables: Tables, *, is_sqlite: bool) -> Write:
    """Return the function that writes batches into a store's tables."""
    return _write_sqlite if is_sqlite else _PostgresWriter(tables).write


class _PostgresWriter:
    """
    Writes known contacts from arrays. All rows of new contacts, and the payloads of new versions, are written by COPY.

    After a batch in which most contacts were new, the writer searches for the known ones of the next batch first.

    Two workers that add the same contact at once violate a unique constraint, and one of them retries its transaction.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._expects_known = True
        self._find, self._known, self._copy_seen, self._changed = (
            sql.format(at=tables.driver_prefix)
            for sql in (POSTGRES_FIND, POSTGRES_KNOWN, POSTGRES_COPY_SEEN, POSTGRES_CHANGED)
        )

    def write(self, connection: Connection, batch: Batch) -> Mapping[int, str]:
        """Write a batch, see :data:`.Write`."""
        known = self._lock_known(connection, batch)
        changed = {row.record.contact_id for row in batch.rows if known.get(row.version_id) is False}
        kinds: dict[int, str] = {}
        if changed:
            rows = [row for row in batch.rows if row.record.contact_id in changed]
            kinds.update(self._write_changed(connection, batch._replace(rows=rows)))
        if new := [row for row in batch.rows if row.version_id not in known]:
            kinds.update(self._write_new(connection, batch._replace(rows=new)))
        return kinds

    def _lock_known(self, connection: Connection, batch: Batch) -> Mapping[int, bool]:
        """
        Lock known contacts, and widen the seen times of unchanged ones.

        :returns: by ``version_id``, the rows of these contacts: whether each is the current version.
        """
        found = batch.rows
        if not self._expects_known:
            contacts = {"account_id": batch.account_id, "contacts": _contacts(batch)}
            found = [batch.rows[place - 1] for (place,) in connection.exec_driver_sql(self._find, contacts)]
        locked = connection.exec_driver_sql(self._known, _keys(batch._replace(rows=found))) if found else ()
        known = {found[place - 1].version_id: is_current for place, is_current in locked}
        self._expects_known = 2 * len(known) > len(batch.rows)
        return known

    def _write_changed(self, connection: Connection, batch: Batch) -> Mapping[int, str]:
        """Write contacts whose current version differs from the given one. Their rows are locked."""
        keys = _keys(batch) | _values(batch)
        connection.exec_driver_sql(self._copy_seen, keys)
        kinds = {row.version_id: str(row.change_kind) for row in connection.exec_driver_sql(self._changed, keys)}
        if kinds:
            self._copy_payloads(connection, batch, (row for row in batch.rows if row.version_id in kinds))
        return kinds

    def _write_new(self, connection: Connection, batch: Batch) -> Mapping[int, str]:
        """Write contacts that have no version yet."""
        latest = {row.record.contact_id: row.version_id for row in batch.rows}
        is_latest = [latest[row.record.contact_id] == row.version_id for row in batch.rows]
        keys = list(copy_rows.key_fields(batch))
        current = map(copy_rows.current_row, compress(batch.rows, is_latest), compress(keys, is_latest))
        copy_into(connection, self._tables, "contact_version", map(copy_rows.version_row, keys))
        self._copy_payloads(connection, batch, batch.rows)
        copy_into(connection, self._tables, "contact_current", current)
        kinds = ("new" if is_current else "late" for is_current in is_latest)
        return dict(zip((row.version_id for row in batch.rows), kinds, strict=True))

    def _copy_payloads(self, connection: Connection, batch: Batch, rows: Iterable[Row]) -> None:
        payloads = (copy_rows.payload_row(row, batch.account_id) for row in rows)
        copy_into(connection, self._tables, "contact_payload", payloads)


def _keys(batch: Batch) -> dict[str, Any]:
    rows = batch.rows
    return {
        "account_id": batch.account_id,
        "seen_at": batch.seen_at,
        "times": _array(row.record.updated_at.isoformat() for row in rows),
        "contacts": _contacts(batch),
        "hashes": _array(rf'"\\x{row.record.row_hash.hex()}"' for row in rows),
    }


def _contacts(batch: Batch) -> str:
    return _array(_quoted(row.record.contact_id) for row in batch.rows)


def _values(batch: Batch) -> dict[str, Any]:
    rows = batch.rows
    return {
        "numbers": _array(str(row.version_id) for row in rows),
        "present": _array("t" if row.record.state == "present" else "f" for row in rows),
        "wa_ids": _array(_quoted(row.record.wa_id) for row in rows),
        "user_ids": _array(_quoted(row.record.user_id) for row in rows),
        "lids": _array(_quoted(row.record.lid) for row in rows),
    }


def _array(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"


def _quoted(element: str | None) -> str:
    if element is None:
        return "NULL"
    return '"' + (SPECIAL.sub(r"\\\g<0>", element) if SPECIAL.search(element) else element) + '"'


def _write_sqlite(connection: Connection, batch: Batch) -> Mapping[int, str]:
    """Write a batch. The transaction holds the only write lock, so no other worker writes in between."""
    account_id, seen_at = batch.account_id, sqlite_time(batch.seen_at)
    contacts = json.dumps([row.record.contact_id for row in batch.rows])
    found = connection.exec_driver_sql(SQLITE_KNOWN, (account_id, contacts))
    current = {contact_id: (updated_at, row_hash) for contact_id, updated_at, row_hash in found}
    rest, seen_again = [], []
    for row in batch.rows:
        contact_id = row.record.contact_id
        if current.get(contact_id) == (sqlite_time(row.record.updated_at), row.record.row_hash):
            seen_again.append((seen_at, seen_at, account_id, contact_id))
        else:
            rest.append(row)
    if seen_again:
        connection.exec_driver_sql(SQLITE_WIDEN, seen_again)
    if changed := [(account_id, row.record.contact_id) for row in rest if row.record.contact_id in current]:
        connection.exec_driver_sql(SQLITE_COPY_SEEN, changed)
    return _write_versions_sqlite(connection, batch._replace(rows=rest)) if rest else {}


def _write_versions_sqlite(connection: Connection, batch: Batch) -> Mapping[int, str]:
    account_id, seen_at, rows = batch.account_id, sqlite_time(batch.seen_at), batch.rows
    keys = [(r.contact_id, sqlite_time(r.updated_at), r.row_hash) for _, r in rows]
    versions = [
        (row.version_id, account_id, updated_at, seen_at, seen_at, contact_id, row_hash)
        for row, (contact_id, updated_at, row_hash) in zip(rows, keys, strict=True)
    ]
    connection.exec_driver_sql(SQLITE_VERSIONS, versions)
    span = (account_id, rows[0].version_id, rows[-1].version_id)
    new = {version_id: bool(is_new) for version_id, is_new in connection.exec_driver_sql(SQLITE_NEW, span)}
    if new:
        payloads = [
            (n, account_id, r.repaired, r.state, r.wa_id, r.user_id, r.lid, r.payload.decode())
            for n, r in rows
            if n in new
        ]
        connection.exec_driver_sql(SQLITE_PAYLOADS, payloads)
    connection.exec_driver_sql(SQLITE_CURRENT, [(account_id, *key) for key in keys])
    current = {version_id for (version_id,) in connection.exec_driver_sql(SQLITE_IS_CURRENT, span)} if new else ()
    return {
        version_id: "late" if version_id not in current else "new" if is_new else "changed"
        for version_id, is_new in new.items()
    }
