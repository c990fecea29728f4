"""A connection to the store: which database it points to, and the engine that reaches it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import AirflowException, Connection, mask_secret
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.connections import (
    invalid_field,
    read_bool,
    read_extras,
    read_file_mode,
    warn_of_unknown_extras,
)

if TYPE_CHECKING:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

__all__ = ["CONN_TYPE", "STORE_EXTRAS", "StoreConnection", "parse_store_connection", "postgres_hook", "read_secret"]

CONN_TYPE = "wacontacts_store"
STORE_EXTRAS = ("table_schema", "auto_upgrade", "pseudonym_secret", "file_mode")
#: Options of libpq, which would wait for as long as TCP does. A server must answer within 15 seconds; one that falls
#: silent, for example because its machine lost power, is given up after a minute.
TIMEOUTS = {
    "connect_timeout": 15,
    "tcp_user_timeout": 60_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


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

    conn_id: str
    engine: Engine = field(repr=False)
    table_schema: str | None
    auto_upgrade: bool
    file_mode: int
    secret: bytes | None = field(default=None, repr=False)


def parse_store_connection(connection: Connection) -> StoreConnection:
    """
    Parse a connection of type ``wacontacts_store``, ``postgres`` or ``sqlite``, and create its engine.

    Extras other than :data:`STORE_EXTRAS` mean what they mean to Airflow's hook of that database.

    :raises ConfigError: the connection is of another type or invalid, or its provider or driver is not installed.
    """
    extras = read_extras(connection)
    warn_of_unknown_extras(connection, STORE_EXTRAS, only_typos=True)
    is_sqlite = _is_sqlite(connection)
    table_schema = str(extras.get("table_schema") or "").strip() or None
    if table_schema and is_sqlite:
        raise invalid_field(connection, "extra 'table_schema'", "is PostgreSQL's. SQLite has no schemas. Remove it.")
    make = _sqlite_engine if is_sqlite else _postgres_engine
    return StoreConnection(
        conn_id=connection.conn_id,
        engine=make(connection, _driver_extras(extras)),
        table_schema=table_schema,
        auto_upgrade=read_bool(connection, extras, "auto_upgrade", default=True),
        file_mode=read_file_mode(connection, extras),
        secret=read_secret(extras),
    )


def postgres_hook(connection: Connection) -> PostgresHook:
    """Return Airflow's PostgreSQL hook, without the store's extras: it would pass them to libpq."""
    return _make_postgres_hook(connection, _driver_extras(read_extras(connection)))


def read_secret(extras: Mapping[str, Any]) -> bytes | None:
    """Return extra ``pseudonym_secret``, and have Airflow mask it; ``None`` if it is missing or empty."""
    secret = str(extras.get("pseudonym_secret") or "")
    if not secret:
        return None
    mask_secret(secret)
    return secret.encode()


def _is_sqlite(connection: Connection) -> bool:
    """Return whether a connection points to SQLite, and not to PostgreSQL."""
    match connection.conn_type:
        case "sqlite":
            return True
        case "postgres" | "postgresql":
            return False
        case "wacontacts_store":
            return _leads_to_file(connection)
    kind = f"is of type {connection.conn_type!r}" if connection.conn_type else "has no type"
    raise ConfigError(
        f"Connection {connection.conn_id!r} {kind}. The store needs a connection of type"
        " wacontacts_store, postgres or sqlite."
    )


def _leads_to_file(connection: Connection) -> bool:
    """
    Return whether a connection of type ``wacontacts_store`` holds the path of a SQLite file.

    A path with a database or a user beside it is the directory of PostgreSQL's socket.
    """
    host, database = (connection.host or "").strip(), (connection.schema or "").strip()
    if not host and not database:
        raise invalid_field(
            connection, "host", "is empty. Set it to PostgreSQL's host, or to the path of a SQLite file."
        )
    if connection.login or connection.password or connection.port or (host and database):
        return False
    # A URI has the path where PostgreSQL's has the database.
    path = host or f"/{database.lstrip('/')}"
    if "/" in path and not path.startswith("/"):
        raise invalid_field(connection, "host", "is a relative path. Set it to the absolute path of the SQLite file.")
    return path.startswith("/")


def _driver_extras(extras: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extras.items() if name not in STORE_EXTRAS}


def _postgres_engine(connection: Connection, extras: dict[str, Any]) -> Engine:
    try:
        hook, url = _postgres_url(connection, extras)
        # The hook's URL has no extra except `sqlalchemy_query`, so an `sslmode` would be lost.
        options = {name: value for name, value in extras.items() if name not in hook.ignored_extra_options}
        options = TIMEOUTS | options
        return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=options)
    except ImportError:
        problem = "needs more packages: pip install 'airflow-provider-wacontacts[postgres]'"
    except (TypeError, ValueError, ArgumentError, AirflowException):
        problem = "has an extra that PostgresHook does not accept"
    raise ConfigError(f"Connection {connection.conn_id!r} {problem}.")


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
        raise invalid_field(connection, "host", "is empty. Set it to the path of the SQLite file.")
    if not extras:
        return create_engine(URL.create("sqlite", database=path), hide_parameters=True)
    query = {name: str(value) for name, value in extras.items()} | {"uri": "true"}
    return create_engine(URL.create("sqlite", database=f"file:{quote(path)}", query=query), hide_parameters=True)
