"""The store's tables in SQLAlchemy, and their names in raw SQL."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Float, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.types import TypeDecorator

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["HexId", "Tables", "UtcDateTime", "insert_into", "sqlite_time"]

#: Fixed width, so that strings sort like times.
SQLITE_DATETIME = sqlite.DATETIME(  # type: ignore[no-untyped-call]
    storage_format=("%(year)04d-%(month)02d-%(day)02dT%(hour)02d:%(minute)02d:%(second)02d.%(microsecond)06dZ"),
    regexp=r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d+)Z",
)
#: PostgreSQL truncates longer names, so two names could become equal.
MAX_NAME_BYTES = 63

if TYPE_CHECKING:
    TimeDecorator: TypeAlias = TypeDecorator[datetime]
    TextDecorator: TypeAlias = TypeDecorator[str]
else:
    TimeDecorator = TextDecorator = TypeDecorator


class UtcDateTime(TimeDecorator):
    """A time: timezone-aware UTC in Python, ``timestamptz`` in PostgreSQL, fixed-width text in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Choose the column's type."""
        return dialect.type_descriptor(SQLITE_DATETIME if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert a time for the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert a time from the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class HexId(TextDecorator):
    """An ID: 32 hexadecimal digits in Python and SQLite, ``uuid`` in PostgreSQL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Choose the column's type."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else postgresql.UUID(as_uuid=False))

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Convert an ID from the database."""
        return None if value is None else str(value).replace("-", "")


def sqlite_time(moment: datetime) -> str:
    """Format a time as in SQLite's tables."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


class Tables:
    """
    The tables in one schema.

    :param dialect: dialect of the engine.
    :param table_schema: schema of PostgreSQL; ``None`` for the connection's own.
    :ivar schema: the schema with its dot, quoted for SQL; empty for the connection's own.
    :ivar prefix: the same in SQLAlchemy's ``text()``.
    :ivar driver_prefix: the same in SQL that is passed to the driver unchanged.
    :raises ConfigError: the database has no schemas, or the schema's name is too long.
    """

    def __init__(self, dialect: Dialect, table_schema: str | None) -> None:
        if table_schema and dialect.name == "sqlite":
            raise ConfigError("table_schema is for PostgreSQL. SQLite has no schemas; leave it out.")
        if table_schema and len(table_schema.encode()) > MAX_NAME_BYTES:
            raise ConfigError(f"table_schema is longer than {MAX_NAME_BYTES} bytes, and PostgreSQL would truncate it.")
        self.table_schema = table_schema
        self.schema = '"{}".'.format(table_schema.replace('"', '""')) if table_schema else ""
        self.prefix = self.schema.replace(":", r"\:")
        self.driver_prefix = self.schema.replace("%", "%%")
        self._metadata = MetaData(schema=table_schema)

    @cached_property
    def schema_version(self) -> Table:
        """Applied migrations, one row each."""
        return Table(
            "wacontacts_schema_version",
            self._metadata,
            Column("schema_version", BigInteger, primary_key=True),
            Column("writable_from", Text),
            Column("upgraded_at", UtcDateTime),
        )

    @cached_property
    def account(self) -> Table:
        """Accounts, one row for each source and account name."""
        return Table(
            "wacontacts_account",
            self._metadata,
            Column("account_id", BigInteger, primary_key=True),
            Column("source", Text),
            Column("account", Text),
            Column("number_id", Text),
            Column("secret_id", Text),
            Column("extractions_purged_before", UtcDateTime),
            Column("versions_purged_before", UtcDateTime),
        )

    @cached_property
    def reject(self) -> Table:
        """Rejected rows."""
        return Table(
            "wacontacts_rejected_row",
            self._metadata,
            Column("reject_id", BigInteger, primary_key=True),
            Column("extraction_id", HexId),
            Column("reason", Text),
            Column("body", LargeBinary),
            Column("received_at", UtcDateTime),
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
        """Random keys of the hashes, if there was no secret for pseudonyms."""
        return Table(
            "wacontacts_erased_key",
            self._metadata,
            Column("key_id", Text, primary_key=True),
            Column("key", LargeBinary),
            Column("made_at", UtcDateTime),
        )

    @cached_property
    def field(self) -> Table:
        """The fields of each account's contacts, as found by its extractions."""
        return Table(
            "wacontacts_field",
            self._metadata,
            Column("account_id", BigInteger, primary_key=True),
            Column("field", Text, primary_key=True),
            Column("json_types", Text),
            Column("declared_type", Text),
            Column("is_present", Boolean),
            *(Column(name, BigInteger) for name in ("contacts", "contacts_with", "contacts_since")),
        )

    @cached_property
    def field_change(self) -> Table:
        """Schema drift: fields that appeared, disappeared or changed their type."""
        return Table(
            "wacontacts_field_change",
            self._metadata,
            Column("field_change_id", BigInteger, primary_key=True),
            Column("account_id", BigInteger),
            Column("extraction_id", HexId),
            *(
                Column(name, Text)
                for name in ("source", "account", "field", "change_kind", "type_before", "type_after")
            ),
            Column("share", Float),
            Column("detected_at", UtcDateTime),
        )

    @cached_property
    def extraction(self) -> Table:
        """The sync ledger, one row for each extraction."""
        times = (
            *("started_at", "heartbeat_at", "deferred_until", "extracted_at", "finished_at", "covered_until"),
            *("position", "window_start", "window_end", "gap_start", "gap_end"),
        )
        counts = (
            *("account_id", "resumes", "pages", "row_count", "new_versions", "rejected", "bytes"),
            *("map_index", "region_index", "groups_seen", "others_seen", "gone", "back"),
        )
        texts = ("source", "account", "state", "error", "uri", "dag_id", "run_id", "task_id", "reason")
        return Table(
            "wacontacts_extraction",
            self._metadata,
            Column("extraction_number", BigInteger, primary_key=True),
            Column("extraction_id", HexId),
            *(Column(name, Text) for name in (*texts, "region_id", "options_digest", "package_version")),
            *(Column(name, UtcDateTime) for name in times),
            *(Column(name, BigInteger) for name in counts),
            Column("lateness_s", Float),
            Column("lossy", Boolean),
        )


def insert_into(connection: Connection, table: Table) -> Any:
    """Return an INSERT of the connection's dialect, which supports ON CONFLICT."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
