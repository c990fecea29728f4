"""The store: the interface to the tables that contacts are loaded into."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection, Engine

from airflow_provider_wacontacts.identifiers.suppression import SuppressionList
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import ledger, schema
from airflow_provider_wacontacts.store.batch_writers import batch_writer
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.extractions import Extraction
from airflow_provider_wacontacts.store.locks import Locks
from airflow_provider_wacontacts.store.snapshots import SnapshotExtraction
from airflow_provider_wacontacts.store.suppression import StoredSuppressionList
from airflow_provider_wacontacts.store.tables import Tables
from airflow_provider_wacontacts.store.transactions import FILE_MODE, Transactions

__all__ = ["Store"]


class Store:
    """
    The tables that contacts are loaded into.

    :param engine: PostgreSQL with psycopg or psycopg2, or SQLite. The store does not connect yet.
    :param table_schema: schema of PostgreSQL; ``None`` for the connection's own.
    :param auto_upgrade: create or upgrade the tables if needed.
    :param late_after: maximum sync lag of a window that is synced in time, inclusive.
    :param now: replaces the database's clock in tests, timezone-aware.
    :param secret: the secret of pseudonyms, the key of the suppression list and of the directory's joins; may be
        ``None``.
    :param file_mode: permissions of a new SQLite file.
    :param max_wait: how long a connection, a lock or a statement may take; ``None`` for a task's limits.
    :param name: the store's name in errors, for example ``Connection 'wacontacts_store'``.
    :raises ConfigError: the database or driver is not supported, or SQLite has a ``table_schema``.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        table_schema: str | None = None,
        auto_upgrade: bool = True,
        late_after: timedelta = timedelta(hours=1),
        now: Callable[[], datetime] | None = None,
        secret: bytes | None = None,
        file_mode: int = FILE_MODE,
        max_wait: timedelta | None = None,
        name: str = "The store",
    ) -> None:
        transactions = Transactions(engine, file_mode, name=name, table_schema=table_schema, max_wait=max_wait)
        tables = Tables(engine.dialect, table_schema)
        locks = Locks(transactions, tables)
        self.context = StoreContext(
            transactions=transactions,
            tables=tables,
            locks=locks,
            suppression_list=StoredSuppressionList(tables, locks, secret),
            write_batch=batch_writer(tables, is_sqlite=transactions.is_sqlite),
            clock=now,
            late_after=late_after,
            auto_upgrade=auto_upgrade,
            secret=secret,
        )

    def prepare(self) -> None:
        """
        Check that the tables can be written. Call it before any request is sent.

        :raises ConfigError: the tables have a newer or unreleased version, or may not be created or upgraded; or people
            were erased with another secret.
        :raises LandingError: the database failed.
        """
        schema.prepare(self.context)

    def suppression_list(self) -> SuppressionList:
        """
        Return the suppression list.

        :raises ConfigError: people were erased with another secret than the store's.
        :raises LandingError: the database failed.
        """
        with self.context.transactions.read() as connection:
            return self.context.suppression_list.cached(connection)

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
        secret_id: str | None = None,
    ) -> Extraction:
        """
        Begin an extraction. It takes over from an unfinished one of the same task, window and options.

        The extraction that is taken over becomes ``abandoned``, and its further commits fail.

        :param window: ``None`` if there is none; a snapshot begins with :meth:`begin_snapshot`.
        :param options_digest: a short string that differs if the request differs.
        :param uri: where the contacts are loaded to or from, without login and password.
        :param secret_id: identifies the secret of their pseudonyms; ``None`` without pseudonyms.
        :raises ConfigError: the account has pseudonyms of another secret.
        :raises LandingError: the database failed.
        """
        key = ledger.ExtractionKey(source, account, window, task, options_digest)
        return Extraction(self.context, self._begin(key, package_version, uri, secret_id))

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
        secret_id: str | None = None,
    ) -> SnapshotExtraction:
        """
        Begin a snapshot. It takes over like :meth:`begin`; the earlier attempt has committed nothing.

        :param group: ``True`` for groups only, ``False`` for persons only, ``None`` for both.
        :param options_digest: a short string that differs if the request, including ``group``, differs.
        :param uri: where the contacts are loaded to or from, without login and password.
        :param secret_id: identifies the secret of their pseudonyms; ``None`` without pseudonyms.
        :raises ConfigError: the account has pseudonyms of another secret.
        :raises LandingError: the database failed.
        """
        key = ledger.ExtractionKey(source, account, None, task, options_digest)
        return SnapshotExtraction(self.context, self._begin(key, package_version, uri, secret_id), group=group)

    def is_loaded(self, source: str, account: str, uri: str) -> bool:
        """
        Return whether an extraction has loaded all files at a URI.

        :raises LandingError: the database failed.
        """
        with self.context.transactions.read() as connection:
            return ledger.is_loaded(connection, self.context.tables, source, account, uri)

    def _begin(
        self, key: ledger.ExtractionKey, package_version: str, uri: str | None, secret_id: str | None
    ) -> ledger.StartedExtraction:
        def work(connection: Connection) -> ledger.StartedExtraction:
            return ledger.begin(
                connection, self.context, key, package_version=package_version, uri=uri, secret_id=secret_id
            )

        return self.context.transactions.run(work)
