"""Files of an extraction while they are written: streamed, counted and checksummed."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from airflow_provider_wacontacts.files.layout import ObjectPath, local_path, storage_errors
from airflow_provider_wacontacts.records.pages import Text

__all__ = ["JsonLines", "PartWriter", "Rows", "Sink", "write_whole"]

#: What zlib calls deflate in gzip's wrapping.
GZIP = 31
FASTEST = 1


class Sink:
    """
    A new file of a store. Its bytes go out as they come; what the store's client buffers is all that is held.

    :raises LandingError: it cannot be made, written or closed.
    """

    def __init__(self, prefix: ObjectPath, name: str) -> None:
        self.name = name
        self.size = 0
        self.closed = False
        self._digest = sha256()
        with storage_errors(f"{name} could not be created"):
            self._file = _create(prefix / name)

    def write(self, data: Any) -> int:
        """Append bytes, or anything that has a buffer of them."""
        with storage_errors(f"{self.name} could not be written"):
            self._file.write(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self.size

    def flush(self) -> None:
        """Do nothing: stores take whole blocks."""

    def close(self) -> None:
        """Hand the last bytes over; afterwards the file is whole, and can be read."""
        if not self.closed:
            self.closed = True
            with storage_errors(f"{self.name} could not be written"):
                self._file.close()

    @property
    def sha256(self) -> str:
        """Checksum of what was written so far, hexadecimal."""
        return self._digest.hexdigest()


class Rows(NamedTuple):
    """
    Contacts on their way into a file.

    :param texts: landed texts, one line each.
    :param heads: parallel to them, with ``contact_id``, ``updated_at`` and ``wa_id``.
    :param repaired: indices of the repaired ones.
    """

    texts: Sequence[Text]
    keys: Sequence[Any]
    repaired: frozenset[int]

    def cut(self, start: int, stop: int) -> Rows:
        """Return those from one index up to another, counted anew."""
        repaired = frozenset(index - start for index in self.repaired if start <= index < stop)
        return Rows(self.texts[start:stop], self.keys[start:stop], repaired)


class PartWriter(Protocol):
    """Brings contacts into a file of one format."""

    def write(self, rows: Rows) -> None:
        """Append contacts."""

    def close(self) -> None:
        """Write what is held back, and close the file."""

    def abandon(self) -> None:
        """Close the file as it is."""


class JsonLines:
    """Writes one landed text a line, compressed with gzip: by ISA-L where ``isal`` is installed, else by zlib."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._gzip = _new_gzip()

    def write(self, rows: Rows) -> None:
        """Append contacts."""
        self.write_lines(rows.texts)

    def write_lines(self, texts: Sequence[Text]) -> None:
        """Append texts, a line each."""
        self._send(self._gzip.compress(b"\n".join((*texts, b""))))

    def close(self) -> None:
        """Write the end of the stream, and close the file."""
        self._send(self._gzip.flush())
        self._sink.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._sink.close()

    def _send(self, data: bytes) -> None:
        if data:
            self._sink.write(data)


def write_whole(prefix: ObjectPath, name: str, data: bytes) -> None:
    """
    Write a small file that is there whole or not at all.

    :raises LandingError: it cannot be written.
    """
    with storage_errors(f"{name} could not be written"):
        local = local_path(prefix / name)
        if local is None:
            _write(prefix / name, data)
        else:
            aside = local.with_name(f".{name}.writing")
            _write(aside, data)
            aside.replace(local)


def _write(path: ObjectPath, data: bytes) -> None:
    with _create(path) as file:
        file.write(data)


def _create(path: ObjectPath) -> Any:
    """Open a new file, making its directory only where the store says that it has none: object stores know of none."""
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

        return zlib.compressobj(FASTEST, zlib.DEFLATED, GZIP)
    return isal_zlib.compressobj(FASTEST, isal_zlib.DEFLATED, GZIP)
