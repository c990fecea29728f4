"""Encode rows for PostgreSQL's COPY in binary format, which is cheaper than text for server and worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from struct import Struct
from typing import Any

from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.records.record import Record
from airflow_provider_wacontacts.store.batches import Batch, Row
from airflow_provider_wacontacts.store.tables import Tables

__all__ = ["change_rows", "copy_into", "current_row", "key_fields", "payload_row", "version_row"]

#: The columns of a table, in the order in which the functions below write them.
KEYS = "account_id, first_seen_at, last_seen_at, version_id, updated_at, row_hash, contact_id"
COLUMNS = {
    "contact_version": KEYS,
    "contact_payload": "account_id, version_id, repaired, state, wa_id, user_id, lid, payload",
    "contact_current": f"{KEYS}, wa_id, user_id, lid, person_key, is_present",
    "change_log": "account_id, version_id, change_kind",
}
#: Each row begins with the number of its fields, and each field with its length.
VERSION, CURRENT = b"\x00\x07", b"\x00\x0c"
NULL = b"\xff\xff\xff\xff"
LENGTH = Struct(">i")
ACCOUNT_AND_SEEN = Struct(">iqiqiq")
KEY = Struct(">iqiqi")
PAYLOAD = Struct(">hiqiqi?i")
CHANGE = Struct(">hiqiqi")
FLAGS = {False: b"\x00\x00\x00\x01\x00", True: b"\x00\x00\x00\x01\x01"}
#: Before JSON.
JSONB_VERSION = b"\x01"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

BEGIN, END = b"PGCOPY\n\xff\r\n\x00" + bytes(8), b"\xff\xff"
ROWS_SENT = 64


def copy_into(connection: Connection, tables: Tables, table: str, rows: Iterable[bytes]) -> None:
    """Stream rows into a table by COPY. Rows are encoded while the server reads earlier ones."""
    sql = f"COPY {tables.schema}wacontacts_{table} ({COLUMNS[table]}) FROM STDIN (FORMAT binary)"
    cursor: Any = connection.connection.cursor()
    left = chain([BEGIN], rows, [END])
    chunks = iter(lambda: b"".join(islice(left, ROWS_SENT)), b"")
    try:
        if hasattr(cursor, "copy_expert"):
            _copy_from(cursor, sql, _Reader(chunks))
        else:
            with cursor.copy(sql) as copy:
                for chunk in chunks:
                    copy.write(chunk)
    finally:
        cursor.close()


def _copy_from(cursor: Any, sql: str, reader: _Reader) -> None:
    try:
        cursor.copy_expert(sql, reader)
    except Exception:
        # psycopg2 replaces the reader's error, for example a task's timeout, with its own.
        if reader.error is not None:
            raise reader.error from None
        raise


class _Reader:
    """
    A file object for psycopg2. Reads may return more or fewer bytes than requested.

    :ivar error: the error that ended reading.
    """

    error: BaseException | None = None

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int) -> bytes:  # noqa: ARG002
        try:
            return next(self._chunks, b"")
        except BaseException as error:
            self.error = error
            raise


def key_fields(batch: Batch) -> Iterator[bytes]:
    """Yield the fields that rows of ``contact_version`` and ``contact_current`` share."""
    seen_at = _microseconds(batch.seen_at)
    same = ACCOUNT_AND_SEEN.pack(8, batch.account_id, 8, seen_at, 8, seen_at)
    for version_id, record in batch.rows:
        row_hash, contact_id = record.row_hash, record.contact_id.encode()
        key = KEY.pack(8, version_id, 8, _microseconds(record.updated_at), len(row_hash))
        yield b"".join((same, key, row_hash, LENGTH.pack(len(contact_id)), contact_id))


def version_row(key: bytes) -> bytes:
    """Return a row of ``contact_version``."""
    return VERSION + key


def payload_row(row: Row, account_id: int) -> bytes:
    """Return a row of ``contact_payload``."""
    version_id, record = row
    state, payload = record.state.encode(), record.payload
    head = PAYLOAD.pack(8, 8, account_id, 8, version_id, 1, record.repaired, len(state))
    return b"".join((head, state, _identifiers(record), LENGTH.pack(len(payload) + 1), JSONB_VERSION, payload))


def current_row(row: Row, key: bytes) -> bytes:
    """Return a row of ``contact_current``. A contact without a WhatsApp ID gets its own person key."""
    record = row.record
    person_key = _text(record.user_id or record.lid) if record.wa_id is None else NULL
    return b"".join((CURRENT, key, _identifiers(record), person_key, FLAGS[record.state == "present"]))


def change_rows(account_id: int, kind: str, version_ids: Iterable[int]) -> Iterator[bytes]:
    """Yield rows of ``change_log``."""
    name = kind.encode()
    return (CHANGE.pack(3, 8, account_id, 8, version_id, len(name)) + name for version_id in version_ids)


def _identifiers(record: Record) -> bytes:
    return _text(record.wa_id) + _text(record.user_id) + _text(record.lid)


def _text(value: str | None) -> bytes:
    if value is None:
        return NULL
    encoded = value.encode()
    return LENGTH.pack(len(encoded)) + encoded


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
