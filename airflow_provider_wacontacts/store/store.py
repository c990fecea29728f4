"""The store: what lands contacts in tables, one try at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection, Engine

from airflow_provider_wacontacts.identifiers.suppression import SuppressionList
from airflow_provider_wacontacts.records.record import Record
from airflow_provider_wacontacts.records.rejects import Reject
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import ledger, postgres, schema, sqlite
from airflow_provider_wacontacts.store.batches import (
    Batch,
    dedupe_and_number,
    flag_repaired,
    insert_rejects,
    write_bisecting,
)
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.locks import Locks
from airflow_provider_wacontacts.store.results import ExtractionResult
from airflow_provider_wacontacts.store.snapshots import SnapshotExtraction
from airflow_provider_wacontacts.store.suppression import StoredSuppressionList
from airflow_provider_wacontacts.store.tables import Tables
from airflow_provider_wacontacts.store.transactions import Transactions

__all__ = ["Extraction", "Store"]


def _worker_time() -> datetime:
    return datetime.now(UTC)


class Store:
    """
    Tables that contacts land in.

    :param engine: PostgreSQL by psycopg or psycopg2, or SQLite. Nothing is connected to yet.
    :param table_schema: schema of PostgreSQL; ``None`` for the connection's own.
    :param auto_upgrade: create tables, or bring them up to date, where they are not.
    :param late_after: how long after its end a window may be pulled and still count as pulled in time.
    :param now: the worker's clock, aware.
    :param secret: that of pseudonyms, where there is one: who was erased is known by it, and the directory joins by it.
    :raises ConfigError: another database or driver, or a ``table_schema`` in SQLite.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        table_schema: str | None = None,
        auto_upgrade: bool = True,
        late_after: timedelta = timedelta(hours=1),
        now: Callable[[], datetime] = _worker_time,
        secret: bytes | None = None,
    ) -> None:
        transactions, tables = Transactions(engine), Tables(engine.dialect, table_schema)
        locks = Locks(transactions, tables)
        self.context = StoreContext(
            transactions=transactions,
            tables=tables,
            locks=locks,
            suppressions=StoredSuppressionList(tables, locks, secret),
            write_batch=(sqlite if transactions.is_sqlite else postgres).writer(tables),
            now=now,
            late_after=late_after,
            auto_upgrade=auto_upgrade,
            secret=secret,
        )

    def prepare(self) -> None:
        """
        Make sure that the tables can be written; to be called before anything is asked of a system.

        :raises ConfigError: they are of a newer version of the package, or may not be created or brought up to date; or
            people were erased with another secret.
        :raises LandingError: the database failed.
        """
        schema.prepare(self.context)

    def suppression_list(self) -> SuppressionList:
        """
        Tell who was erased until now.

        :raises ConfigError: somebody was erased with another secret than the store's.
        :raises LandingError: the database failed.
        """
        with self.context.transactions.read() as connection:
            return self.context.suppressions.cached(connection)

    def begin(
        self,
        *,
        source: str,
        account: str,
        window: Window | None,
        task: TaskInstanceKey,
        options_digest: str,
        package_version: str,
        uri: str | None = None,
    ) -> Extraction:
        """
        Begin a try, taking over from the unfinished one of the same task, window and options where there is one.

        The try that is taken over is ``abandoned``: what it still sends is refused. A finished one is left alone.

        :param window: ``None`` for what has none; a snapshot begins with :meth:`begin_snapshot`.
        :param options_digest: a short text that differs where the system is asked for something else.
        :param uri: names the place in the ledger, without login and password.
        :raises LandingError: the database failed.
        """
        claim = ledger.ExtractionKey(source, account, window, task, options_digest)
        return Extraction(self.context, self._begin(claim, package_version, uri))

    def begin_snapshot(
        self,
        *,
        source: str,
        account: str,
        group: bool | None,
        task: TaskInstanceKey,
        options_digest: str,
        package_version: str,
        uri: str | None = None,
    ) -> SnapshotExtraction:
        """
        Begin a try at a snapshot, taking over as :meth:`begin` does; nothing of the try before is there.

        :param group: groups only, or persons only; both where it is ``None``.
        :param options_digest: a short text that differs where the system is asked for something else, ``group``
            included.
        :param uri: names the place in the ledger, without login and password.
        :raises LandingError: the database failed.
        """
        claim = ledger.ExtractionKey(source, account, None, task, options_digest)
        return SnapshotExtraction(self.context, self._begin(claim, package_version, uri), group=group)

    def has_landed(self, source: str, account: str, uri: str) -> bool:
        """
        Tell whether what is at an address was landed, whole, by whatever try.

        :raises LandingError: the database failed.
        """
        with self.context.transactions.read() as connection:
            return ledger.has_landed(connection, self.context.tables, source, account, uri)

    def _begin(self, claim: ledger.ExtractionKey, package_version: str, uri: str | None) -> ledger.StartedExtraction:
        def work(connection: Connection) -> ledger.StartedExtraction:
            return ledger.begin(connection, self.context, claim, package_version=package_version, uri=uri)

        return self.context.transactions.run(work)


class Extraction:
    """
    One try; made by :meth:`Store.begin`.

    :ivar extraction_id: 32 hexadecimal digits.
    :ivar resume_from: the position that the try before it committed last; ``None`` to start the window anew.
    :ivar resumes: how many tries came before it, 0 and up.
    :ivar rows: contacts that this try has landed, repeated ones included.
    :ivar rejected: what it has put aside, rows that the database refused among them.
    """

    def __init__(self, context: StoreContext, begun: ledger.StartedExtraction) -> None:
        self.extraction_id = begun.extraction_id
        self.resume_from = begun.resume_from
        self.resumes = begun.resumes
        self.rows = 0
        self.rejected = 0
        self._account_id = begun.account_id
        self._place = begun.source, begun.account
        self._context = context

    def land(
        self,
        records: Sequence[Record],
        rejects: Sequence[Reject] = (),
        *,
        position: datetime | None,
        pages: int,
        size: int,
        extracted_at: datetime,
        number_ids: Collection[str] = (),
    ) -> int:
        """
        Commit a batch: rows, rejects, counters and position together, or nothing of it.

        Rows that the database refuses become rejects. Who was erased is passed over, and not counted.

        :param records: in any order; may be empty, repeat each other and what landed before.
        :param position: where a later try may go on; ``None`` where it has to start anew.
        :param pages: how many answers the batch is from.
        :param size: their bytes.
        :param extracted_at: when the system answered this try first; the same for all its batches.
        :param number_ids: the numbers of the account that the records are of, as the system names them.
        :returns: how many states the store had not held.
        :raises ConfigError: they are of another number than what the account had before.
        :raises LandingError: another try has taken over, or the database failed or lost what was committed.
        """
        context = self._context

        def work(connection: Connection) -> ledger.Counts:
            tables = context.tables
            first = ledger.lock_running(connection, tables, self.extraction_id, self.rows + self.rejected)
            if number_ids:
                ledger.pin_number_id(connection, tables, self._account_id, set(number_ids))
            erased = context.suppressions.locked(connection)
            kept = erased.remove_suppressed(*self._place, records)
            batch = Batch(self._account_id, extracted_at, dedupe_and_number(kept, first))
            new, refused = write_bisecting(connection, context.write_batch, batch)
            flag_repaired(connection, tables, batch)
            aside = [*erased.remove_suppressed_rejects(rejects), *refused]
            insert_rejects(connection, tables, self.extraction_id, aside)
            counts = ledger.Counts(len(kept) - len(refused), new, len(aside), pages, size)
            ledger.count(connection, tables, self.extraction_id, counts, position=position, extracted_at=extracted_at)
            return counts

        counts = context.transactions.run(work)
        self.rows += counts.rows
        self.rejected += counts.rejected
        return counts.new_versions

    def finish(self, state: str = "complete") -> ExtractionResult:
        """
        Close the try: nothing can be landed by it from now on.

        :param state: ``complete``, ``incomplete`` or ``refused``.
        :raises LandingError: another try has taken over, or the database failed or lost what was committed.
        """
        context = self._context

        def work(connection: Connection) -> ExtractionResult:
            ledger.lock_running(connection, context.tables, self.extraction_id, self.rows + self.rejected)
            return ledger.finish(connection, context, self.extraction_id, state)

        result = context.transactions.run(work)
        ledger.analyze(context, result)
        return result
