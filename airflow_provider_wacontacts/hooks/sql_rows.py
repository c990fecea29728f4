"""Rows of a query, from any SQL connection of Airflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.hooks.connections import read_connection
from airflow_provider_wacontacts.hooks.store import postgres_hook
from airflow_provider_wacontacts.store.errors import sqlstate_of

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

__all__ = ["read_rows"]

FETCH_SIZE = 5_000


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
    hook = _hook(conn_id)
    problem: LandingError | None = None
    try:
        with closing(hook.get_conn()) as connection, closing(_cursor(hook, connection)) as cursor:
            cursor.execute(sql)
            while rows := cursor.fetchmany(FETCH_SIZE):
                # A server-side cursor knows its columns only after the first fetch.
                names = _names(cursor.description, columns)
                yield from (dict(zip(names, row, strict=True)) for row in rows)
            _names(cursor.description, columns)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own; all of them quote the statement
        problem = LandingError(f"The query on connection {conn_id!r} failed ({sqlstate_of(error)}).")
    if problem is not None:
        raise problem


def _hook(conn_id: str) -> DbApiHook:
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


def _names(description: Sequence[Sequence[Any]] | None, columns: str | Sequence[str]) -> list[str]:
    names = [str(column[0]).lower() for column in description or ()]
    wanted = [columns] if isinstance(columns, str) else columns
    if not set(wanted) & set(names):
        # A column without an alias may be named by its value, for example a phone number.
        shown = [name if name.isidentifier() and name.isascii() else "an unnamed column" for name in names]
        raise ConfigError(
            f"The query has no column {' or '.join(map(repr, wanted))}; it has {', '.join(shown) or 'none'}."
        )
    return names
