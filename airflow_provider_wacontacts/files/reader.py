"""Read extractions from files: only complete ones. Every part is checked against its manifest."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from typing import Any, NamedTuple, Protocol

import msgspec

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files.errors import storage_errors
from airflow_provider_wacontacts.files.layout import (
    MANIFEST,
    FileEntry,
    Manifest,
    ObjectPath,
    decode_manifest,
    path_segment,
    safe_uri,
)
from airflow_provider_wacontacts.files.local import local_path, walk
from airflow_provider_wacontacts.files.parquet import read_parquet
from airflow_provider_wacontacts.files.parts import JSON_LINES, PARQUET, validate_file_format
from airflow_provider_wacontacts.records import green_api, turn
from airflow_provider_wacontacts.records.record import Record, Reject

__all__ = [
    "CompletePrefix",
    "RecordParser",
    "StoredContact",
    "complete_prefixes",
    "files_below",
    "prefixes_in_order",
    "read_contacts",
    "read_manifest",
    "read_prefix",
    "read_rejects",
    "read_stored",
    "read_texts",
    "record_parser",
]

log = logging.getLogger(__name__)

#: ``<source>/<account>/<day>/<extraction_id>/_manifest.json``
DEPTH = 5


class RecordParser(Protocol):
    """Converts a contact's JSON to a record, for one source."""

    def __call__(self, text: bytes, /, *, repaired: bool) -> Record:
        """
        Parse one text.

        :raises ValueError: the text is not a contact of the source, or has no canonical form.
        """


def _of_turn(_: Manifest) -> RecordParser:
    return turn.parse_record


def _of_green_api(manifest: Manifest) -> RecordParser:
    return partial(green_api.parse_record, taken_at=manifest.extracted_at)


#: By source.
RECORD_PARSERS: Mapping[str, Callable[[Manifest], RecordParser]] = {"turn": _of_turn, "green_api": _of_green_api}


class CompletePrefix(NamedTuple):
    """A finished extraction: its prefix and its manifest."""

    path: ObjectPath
    manifest: Manifest

    @property
    def uri(self) -> str:
        """URI of the prefix, without credentials."""
        return safe_uri(self.path)


class StoredContact(NamedTuple):
    """
    A contact in the files of an extraction.

    :param extracted_at: time of the extraction, timezone-aware, UTC.
    """

    source: str
    account: str
    extraction_id: str
    extracted_at: datetime
    record: Record


def complete_prefixes(
    path: ObjectPath, *, source: str | None = None, account: str | None = None
) -> Iterator[CompletePrefix]:
    """
    Yield the finished extractions, sorted by source, account, day and id. Files of unfinished ones are ignored.

    The path is listed once, when the iteration starts. Each manifest is read just before it is yielded.

    :param source: only this feed.
    :param account: only this account, of any feed.
    :raises ConfigError: the source or the account is invalid, or a folder is a symbolic link.
    :raises LandingError: the storage failed, or this version of the package cannot read a manifest.
    """
    wanted = _wanted("source", source), _wanted("account", account)
    for names in sorted(_manifests(path)):
        if wanted[0] in {None, names[0]} and wanted[1] in {None, names[1]}:
            prefix = path / "/".join(names[:-1])
            manifest = read_manifest(prefix)
            if manifest is not None and source in {None, manifest.source} and account in {None, manifest.account}:
                yield CompletePrefix(prefix, manifest)


def prefixes_in_order(root: ObjectPath, source: str | None, account: str | None) -> list[CompletePrefix]:
    """
    Return the finished extractions below a path, in the order of extraction.

    :param source: ``turn`` or ``green_api``; ``None`` for both.
    :param account: only this account, of any feed.
    :raises ConfigError: there is no such source; see also :func:`complete_prefixes`.
    """
    if source not in {None, *RECORD_PARSERS}:
        raise ConfigError(f"source is {source!r}. Set it to one of {', '.join(RECORD_PARSERS)}, or leave it out.")
    return sorted(
        complete_prefixes(root, source=source, account=account),
        key=lambda prefix: (prefix.manifest.extracted_at, prefix.manifest.extraction_id),
    )


def read_contacts(
    path: ObjectPath,
    *,
    source: str | None = None,
    account: str | None = None,
    verify: bool = True,
    on_reject: Callable[[Reject], None] | None = None,
) -> Iterator[StoredContact]:
    """
    Yield the contacts of each complete extraction, in the order of the listing.

    One part at a time is held in memory, compressed. A part is checked before its first contact is yielded.

    :param source: only of this feed.
    :param account: only of this account, of any feed.
    :param verify: compare checksums and row counts with the manifests.
    :param on_reject: called with each text without a canonical form, which a store would reject as well. Default: log
        their count.
    :raises ConfigError: the source or the account is invalid, or files are Parquet and pyarrow is not installed.
    :raises LandingError: a part is missing or does not match its manifest, or the source is unknown.
    """
    for prefix in complete_prefixes(path, source=source, account=account):
        manifest = prefix.manifest
        for record in read_prefix(prefix, verify=verify, on_reject=on_reject):
            yield StoredContact(
                manifest.source, manifest.account, manifest.extraction_id, manifest.extracted_at, record
            )


def read_prefix(
    prefix: CompletePrefix, *, verify: bool = True, on_reject: Callable[[Reject], None] | None = None
) -> Iterator[Record]:
    """
    Yield the contacts of one extraction in the server's order; see :func:`read_contacts`.

    :raises LandingError: a part is missing or does not match its manifest, or the source is unknown.
    """
    path, manifest = prefix
    parse_record = record_parser(manifest)
    for part in manifest.parts:
        yield from _records(_texts(path, manifest, part, verify=verify), parse_record, on_reject, part.name)


def record_parser(manifest: Manifest) -> RecordParser:
    """
    Return the parser for the texts of an extraction.

    :raises LandingError: the source is unknown.
    """
    reader = RECORD_PARSERS.get(manifest.source)
    if reader is None:
        raise LandingError(
            f"This version of the package cannot read contacts of source {manifest.source!r}. Upgrade it."
        )
    return reader(manifest)


def read_texts(prefix: CompletePrefix, file: FileEntry) -> Iterator[tuple[bytes, bool]]:
    """
    Yield the texts of a file in the manifest, each with whether it was repaired.

    :raises LandingError: the file is missing or does not match the manifest.
    """
    file_format = PARQUET if file.name.endswith(PARQUET) else JSON_LINES
    manifest = msgspec.structs.replace(prefix.manifest, file_format=file_format)
    return _texts(prefix.path, manifest, file, verify=True)


def read_manifest(prefix: ObjectPath) -> Manifest | None:
    """
    Read the manifest of a prefix; ``None`` for a truncated one.

    :raises LandingError: it cannot be read, or only by another version of the package.
    """
    return decode_manifest(read_stored(prefix, MANIFEST))


def read_rejects(prefix: CompletePrefix, *, verify: bool = True) -> Iterator[Reject]:
    """
    Yield the rejects of an extraction, in the server's order.

    :raises LandingError: the file is missing or does not match its manifest.
    """
    path, manifest = prefix
    if manifest.rejects is not None:
        of_lines = msgspec.structs.replace(manifest, file_format=JSON_LINES)
        for line, _ in _texts(path, of_lines, manifest.rejects, verify=verify):
            with storage_errors(f"{manifest.rejects.name} cannot be read"):
                reject = _REJECT.decode(line)
            yield Reject(reject.reason, reject.body_base64)


class _Reject(msgspec.Struct):
    reason: str
    #: msgspec decodes base64.
    body_base64: bytes


_REJECT = msgspec.json.Decoder(_Reject)


def _wanted(name: str, value: str | None) -> str | None:
    return None if value is None else path_segment(name, value)


def _manifests(path: ObjectPath) -> Iterator[tuple[str, ...]]:
    """Yield the path of each manifest below, split into its names."""
    return (names for names in files_below(path) if names[-1] == MANIFEST)


def files_below(path: ObjectPath, depth: int = DEPTH) -> list[tuple[str, ...]]:
    """
    List the files of all extractions, finished or not, as ``(source, account, day, extraction_id, name)``.

    :param depth: 3 for the path of an account: ``(day, extraction_id, name)``.
    :raises ConfigError: a folder in a local directory is a symbolic link.
    :raises LandingError: the storage failed.
    """
    with storage_errors("the path could not be listed"):
        if (root := local_path(path)) is not None:
            return list(walk(root, depth, RECORD_PARSERS))
        fs, base = path.fs, path.path.rstrip("/") + "/"  # type: ignore[attr-defined]
        below = [name.removeprefix(base) for name in _uncached(fs, base).find(path.path)]  # type: ignore[attr-defined]
    return [names for name in below if len(names := tuple(name.split("/"))) == depth]


def _uncached(fs: Any, base: str) -> Any:
    """Drop the cached listing of a file system: another process may have finished an extraction meanwhile."""
    fs.invalidate_cache(base)
    return fs


def read_stored(prefix: ObjectPath, name: str) -> bytes:
    """
    Return the bytes of a file, as stored.

    :raises LandingError: it cannot be read.
    """
    with storage_errors(f"{name} could not be read"), (prefix / name).open("rb") as file:
        data: bytes = file.read()
        return data


def _texts(prefix: ObjectPath, manifest: Manifest, part: FileEntry, *, verify: bool) -> Iterator[tuple[bytes, bool]]:
    validate_file_format(manifest.file_format)
    data = read_stored(prefix, part.name)
    if verify and sha256(data).hexdigest() != part.sha256:
        raise LandingError(f"{part.name} does not match its manifest: its checksum differs")
    found = read_parquet(data) if manifest.file_format == PARQUET else _read_lines(data, frozenset(part.repaired))
    rows = 0
    with storage_errors(f"{part.name} cannot be read"):
        for text in found:
            yield text
            rows += 1
    if verify and rows != part.rows:
        raise LandingError(f"{part.name} does not match its manifest: it has {rows} rows, not {part.rows}")


def _read_lines(data: bytes, repaired: frozenset[int]) -> Iterator[tuple[bytes, bool]]:
    with _gunzip(data) as lines:
        for row, line in enumerate(lines):
            yield line[:-1], row in repaired


def _gunzip(data: bytes) -> Any:
    try:
        reader = import_module("isal.igzip")
    except ImportError:
        reader = gzip
    return reader.open(BytesIO(data))


def _records(
    texts: Iterator[tuple[bytes, bool]],
    parse_record: RecordParser,
    on_reject: Callable[[Reject], None] | None,
    name: str,
) -> Iterator[Record]:
    skipped = 0
    for text, repaired in texts:
        try:
            yield parse_record(text, repaired=repaired)
        except ValueError as error:
            if on_reject is None:
                skipped += 1
            else:
                on_reject(Reject(str(error), text))
    if skipped:
        log.warning("%s: skipped %d texts that have no canonical form", name, skipped)
