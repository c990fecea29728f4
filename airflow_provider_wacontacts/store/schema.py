"""The store's tables and views: made, brought up to date, and checked before anything is asked of a system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import func, insert, inspect, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.errors import PermissionDeniedError
from airflow_provider_wacontacts.store.locks import Locks
from airflow_provider_wacontacts.store.migrations import LATEST, statements
from airflow_provider_wacontacts.store.tables import Tables
from airflow_provider_wacontacts.store.transactions import Transactions

__all__ = ["check", "prepare", "upgrade", "version_of"]

REMEDY = "run `wacontacts store upgrade` as somebody who may create tables there"


def upgrade(engine: Engine, table_schema: str | None = None) -> tuple[int, int]:
    """
    Create the store's tables, or bring them to what this version of the package writes; safe to run at any time.

    :param table_schema: PostgreSQL schema, made where it is missing; ``None`` for the connection's own.
    :returns: the version that was found, 0 where there were no tables, and the one that they are of now.
    :raises ConfigError: the tables are of a newer version of the package, or there is no right to create them.
    :raises LandingError: the database failed.
    """
    return check(Transactions(engine), Tables(engine.dialect, table_schema), auto_upgrade=True), LATEST


def prepare(context: StoreContext) -> None:
    """
    Make sure that the tables can be written; to be called before any request is sent.

    :raises ConfigError: the tables are of a newer version of the package, or may not be created or upgraded; or people
        were erased with another secret.
    :raises LandingError: the database failed.
    """
    check(context.transactions, context.tables, auto_upgrade=context.auto_upgrade)
    with context.transactions.read() as connection:
        context.suppressions.cached(connection)


def version_of(transactions: Transactions, tables: Tables) -> int:
    """
    Return the version of the tables, whatever this package writes; 0 where there are none.

    :raises LandingError: the database failed, or does not allow it.
    """
    with transactions.read() as connection:
        return _version(connection, tables)


def check(transactions: Transactions, tables: Tables, *, auto_upgrade: bool) -> int:
    """
    Make sure that the tables are what this package writes: one query where they are.

    :param auto_upgrade: bring them there where they are not.
    :returns: the version that was found; 0 where there were no tables.
    :raises ConfigError: they are newer, or older and may not be changed.
    """
    with _rights(), transactions.read() as connection:
        found = _known(_version(connection, tables))
    if found < LATEST and not auto_upgrade:
        raise ConfigError(f"the store's tables are missing or old, and auto_upgrade is off: {REMEDY}")
    if found < LATEST:
        with _rights():
            transactions.enable_wal()
            transactions.run(lambda connection: _migrate(connection, transactions, tables))
    return found


@contextmanager
def _rights() -> Iterator[None]:
    try:
        yield
    except PermissionDeniedError:
        raise ConfigError(f"store_conn_id may not read, or not create, the store's tables: {REMEDY}") from None


def _migrate(connection: Connection, transactions: Transactions, tables: Tables) -> None:
    if connection.dialect.name == "postgresql":
        Locks(transactions, tables).named(connection, f"wacontacts upgrade {tables.prefix}")
        _require_utf8(connection)
        _make_schema(connection, tables)
    found = _known(_applied(connection, tables)) if _exists(connection, tables) else 0
    for version in range(found + 1, LATEST + 1):
        for statement in statements(connection.dialect.name, tables.prefix, version):
            connection.exec_driver_sql(statement)
        connection.execute(insert(tables.meta).values(schema_version=version, upgraded_at=datetime.now(UTC)))


def _require_utf8(connection: Connection) -> None:
    encoding = connection.execute(select(func.current_setting("server_encoding"))).scalar()
    if encoding != "UTF8":
        raise ConfigError(f"store_conn_id leads to a database in {encoding}; contacts need one in UTF8")


def _make_schema(connection: Connection, tables: Tables) -> None:
    # CREATE SCHEMA IF NOT EXISTS asks for the right to create even where the schema is there.
    if tables.table_schema and tables.table_schema not in inspect(connection).get_schema_names():
        connection.exec_driver_sql(f"CREATE SCHEMA {tables.prefix[:-1]}")


def _version(connection: Connection, tables: Tables) -> int:
    """Return the last migration that was applied; 0 where there is no store."""
    try:
        return _applied(connection, tables)
    except DBAPIError:
        # Where the tables are there, another worker has just made them, or the error comes again.
        return _applied(connection, tables) if _exists(connection, tables) else 0


def _exists(connection: Connection, tables: Tables) -> bool:
    return bool(inspect(connection).has_table("wacontacts_meta", schema=tables.table_schema))


def _applied(connection: Connection, tables: Tables) -> int:
    return int(connection.execute(select(func.max(tables.meta.c.schema_version))).scalar() or 0)


def _known(found: int) -> int:
    """Return a version that this package can write, or bring there."""
    if found > LATEST:
        raise ConfigError(
            f"the store's tables are of version {found} and this package writes version {LATEST}: install the newer "
            "airflow-provider-wacontacts that made them"
        )
    return found
