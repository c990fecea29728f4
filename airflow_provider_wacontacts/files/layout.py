"""
The layout of extractions in storage: paths, names, and the manifest.

The manifest is written last. A prefix without one belongs to an extraction that is running or was killed.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any, Protocol, Self
from urllib.parse import quote

import msgspec

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files.local import local_path
from airflow_provider_wacontacts.records.drift import Drift, KnownField
from airflow_provider_wacontacts.records.json import UNDECODABLE
from airflow_provider_wacontacts.records.windows import format_time

__all__ = [
    "FILE_NAME",
    "FORMAT_VERSION",
    "MANIFEST",
    "REJECTS",
    "FileEntry",
    "Manifest",
    "ObjectPath",
    "decode_manifest",
    "encode_manifest",
    "extraction_prefix",
    "path_segment",
    "safe_uri",
]

MANIFEST = "_manifest.json"
REJECTS = "_rejects.jsonl.gz"
#: Version of the manifest and of the file layout.
FORMAT_VERSION = 1
MANIFEST_END = b"}\n"
#: File names of extractions and of erasures.
FILE_NAME = re.compile(r"(?P<stem>part-\d{5,9}|_rejects)(?:-[0-9a-f]{8})?\.(?P<suffix>jsonl\.gz|parquet)")
#: Maximum length of a name in common file systems, in bytes.
MAX_SEGMENT_LENGTH = 255


class ObjectPath(Protocol):
    """
    A path: an Airflow ``ObjectStoragePath``, a ``UPath`` or a ``pathlib.Path``.

    If it has ``fs`` and ``path``, like the first two, these are used to list and delete files.
    """

    @property
    def parent(self) -> Self:
        """The parent directory."""

    def __truediv__(self, key: str, /) -> Self: ...

    def open(self, mode: str, /) -> Any:
        """Open the file for streaming."""

    def exists(self) -> bool:
        """Return whether the file, or anything below the path, exists."""

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Create a directory."""


def path_segment(name: str, value: str) -> str:
    """
    Encode a string as one path segment: all characters except ``A-Z a-z 0-9 . _ -`` are percent-encoded as UTF-8.

    :param name: name of the argument, for the error.
    :raises ConfigError: it is empty, ``.`` or ``..``, not valid Unicode, or longer than 255 bytes when encoded.
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


def safe_uri(path: ObjectPath) -> str:
    """Return a URI for logs and summaries, without credentials. ``ObjectStoragePath`` accepts it."""
    local = local_path(path)
    if local is not None:
        return f"file://{local.absolute().as_posix()}"
    scheme, found, rest = str(path).partition("://")
    if not found:
        return scheme
    host, slash, key = rest.partition("/")
    user, at, name = host.rpartition("@")
    return f"{scheme}://{name if ':' in user else user + at + name}{slash}{key}"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """
    A file in an extraction's manifest.

    :param bytes: stored size, compressed.
    :param sha256: checksum of the stored bytes, hexadecimal.
    :param repaired: indices of repaired rows, ascending; always empty for Parquet, which has a column for it.
    """

    name: str
    rows: int
    bytes: int
    sha256: str
    repaired: list[int] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    One extraction and its files. Times are timezone-aware, UTC.

    :param format_version: version of the manifest and of the file layout.
    :param window_start: ``None``, like ``window_end``, for a snapshot.
    :param extracted_at: time of the first response.
    :param parts: the contacts, in the server's order.
    :param rejects: rows that cannot be stored as contacts, one ``{"reason", "body_base64"}`` per line, personal data;
        ``None`` if there were none.
    :param rows: contacts in all parts.
    :param bytes: size of the response bodies.
    :param lateness_s: seconds from the window's end to ``extracted_at``; negative if the window had not ended.
    :param lossy: whether it was synced too late, so that intermediate versions of this window may be missing.
    :param number_id: ID of the WhatsApp number that the account's token belongs to, if known.
    :param map_index: -1 if the task is not mapped.
    :param group: for a snapshot: groups only, or persons only; ``None`` for both.
    :param is_cut: for a snapshot: whether the limit ``count`` was reached.
    :param is_synchronised: for a snapshot: whether the system had loaded all contacts; ``None`` if unknown.
    :param fields: the account's known fields after this extraction; empty if it is not the newest.
    :param drift: fields that changed since the account's previous newest extraction.
    """

    format_version: int
    extraction_id: str
    source: str
    account: str
    window_start: datetime | None
    window_end: datetime | None
    extracted_at: datetime
    finished_at: datetime
    file_format: str
    parts: list[FileEntry]
    rejects: FileEntry | None
    pages: int
    rows: int
    rejected: int
    bytes: int
    lateness_s: float | None
    lossy: bool
    number_id: str | None
    package_version: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    group: bool | None = None
    is_cut: bool = False
    is_synchronised: bool | None = None
    fields: list[KnownField] = []
    drift: list[Drift] = []


def encode_manifest(manifest: Manifest) -> bytes:
    """Return a manifest as indented JSON, times as strings of fixed width."""
    members = msgspec.to_builtins(manifest, builtin_types=(datetime,), order="deterministic")
    texts = {key: format_time(value) if isinstance(value, datetime) else value for key, value in members.items()}
    return msgspec.json.format(msgspec.json.encode(texts), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest | None:
    """
    Read a manifest.

    :returns: ``None`` if it is truncated, which is possible in storage without atomic writes.
    :raises LandingError: it is not a manifest, was written by a newer version of this package, or names files that this
        package does not write: they may be outside the extraction.
    """
    if not data.endswith(MANIFEST_END):
        return None
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version > FORMAT_VERSION:
            raise LandingError(
                f"A manifest has format version {version}. Install a newer version of the package to read it."
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except UNDECODABLE:
        raise LandingError("A manifest was not written by this package.") from None
    if not all(FILE_NAME.fullmatch(file.name) for file in (*manifest.parts, manifest.rejects) if file):
        raise LandingError("A manifest names files that this package does not write. Nothing was read or deleted.")
    return manifest


class _Version(msgspec.Struct):
    format_version: int
