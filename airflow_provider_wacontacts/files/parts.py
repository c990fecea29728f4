"""Parts: the contacts of an extraction in files of limited size, in one of two formats."""

from __future__ import annotations

from importlib.util import find_spec

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files.layout import FileEntry, ObjectPath
from airflow_provider_wacontacts.files.parquet import ParquetRows
from airflow_provider_wacontacts.files.sinks import JsonLines, PartWriter, Rows, Sink

__all__ = ["FILE_FORMATS", "JSON_LINES", "PARQUET", "Parts", "validate_file_format"]

JSON_LINES = "jsonl.gz"
PARQUET = "parquet"
FILE_FORMATS = (JSON_LINES, PARQUET)


def validate_file_format(file_format: str) -> None:
    """
    Check that a file format can be written, before any request is sent.

    :raises ConfigError: the format is unknown, or its library is not installed.
    """
    if file_format not in FILE_FORMATS:
        known = " or ".join(map(repr, FILE_FORMATS))
        raise ConfigError(f"file_format is {file_format!r}. It must be {known}.")
    if file_format == PARQUET and find_spec("pyarrow") is None:
        raise ConfigError(
            f'file_format {PARQUET!r} needs pyarrow. Install it: pip install "airflow-provider-wacontacts[parquet]".'
            f" Or set file_format to {JSON_LINES!r}."
        )


class Parts:
    """
    Writes the contacts of an extraction into parts, one at a time.

    :param constants: Parquet columns with the same value in all rows: source, account and extraction ID.
    :param max_bytes: stored bytes after which a part is closed; the last page or row group may exceed it.
    :param max_rows: maximum rows of a part.
    """

    def __init__(
        self, prefix: ObjectPath, *, constants: tuple[str, ...], file_format: str, max_bytes: int, max_rows: int
    ) -> None:
        #: Parts that are complete.
        self.files: list[FileEntry] = []
        self._prefix = prefix
        self._constants = constants
        self._format = file_format
        self._max_bytes = max_bytes
        self._max_rows = max_rows
        self._part: _Part | None = None

    def write(self, rows: Rows) -> None:
        """Append contacts."""
        start = 0
        while start < len(rows.texts):
            part = self._part = self._part or self._open()
            stop = min(start + self._max_rows - part.rows, len(rows.texts))
            part.write(rows.slice(start, stop))
            if part.rows >= self._max_rows or part.sink.size >= self._max_bytes:
                self.close()
            start = stop

    def close(self) -> None:
        """Close the open part, if any."""
        if self._part is not None:
            self.files.append(self._part.close())
            self._part = None

    def abandon(self) -> None:
        """Close the open file, incomplete."""
        if self._part is not None:
            self._part.abandon()
            self._part = None

    def _open(self) -> _Part:
        sink = Sink(self._prefix, f"part-{len(self.files):05d}.{self._format}")
        return _Part(sink, self._format, self._constants)


class _Part:
    """The open part."""

    def __init__(self, sink: Sink, file_format: str, constants: tuple[str, ...]) -> None:
        self.sink = sink
        self.rows = 0
        self._lists_repaired = file_format == JSON_LINES
        self._repaired: list[int] = []
        self._writer = _new_writer(file_format, sink, constants)

    def write(self, rows: Rows) -> None:
        self._writer.write(rows)
        if self._lists_repaired:
            self._repaired.extend(self.rows + index for index in sorted(rows.repaired))
        self.rows += len(rows.texts)

    def abandon(self) -> None:
        self._writer.abandon()

    def close(self) -> FileEntry:
        self._writer.close()
        sink = self.sink
        return FileEntry(name=sink.name, rows=self.rows, bytes=sink.size, sha256=sink.sha256, repaired=self._repaired)


def _new_writer(file_format: str, sink: Sink, constants: tuple[str, ...]) -> PartWriter:
    return JsonLines(sink) if file_format == JSON_LINES else ParquetRows(sink, constants)
