"""
Locks that workers take on more than a row: PostgreSQL's advisory locks, and a lock file beside SQLite's database.

SQLite needs none within a transaction: its transactions that write wait for one another as they begin.
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

#: The lock on a store is named after a table, whichever way it is found: connections may name its schema, or have it by
#: default.
ON_STORE = "SELECT {lock}(hashtext(:name), CAST(CAST(:table AS regclass) AS oid)::integer)"
ON_NAME = "SELECT pg_advisory_xact_lock(hashtext(:name))"
#: Keys of advisory locks are shown as oids, which have no sign.
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
#: Another worker may rewrite files for hours, and so may this one. It holds no snapshot and no row.
NO_LIMITS = """
SELECT set_config('idle_in_transaction_session_timeout', '0', true), set_config('lock_timeout', '0', true),
    set_config('statement_timeout', '0', true)
"""


class Locks:
    """The locks of one store. All but the one on files are held until the transaction ends."""

    def __init__(self, transactions: Transactions, tables: Tables) -> None:
        self._transactions = transactions
        self._table = f"{tables.schema}wacontacts_erased"

    def named(self, connection: Connection, *name: object) -> None:
        """Take an exclusive lock of the database by its name, whose parts are joined by slashes."""
        if connection.dialect.name == "postgresql":
            connection.execute(text(ON_NAME), {"name": "/".join(map(str, name))})

    def writer_lock(self, connection: Connection) -> None:
        """
        Show that this transaction writes people's rows: erasures wait until it ends.

        It never waits itself. To be taken before the suppression list is read.
        """
        self._on_store(connection, WRITERS, SHARED)

    def wait_for_writers(self) -> None:
        """
        Wait until the transactions that hold the writer lock now have ended. Others begin meanwhile.

        An exclusive lock would do as well, but while it waits, all that come after wait behind it.

        :raises LandingError: one did not end within 15 minutes, or the database failed.
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
        """Wait for all transactions that have written changes, so that ids are given in the order of commits."""
        self._on_store(connection, CHANGES, EXCLUSIVE)

    def directory_lock(self, connection: Connection) -> None:
        """
        Keep others from refreshing the directory's copy, or from erasing people who may be in it.

        To be taken before all other locks but the writer lock.
        """
        self._on_store(connection, DIRECTORY, EXCLUSIVE)

    @contextmanager
    def file_rewrite_lock(self) -> Iterator[None]:
        """
        Let one process at a time rewrite files for the store: two would delete what the other has just written.

        Other tasks load contacts meanwhile. The lock of a process that is killed is free.

        :raises LandingError: the database failed, or the file beside SQLite's cannot be written.
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
        # In memory: no other process has it.
        yield
        return
    try:
        # Beside the database, never on it: closing that file would release SQLite's own locks.
        lock = open(f"{path}{LOCK_FILE_SUFFIX}", "ab")  # noqa: SIM115, PTH123 - closed below
    except OSError:
        lock = None
    if lock is None:
        raise LandingError(f"The lock file beside the store's cannot be written; its name ends with {LOCK_FILE_SUFFIX}")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
