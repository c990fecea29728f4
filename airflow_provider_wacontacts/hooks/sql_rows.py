"""The numbers that a team wants checked, read from any SQL connection of Airflow."""

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

AT_ONCE = 5_000


def read_rows(conn_id: str, sql: str, *, needed: str | Sequence[str] = "number") -> Iterator[Mapping[str, Any]]:
    """
    Run a query, and go through its rows, some thousand at a time.

    :param conn_id: any connection whose hook speaks SQL.
    :param sql: one SELECT.
    :param needed: a column that there has to be, or several of which there has to be one.
    :returns: values by the column's name, in lower case.
    :raises ConfigError: the connection is missing or speaks no SQL, or the result has no such column.
    :raises LandingError: the database failed; the message quotes nothing of it.
    """
    hook = _hook(conn_id)
    problem: LandingError | None = None
    try:
        with closing(hook.get_conn()) as connection, closing(_cursor(hook, connection)) as cursor:
            cursor.execute(sql)
            while some := cursor.fetchmany(AT_ONCE):
                # A cursor that is kept in the server knows its columns only once it has fetched.
                names = _names(cursor.description, needed)
                yield from (dict(zip(names, row, strict=True)) for row in some)
            _names(cursor.description, needed)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own; all of them quote the statement
        problem = LandingError(f"connection {conn_id!r}: the query could not be read ({sqlstate_of(error)})")
    if problem is not None:
        raise problem


def _hook(conn_id: str) -> DbApiHook:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    connection = read_connection(conn_id)
    problem = f"connection {conn_id!r}: nothing can be asked of its type in SQL"
    try:
        is_postgres = connection.conn_type == "postgres"
        hook = postgres_hook(connection) if is_postgres else connection.get_hook()  # type: ignore[no-untyped-call]
    except ConfigError:
        raise
    except Exception:  # noqa: BLE001 - an unknown type, or a provider that is not installed
        hook = None
        problem = f"connection {conn_id!r}: the provider of its type is not installed"
    if not isinstance(hook, DbApiHook):
        raise ConfigError(problem)
    return hook


def _cursor(hook: DbApiHook, connection: Any) -> Any:
    """Open a cursor; in PostgreSQL one that does not fetch everything at once."""
    return connection.cursor(name="wacontacts") if hook.conn_type == "postgres" else connection.cursor()


def _names(description: Sequence[Sequence[Any]] | None, needed: str | Sequence[str]) -> list[str]:
    names = [str(column[0]).lower() for column in description or ()]
    wanted = [needed] if isinstance(needed, str) else needed
    if not set(wanted) & set(names):
        # A column without a name of its own may be called what is in it, a number say.
        shown = [name if name.isidentifier() and name.isascii() else "one without a plain name" for name in names]
        raise ConfigError(
            f"the query has no column {' or '.join(map(repr, wanted))}; it has {', '.join(shown) or 'none'}"
        )
    return names
