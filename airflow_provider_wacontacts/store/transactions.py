"""Transactions on a store's engine: how they begin, when they are retried, and what their failures are called."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from sqlalchemy import event, func, select, true
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    LockTimeoutError,
    RetryableStoreError,
    WaContactsError,
)
from airflow_provider_wacontacts.store.errors import DatabaseName, failure, is_unknown_host

__all__ = ["FILE_MODE", "Transactions"]

T = TypeVar("T")

ATTEMPTS = 8
MAX_PAUSE_S = 4.0
BUSY_TIMEOUT_S = 60
MAX_IDLE_S = 300
#: How long a host name may be unknown, for example while a container restarts.
UNKNOWN_HOST_S = 20
LOGGED_AS = "wacontacts"
#: Permissions of a new SQLite file: its owner may read and write it.
FILE_MODE = 0o600
DRIVERS = {"postgresql": ("psycopg", "psycopg2"), "sqlite": ("pysqlite",)}


class Transactions:
    """
    Transactions on one engine, whose pool is shared.

    :param file_mode: permissions of a new SQLite file.
    :param name: of the database, for errors.
    :param table_schema: schema of the store's tables, for errors.
    :raises ConfigError: the engine is of another database or driver than the store is written for.
    """

    def __init__(
        self,
        engine: Engine,
        file_mode: int = FILE_MODE,
        *,
        name: str = "The store",
        table_schema: str | None = None,
    ) -> None:
        self.database = DatabaseName(name, engine.url, table_schema)
        if engine.dialect.driver not in DRIVERS.get(engine.dialect.name, ()):
            raise ConfigError(
                f"{name} leads to {engine.dialect.name} by {engine.dialect.driver}. The store needs PostgreSQL by"
                " psycopg or psycopg2, or SQLite."
            )
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._reader = _hide_parameters(engine.execution_options(isolation_level="AUTOCOMMIT"))
        self._writer = _hide_parameters(_immediate(engine) if self.is_sqlite else engine.execution_options())
        self._was_connected = False
        self._file_mode = file_mode

    def has_database(self) -> bool:
        """Return whether there is something to connect to: connecting to a missing SQLite file creates it."""
        path = self._path()
        return path is None or path.exists()

    def create_file(self) -> None:
        """Create a SQLite file that is missing: SQLite itself would let other users read it, as the umask has it."""
        path = self._path()
        # Where it cannot be created, connecting fails with the reason.
        with suppress(OSError):
            if path is not None:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL, FILE_MODE)
                os.fchmod(descriptor, self._file_mode)
                os.close(descriptor)

    def _path(self) -> Path | None:
        """Return where SQLite's file is; ``None`` for a database without one."""
        url = self.database.url
        path = (url.database or "") if self.is_sqlite else ""
        if path in ("", ":memory:") or url.query.get("mode") == "memory":
            return None
        return Path(unquote(path.removeprefix("file:")) if path.startswith("file:") else path)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """
        Open a connection in autocommit mode, which never waits for writers.

        :raises LandingError: the database failed.
        """
        with self.failures(), self._connect(self._reader) as connection:
            if self.is_sqlite:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
            yield connection

    @contextmanager
    def failures(self) -> Iterator[None]:
        """
        Replace the errors of the driver and of SQLAlchemy by those of this package.

        :raises ConfigError: a name, a privilege or a statement is wrong.
        :raises LandingError: the database failed.
        """
        problem: WaContactsError | None = None
        try:
            yield
        except self._failures as error:
            problem = failure(error, self.database, was_connected=self._was_connected)
        if problem is not None:
            raise problem from None

    def run(self, work: Callable[[Connection], T]) -> T:
        """
        Do work in a transaction. Retry it after a deadlock or a dropped connection.

        A connection that drops during COMMIT is not retried: the transaction may have been committed.

        :param work: may be called several times; an exception rolls everything back.
        :raises LandingError: the database failed; nothing was written, unless the connection dropped during COMMIT.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(RetryableStoreError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.05, max=MAX_PAUSE_S),
            reraise=True,
        )
        done: T = retrying(self._once, work)
        return done

    def enable_wal(self) -> None:
        """Switch a SQLite file to WAL mode, in which readers and one writer do not block each other."""
        if self.is_sqlite:
            # The busy timeout does not apply to this PRAGMA.
            retrying = Retrying(
                retry=retry_if_exception_type(LockTimeoutError),
                stop=stop_after_delay(BUSY_TIMEOUT_S),
                wait=wait_random_exponential(multiplier=0.05, max=1.0),
                reraise=True,
            )
            retrying(self._enable_wal)

    def _enable_wal(self) -> None:
        with self.read() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")

    def _once(self, work: Callable[[Connection], T]) -> T:
        is_committing = False
        try:
            with self._connect(self._writer) as connection, connection.begin():
                if not self.is_sqlite:
                    _set_timeouts(connection)
                result = work(connection)
                is_committing = True
        except self._failures as error:
            problem = failure(error, self.database, during_commit=is_committing, was_connected=self._was_connected)
        else:
            return result
        # Raised here, so that the driver's error, which quotes rows and addresses, is not in its context.
        raise problem

    def _connect(self, engine: Engine) -> Connection:
        retrying = Retrying(
            retry=retry_if_exception(is_unknown_host),
            stop=stop_after_delay(UNKNOWN_HOST_S),
            wait=wait_random_exponential(multiplier=1, max=MAX_PAUSE_S),
            reraise=True,
        )
        connection: Connection = retrying(engine.connect)
        self._was_connected = True
        return connection

    @property
    def _failures(self) -> tuple[type[Exception], ...]:
        driver: type[Exception] = self._writer.dialect.dbapi.Error  # type: ignore[union-attr]
        return (SQLAlchemyError, driver)


def _set_timeouts(connection: Connection) -> None:
    """
    Limit waits for locks, and how long a frozen worker may hold its own.

    Notices are switched off: SQLAlchemy logs them, and a user's trigger may quote rows in them. JIT is switched off: on
    tables without statistics, compiling takes longer than the query.
    """
    settings = {
        "jit": "off",
        "lock_timeout": f"{BUSY_TIMEOUT_S}s",
        "idle_in_transaction_session_timeout": f"{MAX_IDLE_S}s",
        "client_min_messages": "error",
    }
    connection.execute(select(*(func.set_config(name, value, true()) for name, value in settings.items())))


def _hide_parameters(engine: Engine) -> Engine:
    """Keep parameters and rows out of the engine's log, at DEBUG too."""
    engine.hide_parameters = True
    engine.logging_name = LOGGED_AS
    engine.echo = engine.echo  # makes the logger of that name
    # Added each time: loading a logging configuration removes filters. Adding it twice has no effect.
    logging.getLogger(f"sqlalchemy.engine.Engine.{LOGGED_AS}").addFilter(_is_above_debug)
    return engine


def _is_above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


def _immediate(engine: Engine) -> Engine:
    """
    Let transactions take SQLite's write lock when they begin.

    The driver's own BEGIN takes a read lock, and upgrading it fails instead of waiting.
    """
    immediate = engine.execution_options(isolation_level="AUTOCOMMIT")

    @event.listens_for(immediate, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return immediate
