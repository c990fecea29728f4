"""One at a time rewrites the files of a store: two would delete what the other has just written."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.store.store import Store

__all__ = ["file_rewrite_lock"]

#: Idle for as long as the files take. It holds no snapshot and no row: nobody waits for it but the next one.
STAY = "SET LOCAL idle_in_transaction_session_timeout = 0"
LOCK = """
SELECT pg_advisory_xact_lock(hashtext('wacontacts files'), CAST(CAST(:name AS regclass) AS oid)::integer)
"""
SUFFIX = "-erasing"


@contextmanager
def file_rewrite_lock(store: Store) -> Iterator[None]:
    """
    Wait until nobody else rewrites files for the store, and let nobody else do it meanwhile.

    Whoever is killed lets go of it. Contacts land meanwhile as ever.

    :raises LandingError: the database failed, or the file beside SQLite's cannot be written.
    """
    with _on_sqlite(store) if store.sessions.is_sqlite else _on_postgres(store):
        yield


@contextmanager
def _on_postgres(store: Store) -> Iterator[None]:
    with store.sessions.reading() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql(STAY)
        connection.execute(text(LOCK), {"name": f"{store.tables.prefix}wacontacts_erased"})
        try:
            yield
        finally:
            # Not left to the pool: a driver that commits by itself knows of no transaction to end.
            connection.exec_driver_sql("COMMIT")


@contextmanager
def _on_sqlite(store: Store) -> Iterator[None]:
    with store.sessions.reading() as connection:
        path = next(row[2] for row in connection.exec_driver_sql("PRAGMA database_list") if row[1] == "main")
    if not path:
        # In memory: nobody else has it.
        yield
        return
    try:
        # Beside the database, never on it: closing that file would let go of SQLite's own locks.
        lock = open(f"{path}{SUFFIX}", "ab")  # noqa: SIM115, PTH123 - closed below
    except OSError:
        lock = None
    if lock is None:
        raise LandingError(f"no file can be written beside the store's, whose name ends with {SUFFIX}")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
