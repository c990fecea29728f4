"""SQL statements for both PostgreSQL and SQLite. Many rows are passed as one JSON parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Date, bindparam, text
from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.types import TypeEngine

from airflow_provider_wacontacts.identifiers.identifier import Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import join_keys
from airflow_provider_wacontacts.records.json import repair
from airflow_provider_wacontacts.store.tables import HexId, Tables, UtcDateTime

__all__ = ["Database"]

NUL = b"\\u0000"
TYPES = {
    "postgresql": {"time": "timestamptz", "uuid": "uuid", "bytewise": 'COLLATE "C"', "greatest": "greatest"},
    "sqlite": {"time": "text", "uuid": "text", "bytewise": "", "greatest": "max"},
}
#: Parameters that need a type: PostgreSQL does not compare them with text, and SQLite stores them as text.
BOUND_AS = ((datetime, UtcDateTime), (date, Date))
#: Maximum number of cached statements.
MAX_STATEMENTS = 256


class Parameter(NamedTuple):
    """
    How a parameter of a statement is bound.

    :param type_: ``None`` for the driver's default.
    :param is_list: whether it is a list for ``IN``.
    """

    name: str
    type_: type[TypeEngine[Any]] | None
    is_list: bool


class Database(NamedTuple):
    """
    A store in a transaction.

    :param secret: the secret of pseudonyms.
    """

    connection: Connection
    tables: Tables
    secret: bytes | None = None

    def keys_of(self, values: Mapping[Kind, str | None]) -> dict[str, str | None]:
        """Return the values of join columns such as ``number_key``: pseudonyms if there is a secret, or plain keys."""
        return {f"{kind}_key": key for kind, key in join_keys(values, self.secret).items()}

    def number_keys(self, numbers: Iterable[str]) -> dict[str, str]:
        """Return the join keys of numbers, by number in E.164."""
        return {number: str(join_keys({Kind.NUMBER: number}, self.secret)[Kind.NUMBER]) for number in numbers}

    @property
    def is_sqlite(self) -> bool:
        """Whether no other transaction can write until the transaction ends."""
        return self.connection.dialect.name == "sqlite"

    @property
    def locked(self) -> str:
        """The clause of a SELECT that locks the returned rows."""
        return "" if self.is_sqlite else " FOR UPDATE"

    def given(self, **columns: str) -> str:
        """
        Return the SQL after FROM for the rows of parameter ``rows``.

        :param columns: PostgreSQL's type by name.
        """
        if not self.is_sqlite:
            typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            # With the limit, the planner expects few rows. Without it, it may scan whole tables for one row.
            return f"(SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS given ({typed}) LIMIT :count) AS given"
        read = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in columns)
        return f"(SELECT {read} FROM json_each(:rows)) AS given"

    def execute(
        self,
        sql: str,
        *,
        rows: Iterable[Mapping[str, Any]] | None = None,
        times: Sequence[str] = (),
        ids: Sequence[str] = (),
        **parameters: Any,
    ) -> CursorResult[Any]:
        """
        Execute a statement.

        :param sql: ``{at}`` is the schema with its dot; ``{time}``, ``{uuid}``, ``{bytewise}`` and ``{greatest}`` are
            the database's own syntax.
        :param rows: the rows that :meth:`given` reads. Characters that databases refuse become U+FFFD.
        :param times: result columns with times.
        :param ids: result columns with IDs of 32 hexadecimal digits.
        :param parameters: a list or tuple is for ``IN``; times are timezone-aware.
        """
        if rows is not None:
            given = list(rows)
            parameters["rows"] = _json(given)
            if not self.is_sqlite:
                parameters["count"] = len(given)
        statement = _statement(
            sql.format(at=self.tables.prefix, **TYPES[self.connection.dialect.name]),
            tuple(_parameter(name, value) for name, value in parameters.items()),
            tuple(times),
            tuple(ids),
        )
        return self.connection.execute(statement, parameters)


def _json(rows: list[Mapping[str, Any]]) -> str:
    try:
        written = msgspec.json.encode(rows)
    except UnicodeEncodeError:
        written = NUL
    if NUL in written:
        written = msgspec.json.encode([repair(row)[0] for row in rows])
    return written.decode()


def _parameter(name: str, value: Any) -> Parameter:
    is_list = isinstance(value, (list, tuple))
    sample = value[0] if is_list and value else value
    return Parameter(name, next((type_ for kind, type_ in BOUND_AS if isinstance(sample, kind)), None), is_list)


@lru_cache(MAX_STATEMENTS)
def _statement(sql: str, parameters: tuple[Parameter, ...], times: tuple[str, ...], ids: tuple[str, ...]) -> Any:
    """Build and cache a statement: building it takes SQLAlchemy as long as executing it."""
    bound: Any = text(sql).bindparams(
        *(bindparam(name, type_=type_, expanding=is_list) for name, type_, is_list in parameters)
    )
    types = {**dict.fromkeys(times, UtcDateTime), **dict.fromkeys(ids, HexId)}
    return bound.columns(**types) if types else bound
