"""Create, upgrade and verify the store's tables and views."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import func, insert, inspect, select
from sqlalchemy.engine import Connection, Engine

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    PermissionDeniedError,
    RetryableStoreError,
    StoreError,
)
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.locks import Locks
from airflow_provider_wacontacts.store.migrations import LATEST, WRITABLE_FROM, statements
from airflow_provider_wacontacts.store.pseudonym_keys import require_same_secret
from airflow_provider_wacontacts.store.tables import Tables
from airflow_provider_wacontacts.store.transactions import FILE_MODE, Transactions

__all__ = ["ensure_version", "prepare", "upgrade", "version_of"]

REMEDY = "run `wacontacts store upgrade` as a role that may create tables there"


class _Found(NamedTuple):
    """
    The schema that was found.

    :param version: the last migration that was applied; 0 if there are no tables.
    :param writable_from: the oldest version of the package that may write such tables.
    """

    version: int = 0
    writable_from: str = WRITABLE_FROM

    @property
    def is_writable(self) -> bool:
        return self.version <= LATEST or _release(__version__) >= _release(self.writable_from)


def upgrade(engine: Engine, table_schema: str | None = None, file_mode: int = FILE_MODE) -> tuple[int, int]:
    """
    Create the store's tables, or upgrade them to this package's version. It is safe to run at any time.

    :param table_schema: PostgreSQL schema, created if it is missing; ``None`` for the connection's own.
    :param file_mode: permissions of a new SQLite file.
    :returns: the version that was found, 0 if there were no tables, and the current version.
    :raises ConfigError: the tables have a newer or unreleased version, or may not be created.
    :raises LandingError: the database failed.
    """
    found = ensure_version(
        Transactions(engine, file_mode, table_schema=table_schema),
        Tables(engine.dialect, table_schema),
        auto_upgrade=True,
    )
    return found, max(found, LATEST)


def prepare(context: StoreContext) -> None:
    """
    Check that the tables can be written. Call it before any request is sent.

    :raises ConfigError: the tables have a newer or unreleased version, may not be created or upgraded, or were used
        with another secret.
    :raises LandingError: the database failed.
    """
    ensure_version(context.transactions, context.tables, auto_upgrade=context.auto_upgrade)
    with context.read() as db:
        context.suppression_list.cached(db.connection)
        require_same_secret(db)


def version_of(transactions: Transactions, tables: Tables) -> int:
    """
    Return the version of the tables, which may not be this package's; 0 if there are none.

    :raises ConfigError: the tables have an unreleased version.
    :raises LandingError: the database failed, or does not allow it.
    """
    return _find(transactions, tables).version


def ensure_version(transactions: Transactions, tables: Tables, *, auto_upgrade: bool) -> int:
    """
    Make sure that the tables have this package's version, with one query if they do.

    :param auto_upgrade: create or upgrade them if they do not.
    :returns: the version that was found; 0 if there were no tables.
    :raises ConfigError: the tables are newer, unreleased, or older and may not be upgraded.
    """
    if auto_upgrade:
        transactions.create_file()
    found = _require_writable(_find(transactions, tables))
    if found < LATEST and not auto_upgrade:
        raise ConfigError(
            f"The store's tables are missing or old, and auto_upgrade is off. To create or upgrade them, {REMEDY}."
        )
    if found < LATEST:
        with _explain_missing_privilege(transactions, tables):
            transactions.enable_wal()
            transactions.run(lambda connection: _migrate(connection, Locks(transactions, tables), tables))
    return found


@contextmanager
def _explain_missing_privilege(transactions: Transactions, tables: Tables) -> Iterator[None]:
    try:
        yield
    except PermissionDeniedError:
        if transactions.is_sqlite:
            raise
        database = transactions.database
    else:
        return
    role, schema = database.url.username or "the_role", tables.table_schema or "contacts"
    raise PermissionDeniedError(
        f"{database.name} may not create the store's tables. Run as the database's owner: CREATE SCHEMA {schema}"
        f" AUTHORIZATION {role}; and set extra 'table_schema' to {schema!r}. Or {REMEDY}."
    )


def _migrate(connection: Connection, locks: Locks, tables: Tables) -> None:
    server_version = 0
    if connection.dialect.name == "postgresql":
        locks.named(connection, f"wacontacts upgrade {tables.schema}")
        _require_utf8(connection)
        _create_schema(connection, tables)
        server_version = int(connection.execute(select(func.current_setting("server_version_num"))).scalar() or 0)
    found = _require_writable(_find_by_name(connection, tables))
    for version in range(found + 1, LATEST + 1):
        prefix = tables.driver_prefix
        for statement in statements(connection.dialect.name, prefix, version, server_version=server_version):
            connection.exec_driver_sql(statement)
        row = {"schema_version": version, "writable_from": WRITABLE_FROM, "upgraded_at": datetime.now(UTC)}
        connection.execute(insert(tables.schema_version).values(row))


def _require_utf8(connection: Connection) -> None:
    encoding = connection.execute(select(func.current_setting("server_encoding"))).scalar()
    if encoding != "UTF8":
        raise ConfigError(f"The store's database is in {encoding}. Contacts need one in UTF8.")


def _create_schema(connection: Connection, tables: Tables) -> None:
    # CREATE SCHEMA IF NOT EXISTS requires the privilege CREATE even if the schema exists.
    if tables.table_schema and tables.table_schema not in inspect(connection).get_schema_names():
        connection.exec_driver_sql(f"CREATE SCHEMA {tables.driver_prefix[:-1]}")


def _find(transactions: Transactions, tables: Tables) -> _Found:
    """Return the schema, by one query if the tables exist."""
    try:
        with transactions.read() as connection:
            return _latest(connection, tables)
    except RetryableStoreError:
        raise
    except (ConfigError, StoreError):
        if not transactions.was_connected:
            raise
        # The failed query ended its transaction. If the tables exist now, another worker has just created them.
        # Otherwise the error is raised again.
        with transactions.read() as connection:
            return _find_by_name(connection, tables)


def _find_by_name(connection: Connection, tables: Tables) -> _Found:
    names = inspect(connection).get_table_names(schema=tables.table_schema)
    if "wacontacts_schema_version" in names:
        return _latest(connection, tables)
    if any(name.startswith("wacontacts_") for name in names):
        raise ConfigError(
            "The store has tables of an unreleased version of airflow-provider-wacontacts, which cannot be upgraded."
            " Nothing was changed. Set the connection to an empty schema (extra 'table_schema') or another file, and"
            " load your contact files into it with ContactFilesToSqlOperator."
        )
    return _Found()


def _latest(connection: Connection, tables: Tables) -> _Found:
    table = tables.schema_version
    query = select(table.c.schema_version, table.c.writable_from).order_by(table.c.schema_version.desc()).limit(1)
    row = connection.execute(query).first()
    return _Found(*row) if row else _Found()


def _release(version: str) -> list[int]:
    """Return the release of a version of the package, for example 0, 1, 0 of ``0.1.0.dev2``."""
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _require_writable(found: _Found) -> int:
    if not found.is_writable:
        raise ConfigError(
            f"The store's tables have version {found.version}, and this package writes version {LATEST}. Install"
            f" airflow-provider-wacontacts {found.writable_from} or newer."
        )
    return found.version
