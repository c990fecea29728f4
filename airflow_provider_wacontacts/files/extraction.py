"""One try at filing an extraction: parts first, the manifest last, nothing replaced."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import msgspec

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files.formats import JSON_LINES, validate_file_format
from airflow_provider_wacontacts.files.layout import (
    MANIFEST,
    REJECTS,
    ObjectPath,
    extraction_prefix,
    safe_uri,
    storage_errors,
)
from airflow_provider_wacontacts.files.manifest import FORMAT_VERSION, FileEntry, Manifest, encode_manifest
from airflow_provider_wacontacts.files.parts import Parts
from airflow_provider_wacontacts.files.sinks import JsonLines, Rows, Sink, write_whole
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.records.pages import Page
from airflow_provider_wacontacts.records.rejects import Reject
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window

__all__ = ["ExtractionWriter"]

PART_BYTES = 64 * 2**20
PART_ROWS = 1_000_000


class ExtractionWriter:
    """
    One try at filing an extraction, in a prefix of its own. As a context, it abandons what was not finished.

    :param root: the path below which all sources and accounts are filed.
    :param window: as it is filed; ``None`` for what has none.
    :param day: the prefix's date; the UTC day on which the window starts by default.
    :param extraction_id: a new one by default.
    :param file_format: ``jsonl.gz`` or ``parquet``.
    :param part_bytes: stored bytes after which a part is closed, 1 and up.
    :param part_rows: most rows of a part, 1 and up.
    :param erased: tells who is to be passed over; asked before each page.
    :raises ConfigError: an argument that cannot be, before anything is written.
    :raises LandingError: the prefix is there already, or the store cannot be asked.
    """

    def __init__(
        self,
        root: ObjectPath,
        *,
        source: str,
        account: str,
        window: Window | None,
        task: TaskInstanceKey,
        package_version: str,
        day: date | None = None,
        extraction_id: str | None = None,
        file_format: str = JSON_LINES,
        part_bytes: int = PART_BYTES,
        part_rows: int = PART_ROWS,
        erased: Callable[[], SuppressionList] = lambda: NO_SUPPRESSIONS,
    ) -> None:
        validate_file_format(file_format)
        if min(part_bytes, part_rows) < 1:
            raise ConfigError("part_bytes and part_rows start at 1")
        if day is None:
            if window is None:
                raise ConfigError("an extraction without a window needs a day to be filed under")
            day = window.start.date()
        self.extraction_id = extraction_id or uuid4().hex
        self.pages = self.rows = self.rejected = self.bytes = 0
        self._prefix = extraction_prefix(root, source, account, day, self.extraction_id)
        self._facts = {
            "source": source,
            "account": account,
            "file_format": file_format,
            "package_version": package_version,
            **task._asdict(),
        }
        self._window = window
        self._erased = erased
        self._parts = Parts(
            self._prefix,
            source=source,
            account=account,
            file_format=file_format,
            most_bytes=part_bytes,
            most_rows=part_rows,
        )
        self._rejects: _Rejects | None = None
        self._is_open = True
        _refuse_taken(self._prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abandon()

    @property
    def uri(self) -> str:
        """Where its files are: an address without credentials."""
        return safe_uri(self._prefix)

    def land(self, page: Page[Any]) -> None:
        """
        File a page's contacts, and what of it cannot be one. Who was erased is passed over, and not counted.

        :raises LandingError: the store failed, or the extraction is over.
        """
        if not self._is_open:
            raise LandingError("the extraction is over; nothing more can be filed in it")
        erased = self._erased()
        rows, rejects = self._rows_without(erased, page), erased.remove_suppressed_rejects(page.rejects)
        self._parts.write(rows)
        if rejects:
            self._rejects = self._rejects or _Rejects(self._prefix)
            self._rejects.write(rejects)
        self.pages += 1
        self.rows += len(rows.texts)
        self.rejected += len(rejects)
        self.bytes += page.size

    def finish(
        self,
        *,
        extracted_at: datetime,
        finished_at: datetime,
        lossy: bool,
        number_id: str | None = None,
        group: bool | None = None,
        is_cut: bool = False,
        is_synchronised: bool | None = None,
    ) -> Manifest:
        """
        Close the files and write the manifest: from then on readers see the extraction.

        :param extracted_at: when the system answered first, aware.
        :param lossy: states of the window may have been overwritten before.
        :param number_id: the line the account's token belongs to.
        :param group: of a snapshot, like ``is_cut`` and ``is_synchronised``: see :class:`Manifest`.
        :raises LandingError: the store failed, or the extraction is over already.
        """
        if not self._is_open:
            raise LandingError("the extraction is over; it cannot be finished")
        self._parts.close()
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            extraction_id=self.extraction_id,
            window_start=self._window.start if self._window else None,
            window_end=self._window.end if self._window else None,
            extracted_at=extracted_at,
            finished_at=finished_at,
            parts=self._parts.files,
            rejects=self._rejects.close() if self._rejects else None,
            pages=self.pages,
            rows=self.rows,
            rejected=self.rejected,
            bytes=self.bytes,
            lateness_s=(extracted_at - self._window.end).total_seconds() if self._window else None,
            lossy=lossy,
            number_id=number_id,
            group=group,
            is_cut=is_cut,
            is_synchronised=is_synchronised,
            **self._facts,
        )
        write_whole(self._prefix, MANIFEST, encode_manifest(manifest))
        self._is_open = False
        return manifest

    def _rows_without(self, erased: SuppressionList, page: Page[Any]) -> Rows:
        if not erased:
            return Rows(page.texts, page.keys, page.repaired)
        source, account = self._facts["source"], self._facts["account"]
        left = [index for index, head in enumerate(page.keys) if not erased.has_record(source, account, head)]
        return Rows(
            [page.texts[index] for index in left],
            [page.keys[index] for index in left],
            frozenset(row for row, index in enumerate(left) if index in page.repaired),
        )

    def abandon(self) -> None:
        """Close what is open and leave no manifest: no reader will see it. After :meth:`finish` nothing happens."""
        if self._is_open:
            self._is_open = False
            with suppress(LandingError):
                self._parts.abandon()
            if self._rejects:
                with suppress(LandingError):
                    self._rejects.abandon()


class _Rejects:
    """The file of what cannot be a contact."""

    def __init__(self, prefix: ObjectPath) -> None:
        self._sink = Sink(prefix, REJECTS)
        self._lines = JsonLines(self._sink)
        self._rows = 0

    def write(self, rejects: Sequence[Reject]) -> None:
        lines = [{"reason": reason, "body_base64": b64encode(body).decode()} for reason, body in rejects]
        self._lines.write_lines([msgspec.json.encode(line) for line in lines])
        self._rows += len(rejects)

    def close(self) -> FileEntry:
        self._lines.close()
        sink = self._sink
        return FileEntry(name=sink.name, rows=self._rows, bytes=sink.size, sha256=sink.sha256)

    def abandon(self) -> None:
        self._lines.abandon()


def _refuse_taken(prefix: ObjectPath) -> None:
    with storage_errors("the path could not be looked at"):
        if prefix.exists():
            raise LandingError("the extraction's prefix is there already; what was filed is never replaced")
