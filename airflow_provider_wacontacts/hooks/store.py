"""The store's Airflow connection, made into a SQLAlchemy engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import AirflowException, Connection, mask_secret
from asgiref.sync import sync_to_async
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.connections import extras_of, flag, read_connection, read_connection_async

if TYPE_CHECKING:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from airflow_provider_wacontacts.store import Store

__all__ = [
    "StoreConnection",
    "engine_of",
    "open_store",
    "postgres_hook",
    "pseudonym_key",
    "store_at",
    "store_engine",
    "store_engine_async",
]

OWN_EXTRAS = ("table_schema", "auto_upgrade", "pseudonym_secret")


@dataclass(frozen=True, slots=True)
class StoreConnection:
    """
    Where the store is, and what may be done to it.

    :param engine: connects when it is first used; its errors hide the parameters of statements.
    :param table_schema: PostgreSQL's schema for the tables; ``None`` for the first of the search path.
    :param auto_upgrade: whether tasks may create and upgrade the tables.
    :param secret: that of pseudonyms, by which who was erased is known; ``None`` where the connection has none.
    """

    engine: Engine = field(repr=False)
    table_schema: str | None
    auto_upgrade: bool
    secret: bytes | None = field(default=None, repr=False)


def open_store(conn_id: str, *, late_after: timedelta | None = None) -> Store:
    """
    Open the store of a PostgreSQL or SQLite connection, without connecting; see :func:`store_engine`.

    :param late_after: how long after its end a window may be pulled in time; the store's own choice by default.
    """
    return store_at(store_engine(conn_id), late_after=late_after)


def store_at(connection: StoreConnection, *, late_after: timedelta | None = None) -> Store:
    """Open the store of a connection that was read, see :func:`open_store`."""
    from airflow_provider_wacontacts.store import Store

    options: dict[str, Any] = {} if late_after is None else {"late_after": late_after}
    return Store(
        connection.engine,
        table_schema=connection.table_schema,
        auto_upgrade=connection.auto_upgrade,
        secret=connection.secret,
        **options,
    )


def pseudonym_key(conn_id: str) -> bytes:
    """
    Read the secret for pseudonyms: extra ``pseudonym_secret`` of a connection, whatever its type.

    :raises ConfigError: the connection is missing, or has none.
    """
    secret = _secret_in(extras_of(read_connection(conn_id)))
    if secret is None:
        raise ConfigError(f"connection {conn_id!r}: extra 'pseudonym_secret' is missing or empty")
    return secret


def store_engine(conn_id: str) -> StoreConnection:
    """
    Read a PostgreSQL or SQLite connection, without connecting.

    Extras ``table_schema`` and ``auto_upgrade`` are the store's; the others mean what they mean to Airflow's own hook.

    :raises ConfigError: the connection is missing, of another type, or cannot be understood, or the provider or the
        driver of its database is not installed.
    """
    return engine_of(read_connection(conn_id))


async def store_engine_async(conn_id: str) -> StoreConnection:
    """Read a PostgreSQL or SQLite connection without blocking the event loop, see :func:`store_engine`."""
    connection = await read_connection_async(conn_id)
    # In Airflow's own thread: masking talks to the supervisor, which must not be done on the loop.
    return await sync_to_async(engine_of)(connection)


def engine_of(connection: Connection) -> StoreConnection:
    """Make the engine of a connection that was read, see :func:`store_engine`."""
    conn_id = connection.conn_id
    extras = extras_of(connection)
    driver_extras = _without_own(extras)
    make = _ENGINES.get(connection.conn_type or "")
    if make is None:
        raise ConfigError(f"connection {conn_id!r}: the store is of type postgres or sqlite, and this is another")
    table_schema = str(extras.get("table_schema") or "").strip() or None
    if table_schema and connection.conn_type == "sqlite":
        raise ConfigError(f"connection {conn_id!r}: extra 'table_schema' is PostgreSQL's; SQLite has no schemas")
    return StoreConnection(
        engine=make(connection, driver_extras),
        table_schema=table_schema,
        auto_upgrade=flag(connection, extras, "auto_upgrade", default=True),
        secret=_secret_in(extras),
    )


def postgres_hook(connection: Connection) -> PostgresHook:
    """Make Airflow's own hook of a PostgreSQL connection; it would take the store's extras for options of libpq's."""
    return _hook_with(connection, _without_own(extras_of(connection)))


def _without_own(extras: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extras.items() if name not in OWN_EXTRAS}


def _secret_in(extras: Mapping[str, Any]) -> bytes | None:
    secret = str(extras.get("pseudonym_secret") or "")
    if not secret:
        return None
    mask_secret(secret)
    return secret.encode()


def _postgres_engine(connection: Connection, extras: dict[str, Any]) -> Engine:
    conn_id = connection.conn_id
    try:
        hook, url = _postgres_url(connection, extras)
        # The hook puts no extra but `sqlalchemy_query` into its URL, so an `sslmode` would be lost.
        options = {name: value for name, value in extras.items() if name not in hook.ignored_extra_options}
        return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=options)
    except ImportError:
        wrong = "PostgreSQL needs more packages: pip install 'airflow-provider-wacontacts[postgres]'"
    except (TypeError, ValueError, ArgumentError, AirflowException):
        wrong = "an extra is not what PostgresHook takes"
    raise ConfigError(f"connection {conn_id!r}: {wrong}")


def _postgres_url(connection: Connection, extras: dict[str, Any]) -> tuple[PostgresHook, URL]:
    hook = _hook_with(connection, extras)
    url = hook.sqlalchemy_url
    if scheme := extras.get("sqlalchemy_scheme"):  # which the hook itself obeys only from 7.1 on
        url = url.set(drivername=scheme)
    if url.get_backend_name() != "postgresql":
        raise ValueError
    return hook, url


def _hook_with(connection: Connection, extras: dict[str, Any]) -> PostgresHook:
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
