"""SQL databases of Airflow connections: the store, and queries on any other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import AirflowException, Connection, mask_secret
from asgiref.sync import sync_to_async
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.hooks.connections import (
    read_bool,
    read_connection,
    read_connection_async,
    read_extras,
    read_file_mode,
)

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from airflow_provider_wacontacts.store import Store

__all__ = [
    "StoreConnection",
    "create_store",
    "open_store",
    "parse_store_connection",
    "postgres_hook",
    "pseudonym_key",
    "read_rows",
    "store_engine",
    "store_engine_async",
]

STORE_EXTRAS = ("table_schema", "auto_upgrade", "pseudonym_secret", "file_mode")

#: Rows fetched at a time.
FETCH_SIZE = 5_000


@dataclass(frozen=True, slots=True)
class StoreConnection:
    """
    A parsed connection of the store.

    :param engine: connects when first used; its errors hide statement parameters.
    :param table_schema: PostgreSQL's schema for the tables; ``None`` for the first of the search path.
    :param auto_upgrade: whether tasks may create and upgrade the tables.
    :param file_mode: permissions of a new SQLite file.
    :param secret: secret of pseudonyms and of the suppression list; ``None`` if the connection has none.
    """

    engine: Engine = field(repr=False)
    table_schema: str | None
    auto_upgrade: bool
    file_mode: int
    secret: bytes | None = field(default=None, repr=False)


def open_store(conn_id: str, *, late_after: timedelta | None = None) -> Store:
    """
    Open the store of a PostgreSQL or SQLite connection, without connecting; see :func:`store_engine`.

    :param late_after: how long after its end a window may be synced without being lossy; ``None``: the store's default.
    """
    return create_store(store_engine(conn_id), late_after=late_after)


def create_store(connection: StoreConnection, *, late_after: timedelta | None = None) -> Store:
    """Open the store of a parsed connection, see :func:`open_store`."""
    from airflow_provider_wacontacts.store import Store

    options: dict[str, Any] = {} if late_after is None else {"late_after": late_after}
    return Store(
        connection.engine,
        table_schema=connection.table_schema,
        auto_upgrade=connection.auto_upgrade,
        file_mode=connection.file_mode,
        secret=connection.secret,
        **options,
    )


def pseudonym_key(conn_id: str) -> bytes:
    """
    Read the secret for pseudonyms: extra ``pseudonym_secret`` of a connection, whatever its type.

    :raises ConfigError: the connection is not defined, or has no secret.
    """
    secret = _read_secret(read_extras(read_connection(conn_id)))
    if secret is None:
        raise ConfigError(f"connection {conn_id!r}: extra 'pseudonym_secret' is missing or empty")
    return secret


def store_engine(conn_id: str) -> StoreConnection:
    """
    Read a PostgreSQL or SQLite connection, without connecting.

    Extras ``table_schema`` and ``auto_upgrade`` are the store's; the others mean what they mean to Airflow's hook.

    :raises ConfigError: the connection is not defined, of another type or invalid, or its provider or driver is not
        installed.
    """
    return parse_store_connection(read_connection(conn_id))


async def store_engine_async(conn_id: str) -> StoreConnection:
    """Read a PostgreSQL or SQLite connection without blocking the event loop, see :func:`store_engine`."""
    connection = await read_connection_async(conn_id)
    # In Airflow's thread: masking calls the supervisor, which would block the event loop.
    return await sync_to_async(parse_store_connection)(connection)


def parse_store_connection(connection: Connection) -> StoreConnection:
    """Parse a connection and create its engine, see :func:`store_engine`."""
    conn_id = connection.conn_id
    extras = read_extras(connection)
    driver_extras = _driver_extras(extras)
    make = _ENGINES.get(connection.conn_type or "")
    if make is None:
        raise ConfigError(f"connection {conn_id!r}: the store is of type postgres or sqlite, and this is another")
    table_schema = str(extras.get("table_schema") or "").strip() or None
    if table_schema and connection.conn_type == "sqlite":
        raise ConfigError(f"connection {conn_id!r}: extra 'table_schema' is PostgreSQL's; SQLite has no schemas")
    return StoreConnection(
        engine=make(connection, driver_extras),
        table_schema=table_schema,
        auto_upgrade=read_bool(connection, extras, "auto_upgrade", default=True),
        file_mode=read_file_mode(connection, extras),
        secret=_read_secret(extras),
    )


def postgres_hook(connection: Connection) -> PostgresHook:
    """Return Airflow's PostgreSQL hook, without the store's extras: it would pass them to libpq."""
    return _make_postgres_hook(connection, _driver_extras(read_extras(connection)))


def _driver_extras(extras: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extras.items() if name not in STORE_EXTRAS}


def _read_secret(extras: Mapping[str, Any]) -> bytes | None:
    secret = str(extras.get("pseudonym_secret") or "")
    if not secret:
        return None
    mask_secret(secret)
    return secret.encode()


def _postgres_engine(connection: Connection, extras: dict[str, Any]) -> Engine:
    conn_id = connection.conn_id
    try:
        hook, url = _postgres_url(connection, extras)
        # The hook's URL has no extra except `sqlalchemy_query`, so an `sslmode` would be lost.
        options = {name: value for name, value in extras.items() if name not in hook.ignored_extra_options}
        return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=options)
    except ImportError:
        problem = "PostgreSQL needs more packages: pip install 'airflow-provider-wacontacts[postgres]'"
    except (TypeError, ValueError, ArgumentError, AirflowException):
        problem = "an extra is not what PostgresHook takes"
    raise ConfigError(f"connection {conn_id!r}: {problem}")


def _postgres_url(connection: Connection, extras: dict[str, Any]) -> tuple[PostgresHook, URL]:
    hook = _make_postgres_hook(connection, extras)
    url = hook.sqlalchemy_url
    if scheme := extras.get("sqlalchemy_scheme"):  # the hook applies it from version 7.1 on
        url = url.set(drivername=scheme)
    if url.get_backend_name() != "postgresql":
        raise ValueError
    return hook, url


def _make_postgres_hook(connection: Connection, extras: dict[str, Any]) -> PostgresHook:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    return PostgresHook(postgres_conn_id=connection.conn_id, connection=_with_extras(connection, extras))


def _with_extras(connection: Connection, extras: dict[str, Any]) -> Connection:
    return Connection(
        conn_id=connection.conn_id,
        conn_type="postgres",
        host=connection.host,
        login=connection.login,
        password=connection.password,
        schema=connection.schema,
        port=connection.port,
        extra=json.dumps(extras),
    )


def _sqlite_engine(connection: Connection, extras: dict[str, Any]) -> Engine:
    path = connection.host or ""
    if connection.schema:
        path = f"{path}/{connection.schema}"
    if not path:
        raise ConfigError(f"connection {connection.conn_id!r}: host is empty; it holds the path of SQLite's file")
    if not extras:
        return create_engine(URL.create("sqlite", database=path), hide_parameters=True)
    query = {name: str(value) for name, value in extras.items()} | {"uri": "true"}
    return create_engine(URL.create("sqlite", database=f"file:{quote(path)}", query=query), hide_parameters=True)


_ENGINES = {"postgres": _postgres_engine, "postgresql": _postgres_engine, "sqlite": _sqlite_engine}


def read_rows(conn_id: str, sql: str, *, columns: str | Sequence[str] = "number") -> Iterator[Mapping[str, Any]]:
    """
    Run a query, and yield its rows, fetched 5,000 at a time.

    :param conn_id: connection whose hook is a ``DbApiHook``.
    :param sql: one SELECT.
    :param columns: a required column, or several of which one is required.
    :returns: values by the column's name, in lower case.
    :raises ConfigError: the connection is missing or has no SQL hook, or the result lacks the column.
    :raises LandingError: the database failed; the message does not quote it.
    """
    from airflow_provider_wacontacts.store.errors import sqlstate_of

    hook = _sql_hook(conn_id)
    problem: LandingError | None = None
    try:
        with closing(hook.get_conn()) as connection, closing(_cursor(hook, connection)) as cursor:
            cursor.execute(sql)
            while rows := cursor.fetchmany(FETCH_SIZE):
                # A server-side cursor knows its columns only after the first fetch.
                names = _column_names(cursor.description, columns)
                yield from (dict(zip(names, row, strict=True)) for row in rows)
            _column_names(cursor.description, columns)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own; all of them quote the statement
        problem = LandingError(f"The query on connection {conn_id!r} failed ({sqlstate_of(error)}).")
    if problem is not None:
        raise problem


def _sql_hook(conn_id: str) -> DbApiHook:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    connection = read_connection(conn_id)
    problem = f"Connection {conn_id!r} has no SQL hook. Use a connection to a database."
    try:
        is_postgres = connection.conn_type == "postgres"
        hook = postgres_hook(connection) if is_postgres else connection.get_hook()  # type: ignore[no-untyped-call]
    except ConfigError:
        raise
    except Exception:  # noqa: BLE001 - an unknown type, or a provider that is not installed
        hook = None
        problem = f"The provider of connection {conn_id!r} is not installed."
    if not isinstance(hook, DbApiHook):
        raise ConfigError(problem)
    return hook


def _cursor(hook: DbApiHook, connection: Any) -> Any:
    """Open a cursor; on PostgreSQL a server-side one, which does not fetch all rows at once."""
    return connection.cursor(name="wacontacts") if hook.conn_type == "postgres" else connection.cursor()


def _column_names(description: Sequence[Sequence[Any]] | None, columns: str | Sequence[str]) -> list[str]:
    names = [str(column[0]).lower() for column in description or ()]
    wanted = [columns] if isinstance(columns, str) else columns
    if not set(wanted) & set(names):
        # A column without an alias may be named by its value, for example a phone number.
        shown = [name if name.isidentifier() and name.isascii() else "an unnamed column" for name in names]
        raise ConfigError(
            f"The query has no column {' or '.join(map(repr, wanted))}; it has {', '.join(shown) or 'none'}."
        )
    return names
