"""
Locks on more than a row: advisory locks in PostgreSQL, and a lock file next to SQLite's database.

SQLite needs no lock within a transaction: only one writing transaction can begin at a time.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.exceptions import LandingError, LockTimeoutError
from airflow_provider_wacontacts.store.tables import Tables
from airflow_provider_wacontacts.store.transactions import Transactions

__all__ = ["LOCK_FILE_SUFFIX", "Locks"]

LOCK_FILE_SUFFIX = "-erasing"

#: The lock on a store is named after the OID of a table: connections may name its schema, or have it as the default.
ON_STORE = "SELECT {lock}(hashtext(:name), CAST(CAST(:table AS regclass) AS oid)::integer)"
ON_NAME = "SELECT pg_advisory_xact_lock(hashtext(:name))"
#: ``pg_locks`` shows the keys of advisory locks as OIDs, which are unsigned.
HOLDERS = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = CAST(CAST(hashtext(:name) AS bigint) & 4294967295 AS oid)
    AND objid = CAST(CAST(:table AS regclass) AS oid)
"""
EXCLUSIVE, SHARED = "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared"
WRITERS = "wacontacts writers"
FILES = "wacontacts files"
CHANGES = "wacontacts changes"
DIRECTORY = "wacontacts directory"
MAX_WAIT_S = 900
POLL_S = 0.05
#: Workers may rewrite files for hours. The session of this lock holds no snapshot and no row lock.
NO_LIMITS = """
SELECT set_config('idle_in_transaction_session_timeout', '0', true), set_config('lock_timeout', '0', true),
    set_config('statement_timeout', '0', true)
"""


class Locks:
    """The locks of one store. All except the file rewrite lock are held until the transaction ends."""

    def __init__(self, transactions: Transactions, tables: Tables) -> None:
        self._transactions = transactions
        self._table = f"{tables.schema}wacontacts_erased"

    def named(self, connection: Connection, *name: object) -> None:
        """Take an exclusive lock by its name. The parts of the name are joined by slashes."""
        if connection.dialect.name == "postgresql":
            connection.execute(text(ON_NAME), {"name": "/".join(map(str, name))})

    def writer_lock(self, connection: Connection) -> None:
        """
        Mark this transaction as writing people's rows: erasures wait until it ends.

        It never waits. Take it before reading the suppression list.
        """
        self._on_store(connection, WRITERS, SHARED)

    def wait_for_writers(self) -> None:
        """
        Wait until the current holders of the writer lock have ended. Other transactions may begin meanwhile.

        It does not use an exclusive lock: while that waits, all later writers wait behind it.

        :raises LandingError: a transaction did not end within 15 minutes, or the database failed.
        """
        if self._transactions.is_sqlite:
            return
        max_wait_s = self._transactions.at_most(MAX_WAIT_S)
        deadline = time.monotonic() + max_wait_s
        with self._transactions.read() as connection:
            writers = running = self._writers(connection)
            while running & writers:
                if time.monotonic() > deadline:
                    raise LockTimeoutError(
                        f"A transaction on the store was still writing contacts after {max_wait_s:.0f} seconds, so an"
                        " erasure was not completed. Retry."
                    )
                time.sleep(POLL_S)
                running = self._writers(connection)

    def _writers(self, connection: Connection) -> set[str]:
        held = connection.execute(text(HOLDERS), {"name": WRITERS, "table": self._table})
        return set(held.scalars())

    def change_log_lock(self, connection: Connection) -> None:
        """Wait for all transactions that have written changes, so that IDs are in commit order."""
        self._on_store(connection, CHANGES, EXCLUSIVE)

    def directory_lock(self, connection: Connection) -> None:
        """
        Prevent refreshes of the directory's copy, and erasures of people in it.

        Take it before all other locks except the writer lock.
        """
        self._on_store(connection, DIRECTORY, EXCLUSIVE)

    @contextmanager
    def file_rewrite_lock(self) -> Iterator[None]:
        """
        Let one process at a time rewrite files for the store: two processes would delete each other's new files.

        Other tasks load contacts meanwhile. A killed process releases the lock.

        :raises LandingError: the database failed, or the lock file next to SQLite's cannot be written.
        """
        with _lock_file(self._transactions) if self._transactions.is_sqlite else self._session_lock():
            yield

    def _on_store(self, connection: Connection, name: str, lock: str) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text(ON_STORE.format(lock=lock)), {"name": name, "table": self._table})

    @contextmanager
    def _session_lock(self) -> Iterator[None]:
        with self._transactions.read() as connection:
            connection.exec_driver_sql(NO_LIMITS)
            self._on_store(connection, FILES, EXCLUSIVE)
            yield


@contextmanager
def _lock_file(transactions: Transactions) -> Iterator[None]:
    with transactions.read() as connection:
        path = next(row[2] for row in connection.exec_driver_sql("PRAGMA database_list") if row[1] == "main")
    if not path:
        # A database in memory: no other process uses it.
        yield
        return
    try:
        # A separate file: closing the database file would release SQLite's own locks.
        lock = open(f"{path}{LOCK_FILE_SUFFIX}", "ab")  # noqa: SIM115, PTH123 - closed below
    except OSError:
        lock = None
    if lock is None:
        raise LandingError(
            f"The lock file next to the store's file, with suffix {LOCK_FILE_SUFFIX!r}, cannot be written. Check the"
            " directory's permissions."
        )
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
