"""
Erasing people from files: the one exception to the rule that no extraction is ever replaced.

What is left of a file is written under a new name; then the manifest is replaced, which alone says what belongs to the
extraction; then the old files are deleted. Whoever reads meanwhile reads all of the old, or all of the new; a reader
that has the old manifest may find a file gone, and has to begin again. Where this was killed, it is run again: what the
manifest does not name is deleted then. Two at once below one path would delete each other's files: it is for the caller
to let one begin after the other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from airflow_provider_wacontacts.files.layout import MANIFEST, ObjectPath, storage_errors
from airflow_provider_wacontacts.files.manifest import FileEntry, encode_manifest
from airflow_provider_wacontacts.files.parquet import copy_parquet
from airflow_provider_wacontacts.files.reader import (
    CompletePrefix,
    files_below,
    read_manifest,
    read_rejects,
    read_stored,
    read_texts,
    record_parser,
)
from airflow_provider_wacontacts.files.sinks import JsonLines, Sink, write_whole
from airflow_provider_wacontacts.identifiers.suppression import Contact, SuppressionList

__all__ = ["ErasedFiles", "erase_files"]

#: A try that has written nothing for so long was killed, and nobody will ever read what it has left.
DEAD_AFTER = timedelta(days=2)
AT_ONCE = 1_000
#: Files of an extraction: as they are written first, and as they are written here.
PLACE = re.compile(r"(?:turn|green_api)/[^/]+/\d{4}-\d\d-\d\d/[^/]+")
OWN = re.compile(r"(?P<stem>part-\d+|_rejects)(?:-[0-9a-f]{8})?\.(?P<suffix>jsonl\.gz|parquet)")


class ErasedFiles(NamedTuple):
    """
    What was erased from files.

    :param contacts: whose rows were found by a WhatsApp id alone; other rows of theirs may have none.
    :param files: that were written anew, or deleted because nothing was left of them.
    :param leftovers: files that nobody reads, and that were deleted: of tries that were killed.
    :param unfinished: tries that may still be running, and were left alone.
    :param extractions: complete ones that were read.
    """

    contacts: frozenset[Contact] = frozenset()
    rows: int = 0
    rejects: int = 0
    files: int = 0
    leftovers: int = 0
    unfinished: int = 0
    extractions: int = 0

    def plus(self, other: ErasedFiles) -> ErasedFiles:
        """Add up."""
        return ErasedFiles(self.contacts | other.contacts, *(one + more for one, more in zip(self[1:], other[1:])))  # noqa: B905


def erase_files(
    path: ObjectPath, erased: SuppressionList, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> ErasedFiles:
    """
    Erase people from all extractions below a path, one after another.

    :param erased: whom.
    :raises ConfigError: Parquet files without pyarrow.
    :raises LandingError: the store failed, or a file does not match its manifest; what was erased before stays so.
    """
    sums = ErasedFiles()
    prefixes: dict[str, set[str]] = defaultdict(set)
    for found in files_below(path):
        prefixes["/".join(found[:-1])].add(found[-1])
    for place, names in sorted(prefixes.items()):
        prefix = path / place
        manifest = read_manifest(prefix) if MANIFEST in names else None
        if manifest is not None:
            sums = sums.plus(_Rewriting(CompletePrefix(prefix, manifest), erased).run(names))
        elif PLACE.fullmatch(place):
            sums = sums.plus(_bury(prefix, {name for name in names if OWN.fullmatch(name)}, now))
    return sums


class _Rewriting:
    """One extraction, without some people."""

    def __init__(self, prefix: CompletePrefix, erased: SuppressionList) -> None:
        self._prefix = prefix
        self._erased = erased
        self._read = record_parser(prefix.manifest)
        self._contacts: set[Contact] = set()

    def run(self, names: Collection[str]) -> ErasedFiles:
        """Write anew what holds them, and delete what the manifest does not name."""
        path, manifest = self._prefix
        found = {part.name: self._rows_in(part) for part in manifest.parts}
        aside = self._rejects_in(manifest.rejects)
        if aside or any(found.values()):
            parts = [self._without(part, found[part.name]) for part in manifest.parts]
            rejects = self._without(manifest.rejects, aside) if manifest.rejects else None
            rows, rejected = sum(map(len, found.values())), len(aside)
            manifest = msgspec.structs.replace(
                manifest,
                parts=[part for part in parts if part],
                rejects=rejects,
                rows=manifest.rows - rows,
                rejected=manifest.rejected - rejected,
            )
            write_whole(path, MANIFEST, encode_manifest(manifest))
        named = {file.name for file in (*manifest.parts, manifest.rejects) if file}
        replaced = {file.name for file in (*self._prefix.manifest.parts, self._prefix.manifest.rejects) if file} - named
        leftovers = {name for name in names if OWN.fullmatch(name)} - named - replaced
        _delete(path, replaced | leftovers)
        rows = sum(map(len, found.values()))
        figures = (rows, len(aside), len(replaced), len(leftovers), 0, 1)
        return ErasedFiles(frozenset(self._contacts), *figures)

    def _rows_in(self, part: FileEntry) -> set[int]:
        return {row for row, (text, _) in enumerate(read_texts(self._prefix, part)) if self._is_erased(text)}

    def _rejects_in(self, file: FileEntry | None) -> set[int]:
        rejects = read_rejects(self._prefix) if file else ()
        return {row for row, reject in enumerate(rejects) if self._erased.found_in(reject.body)}

    def _is_erased(self, text: bytes) -> bool:
        try:
            record = self._read(text, repaired=False)
        except ValueError:
            return self._erased.found_in(text)
        contact = Contact(self._prefix.manifest.source, self._prefix.manifest.account, record.contact_id)
        if not self._erased.has_record(contact.source, contact.account, record):
            return False
        if not self._erased.has_contact(contact):
            self._contacts.add(contact)
        return True

    def _without(self, file: FileEntry, left_out: Collection[int]) -> FileEntry | None:
        """Write a file anew without some rows; ``None`` where none is left."""
        if not left_out:
            return file
        if len(left_out) == file.rows:
            return None
        sink = Sink(self._prefix.path, _new_name(file.name))
        repaired: list[int] = []
        if file.name.endswith(".parquet"):
            copy_parquet(read_stored(self._prefix.path, file.name), sink, left_out)
        else:
            repaired = _copy_lines(read_texts(self._prefix, file), sink, left_out)
        rows = file.rows - len(left_out)
        return FileEntry(name=sink.name, rows=rows, bytes=sink.size, sha256=sink.sha256, repaired=repaired)


def _copy_lines(texts: Iterable[tuple[bytes, bool]], sink: Sink, left_out: Collection[int]) -> list[int]:
    """Write lines but for some, and close the file; return the repaired ones among them."""
    lines, repaired, held = JsonLines(sink), [], []
    written = 0
    for row, (text, was_repaired) in enumerate(texts):
        if row in left_out:
            continue
        if was_repaired:
            repaired.append(written)
        written += 1
        held.append(text)
        if len(held) >= AT_ONCE:
            lines.write_lines(held)
            held = []
    lines.write_lines(held)
    lines.close()
    return repaired


def _new_name(name: str) -> str:
    own = OWN.fullmatch(name)
    stem, suffix = (own["stem"], own["suffix"]) if own else name.split(".", 1)
    return f"{stem}-{uuid4().hex[:8]}.{suffix}"


def _bury(prefix: ObjectPath, names: Collection[str], now: Callable[[], datetime]) -> ErasedFiles:
    """Delete what a try has left that was killed long ago."""
    if not names:
        return ErasedFiles()
    last = [_changed_at(prefix / name) for name in names]
    if None in last or max(moment for moment in last if moment) > now() - DEAD_AFTER:
        return ErasedFiles(unfinished=1)
    _delete(prefix, names)
    return ErasedFiles(leftovers=len(names))


def _changed_at(path: Any) -> datetime | None:
    """Tell when a file was written; ``None`` where the store does not say."""
    with suppress(Exception):
        if not hasattr(path, "fs"):
            return datetime.fromtimestamp(path.stat().st_mtime, UTC)
        moment: datetime = path.fs.modified(path.path)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _delete(prefix: Any, names: Iterable[str]) -> None:
    for name in sorted(names):
        with storage_errors(f"{name} could not be deleted"), suppress(FileNotFoundError):
            path = prefix / name
            if hasattr(path, "fs"):
                # Its unlink takes brackets in a path for a pattern.
                path.fs.rm_file(path.path)
            else:
                path.unlink()
