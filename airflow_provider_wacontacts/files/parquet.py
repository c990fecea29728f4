"""Contacts in Parquet files. ``pyarrow`` is an optional dependency, so functions import it."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from io import BytesIO
from itertools import accumulate, count, islice
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.files.sinks import Rows, Sink
from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind
from airflow_provider_wacontacts.records.canonical_forms import CanonicalForms
from airflow_provider_wacontacts.records.pages import Text
from airflow_provider_wacontacts.records.record import row_hash

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetRows", "copy_parquet", "read_parquet"]

#: Bytes of text in a row group, which is held in memory until it is written.
GROUP_BYTES = 16 * 2**20
CONSTANT_COLUMNS = ("source", "account", "extraction_id")
DICTIONARY_COLUMNS = [*CONSTANT_COLUMNS, "state", "extracted_at"]
STATISTICS_COLUMNS = [*DICTIONARY_COLUMNS, "contact_id", "updated_at", *IdsByKind._fields, "repaired"]
BATCH_ROWS = 1_000
#: In some versions of pyarrow, threads leak memory with every file.
USE_THREADS = False


class ParquetRows:
    """
    Writes one row per contact, in row groups of about 16 MiB of text, compressed with zstd.

    :param constants: values of :data:`CONSTANT_COLUMNS`.
    """

    def __init__(self, sink: Sink, constants: tuple[str, ...]) -> None:
        self._sink = sink
        self._constants = constants
        self._canonical_form = CanonicalForms()
        self._schema = _schema()
        self._writer = _new_writer(sink, self._schema)
        self._buffered: list[pa.RecordBatch] = []
        self._buffered_bytes = 0

    def write(self, rows: Rows) -> None:
        """Append contacts. They are written with their row group."""
        import pyarrow as pa

        count, schema = len(rows.texts), self._schema
        constants = (*self._constants, rows.extracted_at, "present")
        source, account, extraction_id, extracted_at, state = (
            pa.repeat(pa.scalar(value, schema.field(name).type), count)
            for name, value in zip((*CONSTANT_COLUMNS, "extracted_at", "state"), constants, strict=True)
        )
        all_ids = [keys.ids for keys in rows.keys]
        arrays = [
            *(source, account, extraction_id, extracted_at),
            pa.array([keys.contact_id for keys in rows.keys], pa.string()),
            pa.array([keys.updated_at for keys in rows.keys], schema.field("updated_at").type),
            *(pa.array(ids, pa.string()) for ids in (zip(*all_ids, strict=True) if all_ids else [[]] * 3)),
            state,
            pa.array([index in rows.repaired for index in range(count)], pa.bool_()),
            pa.array(list(map(self._row_hash, rows.texts)), pa.binary()),
            _strings(rows.texts),
        ]
        self._buffered.append(pa.record_batch(arrays, schema=schema))
        self._buffered_bytes += arrays[-1].nbytes
        if self._buffered_bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write the last row group and the footer, and close the file."""
        if self._buffered:
            self._write_group()
        self._writer.close()
        self._sink.close()

    def abandon(self) -> None:
        """Close the file without a footer, so that it cannot be read."""
        self._writer.is_open = False
        self._sink.close()

    def _write_group(self) -> None:
        import pyarrow as pa

        group = pa.Table.from_batches(self._buffered, self._schema)
        self._buffered, self._buffered_bytes = [], 0
        self._writer.write_table(group, row_group_size=max(group.num_rows, 1))

    def _row_hash(self, text: Text) -> bytes | None:
        """Return the hash that a store computes; ``None`` for a text without canonical form, which a store rejects."""
        try:
            return row_hash(self._canonical_form(text))
        except ValueError:
            return None


def _strings(texts: Sequence[Text]) -> pa.StringArray:
    """Return UTF-8 texts as an array. The values are joined once."""
    import pyarrow as pa

    ends = array("i", accumulate(map(len, texts), initial=0))
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(texts)))


def read_parquet(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the JSON of each row, and whether it was repaired."""
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(BytesIO(data))
    for batch in file.iter_batches(BATCH_ROWS, columns=["payload", "repaired"], use_threads=USE_THREADS):
        for text, repaired in zip(*batch.to_pydict().values(), strict=True):
            yield text.encode(), repaired


def copy_parquet(data: bytes, sink: Sink, removed: Collection[int]) -> None:
    """Copy a file without the rows with the given indices, and close the copy."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    file, rows = ParquetFile(BytesIO(data)), count()
    writer = _new_writer(sink, file.schema_arrow)
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, use_threads=USE_THREADS)
        mask = pa.array([row not in removed for row in islice(rows, group.num_rows)], pa.bool_())
        if (kept := group.filter(mask)).num_rows:
            writer.write_table(kept, row_group_size=kept.num_rows)
    writer.close()
    sink.close()


def _new_writer(sink: Sink, schema: pa.Schema) -> Any:
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(
        sink, schema, compression="zstd", use_dictionary=DICTIONARY_COLUMNS, write_statistics=STATISTICS_COLUMNS
    )


def _schema() -> pa.Schema:
    import pyarrow as pa

    time = pa.timestamp("us", tz="UTC")
    return pa.schema(
        {
            **{name: pa.string() for name in CONSTANT_COLUMNS},
            "extracted_at": time,
            "contact_id": pa.string(),
            "updated_at": time,
            **{name: pa.string() for name in IdsByKind._fields},
            "state": pa.string(),
            "repaired": pa.bool_(),
            "row_hash": pa.binary(),
            "payload": pa.string(),
        }
    )
