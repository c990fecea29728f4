"""The store's tables as SQLAlchemy sees them: those that both databases are asked about in the same words."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Float, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["Tables", "UtcDateTime", "sqlite_time"]

#: One width, so that text sorts as time does.
SQLITE_TIME = sqlite.DATETIME(  # type: ignore[no-untyped-call]
    storage_format=("%(year)04d-%(month)02d-%(day)02dT%(hour)02d:%(minute)02d:%(second)02d.%(microsecond)06dZ"),
    regexp=r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d+)Z",
)

if TYPE_CHECKING:
    TimeDecorator: TypeAlias = TypeDecorator[datetime]
else:
    TimeDecorator = TypeDecorator


class UtcDateTime(TimeDecorator):
    """A time: aware and UTC in Python, ``timestamptz`` in PostgreSQL, text of one width in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Choose the column's type."""
        return dialect.type_descriptor(SQLITE_TIME if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Hand a time to the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read a time from the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def sqlite_time(moment: datetime) -> str:
    """Write a time as SQLite's tables hold it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


class Tables:
    """
    The tables in one schema.

    :param dialect: of the engine they are in.
    :param table_schema: schema of PostgreSQL; ``None`` for the connection's own.
    :raises ConfigError: a schema is named in a database that has none.
    """

    def __init__(self, dialect: Dialect, table_schema: str | None) -> None:
        if table_schema and dialect.name == "sqlite":
            raise ConfigError("table_schema is for PostgreSQL; SQLite has no schemas, leave it out")
        self.table_schema = table_schema
        self.prefix = f"{dialect.identifier_preparer.quote(table_schema)}." if table_schema else ""
        self._metadata = MetaData(schema=table_schema)

    @cached_property
    def meta(self) -> Table:
        """The migrations that were applied, a row each."""
        return Table(
            "wacontacts_meta",
            self._metadata,
            Column("schema_version", BigInteger, primary_key=True),
            Column("upgraded_at", UtcDateTime),
        )

    @cached_property
    def account(self) -> Table:
        """Whose contacts they are, a row for each source and account."""
        return Table(
            "wacontacts_account",
            self._metadata,
            Column("account_id", BigInteger, primary_key=True),
            Column("source", Text),
            Column("account", Text),
            Column("number_id", Text),
        )

    @cached_property
    def reject(self) -> Table:
        """What could not be kept."""
        return Table(
            "wacontacts_reject",
            self._metadata,
            Column("reject_id", BigInteger, primary_key=True),
            Column("extraction_id", Text),
            Column("reason", Text),
            Column("body", LargeBinary),
        )

    @cached_property
    def erased(self) -> Table:
        """Hashes of people and contacts that were erased."""
        return Table(
            "wacontacts_erased",
            self._metadata,
            Column("erased_number", BigInteger, primary_key=True),
            Column("key_id", Text),
            Column("hash", LargeBinary),
            Column("erased_at", UtcDateTime),
        )

    @cached_property
    def erased_key(self) -> Table:
        """What the hashes were made with, where there was no secret for pseudonyms."""
        return Table(
            "wacontacts_erased_key",
            self._metadata,
            Column("key_id", Text, primary_key=True),
            Column("key", LargeBinary),
            Column("made_at", UtcDateTime),
        )

    @cached_property
    def extraction(self) -> Table:
        """The ledger, a row for each try."""
        times = ("window_start", "window_end", "started_at", "extracted_at", "finished_at", "position")
        counts = ("account_id", "resumes", "pages", "rows", "new_versions", "rejected", "bytes", "map_index")
        of_snapshots = ("groups_seen", "others_seen", "gone", "back")
        texts = ("extraction_id", "source", "account", "state", "gap_before", "uri", "dag_id", "run_id", "task_id")
        return Table(
            "wacontacts_extraction",
            self._metadata,
            Column("extraction_number", BigInteger, primary_key=True),
            *(Column(name, Text) for name in (*texts, "reason", "options_digest", "package_version")),
            *(Column(name, UtcDateTime) for name in times),
            *(Column(name, BigInteger) for name in (*counts, *of_snapshots)),
            Column("lateness_s", Float),
            Column("lossy", Boolean),
        )
