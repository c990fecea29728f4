"""A table that results are passed on to, in any database that Airflow's common SQL provider knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError
from airflow_provider_wacontacts.hooks.connections import read_connection
from airflow_provider_wacontacts.hooks.queries import database_name, sql_hook
from airflow_provider_wacontacts.store.checks.result_rows import COLUMNS, TargetRow
from airflow_provider_wacontacts.store.errors import DatabaseName, failure

__all__ = ["SqlTable", "open_table", "validate_table_name"]

T = TypeVar("T")
#: Columns without which nothing can be passed on.
NEEDED = ("number", "wa_id")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
    contact_key varchar(255), number varchar(20), wa_id varchar(20), status varchar(20)
)
"""
#: Without an index, each chunk reads the whole table. Other databases have no IF NOT EXISTS here.
INDEX = "CREATE INDEX IF NOT EXISTS {name} ON {table} ({column})"
INDEXED = ("contact_key", "number")
DESCRIBE = "SELECT * FROM {table} WHERE 1 = 0"
FIND = "SELECT {columns} FROM {table} WHERE {column} IN ({values})"
DELETE = "DELETE FROM {table} WHERE {column} IN ({values})"
INSERT = "INSERT INTO {table} ({columns}) VALUES ({values})"


def validate_table_name(name: str, value: object) -> None:
    """
    Make sure that a value is the name of a table, with or without a schema.

    :raises ConfigError: it is something else.
    """
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ConfigError(f"{name} must be the name of a table, for example whatsapp_ids or crm.whatsapp_ids.")


@contextmanager
def open_table(conn_id: str, table: str, *, create: bool = False) -> Iterator[SqlTable]:
    """
    Open a table.

    :param create: create it if it is missing.
    :raises ConfigError: the connection is missing or has no SQL hook, or the table is missing or lacks columns.
    :raises LandingError: the database failed.
    """
    connection = read_connection(conn_id)
    hook, name = sql_hook(connection), database_name(connection)
    with closing(_translated(name, hook.get_conn)) as session:
        if hook.supports_autocommit:
            hook.set_autocommit(session, False)  # noqa: FBT003 - Airflow's
        made = SqlTable(session, name, table, hook.placeholder)
        if create:
            made.create()
        made.read_columns()
        if create and hook.dialect_name in ("postgresql", "sqlite"):
            made.create_indexes()
        yield made


class SqlTable:
    """
    A table of a database.

    :ivar columns: the columns of :class:`.TargetRow` that it has.
    :param session: a connection of the DB-API, which is not in autocommit.
    :param placeholder: of parameters.
    """

    columns: Sequence[str] = ()

    def __init__(self, session: Any, name: DatabaseName, table: str, placeholder: str) -> None:
        self._session = session
        self._name = name
        self._table = table
        self._placeholder = placeholder

    def create(self) -> None:
        """Create the table if it is missing."""
        self._run(CREATE.format(table=self._table), commit=True)

    def create_indexes(self) -> None:
        """Create the indexes of the columns that rows are found by."""
        prefix = self._table.rpartition(".")[2]
        for column in (column for column in INDEXED if column in self.columns):
            self._run(INDEX.format(name=f"{prefix}_{column}", table=self._table, column=column), commit=True)

    def read_columns(self) -> None:
        """
        Read which columns the table has.

        :raises ConfigError: it lacks one that is needed.
        """
        found = _translated(self._name, self._read_columns)
        if missing := [column for column in NEEDED if column not in found]:
            raise ConfigError(
                f"Table {self._table} of {self._name.name} has no column {' and no column '.join(missing)}. Add what is"
                " missing, or name another table."
            )
        self.columns = [column for column in COLUMNS if column in found]

    def find(self, column: str, values: Sequence[str]) -> list[TargetRow]:
        """Return the rows whose column has one of these values."""
        rows = self._run(self._sql(FIND, column=column, values=self._marks(values)), values)
        texts = ((None if value is None else str(value) for value in row) for row in rows)
        return [TargetRow(**{**dict.fromkeys(COLUMNS), **dict(zip(self.columns, row, strict=True))}) for row in texts]

    def replace(self, column: str, values: Sequence[str], rows: Sequence[TargetRow]) -> None:
        """In one transaction, delete the rows whose column has one of these values, and insert others."""
        delete = self._sql(DELETE, column=column, values=self._marks(values))
        insert = self._sql(INSERT, values=self._marks(self.columns))
        given = [tuple(getattr(row, name) for name in self.columns) for row in rows]

        def write() -> None:
            with closing(self._session.cursor()) as cursor:
                cursor.execute(delete, list(values))
                if given:
                    cursor.executemany(insert, given)
            self._session.commit()

        _translated(self._name, write)

    def _sql(self, template: str, **parts: str) -> str:
        return template.format(table=self._table, columns=", ".join(self.columns), **parts)

    def _marks(self, values: Sequence[str]) -> str:
        return ", ".join([self._placeholder] * len(values))

    def _read_columns(self) -> list[str]:
        with closing(self._session.cursor()) as cursor:
            cursor.execute(DESCRIBE.format(table=self._table))
            return [str(column[0]).lower() for column in cursor.description or ()]

    def _run(self, sql: str, parameters: Sequence[str] = (), *, commit: bool = False) -> list[Any]:
        def run() -> list[Any]:
            with closing(self._session.cursor()) as cursor:
                cursor.execute(sql, list(parameters)) if parameters else cursor.execute(sql)
                rows = cursor.fetchall() if cursor.description else []
            if commit:
                self._session.commit()
            return list(rows)

        return _translated(self._name, run)


def _translated(name: DatabaseName, work: Callable[[], T]) -> T:
    """
    Do work on a database.

    :raises WaContactsError: it failed; the message does not quote the statement, as each driver's does.
    """
    try:
        return work()
    except WaContactsError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own
        problem = failure(error, name)
    raise problem
