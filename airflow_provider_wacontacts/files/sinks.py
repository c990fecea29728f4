"""Write files: streamed, counted and checksummed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from airflow_provider_wacontacts.files.errors import storage_errors
from airflow_provider_wacontacts.files.layout import ObjectPath
from airflow_provider_wacontacts.files.local import create_file, local_path
from airflow_provider_wacontacts.records.pages import Text

__all__ = ["JsonLines", "PartWriter", "Rows", "Sink", "write_whole"]

#: zlib's ``wbits`` for a gzip stream.
GZIP_WBITS = 31
FASTEST_LEVEL = 1


class Sink:
    """
    A new file. Bytes are sent immediately; only the buffer of the storage's client is held in memory.

    :raises LandingError: the file cannot be created, written or closed.
    """

    def __init__(self, prefix: ObjectPath, name: str) -> None:
        self.name = name
        self.size = 0
        self.closed = False
        self._digest = sha256()
        with storage_errors(f"{name} could not be created"):
            self._file = _create(prefix / name)

    def write(self, data: Any) -> int:
        """Append bytes, or another object with the buffer protocol."""
        with storage_errors(f"{self.name} could not be written"):
            self._file.write(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.size

    def flush(self) -> None:
        """Do nothing: object storage accepts only whole blocks."""

    def close(self) -> None:
        """Send the last bytes. Afterwards the file is complete and can be read."""
        if not self.closed:
            self.closed = True
            with storage_errors(f"{self.name} could not be written"):
                self._file.close()

    @property
    def sha256(self) -> str:
        """Checksum of the bytes written so far, hexadecimal."""
        return self._digest.hexdigest()


class Rows(NamedTuple):
    """
    Contacts to write to a file.

    :param texts: JSON of each contact, one line each.
    :param keys: parallel to ``texts``, see :class:`~.pages.ContactKeys`.
    :param repaired: indices of the repaired texts.
    :param extracted_at: time of the extraction's first response; ``None`` if unknown.
    """

    texts: Sequence[Text]
    keys: Sequence[Any]
    repaired: frozenset[int]
    extracted_at: datetime | None = None

    def slice(self, start: int, stop: int) -> Rows:
        """Return the rows from ``start`` up to ``stop``."""
        repaired = frozenset(index - start for index in self.repaired if start <= index < stop)
        return Rows(self.texts[start:stop], self.keys[start:stop], repaired, self.extracted_at)


class PartWriter(Protocol):
    """Writes contacts to a file of one format."""

    def write(self, rows: Rows) -> None:
        """Append contacts."""

    def close(self) -> None:
        """Write buffered contacts, and close the file."""

    def abandon(self) -> None:
        """Close the file, incomplete."""


class JsonLines:
    """Writes one text per line, compressed with gzip: by ISA-L if ``isal`` is installed, otherwise by zlib."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._gzip = _new_gzip()

    def write(self, rows: Rows) -> None:
        """Append contacts."""
        self.write_lines(rows.texts)

    def write_lines(self, texts: Sequence[Text]) -> None:
        """Append texts, one per line."""
        self._send(self._gzip.compress(b"\n".join((*texts, b""))))

    def close(self) -> None:
        """Write the end of the stream, and close the file."""
        self._send(self._gzip.flush())
        self._sink.close()

    def abandon(self) -> None:
        """Close the file, incomplete."""
        self._sink.close()

    def _send(self, data: bytes) -> None:
        if data:
            self._sink.write(data)


def write_whole(prefix: ObjectPath, name: str, data: bytes) -> None:
    """
    Write a small file atomically: readers see all of it or nothing.

    :raises LandingError: it cannot be written.
    """
    with storage_errors(f"{name} could not be written"):
        local = local_path(prefix / name)
        if local is None:
            _write(prefix / name, data)
        else:
            temporary = local.with_name(f".{name}.writing")
            _write(temporary, data)
            temporary.replace(local)


def _write(path: ObjectPath, data: bytes) -> None:
    with _create(path) as file:
        file.write(data)


def _create(path: ObjectPath) -> Any:
    """Open a new file. Only if that fails, create its directory, because object storage has no directories."""
    if (local := local_path(path)) is not None:
        return create_file(local)
    try:
        return path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")


def _new_gzip() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:
        import zlib

        return zlib.compressobj(FASTEST_LEVEL, zlib.DEFLATED, GZIP_WBITS)
    return isal_zlib.compressobj(FASTEST_LEVEL, isal_zlib.DEFLATED, GZIP_WBITS)
