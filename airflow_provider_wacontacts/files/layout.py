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
#: Of the manifest, and of the layout around it.
FORMAT_VERSION = 1
MANIFEST_END = b"}\n"
#: Names of files as an extraction writes them, and as an erasure does.
FILE_NAME = re.compile(r"(?P<stem>part-\d{5,9}|_rejects)(?:-[0-9a-f]{8})?\.(?P<suffix>jsonl\.gz|parquet)")
#: Longest name, in bytes, that common file systems accept.
MAX_SEGMENT_LENGTH = 255


class ObjectPath(Protocol):
    """
    A path: an Airflow ``ObjectStoragePath``, a ``UPath`` or a ``pathlib.Path``.

    If it has ``fs`` and ``path``, as the first two do, files are listed and deleted through these.
    """

    @property
    def parent(self) -> Self:
        """The directory that holds it."""

    def __truediv__(self, key: str, /) -> Self: ...

    def open(self, mode: str, /) -> Any:
        """Open the file for streaming."""

    def exists(self) -> bool:
        """Return whether a file, or anything below it, is there."""

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Make it a directory."""


def path_segment(name: str, value: str) -> str:
    """
    Encode a string as one segment of a path: all but ``A-Z a-z 0-9 . _ -`` is percent-encoded, as UTF-8.

    :param name: of the argument, for the error.
    :raises ConfigError: it is empty, ``.`` or ``..``, not valid Unicode, or longer than 255 bytes once encoded.
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
    """Return a URI for logs and summaries: without credentials, and ``ObjectStoragePath`` accepts it."""
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
    A file of an extraction, as its manifest lists it.

    :param bytes: as stored, compressed.
    :param sha256: over the bytes as stored, hexadecimal.
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

    :param format_version: of the manifest and of the layout around it.
    :param window_start: ``None``, like ``window_end``, for a snapshot.
    :param extracted_at: time of the first response.
    :param parts: the contacts, in the server's order.
    :param rejects: rows that cannot be stored as contacts, one ``{"reason", "body_base64"}`` per line, personal data;
        ``None`` if there were none.
    :param rows: contacts in all parts.
    :param bytes: received, response bodies only.
    :param lateness_s: seconds from the window's end to ``extracted_at``; negative if it had not ended.
    :param lossy: synced too late: intermediate versions of this window may be missing.
    :param number_id: of the WhatsApp number that the account's token belongs to, if known.
    :param map_index: -1 if the task is not mapped.
    :param group: of a snapshot: groups only, or persons only; ``None`` for both.
    :param is_cut: of a snapshot: limited by ``count``, and the limit was reached.
    :param is_synchronised: of a snapshot: the system had loaded all contacts; ``None`` if unknown.
    :param fields: the account's fields, as they are known after this extraction; empty if it is not the newest.
    :param drift: fields that changed since the newest extraction before.
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
    """Return a manifest as indented JSON, times as strings of one width."""
    members = msgspec.to_builtins(manifest, builtin_types=(datetime,), order="deterministic")
    texts = {key: format_time(value) if isinstance(value, datetime) else value for key, value in members.items()}
    return msgspec.json.format(msgspec.json.encode(texts), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest | None:
    """
    Read a manifest.

    :returns: ``None`` for one that is truncated, which storage without atomic writes may hold.
    :raises LandingError: not a manifest, or written by a newer version of this package, or it names files that this
        package does not write: they may lie outside of the extraction.
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
