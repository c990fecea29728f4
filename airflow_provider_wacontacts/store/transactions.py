"""
Transactions on a store's engine: settings, retries, and conversion of errors.

In PostgreSQL each transaction begins with the isolation level and the settings that the store relies on, whatever the
configuration of the database or the role. The settings last as long as the transaction, so poolers that share sessions,
like pgbouncer in transaction mode, work as well.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from sqlalchemy import event, func, select, text, true
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.sql import Select
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_any,
    wait_random_exponential,
)

from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    LockTimeoutError,
    RetryableStoreError,
    StoreError,
    WaContactsError,
)
from airflow_provider_wacontacts.store.errors import DatabaseName, failure, is_unknown_host

__all__ = ["FILE_MODE", "Transactions"]

T = TypeVar("T")

ATTEMPTS = 8
MAX_PAUSE_S = 4.0
BUSY_TIMEOUT_S = 60
MAX_IDLE_S = 300
MAX_STATEMENT_S = 600
#: The lock timeout as a share of the statement timeout. If both expired at once, the error would not mention the lock.
LOCK_SHARE = 0.9
#: How long to retry an unknown host name, for example while a container restarts.
UNKNOWN_HOST_S = 20
#: Steps of a SQLite statement between two checks of the time limit, counted over all its executions.
STEPS = 10_000
LOGGED_AS = "wacontacts"
#: Permissions of a new SQLite file: only its owner may read and write it.
FILE_MODE = 0o600
#: Settings of each transaction. Notices are switched off: SQLAlchemy logs them, and a user's trigger may quote rows in
#: them. JIT is switched off: on tables without statistics, compiling takes longer than the query.
SETTINGS = {
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "jit": "off",
    "client_min_messages": "error",
}
#: The store needs the durability level ``on``; the stricter ``remote_apply`` is kept.
DURABLE = "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END"
REMEDY = "Connect to PostgreSQL itself, or set it for the connection's database or user."
DRIVERS = {"postgresql": ("psycopg", "psycopg2"), "sqlite": ("pysqlite",)}


class Transactions:
    """
    Transactions on one engine, whose pool is shared.

    :param file_mode: permissions of a new SQLite file.
    :param name: name of the database in errors.
    :param table_schema: PostgreSQL schema of the store's tables; ``None`` for the connection's own.
    :param max_wait: how long a connection, a lock or a statement may take; ``None`` for a task's limits.
    :ivar was_connected: whether a connection has succeeded.
    :raises ConfigError: the engine's database or driver is not supported.
    """

    def __init__(
        self,
        engine: Engine,
        file_mode: int = FILE_MODE,
        *,
        name: str = "The store",
        table_schema: str | None = None,
        max_wait: timedelta | None = None,
    ) -> None:
        self.database = DatabaseName(name, engine.url, table_schema)
        if engine.dialect.driver not in DRIVERS.get(engine.dialect.name, ()):
            raise ConfigError(
                f"{name} points to {engine.dialect.name} by {engine.dialect.driver}. The store needs PostgreSQL by"
                " psycopg or psycopg2, or SQLite."
            )
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._max_wait_s = None if max_wait is None else max_wait.total_seconds()
        if self.is_sqlite:
            reader = engine.execution_options(isolation_level="AUTOCOMMIT")
            writer = _immediate(engine, self.at_most(BUSY_TIMEOUT_S))
        else:
            event.listen(engine, "do_connect", _set_up_driver)
            if max_wait is not None:
                event.listen(engine, "do_connect", partial(_limit_connecting, max_wait))
            reader = writer = engine.execution_options(isolation_level="READ COMMITTED")
        self._reader, self._writer = _hide_parameters(reader), _hide_parameters(writer)
        self._file: tuple[int, int] | None = None
        self.was_connected = False
        self._file_mode = file_mode

    def has_database(self) -> bool:
        """Return whether the database exists: connecting to a missing SQLite file would create it."""
        path = self._path()
        return path is None or path.exists()

    def create_file(self) -> None:
        """Create a missing SQLite file. SQLite itself would use the umask, which may let other users read it."""
        path = self._path()
        # If it cannot be created, connecting fails with the reason.
        with suppress(OSError):
            if path is not None:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL, FILE_MODE)
                os.fchmod(descriptor, self._file_mode)
                os.close(descriptor)

    def _path(self) -> Path | None:
        """Return the path of SQLite's file; ``None`` for a database without one."""
        url = self.database.url
        path = (url.database or "") if self.is_sqlite else ""
        if path in ("", ":memory:") or url.query.get("mode") == "memory":
            return None
        return Path(unquote(path.removeprefix("file:")) if path.startswith("file:") else path)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """
        Open a connection that only reads. In SQLite it is in autocommit mode, which never waits for writers.

        :raises ConfigError: the database does not allow a session a setting that the store relies on.
        :raises LandingError: the database failed.
        """
        with self.failures(), self._connect(self._reader) as connection, connection.begin():
            self._open(connection)
            yield connection

    @contextmanager
    def failures(self) -> Iterator[None]:
        """
        Replace the errors of the driver and of SQLAlchemy by errors of this package.

        :raises ConfigError: a name, a privilege or a statement is wrong.
        :raises LandingError: the database failed.
        """
        problem: WaContactsError | None = None
        try:
            yield
        except self._failures as error:
            problem = failure(error, self.database, was_connected=self.was_connected)
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
            stop=stop_any(stop_after_attempt(ATTEMPTS), stop_after_delay(self.at_most(MAX_STATEMENT_S))),
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
                self._open(connection)
                result = work(connection)
                self._require_same_file()
                is_committing = True
        except self._failures as error:
            problem = failure(error, self.database, during_commit=is_committing, was_connected=self.was_connected)
        else:
            return result
        # Raised here, so that the driver's error, which quotes rows and addresses, is not in its context.
        raise problem

    def _connect(self, engine: Engine) -> Connection:
        retrying = Retrying(
            retry=retry_if_exception(is_unknown_host),
            stop=stop_after_delay(self.at_most(UNKNOWN_HOST_S)),
            wait=wait_random_exponential(multiplier=1, max=MAX_PAUSE_S),
            reraise=True,
        )
        connection: Connection = retrying(engine.connect)
        self.was_connected = True
        self._limit_statements(connection)
        return connection

    def _open(self, connection: Connection) -> None:
        """Apply the settings, the limits of waits, and the limit of how long a frozen worker holds its locks."""
        if self.is_sqlite:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {self.at_most(BUSY_TIMEOUT_S) * 1000:.0f}")
            # Again, because BEGIN may have waited for another writer.
            self._limit_statements(connection)
            self._require_same_file()
            return
        settings = self._settings()
        refused = level = None
        try:
            level = connection.execute(_set_config(tuple(settings.items()))).scalars().first()
        except DBAPIError as error:
            # The server quotes the setting's name in any language.
            refused = next((name for name in settings if name in str(error.orig)), None)
            if refused is None or error.connection_invalidated:
                raise
        if refused is not None:
            raise ConfigError(f"{self.database.name} does not let a session set {refused!r}. {REMEDY}")
        if level != "read committed":
            raise ConfigError(
                f"{self.database.name} begins transactions with 'transaction_isolation' {level!r}. {REMEDY}"
            )

    def _limit_statements(self, connection: Connection) -> None:
        if self.is_sqlite and self._max_wait_s is not None:
            _interrupt_after(connection, self._max_wait_s)

    def _settings(self) -> dict[str, str]:
        statement_s = self.at_most(MAX_STATEMENT_S)
        settings = SETTINGS | {
            "lock_timeout": f"{min(BUSY_TIMEOUT_S, LOCK_SHARE * statement_s) * 1000:.0f}ms",
            "statement_timeout": f"{statement_s * 1000:.0f}ms",
            "idle_in_transaction_session_timeout": f"{MAX_IDLE_S}s",
        }
        if self._writer.dialect.driver == "psycopg":
            # psycopg2 quotes bytes according to the setting at the time of the connection.
            settings["standard_conforming_strings"] = "on"
        if self.database.schema:
            settings["search_path"] = '"{}"'.format(self.database.schema.replace('"', '""'))
        return settings

    def at_most(self, seconds: float) -> float:
        """Return how long to wait, given how many seconds a task would wait."""
        return seconds if self._max_wait_s is None else min(seconds, self._max_wait_s)

    def _require_same_file(self) -> None:
        """Fail if SQLite's file is not the file of the first connection, because rows would be lost."""
        path = self._path()
        if path is None:
            return
        with suppress(OSError):
            found = path.stat()
            if self._file in {None, (found.st_dev, found.st_ino)}:
                self._file = (found.st_dev, found.st_ino)
                return
        raise StoreError(
            f"{self.database.name}: the SQLite file was deleted or replaced while this task ran. Its rows may be"
            " lost. Restore the file, and run the task again."
        )

    @property
    def _failures(self) -> tuple[type[Exception], ...]:
        driver: type[Exception] = self._writer.dialect.dbapi.Error  # type: ignore[union-attr]
        return (SQLAlchemyError, driver)


def _set_up_driver(dialect: Dialect, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
    """Set the driver to UTF-8, without statements that depend on a session, for poolers."""
    parameters["client_encoding"] = "utf8"
    if dialect.driver == "psycopg":
        parameters["prepare_threshold"] = None


def _limit_connecting(
    max_wait: timedelta, _dialect: Dialect, _record: object, _arguments: object, parameters: dict[str, Any]
) -> None:
    seconds = max(1, round(max_wait.total_seconds()))
    parameters |= {
        "connect_timeout": seconds,
        # The server's limits do not apply if the network loses what it sends.
        "tcp_user_timeout": seconds * 1_000,
        "keepalives_idle": seconds,
        "keepalives_interval": 1,
        "keepalives_count": 3,
    }


def _interrupt_after(connection: Connection, seconds: float) -> None:
    """Interrupt SQLite's statements on a connection after a time limit, which is checked every :data:`STEPS` steps."""
    deadline = time.monotonic() + seconds
    driver: Any = connection.connection.dbapi_connection
    driver.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)


@lru_cache
def _set_config(settings: tuple[tuple[str, str], ...]) -> Select[Any]:
    """Return the statement that changes settings until the transaction ends, and returns its isolation level."""
    changed = (func.set_config(name, value, true()) for name, value in settings)
    durable = func.set_config("synchronous_commit", text(DURABLE), true())
    return select(func.current_setting("transaction_isolation"), durable, *changed)


def _hide_parameters(engine: Engine) -> Engine:
    """Keep parameters and rows out of the engine's log, even at level DEBUG."""
    engine.hide_parameters = True
    engine.logging_name = LOGGED_AS
    engine.echo = engine.echo  # creates the logger of that name
    # Added each time, because loading a logging configuration removes filters. Adding it twice has no effect.
    logging.getLogger(f"sqlalchemy.engine.Engine.{LOGGED_AS}").addFilter(_is_above_debug)
    return engine


def _is_above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


def _immediate(engine: Engine, busy_timeout_s: float) -> Engine:
    """
    Let transactions take SQLite's write lock when they begin.

    The driver's own BEGIN takes a read lock, and upgrading it fails instead of waiting.

    :param busy_timeout_s: seconds to wait for the lock.
    """
    immediate = engine.execution_options(isolation_level="AUTOCOMMIT")

    @event.listens_for(immediate, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {busy_timeout_s * 1000:.0f}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return immediate
