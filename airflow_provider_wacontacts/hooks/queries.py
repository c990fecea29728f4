"""Rows of a query on any SQL connection of Airflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Connection
from sqlalchemy.engine import URL

from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError
from airflow_provider_wacontacts.hooks.connections import read_connection
from airflow_provider_wacontacts.hooks.store_connection import CONN_TYPE, postgres_hook
from airflow_provider_wacontacts.store.errors import DatabaseName, failure

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

__all__ = ["database_name", "read_rows", "sql_hook"]

#: Rows fetched at a time.
FETCH_SIZE = 5_000


def read_rows(conn_id: str, sql: str, *, columns: str | Sequence[str] = "number") -> Iterator[Mapping[str, Any]]:
    """
    Run a query, and yield its rows, fetched 5,000 at a time.

    :param conn_id: connection whose hook is a ``DbApiHook``.
    :param sql: one SELECT.
    :param columns: a required column, or several of which one is required.
    :returns: values by the column's name, in lower case.
    :raises ConfigError: the connection is missing or has no SQL hook, a name or the SQL is wrong, or the result lacks
        the column.
    :raises LandingError: the database failed; the message does not quote it.
    """
    connection = read_connection(conn_id)
    hook = sql_hook(connection)
    problem: WaContactsError | None = None
    try:
        with closing(hook.get_conn()) as session, closing(_cursor(hook, session)) as cursor:
            cursor.execute(sql)
            while rows := cursor.fetchmany(FETCH_SIZE):
                # A server-side cursor knows its columns only after the first fetch.
                names = _column_names(cursor.description, columns)
                yield from (dict(zip(names, row, strict=True)) for row in rows)
            _column_names(cursor.description, columns)
    except WaContactsError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own; all of them quote the statement
        problem = failure(error, database_name(connection))
    if problem is not None:
        raise problem


def sql_hook(connection: Connection) -> DbApiHook:
    """
    Return the hook of a connection to a database.

    :raises ConfigError: it has none, or its provider is not installed.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    problem = f"Connection {connection.conn_id!r} has no SQL hook. Use a connection to a database."
    try:
        is_postgres = connection.conn_type == "postgres"
        hook = postgres_hook(connection) if is_postgres else connection.get_hook()  # type: ignore[no-untyped-call]
    except ConfigError:
        raise
    except Exception:  # noqa: BLE001 - an unknown type, or a provider that is not installed
        hook = None
        problem = f"The provider of connection {connection.conn_id!r} is not installed."
    if not isinstance(hook, DbApiHook):
        raise ConfigError(problem)
    return hook


def database_name(connection: Connection) -> DatabaseName:
    """Return how errors name the database of a connection."""
    drivername = "sqlite" if connection.conn_type == "sqlite" else "postgresql"
    is_file = drivername == "sqlite"
    url = URL.create(
        drivername,
        username=connection.login,
        host=None if is_file else connection.host,
        port=connection.port,
        database=connection.host if is_file else connection.schema,
    )
    return DatabaseName(f"Connection {connection.conn_id!r}", url)


def _cursor(hook: DbApiHook, session: Any) -> Any:
    """Open a cursor; on PostgreSQL a server-side one, which does not fetch all rows at once."""
    is_postgres = hook.conn_type in ("postgres", CONN_TYPE) and hook.dialect_name == "postgresql"
    return session.cursor(name="wacontacts") if is_postgres else session.cursor()


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
