"""Where an extraction's files lie, and how they are told apart from a try that never finished."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import quote

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError

__all__ = [
    "MANIFEST",
    "REJECTS",
    "ObjectPath",
    "extraction_prefix",
    "local_path",
    "path_segment",
    "safe_uri",
    "storage_errors",
]

MANIFEST = "_manifest.json"
REJECTS = "_rejects.jsonl.gz"
#: Bytes of a name, in every file system that matters.
MAX_SEGMENT_LENGTH = 255


class ObjectPath(Protocol):
    """
    What is asked of a path: an Airflow ``ObjectStoragePath``, a ``UPath`` and a ``pathlib.Path`` all are one.

    Where it has ``fs`` and ``path`` too, as the first two do, files are listed through these.
    """

    @property
    def parent(self) -> Self:
        """The directory that holds it."""

    def __truediv__(self, key: str, /) -> Self: ...

    def open(self, mode: str, /) -> Any:
        """Open the file for streaming."""

    def exists(self) -> bool:
        """Tell whether a file, or anything below it, is there."""

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Make it a directory."""


def path_segment(name: str, value: str) -> str:
    """
    Make a text safe as one part of a path: all but ``A-Z a-z 0-9 . _ -`` is percent-encoded, as UTF-8.

    :param name: what the value is, for the error.
    :raises ConfigError: it is empty, ``.`` or ``..``, no Unicode text, or longer than 255 once encoded.
    """
    try:
        encoded = quote(value, safe="").replace("~", "%7E")
    except UnicodeEncodeError:
        raise ConfigError(f"{name} cannot name a directory: it is not valid Unicode") from None
    if encoded in {"", ".", ".."}:
        raise ConfigError(f"{name} cannot name a directory: it is empty, or nothing but dots")
    if len(encoded) > MAX_SEGMENT_LENGTH:
        raise ConfigError(f"{name} cannot name a directory: it is longer than {MAX_SEGMENT_LENGTH} bytes")
    return encoded


def extraction_prefix(root: ObjectPath, source: str, account: str, day: date, extraction_id: str) -> ObjectPath:
    """
    Return ``<root>/<source>/<account>/<YYYY-MM-DD>/<extraction_id>``.

    :raises ConfigError: one of them cannot name a directory.
    """
    below = path_segment("source", source), path_segment("account", account), day.isoformat()
    return root / "/".join((*below, path_segment("extraction_id", extraction_id)))


def local_path(path: ObjectPath) -> Path | None:
    """Return the path in this machine's file system; ``None`` for any other store."""
    protocol = getattr(path, "protocol", None)
    if protocol in {"file", "local"}:
        return Path(path.path)  # type: ignore[attr-defined]
    # Under Airflow 2.11 the paths of other stores are PathLike too.
    return Path(path) if isinstance(path, os.PathLike) and not protocol else None


def safe_uri(path: ObjectPath) -> str:
    """Name a path in logs and summaries: a URI without credentials, which an ``ObjectStoragePath`` can be made of."""
    local = local_path(path)
    if local is not None:
        return f"file://{local.absolute().as_posix()}"
    scheme, found, rest = str(path).partition("://")
    if not found:
        return scheme
    host, slash, key = rest.partition("/")
    user, at, name = host.rpartition("@")
    return f"{scheme}://{name if ':' in user else user + at + name}{slash}{key}"


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """
    Turn whatever a store raises into an error that carries neither address nor content.

    :param what: what failed, such as ``part-00000.jsonl.gz could not be written``.
    :raises LandingError: instead of anything else.
    """
    try:
        yield
    except LandingError:
        raise
    except Exception as error:  # noqa: BLE001 - every store has errors of its own
        raise LandingError(f"{what} ({_named(error)})") from None


def _named(error: Exception) -> str:
    name = type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    return f"{name}: {os.strerror(number)}" if isinstance(number, int) else name
