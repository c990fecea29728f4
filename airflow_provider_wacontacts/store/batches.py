"""Batches of contacts to write: sorted, deduplicated, and without rows that the database refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import count, zip_longest
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from sqlalchemy import bindparam, func, insert, select, text
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.records.record import MAX_REASONS, Record, Reject
from airflow_provider_wacontacts.store.errors import is_data_error, reject_reason
from airflow_provider_wacontacts.store.tables import Tables, UtcDateTime

__all__ = [
    "Batch",
    "Row",
    "Write",
    "dedupe_and_number",
    "flag_repaired",
    "insert_rejects",
    "reject_reasons",
    "write_bisecting",
]

REPAIRED = """
UPDATE {at}wacontacts_contact_payload SET repaired = true
WHERE NOT repaired AND account_id = :account_id AND version_id = (
    SELECT version_id FROM {at}wacontacts_contact_version
    WHERE account_id = :account_id AND contact_id = :contact_id AND updated_at = :updated_at AND row_hash = :row_hash
)
"""


#: The key of a version within an account.
VERSION_KEY = ("contact_id", "updated_at", "row_hash")


class Row(NamedTuple):
    """A version to write, and the ID that it gets if it is new."""

    version_id: int
    record: Record


class Batch(NamedTuple):
    """
    Versions that are written together.

    :param seen_at: time of the extraction.
    :param rows: ordered by contact, then from the oldest to the newest; ``version_id`` ascends.
    """

    account_id: int
    seen_at: datetime
    rows: Sequence[Row]


#: Writes a batch and returns the kind of each version that the store did not have, by ID: ``new``, ``changed``, or
#: ``late`` if another version is the current one.
Write: TypeAlias = Callable[[Connection, Batch], Mapping[int, str]]


def dedupe_and_number(records: Iterable[Record], first: int) -> list[Row]:
    """
    Sort records into the order in which all workers write them, and deduplicate versions.

    :param first: the first ID.
    """
    # Comparing sorted neighbors is faster than hashing times. A repaired version comes after its equals.
    in_order = sorted(records, key=attrgetter(*VERSION_KEY, "repaired"))
    key = attrgetter(*VERSION_KEY)
    following = zip_longest(in_order, in_order[1:])
    distinct = (record for record, after in following if after is None or key(record) != key(after))
    return list(map(Row, count(first), distinct))


def flag_repaired(connection: Connection, tables: Tables, batch: Batch) -> None:
    """
    Flag repaired versions, after the batch was written.

    The same version may have been received before with U+FFFD in the original. In any order, it is flagged if it was
    ever repaired.
    """
    repaired = [row.record for row in batch.rows if row.record.repaired]
    if repaired:
        flag = text(REPAIRED.format(at=tables.prefix)).bindparams(bindparam("updated_at", type_=UtcDateTime))
        keys = ({name: getattr(record, name) for name in VERSION_KEY} for record in repaired)
        connection.execute(flag, [{"account_id": batch.account_id, **key} for key in keys])


def insert_rejects(
    connection: Connection, tables: Tables, extraction_id: str, rejects: Iterable[Reject], *, received_at: datetime
) -> None:
    """Quarantine the rejected rows of an extraction."""
    shared = {"extraction_id": extraction_id, "received_at": received_at}
    rows = [{**shared, **reject._asdict()} for reject in rejects]
    if rows:
        connection.execute(insert(tables.reject), rows)


def reject_reasons(connection: Connection, tables: Tables, extraction_id: str) -> dict[str, int]:
    """Return the commonest reasons for an extraction's rejected rows, with counts."""
    reject = tables.reject.c
    by_reason = (
        select(reject.reason, func.count())
        .where(reject.extraction_id == extraction_id)
        .group_by(reject.reason)
        .order_by(func.count().desc(), reject.reason)
        .limit(MAX_REASONS)
    )
    return {row[0]: row[1] for row in connection.execute(by_reason)}


def write_bisecting(connection: Connection, write: Write, batch: Batch) -> tuple[Mapping[int, str], list[Reject]]:
    """
    Write a batch, except rows that the database refuses. These are found by bisection.

    :returns: the new versions, as :data:`Write` does, and the refused rows.
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
