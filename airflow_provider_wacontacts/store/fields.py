"""The fields of accounts' contacts, and schema drift: fields that are new, gone or of another type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.records.drift import Drift, KnownField, ObservedFields, find_drift
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.ledger import ExtractionResult, StartedExtraction
from airflow_provider_wacontacts.store.tables import Tables, insert_into

__all__ = [
    "FieldChange",
    "FieldObservation",
    "is_latest",
    "read_extraction_drift",
    "read_field_changes",
    "record_fields",
]

KEY = ("account_id", "field")
CHANGES = """
SELECT source, account, extraction_id, field, change_kind, type_before, type_after, share, detected_at
FROM {at}wacontacts_field_change
"""
NEWEST_CHANGES = f"{CHANGES} WHERE detected_at >= :since ORDER BY detected_at DESC, field_change_id DESC LIMIT :limit"
CHANGES_OF_EXTRACTION = f"{CHANGES} WHERE extraction_id = :extraction_id ORDER BY field"


class FieldObservation(NamedTuple):
    """
    The fields that an extraction found in an account's contacts.

    :param selects: returns whether a field is written; other fields are ignored.
    """

    fields: ObservedFields
    selects: Callable[[str], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A row of ``wacontacts_field_change``; see :class:`~.records.drift.Drift`."""

    source: str
    account: str
    extraction_id: str
    field: str
    change_kind: str
    type_before: str | None
    type_after: str | None
    share: float
    detected_at: datetime


def record_fields(
    connection: Connection,
    context: StoreContext,
    started: StartedExtraction,
    observation: FieldObservation | None,
    *,
    extracted_at: datetime,
    are_latest: bool,
) -> Sequence[Drift]:
    """
    Store the fields that an extraction found, in the transaction that closes it.

    :param are_latest: whether the contacts are the account's latest.
    :returns: changes since the last extraction.
    """
    if observation is None or not (observation.fields.contacts or observation.fields.declared):
        return ()
    context.locks.named(connection, "wacontacts fields", started.account_id)
    stored = _read(connection, context.tables, started.account_id)
    known = [field for field in stored if observation.selects(field.field)]
    drift, fields = find_drift(known, observation.fields, are_latest=are_latest)
    _write(connection, context.tables, started.account_id, fields)
    if drift:
        key = {name: getattr(started, name) for name in ("account_id", "source", "account", "extraction_id")}
        rows = [{**key, **asdict(change), "detected_at": extracted_at} for change in drift]
        connection.execute(insert(context.tables.field_change), rows)
    return drift


def is_latest(connection: Connection, tables: Tables, result: ExtractionResult) -> bool:
    """Return whether no complete extraction of the account is newer than a window."""
    if result.window_end is None:
        return True
    extraction, account = tables.extraction.c, tables.account.c
    account_id = select(account.account_id).where(account.source == result.source, account.account == result.account)
    later = select(extraction.extraction_number).where(
        extraction.account_id == account_id.scalar_subquery(), extraction.covered_until > result.window_end
    )
    return connection.execute(later.limit(1)).first() is None


def read_field_changes(db: Database, *, since: datetime, limit: int = 100) -> list[FieldChange]:
    """
    Return the newest schema drift of all accounts, the newest first.

    :param since: timezone-aware; earlier drift is left out.
    """
    return _changes(db, NEWEST_CHANGES, since=since, limit=limit)


def read_extraction_drift(db: Database, extraction_id: str) -> list[FieldChange]:
    """Return the schema drift that an extraction has found, by field."""
    return _changes(db, CHANGES_OF_EXTRACTION, extraction_id=extraction_id)


def _changes(db: Database, sql: str, **parameters: Any) -> list[FieldChange]:
    found = db.execute(sql, times=["detected_at"], ids=["extraction_id"], **parameters)
    return [FieldChange(**row) for row in found.mappings()]


def _read(connection: Connection, tables: Tables, account_id: int) -> list[KnownField]:
    field = tables.field.c
    names = [name for name in KnownField.__dataclass_fields__ if name != "json_types"]
    query = select(field.json_types, *(field[name] for name in names)).where(field.account_id == account_id)
    return [
        KnownField(json_types=frozenset(json_types.split(",")) - {""}, **dict(zip(names, values, strict=True)))
        for json_types, *values in connection.execute(query)
    ]


def _write(connection: Connection, tables: Tables, account_id: int, fields: Sequence[KnownField]) -> None:
    upsert = insert_into(connection, tables.field)
    rows = [
        {**asdict(field), "account_id": account_id, "json_types": ",".join(sorted(field.json_types))}
        for field in fields
    ]
    if rows:
        columns = {name: upsert.excluded[name] for name in rows[0] if name not in KEY}
        connection.execute(upsert.on_conflict_do_update(index_elements=KEY, set_=columns), rows)
