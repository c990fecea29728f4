"""Contacts in Parquet files. Needs ``pyarrow``, which nothing else does: it is imported when a file is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from io import BytesIO
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.files.sinks import Rows, Sink

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetRows", "copy_parquet", "read_parquet"]

#: Bytes of landed text in a row group: what is held until it is written.
GROUP_BYTES = 16 * 2**20
FEW_VALUES = ["source", "account", "state"]
WORTH_SKIPPING_BY = [*FEW_VALUES, "contact_id", "updated_at", "wa_id", "repaired"]
BATCH_ROWS = 1_000
#: Some versions of pyarrow hold on to what their threads have read, more with every file.
WITH_THREADS = False


class ParquetRows:
    """
    Writes a row a contact, in row groups of about 16 MiB of text, compressed with zstd.

    :param source: into the column of that name, as is ``account``.
    """

    def __init__(self, sink: Sink, source: str, account: str) -> None:
        self._sink = sink
        self._filed = source, account
        self._schema = _schema()
        self._writer = _new_writer(sink, self._schema)
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0

    def write(self, rows: Rows) -> None:
        """Append contacts; they reach the file with their row group."""
        import pyarrow as pa

        payloads = [bytes(text) for text in rows.texts]
        columns = [
            *([value] * len(payloads) for value in self._filed),
            [head.contact_id for head in rows.keys],
            [head.updated_at for head in rows.keys],
            [head.wa_id for head in rows.keys],
            ["present"] * len(payloads),
            [index in rows.repaired for index in range(len(payloads))],
            payloads,
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._held.append(pa.record_batch(arrays, schema=self._schema))
        self._held_bytes += sum(map(len, payloads))
        if self._held_bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write the last row group and the footer, and close the file."""
        if self._held:
            self._write_group()
        self._writer.close()
        self._sink.close()

    def abandon(self) -> None:
        """Close the file as it is: without a footer nobody can read it."""
        self._writer.is_open = False
        self._sink.close()

    def _write_group(self) -> None:
        import pyarrow as pa

        group = pa.Table.from_batches(self._held, self._schema)
        self._held, self._held_bytes = [], 0
        self._writer.write_table(group, row_group_size=max(group.num_rows, 1))


def read_parquet(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the landed text of each row, and whether it was repaired."""
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(BytesIO(data))
    for batch in file.iter_batches(BATCH_ROWS, columns=["payload", "repaired"], use_threads=WITH_THREADS):
        for text, repaired in zip(*batch.to_pydict().values(), strict=True):
            yield text.encode(), repaired


def copy_parquet(data: bytes, sink: Sink, left_out: Collection[int]) -> None:
    """Write the rows of a file into another, but for some, counted from 0, and close that."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    file, rows = ParquetFile(BytesIO(data)), count()
    writer = _new_writer(sink, file.schema_arrow)
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, use_threads=WITH_THREADS)
        mask = pa.array([row not in left_out for row in islice(rows, group.num_rows)], pa.bool_())
        if (kept := group.filter(mask)).num_rows:
            writer.write_table(kept, row_group_size=kept.num_rows)
    writer.close()
    sink.close()


def _new_writer(sink: Sink, schema: pa.Schema) -> Any:
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(
        sink, schema, compression="zstd", use_dictionary=FEW_VALUES, write_statistics=WORTH_SKIPPING_BY
    )


def _schema() -> pa.Schema:
    import pyarrow as pa

    names = {name: pa.string() for name in ("source", "account", "contact_id")}
    return pa.schema(
        {
            **names,
            "updated_at": pa.timestamp("us", tz="UTC"),
            "wa_id": pa.string(),
            "state": pa.string(),
            "repaired": pa.bool_(),
            "payload": pa.string(),
        }
    )
