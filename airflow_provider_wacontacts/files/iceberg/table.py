"""An Iceberg table of contacts: its columns, its extractions, and appending an extraction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files.iceberg.errors import catalog_errors, table_errors
from airflow_provider_wacontacts.records.record import Record

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

__all__ = ["COLUMNS", "EXTRACTION_ID", "AppendedExtraction", "ContactTable"]

#: The columns with their Iceberg types. A table must have all of them except ``ADDABLE``.
COLUMNS = {
    "source": "string",
    "account": "string",
    "contact_id": "string",
    "updated_at": "timestamptz",
    "row_hash": "binary",
    "state": "string",
    "extracted_at": "timestamptz",
    "extraction_id": "string",
    "wa_id": "string",
    "user_id": "string",
    "lid": "string",
    "repaired": "boolean",
    "payload": "string",
}
NULLABLE = frozenset({"wa_id", "user_id", "lid", "repaired"})
#: Columns that are added to a table if they are missing.
ADDABLE = NULLABLE
#: Snapshot property with the ID of its extraction.
EXTRACTION_ID = "extraction_id"
#: Buckets of contacts in each day: the maximum number of files that an append writes for each day.
BUCKETS = 4
#: Maximum bytes of payload in memory while an extraction is appended.
CHUNK_BYTES = 128 * 2**20
PROPERTIES = {
    "format-version": "2",
    "commit.manifest-merge.enabled": "true",
    "write.metadata.delete-after-commit.enabled": "true",
    # Manifests store column bounds, but not of identifiers, which are not sorted, and not of bodies.
    **{f"write.metadata.metrics.column.{name}": "counts" for name in ("wa_id", "user_id", "lid", "payload")},
}
#: pyiceberg would retry a commit on top of another writer's, which may have appended the same extraction.
NO_RETRIES = {"commit.retry.num-retries": "0"}


class AppendedExtraction(NamedTuple):
    """
    An extraction whose contacts are appended.

    :param extracted_at: timezone-aware, UTC.
    """

    source: str
    account: str
    extraction_id: str
    extracted_at: datetime


class ContactTable:
    """A table with the columns of :data:`COLUMNS`. Other columns stay null."""

    def __init__(self, table: Table) -> None:
        self.table = table

    @classmethod
    def open(cls, catalog: Catalog, name: str, *, create: bool = True) -> Self:
        """
        Load a table. If necessary, create it with its namespace, or add columns that an older version did not have.

        :param name: name with its namespace, such as ``contacts.whatsapp``.
        :param create: whether to create a missing table, and to add missing columns.
        :raises ConfigError: the catalog cannot be used, or the table has other columns.
        """
        if not all(name.split(".")) or "." not in name:
            raise ConfigError("`table` must be the name of a table with its namespace, such as contacts.whatsapp.")
        with catalog_errors(f"Table {name!r} cannot be opened"):
            table = _load_or_create(catalog, name) if create else catalog.load_table(name)
            _expect_columns(table.schema(), name)
            if create and (missing := COLUMNS.keys() - {field.name for field in table.schema().fields}):
                _add_columns(table, [column for column in COLUMNS if column in missing])
        return cls(table)

    def refresh(self) -> None:
        """Read the newest state of the table."""
        with table_errors("The table cannot be read"):
            self.table.refresh()

    def appended(self, extractions: Mapping[str, datetime]) -> set[str]:
        """
        Return the extractions that the table has. Rows are searched as well, because snapshots expire.

        :param extractions: time of each extraction, by ID.
        """
        with table_errors("The table cannot be read"):
            properties = [
                snapshot.summary.additional_properties for snapshot in self.table.snapshots() if snapshot.summary
            ]
            known = {each[EXTRACTION_ID] for each in properties if EXTRACTION_ID in each} & extractions.keys()
            unknown = extractions.keys() - known
            return known | (self._ids_in_rows({key: extractions[key] for key in unknown}) if unknown else set())

    def _ids_in_rows(self, extractions: Mapping[str, datetime]) -> set[str]:
        from pyiceberg.expressions import And, GreaterThanOrEqual, In, LessThanOrEqual

        first, last = (moment(extractions.values()).isoformat() for moment in (min, max))
        wanted = And(GreaterThanOrEqual("extracted_at", first), LessThanOrEqual("extracted_at", last))
        found = self.table.scan(And(wanted, In(EXTRACTION_ID, sorted(extractions))), selected_fields=(EXTRACTION_ID,))
        return {each for batch in found.to_arrow_batch_reader() for each in batch.column(0).unique().to_pylist()}

    def scan(self, columns: Iterable[str], *wanted: Any) -> Iterator[dict[str, Any]]:
        """
        Yield rows, as dictionaries.

        :param wanted: filter expressions of pyiceberg, which are combined by AND.
        """
        from pyiceberg.expressions import AlwaysTrue, And

        expression = And(*wanted, AlwaysTrue(), AlwaysTrue())
        with table_errors("The table cannot be read"):
            for batch in self.table.scan(expression, selected_fields=tuple(columns)).to_arrow_batch_reader():
                yield from batch.to_pylist()

    def append(
        self, extraction: AppendedExtraction, records: Iterable[Record], properties: Mapping[str, str] | None = None
    ) -> int:
        """
        Append an extraction in one commit: all of it or nothing.

        A large extraction creates several snapshots in this commit.

        :param records: records that are not in the table as of the last :meth:`refresh`.
        :param properties: table properties to set in the same commit.
        :returns: the number of rows.
        :raises ConflictError: another writer has committed since the last :meth:`refresh`.
        :raises LandingError: the catalog or the storage failed. Nothing was appended.
        """
        rows = 0
        with table_errors("The extraction cannot be appended to the table"):
            table = self.table
            table.metadata = table.metadata.model_copy(update={"properties": table.metadata.properties | NO_RETRIES})
            transaction = table.transaction()
            if properties:
                transaction.set_properties(dict(properties))
            for chunk in _chunks(extraction, records):
                transaction.append(chunk, snapshot_properties={EXTRACTION_ID: extraction.extraction_id})
                rows += chunk.num_rows
            transaction.commit_transaction()
        return rows


def _chunks(extraction: AppendedExtraction, records: Iterable[Record]) -> Iterator[pa.Table]:
    """Yield tables of limited size: at least one, which may be empty."""
    batch: list[Record] = []
    size, is_first = 0, True
    for record in records:
        batch.append(record)
        size += len(record.payload)
        if size >= CHUNK_BYTES:
            yield _arrow_table(extraction, batch)
            batch, size, is_first = [], 0, False
    if batch or is_first:
        yield _arrow_table(extraction, batch)


def _arrow_table(extraction: AppendedExtraction, records: list[Record]) -> pa.Table:
    import pyarrow as pa

    constants = extraction._asdict()
    columns = {
        name: [constants[name]] * len(records) if name in constants else [getattr(record, name) for record in records]
        for name in COLUMNS
    }
    return pa.table(columns, schema=_arrow_schema())


def _arrow_schema() -> pa.Schema:
    import pyarrow as pa

    time = pa.timestamp("us", tz="UTC")
    types = {"string": pa.string(), "timestamptz": time, "binary": pa.binary(), "boolean": pa.bool_()}
    return pa.schema([pa.field(name, types[kind], nullable=name in NULLABLE) for name, kind in COLUMNS.items()])


def _load_or_create(catalog: Catalog, name: str) -> Table:
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, TableAlreadyExistsError

    try:
        return catalog.load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError):
        pass
    try:
        return _create(catalog, name)
    except NoSuchNamespaceError:
        catalog.create_namespace_if_not_exists(name.rpartition(".")[0])
    except TableAlreadyExistsError:
        return catalog.load_table(name)
    with suppress(TableAlreadyExistsError):
        return _create(catalog, name)
    return catalog.load_table(name)


def _create(catalog: Catalog, name: str) -> Table:
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import BucketTransform, DayTransform

    schema = _schema()
    day, contact = (schema.find_field(column).field_id for column in ("extracted_at", "contact_id"))
    partitions = PartitionSpec(
        PartitionField(source_id=day, field_id=1000, transform=DayTransform(), name="extracted_day"),
        PartitionField(source_id=contact, field_id=1001, transform=BucketTransform(BUCKETS), name="contact_bucket"),
    )
    return catalog.create_table(name, schema=schema, partition_spec=partitions, properties=PROPERTIES)


def _schema() -> Schema:
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    types = _types()
    return Schema(
        *(
            NestedField(field_id=number, name=name, field_type=types[kind], required=name not in NULLABLE)
            for number, (name, kind) in enumerate(COLUMNS.items(), 1)
        )
    )


def _types() -> Mapping[str, Any]:
    from pyiceberg.types import BinaryType, BooleanType, StringType, TimestamptzType

    types = StringType(), TimestamptzType(), BinaryType(), BooleanType()
    return {str(each): each for each in types}


def _expect_columns(schema: Schema, name: str) -> None:
    found = {field.name: field for field in schema.fields}
    problems = [f"{column} is missing" for column in COLUMNS if column not in found and column not in ADDABLE]
    problems += [
        f"{column} is {found[column].field_type}, not {kind}"
        for column, kind in COLUMNS.items()
        if column in found and str(found[column].field_type) != kind
    ]
    problems += [
        f"{column} is unknown and required" for column in found if column not in COLUMNS and found[column].required
    ]
    if problems:
        raise ConfigError(
            f"Table {name!r} has other columns than a table of contacts: {'; '.join(problems)}. Nothing was appended."
            " Set `table` to a new name, to create a table, or correct the columns."
        )


def _add_columns(table: Table, names: Iterable[str]) -> None:
    types = _types()
    with table.update_schema() as update:
        for name in names:
            update.add_column(name, types[COLUMNS[name]])
