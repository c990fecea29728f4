"""Batches into PostgreSQL: keys as arrays, and by COPY the bodies of those that are new, which alone are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.store.batches import Batch, Row, Write
from airflow_provider_wacontacts.store.tables import Tables

__all__ = ["writer"]

SIGHTINGS = """
INSERT INTO {at}wacontacts_sighting AS kept
    (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
SELECT given.version_id, %(account_id)s, given.updated_at, %(seen_at)s, %(seen_at)s, given.contact_id, given.row_hash
FROM unnest(
    CAST(%(numbers)s AS bigint[]), CAST(%(times)s AS timestamptz[]), CAST(%(contacts)s AS text[]),
    CAST(%(hashes)s AS bytea[])
) AS given (version_id, updated_at, contact_id, row_hash)
ON CONFLICT (account_id, contact_id, updated_at, row_hash) DO UPDATE
SET first_seen_at = least(kept.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at)
WHERE excluded.first_seen_at < kept.first_seen_at OR excluded.last_seen_at > kept.last_seen_at
RETURNING version_id, account_id, updated_at, last_seen_at, contact_id, row_hash
"""
HEADS = """
INSERT INTO {at}wacontacts_head AS kept (version_id, account_id, updated_at, last_seen_at, contact_id, row_hash)
SELECT DISTINCT ON (contact_id COLLATE "C") version_id, account_id, updated_at, last_seen_at, contact_id, row_hash
FROM landed
ORDER BY contact_id COLLATE "C", updated_at DESC, last_seen_at DESC, row_hash DESC
ON CONFLICT (account_id, contact_id) DO UPDATE
SET version_id = excluded.version_id, updated_at = excluded.updated_at,
    last_seen_at = excluded.last_seen_at, row_hash = excluded.row_hash
WHERE (excluded.updated_at, excluded.last_seen_at, excluded.row_hash)
    > (kept.updated_at, kept.last_seen_at, kept.row_hash)
"""
#: All sightings come before all heads, and each in the order of the contacts' code points: no two workers lock rows the
#: other way round. A sighting that is not widened has no head to move: what was seen before and after it has done so.
KEYS = "\n".join(
    (
        *("WITH landed AS (", SIGHTINGS, "), headed AS (", HEADS, ")"),
        "SELECT version_id FROM landed WHERE version_id BETWEEN %(first)s AND %(last)s",
    )
)
BODIES = "COPY {at}wacontacts_body (version_id, repaired, state, wa_id, payload) FROM STDIN (ENCODING 'UTF8')"

SPECIAL = re.compile(r'[\\"]')
FLAGS = {False: b"f", True: b"t"}


def writer(tables: Tables) -> Write:
    """Return what writes batches into a store's tables."""
    keys, bodies = KEYS.format(at=tables.prefix), BODIES.format(at=tables.prefix)

    def write(connection: Connection, batch: Batch) -> int:
        new = {number for (number,) in connection.exec_driver_sql(keys, _given(batch))}
        if new:
            _copy(connection, bodies, b"".join(_line(row) for row in batch.rows if row.version_id in new))
        return len(new)

    return write


def _given(batch: Batch) -> dict[str, Any]:
    rows = batch.rows
    return {
        "account_id": batch.account_id,
        "seen_at": batch.seen_at,
        "first": rows[0].version_id,
        "last": rows[-1].version_id,
        "numbers": _array(str(row.version_id) for row in rows),
        "times": _array(row.record.updated_at.isoformat() for row in rows),
        "contacts": _array('"' + SPECIAL.sub(r"\\\g<0>", row.record.contact_id) + '"' for row in rows),
        "hashes": _array(rf'"\\x{row.record.row_hash.hex()}"' for row in rows),
    }


def _array(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"


def _line(row: Row) -> bytes:
    record = row.record
    wa_id = b"\\N" if record.wa_id is None else _escaped(record.wa_id.encode())
    return b"%d\t%s\t%s\t%s\t%s\n" % (
        row.version_id,
        FLAGS[record.repaired],
        _escaped(record.state.encode()),
        wa_id,
        _escaped(record.payload),
    )


def _escaped(text: bytes) -> bytes:
    return text.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r").replace(b"\t", b"\\t")


def _copy(connection: Connection, sql: str, lines: bytes) -> None:
    cursor: Any = connection.connection.cursor()
    try:
        if hasattr(cursor, "copy_expert"):
            cursor.copy_expert(sql, BytesIO(lines))
        else:
            with cursor.copy(sql) as copy:
                copy.write(lines)
    finally:
        cursor.close()
