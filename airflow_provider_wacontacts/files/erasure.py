"""
Erase people from files. This is the only operation that replaces files.

The remaining rows of a file are written to a new file, then the manifest is replaced, then the old files are deleted. A
reader sees either all old files or all new ones. With the old manifest it may miss a file, and must start again. After
a kill, run the erasure again: it deletes the files that no manifest lists. Concurrent erasures below one path would
delete each other's files, so the caller must serialize them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from airflow_provider_wacontacts.files.errors import storage_errors
from airflow_provider_wacontacts.files.layout import (
    FILE_NAME,
    MANIFEST,
    REJECTS,
    FileEntry,
    ObjectPath,
    encode_manifest,
)
from airflow_provider_wacontacts.files.parquet import copy_parquet
from airflow_provider_wacontacts.files.reader import (
    CompletePrefix,
    complete_prefixes,
    files_below,
    read_manifest,
    read_rejects,
    read_stored,
    read_texts,
    record_parser,
)
from airflow_provider_wacontacts.files.sinks import JsonLines, Sink, write_whole
from airflow_provider_wacontacts.identifiers.suppression import Contact, SuppressionList
from airflow_provider_wacontacts.records.hidden_identifiers import HiddenIdentifiers
from airflow_provider_wacontacts.records.record import Record

__all__ = ["ErasedFiles", "SuppressedRow", "erase_files", "suppressed_rows"]

#: An extraction without a manifest that has written nothing for this long was killed.
ABANDONED_AFTER = timedelta(days=2)
BATCH_LINES = 1_000
PREFIX = re.compile(r"(?:turn|green_api)/[^/]+/\d{4}-\d\d-\d\d/[^/]+")


class ErasedFiles(NamedTuple):
    """
    Counts of an erasure from files.

    :param contacts: contacts found only by a WhatsApp ID; other rows of these contacts may have no WhatsApp ID.
    :param files: files rewritten, or deleted because no row was left.
    :param leftovers: files of killed extractions and erasures, which were deleted.
    :param unfinished: extractions that may still be running, which were skipped.
    :param extractions: complete extractions that were read.
    """

    contacts: frozenset[Contact] = frozenset()
    rows: int = 0
    rejects: int = 0
    files: int = 0
    leftovers: int = 0
    unfinished: int = 0
    extractions: int = 0

    def plus(self, other: ErasedFiles) -> ErasedFiles:
        """Return the sum."""
        return ErasedFiles(self.contacts | other.contacts, *map(sum, zip(self[1:], other[1:], strict=True)))


def erase_files(
    path: ObjectPath,
    suppression_list: SuppressionList,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    *,
    dry_run: bool = False,
) -> ErasedFiles:
    """
    Erase people from all extractions below a path, one after another.

    :param suppression_list: the people to erase.
    :param dry_run: count what would be erased, and change nothing.
    :raises ConfigError: Parquet files without pyarrow, or a folder that is a symbolic link.
    :raises LandingError: the storage failed, or a file does not match its manifest. Earlier extractions stay erased.
    """
    sums = ErasedFiles()
    prefixes: dict[str, set[str]] = defaultdict(set)
    for found in files_below(path):
        prefixes["/".join(found[:-1])].add(found[-1])
    for name, files in sorted(prefixes.items()):
        prefix = path / name
        manifest = read_manifest(prefix) if MANIFEST in files else None
        if manifest is not None:
            sums = sums.plus(_Rewriter(CompletePrefix(prefix, manifest), suppression_list, dry_run=dry_run).run(files))
        elif PREFIX.fullmatch(name):
            sums = sums.plus(_delete_abandoned(prefix, set(filter(FILE_NAME.fullmatch, files)), now, dry_run=dry_run))
    return sums


class SuppressedRow(NamedTuple):
    """
    A row or reject of a person in a file.

    :param contacts: further contacts of this person in the extraction, found so far.
    """

    uri: str
    body: str
    contacts: frozenset[Contact]


def suppressed_rows(path: ObjectPath, suppression_list: SuppressionList) -> Iterator[SuppressedRow]:
    """
    Yield the rows and rejects of people that :func:`erase_files` would erase.

    :raises ConfigError: Parquet files without pyarrow, or a folder that is a symbolic link.
    :raises LandingError: the storage failed, or a file does not match its manifest.
    """
    for prefix in complete_prefixes(path):
        found = _Rewriter(prefix, suppression_list, dry_run=True)
        rejects = (reject.body for reject in read_rejects(prefix) if suppression_list.found_in(reject.body))
        parts = ((part.name, text) for part in prefix.manifest.parts for text, _ in read_texts(prefix, part))
        rows = ((name, text) for name, text in parts if found.is_erased(text))
        for name, text in (*rows, *((REJECTS, body) for body in rejects)):
            yield SuppressedRow(f"{prefix.uri}/{name}", text.decode(errors="replace"), frozenset(found.contacts))


class _Rewriter:
    """Rewrites the files of one extraction without some people."""

    def __init__(self, prefix: CompletePrefix, suppression_list: SuppressionList, *, dry_run: bool) -> None:
        self._prefix = prefix
        self._dry_run = dry_run
        self._suppression_list = suppression_list
        self._parse_record = record_parser(prefix.manifest)
        self._hidden = HiddenIdentifiers()
        #: Contacts found by an identifier, which the list does not name.
        self.contacts: set[Contact] = set()

    def run(self, names: Collection[str]) -> ErasedFiles:
        """Rewrite the files with rows of the people, and delete the files that the manifest does not list."""
        path, manifest = self._prefix
        rows = {part.name: self._rows_in(part) for part in manifest.parts}
        rejects = self._rejects_in(manifest.rejects)
        files = [*((part, rows[part.name]) for part in manifest.parts), (manifest.rejects, rejects)]
        rewritten = sum(1 for file, removed in files if file and removed)
        if rewritten and not self._dry_run:
            parts = [self._rewrite(part, rows[part.name]) for part in manifest.parts]
            manifest = msgspec.structs.replace(
                manifest,
                parts=[part for part in parts if part],
                rejects=self._rewrite(manifest.rejects, rejects) if manifest.rejects else None,
                rows=manifest.rows - sum(map(len, rows.values())),
                rejected=manifest.rejected - len(rejects),
            )
            write_whole(path, MANIFEST, encode_manifest(manifest))
        named = {file.name for file in (*manifest.parts, manifest.rejects) if file}
        replaced = {file.name for file in (*self._prefix.manifest.parts, self._prefix.manifest.rejects) if file} - named
        leftovers = set(filter(FILE_NAME.fullmatch, names)) - named - replaced
        if not self._dry_run:
            _delete(path, replaced | leftovers)
        return ErasedFiles(
            frozenset(self.contacts),
            rows=sum(map(len, rows.values())),
            rejects=len(rejects),
            files=rewritten,
            leftovers=len(leftovers),
            extractions=1,
        )

    def _rows_in(self, part: FileEntry) -> set[int]:
        return {row for row, (text, _) in enumerate(read_texts(self._prefix, part)) if self.is_erased(text)}

    def _rejects_in(self, file: FileEntry | None) -> set[int]:
        rejects = read_rejects(self._prefix) if file else ()
        return {row for row, reject in enumerate(rejects) if self._suppression_list.found_in(reject.body)}

    def is_erased(self, text: bytes) -> bool:
        """Return whether a row belongs to a person on the list, and remember its contact if it is not on the list."""
        suppression_list, record = self._suppression_list, self._record(text)
        if (record is None or self._hidden.rows([text])) and suppression_list.found_in(text):
            return True
        if record is None:
            return False
        contact = Contact(self._prefix.manifest.source, self._prefix.manifest.account, record.contact_id)
        if not suppression_list.has_record(contact.source, contact.account, record):
            return False
        if not suppression_list.has_contact(contact):
            self.contacts.add(contact)
        return True

    def _record(self, text: bytes) -> Record | None:
        try:
            return self._parse_record(text, repaired=False)
        except ValueError:
            return None

    def _rewrite(self, file: FileEntry, removed: Collection[int]) -> FileEntry | None:
        """Rewrite a file without the removed rows; return ``None`` if no row is left."""
        if not removed:
            return file
        if len(removed) == file.rows:
            return None
        sink = Sink(self._prefix.path, _new_name(file.name))
        repaired: list[int] = []
        if file.name.endswith(".parquet"):
            copy_parquet(read_stored(self._prefix.path, file.name), sink, removed)
        else:
            repaired = _copy_lines(read_texts(self._prefix, file), sink, removed)
        rows = file.rows - len(removed)
        return FileEntry(name=sink.name, rows=rows, bytes=sink.size, sha256=sink.sha256, repaired=repaired)


def _copy_lines(texts: Iterable[tuple[bytes, bool]], sink: Sink, removed: Collection[int]) -> list[int]:
    """Copy lines except removed ones, and close the file; return the indices of the repaired lines."""
    lines, repaired, batch = JsonLines(sink), [], []
    written = 0
    for row, (text, was_repaired) in enumerate(texts):
        if row in removed:
            continue
        if was_repaired:
            repaired.append(written)
        written += 1
        batch.append(text)
        if len(batch) >= BATCH_LINES:
            lines.write_lines(batch)
            batch = []
    lines.write_lines(batch)
    lines.close()
    return repaired


def _new_name(name: str) -> str:
    found = FILE_NAME.fullmatch(name)
    stem, suffix = (found["stem"], found["suffix"]) if found else name.split(".", 1)
    return f"{stem}-{uuid4().hex[:8]}.{suffix}"


def _delete_abandoned(
    prefix: ObjectPath, names: Collection[str], now: Callable[[], datetime], *, dry_run: bool
) -> ErasedFiles:
    """Delete the files of an extraction that was killed long ago."""
    if not names:
        return ErasedFiles()
    times = [_modified_at(prefix / name) for name in names]
    if None in times or max(time for time in times if time) > now() - ABANDONED_AFTER:
        return ErasedFiles(unfinished=1)
    if not dry_run:
        _delete(prefix, names)
    return ErasedFiles(leftovers=len(names))


def _modified_at(path: Any) -> datetime | None:
    """Return the time when a file was written; ``None`` if the storage does not state it."""
    with suppress(Exception):
        if not hasattr(path, "fs"):
            return datetime.fromtimestamp(path.stat().st_mtime, UTC)
        time: datetime = path.fs.modified(path.path)
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None


def _delete(prefix: Any, names: Iterable[str]) -> None:
    for name in sorted(names):
        with storage_errors(f"{name} could not be deleted"), suppress(FileNotFoundError):
            path = prefix / name
            if hasattr(path, "fs"):
                # `unlink` of these paths interprets brackets as a pattern.
                path.fs.rm_file(path.path)
            else:
                path.unlink()
