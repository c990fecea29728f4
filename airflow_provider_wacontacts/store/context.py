"""What the parts of a store share."""

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

#: How long work that yields waits for a lock on a row or table before it lets others pass, and how long it tries.
YIELD_AFTER = "1s"
MAX_WAIT_S = 900
#: Statistics from 300 rows for each step of their histograms, which are 100 by default.
ROUGHLY = "SET LOCAL default_statistics_target = 10"
#: The rows that a table had by its last statistics; -1 without statistics.
KNOWN_ROWS = "SELECT reltuples FROM pg_class WHERE oid = CAST(:table AS regclass)"


@dataclass(slots=True)
class StoreContext:
    """
    What each part of a store is given. Threads may share it.

    :param clock: replaces the database's clock in tests; ``None`` for the database's.
    :param secret: the secret of pseudonyms; ``None`` where the store's connection has none.
    :param suppressions: the suppression list.
    :param write_batch: writes contacts, in the database's own way.
    :param late_after: how long after its end a window may be extracted in time.
    :param auto_upgrade: whether tasks may create and upgrade the tables.
    """

    transactions: Transactions
    tables: Tables
    locks: Locks
    suppressions: StoredSuppressionList
    write_batch: Write
    clock: Callable[[], datetime] | None
    late_after: timedelta
    auto_upgrade: bool
    secret: bytes | None = field(default=None, repr=False)

    def now(self, connection: Connection | None = None) -> datetime:
        """
        Return the time by the database's clock, UTC: leases, budgets and attempts depend on no worker's.

        SQLite has the clock of its machine, which all of its workers share.

        :param connection: where the caller has one.
        """
        if self.clock is not None:
            return self.clock()
        if self.transactions.is_sqlite:
            return datetime.now(UTC)
        if connection is None:
            with self.transactions.read() as own:
                return self.now(own)
        moment: datetime = connection.execute(select(func.clock_timestamp(type_=UtcDateTime))).scalar_one()
        return moment

    @contextmanager
    def read(self) -> Iterator[Database]:
        """
        Open a connection outside of any transaction; see :meth:`.Transactions.read`.

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
        Do work in a transaction that waits for a lock for a second at most, then lets others pass and repeats it.

        :raises LandingError: the database failed, or the lock was not free for 15 minutes; nothing is written.
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
        Gather PostgreSQL's statistics on tables that have grown much. A hint to the planner, so it never fails.

        PostgreSQL does so itself a minute later, and plans badly until then. Tables that are locked just now, or that
        this role does not own, are skipped.

        :param tables: names without the prefix ``wacontacts_``.
        """
        if self.transactions.is_sqlite:
            return
        with suppress(LandingError), self.transactions.read() as connection:
            for name in tables:
                self._analyze(connection, name)

    def analyze_grown(self, tables: Mapping[str, str], added: int) -> None:
        """
        Gather rough statistics as :meth:`analyze` does, on tables of which a tenth or more was just added.

        A sample of some columns does not keep PostgreSQL from gathering full statistics later.

        :param tables: the columns by table.
        :param added: how many rows were added to each table.
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
