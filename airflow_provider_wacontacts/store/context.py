"""Context that the parts of a store share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sqlalchemy import func, select, text
from sqlalchemy.engine import Connection
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from airflow_provider_wacontacts.exceptions import LandingError, LockTimeoutError
from airflow_provider_wacontacts.store.batches import Write
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.locks import Locks
from airflow_provider_wacontacts.store.suppression import StoredSuppressionList
from airflow_provider_wacontacts.store.tables import Tables, UtcDateTime
from airflow_provider_wacontacts.store.transactions import Transactions

__all__ = ["StoreContext"]

T = TypeVar("T")

#: How long yielding work waits for a lock before it lets others pass, and how long it retries.
YIELD_AFTER = "1s"
MAX_WAIT_S = 900
#: Number of histogram steps, each from 300 sampled rows; PostgreSQL's default is 100.
ROUGHLY = "SET LOCAL default_statistics_target = 10"
#: The rows that a table had by its last statistics; -1 without statistics.
KNOWN_ROWS = "SELECT reltuples FROM pg_class WHERE oid = CAST(:table AS regclass)"


@dataclass(slots=True)
class StoreContext:
    """
    Context that each part of a store gets. Threads may share it.

    :param clock: replaces the database's clock in tests; ``None`` for the database's own.
    :param secret: the secret of pseudonyms; ``None`` if the store's connection has none.
    :param suppression_list: the store's suppression list.
    :param write_batch: writes contacts; specific to the database.
    :param late_after: maximum sync lag of a window that is synced in time.
    :param auto_upgrade: whether tasks may create and upgrade the tables.
    """

    transactions: Transactions
    tables: Tables
    locks: Locks
    suppression_list: StoredSuppressionList
    write_batch: Write
    clock: Callable[[], datetime] | None
    late_after: timedelta
    auto_upgrade: bool
    secret: bytes | None = field(default=None, repr=False)

    def now(self, connection: Connection | None = None) -> datetime:
        """
        Return the time by the database's clock, UTC: leases, budgets and attempts do not depend on workers' clocks.

        SQLite uses the machine's clock, which all its workers share.

        :param connection: the caller's connection, if it has one.
        """
        if self.clock is not None:
            return self.clock()
        if self.transactions.is_sqlite:
            return datetime.now(UTC)
        if connection is None:
            with self.transactions.read() as opened:
                return self.now(opened)
        moment: datetime = connection.execute(select(func.clock_timestamp(type_=UtcDateTime))).scalar_one()
        return moment

    @contextmanager
    def read(self) -> Iterator[Database]:
        """
        Open a connection outside any transaction; see :meth:`.Transactions.read`.

        :raises LandingError: the database failed.
        """
        with self.transactions.read() as connection:
            yield Database(connection, self.tables, self.secret)

    def run(self, work: Callable[[Database], T]) -> T:
        """
        Do work in a transaction; see :meth:`.Transactions.run`.

        :raises LandingError: the database failed; nothing is written.
        """
        return self.transactions.run(lambda connection: work(Database(connection, self.tables, self.secret)))

    def run_yielding(self, work: Callable[[Database], T]) -> T:
        """
        Do work in a transaction that waits at most a second for a lock, then lets others pass and retries.

        :raises LandingError: the database failed, or the lock was not released within 15 minutes; nothing is written.
        """

        def with_timeout(db: Database) -> T:
            if not db.is_sqlite:
                db.execute(f"SET LOCAL lock_timeout = '{YIELD_AFTER}'")
            return work(db)

        retrying = Retrying(
            retry=retry_if_exception_type(LockTimeoutError),
            stop=stop_after_delay(self.transactions.at_most(MAX_WAIT_S)),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            reraise=True,
        )
        done: T = retrying(self.run, with_timeout)
        return done

    def analyze(self, *tables: str) -> None:
        """
        Gather PostgreSQL's statistics on tables that have grown much. Errors are ignored: statistics are only a hint.

        PostgreSQL does so itself a minute later, and plans badly until then. Tables that are locked, or that this role
        does not own, are skipped.

        :param tables: names without the prefix ``wacontacts_``.
        """
        if self.transactions.is_sqlite:
            return
        with suppress(LandingError), self.transactions.read() as connection:
            for name in tables:
                self._analyze(connection, name)

    def analyze_grown(self, tables: Mapping[str, str], added: int) -> None:
        """
        Gather rough statistics, like :meth:`analyze`, on tables that have just grown by a tenth or more.

        A sample of some columns does not keep PostgreSQL from gathering full statistics later.

        :param tables: the columns by table.
        :param added: rows added to each table.
        """
        if self.transactions.is_sqlite:
            return
        with suppress(LandingError), self.transactions.read() as connection:
            connection.exec_driver_sql(ROUGHLY)
            for name, columns in tables.items():
                known = connection.execute(text(KNOWN_ROWS), {"table": f"{self.tables.schema}wacontacts_{name}"})
                if added * 10 >= known.scalar_one():
                    self._analyze(connection, f"{name} ({columns})")

    def _analyze(self, connection: Connection, table: str) -> None:
        connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {self.tables.driver_prefix}wacontacts_{table}")
