"""The contacts of an extraction, cut into files of bounded size."""

from __future__ import annotations

from airflow_provider_wacontacts.files.formats import JSON_LINES, new_writer
from airflow_provider_wacontacts.files.layout import ObjectPath
from airflow_provider_wacontacts.files.manifest import FileEntry
from airflow_provider_wacontacts.files.sinks import Rows, Sink

__all__ = ["Parts"]


class Parts:
    """
    Writes part after part, one at a time.

    :param most_bytes: stored bytes after which a part is closed; a page, or a row group, may go over it.
    :param most_rows: rows that no part exceeds.
    """

    def __init__(
        self, prefix: ObjectPath, *, source: str, account: str, file_format: str, most_bytes: int, most_rows: int
    ) -> None:
        #: Those that are whole.
        self.files: list[FileEntry] = []
        self._prefix = prefix
        self._filed = source, account
        self._format = file_format
        self._most_bytes = most_bytes
        self._most_rows = most_rows
        self._part: _Part | None = None

    def write(self, rows: Rows) -> None:
        """Append contacts."""
        start = 0
        while start < len(rows.texts):
            part = self._part = self._part or self._open()
            stop = min(start + self._most_rows - part.rows, len(rows.texts))
            part.write(rows.cut(start, stop))
            if part.rows >= self._most_rows or part.sink.size >= self._most_bytes:
                self.close()
            start = stop

    def close(self) -> None:
        """Close the part that is open, if one is."""
        if self._part is not None:
            self.files.append(self._part.close())
            self._part = None

    def abandon(self) -> None:
        """Close the file that is open, and leave it as it is."""
        if self._part is not None:
            self._part.abandon()
            self._part = None

    def _open(self) -> _Part:
        sink = Sink(self._prefix, f"part-{len(self.files):05d}.{self._format}")
        return _Part(sink, self._format, *self._filed)


class _Part:
    """The part that is open."""

    def __init__(self, sink: Sink, file_format: str, source: str, account: str) -> None:
        self.sink = sink
        self.rows = 0
        self._lists_repaired = file_format == JSON_LINES
        self._repaired: list[int] = []
        self._writer = new_writer(file_format, sink, source, account)

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
