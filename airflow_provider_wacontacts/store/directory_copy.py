"""
The directory's copy: a table with the rows of the view, which analysts may index and scan.

A refresh writes the rows that differ in one transaction. Until it commits, readers see the previous copy.

Erasures also delete people from the copy. A lock prevents a refresh from reading people before an erasure and writing
them after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import inspect

from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database

__all__ = ["PEOPLE", "PEOPLE_OF_CONTACTS", "DirectoryRefresh", "copy_people_again", "is_in_use", "refresh_directory"]

#: The directory has a row for each key in these tables.
DELETE_GONE = """
DELETE FROM {at}wacontacts_directory_copy AS d
WHERE NOT EXISTS (SELECT 1 FROM {at}wacontacts_contact_current c WHERE c.wa_id = d.person_key)
    AND NOT EXISTS (SELECT 1 FROM {at}wacontacts_contact_current c WHERE c.person_key = d.person_key)
    AND NOT EXISTS (SELECT 1 FROM {at}wacontacts_number n WHERE n.person_key = d.person_key)
    AND NOT EXISTS (SELECT 1 FROM {at}wacontacts_identity i WHERE i.person_key = d.person_key)
"""
WRITE = """
INSERT INTO {{at}}wacontacts_directory_copy AS kept ({columns}, copied_at)
SELECT {columns}, CAST(:now AS {{time}}) FROM {{at}}wacontacts_directory WHERE {where}
ON CONFLICT (person_key) DO UPDATE SET {changes}, copied_at = excluded.copied_at
WHERE ({kept}) {differ} ({excluded})
"""
#: In one statement, so that both parts see the same rows.
REFRESH_POSTGRES = """
WITH deleted AS ({delete} RETURNING 1), written AS ({write} RETURNING 1)
SELECT (SELECT count(*) FROM deleted) AS deleted, (SELECT count(*) FROM written) AS written
"""
NO_TIMEOUT = "SET LOCAL statement_timeout = 0"
DELETE = "DELETE FROM {at}wacontacts_directory_copy WHERE person_key IN :keys"
COUNT = "SELECT count(*) FROM {at}wacontacts_directory_copy"
IS_IN_USE = "SELECT 1 FROM {at}wacontacts_directory_copy LIMIT 1"

#: People by the identifiers in the copy, which may be older than the directory's.
PEOPLE = """
SELECT person_key FROM {at}wacontacts_directory_copy WHERE person_key IN (SELECT given.value FROM {given})
UNION SELECT person_key FROM {at}wacontacts_directory_copy
WHERE lid IN (SELECT given.value FROM {given} WHERE given.kind = 'lid')
UNION SELECT person_key FROM {at}wacontacts_directory_copy
WHERE user_id IN (SELECT given.value FROM {given} WHERE given.kind = 'user_id')
UNION SELECT person_key FROM {at}wacontacts_directory_copy
WHERE number IN (SELECT '+' || given.value FROM {given} WHERE given.kind = 'wa_id')
"""
PEOPLE_OF_CONTACTS = """
SELECT person_key FROM {at}wacontacts_directory_copy WHERE (turn_account, turn_contact_id) IN (
    SELECT given.account, given.contact_id FROM {given} WHERE given.source = 'turn'
)
UNION SELECT person_key FROM {at}wacontacts_directory_copy WHERE (green_api_account, green_api_contact_id) IN (
    SELECT given.account, given.contact_id FROM {given} WHERE given.source = 'green_api'
)
"""


class DirectoryRefresh(NamedTuple):
    """
    The counts of a refresh.

    :param people: rows of the copy afterwards.
    :param written: rows that were new or differed.
    :param deleted: rows of people that are no longer in the directory.
    """

    people: int
    written: int
    deleted: int


def refresh_directory(context: StoreContext) -> DirectoryRefresh:
    """
    Make the copy equal to the directory.

    Meanwhile, erasures wait in PostgreSQL, and all writing tasks wait in SQLite.

    :raises LandingError: the database failed, or another refresh took more than a minute. Nothing was changed.
    """

    def work(db: Database) -> DirectoryRefresh:
        context.locks.directory_lock(db.connection)
        write, now = _write(db, "true"), context.now(db.connection)
        if db.is_sqlite:
            deleted = db.execute(DELETE_GONE).rowcount
            written = db.execute(write, now=now).rowcount
        else:
            db.execute(NO_TIMEOUT)
            refresh = REFRESH_POSTGRES.format(delete=DELETE_GONE, write=write)
            row = db.execute(refresh, now=now).one()
            deleted, written = row.deleted, row.written
        return DirectoryRefresh(db.execute(COUNT).scalar_one(), written, deleted)

    refreshed = context.run(work)
    if refreshed.written:
        context.analyze("directory_copy")
    return refreshed


def is_in_use(db: Database) -> bool:
    """Return whether the copy has rows."""
    return db.execute(IS_IN_USE).first() is not None


def copy_people_again(context: StoreContext, person_keys: Sequence[str], db: Database) -> None:
    """Replace rows of the copy with the directory's current rows."""
    context.locks.directory_lock(db.connection)
    keys = list(person_keys)
    db.execute(DELETE, keys=keys)
    db.execute(_write(db, "person_key IN :keys"), keys=keys, now=context.now(db.connection))


def _write(db: Database, where: str) -> str:
    found: Any = inspect(db.connection).get_columns("wacontacts_directory", schema=db.tables.table_schema)
    columns = [column["name"] for column in found]
    return WRITE.format(
        columns=", ".join(columns),
        where=where,
        changes=", ".join(f"{name} = excluded.{name}" for name in columns),
        kept=", ".join(f"kept.{name}" for name in columns),
        differ="IS NOT" if db.is_sqlite else "IS DISTINCT FROM",
        excluded=", ".join(f"excluded.{name}" for name in columns),
    )
