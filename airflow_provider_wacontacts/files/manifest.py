"""The manifest of an extraction: the last file written, and the proof that the others are whole."""

from __future__ import annotations

from datetime import datetime

import msgspec

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.records.windows import format_time

__all__ = ["FORMAT_VERSION", "FileEntry", "Manifest", "decode_manifest", "encode_manifest"]

FORMAT_VERSION = 1
END = b"}\n"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """
    A file beside the manifest.

    :param bytes: as stored, compressed.
    :param sha256: over the bytes as stored, hexadecimal.
    :param repaired: rows whose text was repaired, counted from 0, ascending; always empty for Parquet, which has a
        column for it.
    """

    name: str
    rows: int
    bytes: int
    sha256: str
    repaired: list[int] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one extraction brought. Times are aware, UTC.

    :param format_version: of this file and of the layout around it.
    :param window_start: ``None``, like ``window_end``, for what has no window.
    :param extracted_at: when the system answered first.
    :param parts: the contacts, in the order they came.
    :param rejects: what could not be a contact, ``{"reason", "body_base64"}`` a line, personal; ``None`` for none.
    :param rows: contacts in all parts.
    :param bytes: received, bodies only.
    :param lateness_s: seconds from the window's end to ``extracted_at``; negative where it had not ended.
    :param lossy: states of this window were overwritten before anybody asked, or may have been.
    :param number_id: the line that the account's token belongs to, where known.
    :param map_index: -1 where the task is not mapped.
    :param group: of a snapshot: it holds groups only, or persons only; ``None`` for both.
    :param is_cut: of a snapshot: only so many contacts were asked for, and so many came.
    :param is_synchronised: of a snapshot: whether the system had loaded everybody; ``None`` where it does not say.
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


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as JSON for people and programs, times as text of one width."""
    members = msgspec.to_builtins(manifest, builtin_types=(datetime,))
    texts = {key: format_time(value) if isinstance(value, datetime) else value for key, value in members.items()}
    return msgspec.json.format(msgspec.json.encode(texts), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest | None:
    """
    Read a manifest.

    :returns: ``None`` for one that was cut off while it was written, which a store without atomic writes may hold.
    :raises LandingError: it is not one, or it is of a newer version of this package.
    """
    if not data.endswith(END):
        return None
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version > FORMAT_VERSION:
            raise LandingError(f"a manifest of version {version}: a newer airflow-provider-wacontacts reads it")
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise LandingError("a manifest that is not one of this package") from None


class _Version(msgspec.Struct):
    format_version: int
