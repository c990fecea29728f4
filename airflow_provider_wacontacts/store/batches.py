"""Batches of contacts on their way into the tables: in order, each once, without those that the database refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import bindparam, insert, text
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.records.record import Record, Reject
from airflow_provider_wacontacts.store.errors import is_data_error, reject_reason
from airflow_provider_wacontacts.store.person_keys import person_key
from airflow_provider_wacontacts.store.tables import Tables, UtcDateTime, sqlite_time

__all__ = [
    "Batch",
    "Row",
    "Write",
    "batch_writer",
    "dedupe_and_number",
    "flag_repaired",
    "insert_rejects",
    "write_bisecting",
]

REPAIRED = """
UPDATE {at}wacontacts_contact_payload SET repaired = true
WHERE NOT repaired AND account_id = :account_id AND version_id = (
    SELECT version_id FROM {at}wacontacts_contact_version
    WHERE account_id = :account_id AND contact_id = :contact_id AND updated_at = :updated_at AND row_hash = :row_hash
)
"""
#: A version becomes the current one if it is greater; of the current one, the seen times are kept.
UPSERT_CURRENT = """
ON CONFLICT (account_id, contact_id) DO UPDATE
SET version_id = excluded.version_id, updated_at = excluded.updated_at, first_seen_at = excluded.first_seen_at,
    last_seen_at = excluded.last_seen_at, row_hash = excluded.row_hash, is_present = excluded.is_present,
    person_key = CASE WHEN excluded.version_id = kept.version_id THEN kept.person_key ELSE excluded.person_key END
WHERE (excluded.updated_at, excluded.last_seen_at, excluded.row_hash)
        > (kept.updated_at, kept.last_seen_at, kept.row_hash)
    OR (excluded.version_id = kept.version_id AND excluded.first_seen_at < kept.first_seen_at)
"""

#: Keys go as arrays, and by COPY the payloads of versions that are new. All versions come before all current rows, and
#: each in the order of the contacts' code points: no two workers lock rows the other way round. A version that is not
#: widened cannot become the current one: what was seen before and after it has done so.
POSTGRES_KEYS = f"""
WITH given AS (
    SELECT * FROM unnest(
        CAST(%(numbers)s AS bigint[]), CAST(%(times)s AS timestamptz[]), CAST(%(contacts)s AS text[]),
        CAST(%(hashes)s AS bytea[]), CAST(%(present)s AS boolean[]), CAST(%(wa_ids)s AS text[]),
        CAST(%(lids)s AS text[]), CAST(%(user_ids)s AS text[])
    ) AS given (version_id, updated_at, contact_id, row_hash, is_present, wa_id, lid, user_id)
), landed AS (
    INSERT INTO {{at}}wacontacts_contact_version AS kept
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
    SELECT given.version_id, %(account_id)s, given.updated_at, %(seen_at)s, %(seen_at)s, given.contact_id,
        given.row_hash
    FROM given
    ON CONFLICT (account_id, contact_id, updated_at, row_hash) DO UPDATE
    SET first_seen_at = least(kept.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at)
    WHERE excluded.first_seen_at < kept.first_seen_at OR excluded.last_seen_at > kept.last_seen_at
    RETURNING version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash
), became_current AS (
    INSERT INTO {{at}}wacontacts_contact_current AS kept
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, is_present, person_key)
    SELECT DISTINCT ON (l.contact_id)
        l.version_id, l.account_id, l.updated_at, l.first_seen_at, l.last_seen_at, l.contact_id, l.row_hash,
        g.is_present, {person_key("g")}
    FROM landed l
    JOIN given g ON g.contact_id = l.contact_id AND g.updated_at = l.updated_at AND g.row_hash = l.row_hash
    ORDER BY l.contact_id, l.updated_at DESC, l.last_seen_at DESC, l.row_hash DESC
    {UPSERT_CURRENT}
    RETURNING version_id, xmax = 0 AS is_inserted
)
SELECT l.version_id, CASE WHEN c.version_id IS NULL THEN 'late' WHEN c.is_inserted THEN 'new' ELSE 'changed' END
    AS change_kind
FROM landed l LEFT JOIN became_current c ON c.version_id = l.version_id
WHERE l.version_id BETWEEN %(first)s AND %(last)s
"""
COPY_PAYLOADS = """
COPY {at}wacontacts_contact_payload (version_id, account_id, repaired, state, wa_id, lid, user_id, payload)
FROM STDIN (ENCODING 'UTF8')
"""

SQLITE_VERSIONS = """
INSERT INTO wacontacts_contact_version AS kept
    (version_id, account_id, contact_id, updated_at, row_hash, first_seen_at, last_seen_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account_id, contact_id, updated_at, row_hash) DO UPDATE
SET first_seen_at = min(kept.first_seen_at, excluded.first_seen_at),
    last_seen_at = max(kept.last_seen_at, excluded.last_seen_at)
WHERE excluded.first_seen_at < kept.first_seen_at OR excluded.last_seen_at > kept.last_seen_at
"""
SQLITE_NEW = """
SELECT v.version_id, c.contact_id IS NULL FROM wacontacts_contact_version v
LEFT JOIN wacontacts_contact_current c ON c.account_id = v.account_id AND c.contact_id = v.contact_id
WHERE v.account_id = ? AND v.version_id BETWEEN ? AND ?
"""
SQLITE_PAYLOADS = """
INSERT INTO wacontacts_contact_payload (version_id, account_id, repaired, state, wa_id, lid, user_id, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
SQLITE_CURRENT = f"""
INSERT INTO wacontacts_contact_current AS kept
    (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, is_present, person_key)
SELECT v.version_id, v.account_id, v.updated_at, v.first_seen_at, v.last_seen_at, v.contact_id, v.row_hash,
    p.state = 'present', {person_key("p").format(at="", bytewise="")}
FROM wacontacts_contact_version v
JOIN wacontacts_contact_payload p ON p.account_id = v.account_id AND p.version_id = v.version_id
WHERE v.account_id = ? AND v.contact_id = ? AND v.updated_at = ? AND v.row_hash = ?
{UPSERT_CURRENT}
"""
SQLITE_IS_CURRENT = """
SELECT version_id FROM wacontacts_contact_current WHERE account_id = ? AND version_id BETWEEN ? AND ?
"""

SPECIAL = re.compile(r'[\\"]')
BYTEWISE = 'COLLATE "C"'
FLAGS = {False: b"f", True: b"t"}


class Row(NamedTuple):
    """A version on its way into the tables, and the id that it gets if the store does not hold it yet."""

    version_id: int
    record: Record


class Batch(NamedTuple):
    """
    Versions that are written together.

    :param seen_at: when they were extracted.
    :param rows: by contact, and within it from the oldest to the newest; ``version_id`` ascends.
    """

    account_id: int
    seen_at: datetime
    rows: Sequence[Row]


#: Writes a batch and returns the versions that the store had not held, by id, each with what it is for its contact:
#: ``new``, ``changed``, or ``late`` where another version is the current one.
Write: TypeAlias = Callable[[Connection, Batch], Mapping[int, str]]


def batch_writer(tables: Tables, *, is_sqlite: bool) -> Write:
    """Return what writes batches into a store's tables."""
    return _write_sqlite if is_sqlite else _postgres_writer(tables)


def dedupe_and_number(records: Iterable[Record], first: int) -> list[Row]:
    """
    Bring records into the order in which all workers write them, each version once.

    :param first: the first of their ids.
    """
    sound_first = sorted(records, key=lambda record: record.repaired)
    distinct = {(record.contact_id, record.updated_at, record.row_hash): record for record in sound_first}
    return [Row(first + n, distinct[key]) for n, key in enumerate(sorted(distinct))]


def flag_repaired(connection: Connection, tables: Tables, batch: Batch) -> None:
    """
    Flag the versions that had to be repaired, after the batch was written.

    The same version may have come with U+FFFD of its own before. It counts as repaired once it ever was, in any order.
    """
    repaired = [row.record for row in batch.rows if row.record.repaired]
    if repaired:
        flag = text(REPAIRED.format(at=tables.prefix)).bindparams(bindparam("updated_at", type_=UtcDateTime))
        names = ("contact_id", "updated_at", "row_hash")
        keys = ({name: getattr(record, name) for name in names} for record in repaired)
        connection.execute(flag, [{"account_id": batch.account_id, **key} for key in keys])


def insert_rejects(
    connection: Connection, tables: Tables, extraction_id: str, rejects: Iterable[Reject], *, received_at: datetime
) -> None:
    """Quarantine what an extraction received and could not keep."""
    own = {"extraction_id": extraction_id, "received_at": received_at}
    rows = [{**own, **reject._asdict()} for reject in rejects]
    if rows:
        connection.execute(insert(tables.reject), rows)


def write_bisecting(connection: Connection, write: Write, batch: Batch) -> tuple[Mapping[int, str], list[Reject]]:
    """
    Write a batch but for the rows that the database refuses, which are found by halving.

    :returns: the new versions, as :data:`Write` does, and what was refused.
    """
    if not batch.rows:
        return {}, []
    savepoint = connection.begin_nested()
    try:
        new = write(connection, batch)
    except Exception as error:
        if not is_data_error(error):
            raise
        savepoint.rollback()
        reason = reject_reason(error)
    else:
        savepoint.commit()
        return new, []
    if len(batch.rows) == 1:
        return {}, [Reject(reason, batch.rows[0].record.payload)]
    return _write_halves(connection, write, batch)


def _write_halves(connection: Connection, write: Write, batch: Batch) -> tuple[Mapping[int, str], list[Reject]]:
    middle = len(batch.rows) // 2
    first, first_rejects = write_bisecting(connection, write, batch._replace(rows=batch.rows[:middle]))
    second, second_rejects = write_bisecting(connection, write, batch._replace(rows=batch.rows[middle:]))
    return {**first, **second}, first_rejects + second_rejects


def _postgres_writer(tables: Tables) -> Write:
    keys, payloads = (sql.format(at=tables.driver_prefix, bytewise=BYTEWISE) for sql in (POSTGRES_KEYS, COPY_PAYLOADS))

    def write(connection: Connection, batch: Batch) -> Mapping[int, str]:
        new = {row.version_id: str(row.change_kind) for row in connection.exec_driver_sql(keys, _arrays(batch))}
        if new:
            lines = (_copy_line(row, batch.account_id) for row in batch.rows if row.version_id in new)
            _copy(connection, payloads.replace("%%", "%"), b"".join(lines))
        return new

    return write


def _arrays(batch: Batch) -> dict[str, Any]:
    rows = batch.rows
    return {
        "account_id": batch.account_id,
        "seen_at": batch.seen_at,
        "first": rows[0].version_id,
        "last": rows[-1].version_id,
        "numbers": _array(str(row.version_id) for row in rows),
        "times": _array(row.record.updated_at.isoformat() for row in rows),
        "contacts": _array(_quoted(row.record.contact_id) for row in rows),
        "present": _array("t" if row.record.state == "present" else "f" for row in rows),
        "wa_ids": _array(_quoted(row.record.wa_id) for row in rows),
        "lids": _array(_quoted(row.record.lid) for row in rows),
        "user_ids": _array(_quoted(row.record.user_id) for row in rows),
        "hashes": _array(rf'"\\x{row.record.row_hash.hex()}"' for row in rows),
    }


def _array(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"


def _quoted(element: str | None) -> str:
    return "NULL" if element is None else '"' + SPECIAL.sub(r"\\\g<0>", element) + '"'


def _copy_line(row: Row, account_id: int) -> bytes:
    record = row.record
    ids = (record.wa_id, record.lid, record.user_id)
    columns = (
        b"%d\t%d" % (row.version_id, account_id),
        FLAGS[record.repaired],
        _escaped(record.state.encode()),
        *(b"\\N" if value is None else _escaped(value.encode()) for value in ids),
        _escaped(record.payload),
    )
    return b"\t".join(columns) + b"\n"


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


def _write_sqlite(connection: Connection, batch: Batch) -> Mapping[int, str]:
    """Write a batch. The transaction holds the only write lock, so no other worker writes in between."""
    seen_at = sqlite_time(batch.seen_at)
    keys = {
        version_id: (batch.account_id, record.contact_id, sqlite_time(record.updated_at), record.row_hash)
        for version_id, record in batch.rows
    }
    span = (batch.account_id, batch.rows[0].version_id, batch.rows[-1].version_id)
    connection.exec_driver_sql(
        SQLITE_VERSIONS, [(version_id, *key, seen_at, seen_at) for version_id, key in keys.items()]
    )
    new = {version_id: bool(is_new) for version_id, is_new in connection.exec_driver_sql(SQLITE_NEW, span)}
    if new:
        connection.exec_driver_sql(
            SQLITE_PAYLOADS,
            [
                (version_id, batch.account_id, r.repaired, r.state, r.wa_id, r.lid, r.user_id, r.payload.decode())
                for version_id, r in batch.rows
                if version_id in new
            ],
        )
    connection.exec_driver_sql(SQLITE_CURRENT, list(keys.values()))
    current = {version_id for (version_id,) in connection.exec_driver_sql(SQLITE_IS_CURRENT, span)} if new else ()
    return {
        version_id: "late" if version_id not in current else "new" if is_new else "changed"
        for version_id, is_new in new.items()
    }
