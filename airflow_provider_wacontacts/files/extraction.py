"""Write an extraction to files: parts first, the manifest last. Files are never replaced."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import msgspec

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files.errors import storage_errors
from airflow_provider_wacontacts.files.fields import Declaration, FieldSampler, find_file_drift
from airflow_provider_wacontacts.files.layout import (
    FORMAT_VERSION,
    MANIFEST,
    REJECTS,
    FileEntry,
    Manifest,
    ObjectPath,
    encode_manifest,
    extraction_prefix,
    safe_uri,
)
from airflow_provider_wacontacts.files.local import FILE_MODE, create_folder, local_path, refuse_links
from airflow_provider_wacontacts.files.parts import JSON_LINES, Parts, validate_file_format
from airflow_provider_wacontacts.files.sinks import JsonLines, Rows, Sink, write_whole
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.records.hidden_identifiers import HiddenIdentifiers
from airflow_provider_wacontacts.records.pages import Page
from airflow_provider_wacontacts.records.record import MAX_REASONS, Reject
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window

__all__ = ["ExtractionWriter"]

PART_BYTES = 64 * 2**20
PART_ROWS = 1_000_000


class ExtractionWriter:
    """
    Writes one extraction below a new prefix. As a context manager, it abandons an unfinished extraction.

    :param root: the base path of all sources and accounts.
    :param window: window of the sync; ``None`` for a snapshot.
    :param day: date in the prefix. Default: the UTC day on which the window starts.
    :param extraction_id: 32 hexadecimal digits. Default: a new UUID.
    :param file_format: ``jsonl.gz`` or ``parquet``.
    :param file_mode: permissions of files in a local directory. Default: 0o600, for their owner only.
    :param part_bytes: stored bytes after which a part is closed, 1 and up. Default: 64 MiB.
    :param part_rows: maximum rows of a part, 1 and up. Default: 1,000,000.
    :param get_suppression_list: called before each page; contacts on the list are skipped.
    :raises ConfigError: an invalid argument, or a folder that is a symbolic link; nothing was written.
    :raises LandingError: the prefix exists already, or the storage cannot be read or written.
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
        file_mode: int = FILE_MODE,
        part_bytes: int = PART_BYTES,
        part_rows: int = PART_ROWS,
        get_suppression_list: Callable[[], SuppressionList] = lambda: NO_SUPPRESSIONS,
    ) -> None:
        validate_file_format(file_format)
        if min(part_bytes, part_rows) < 1:
            raise ConfigError("`part_bytes` and `part_rows` must be 1 or more.")
        if day is None:
            if window is None:
                raise ConfigError("An extraction without a window needs `day`.")
            day = window.start.date()
        self.extraction_id = extraction_id or uuid4().hex
        self.pages = self.rows = self.rejected = self.bytes = 0
        self._reject_reasons: Counter[str] = Counter()
        self._prefix = extraction_prefix(root, source, account, day, self.extraction_id)
        self._manifest_fields: dict[str, Any] = {
            "source": source,
            "account": account,
            "file_format": file_format,
            "package_version": package_version,
            "dag_id": task.dag_id,
            "run_id": task.run_id,
            "task_id": task.task_id,
            "map_index": task.map_index,
        }
        self._window = window
        self._get_suppression_list = get_suppression_list
        self._hidden = HiddenIdentifiers()
        self._parts = Parts(
            self._prefix,
            constants=(source, account, self.extraction_id),
            file_format=file_format,
            max_bytes=part_bytes,
            max_rows=part_rows,
        )
        self._rejects: _Rejects | None = None
        self._root = root
        self._fields = FieldSampler()
        self._is_open = True
        self._file_mode = file_mode
        self._folder = local_path(self._prefix)
        if self._folder is not None:
            refuse_links(self._folder.parents[3], self._folder.parts[-4:])
        _refuse_existing(self._prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abandon()

    @property
    def uri(self) -> str:
        """URI of the prefix, without credentials."""
        return safe_uri(self._prefix)

    @property
    def reject_reasons(self) -> dict[str, int]:
        """The commonest reasons for rejects, with counts."""
        return dict(self._reject_reasons.most_common(MAX_REASONS))

    def write(self, page: Page[Any], extracted_at: datetime | None = None) -> None:
        """
        Write a page's contacts and rejects. Contacts on the suppression list are skipped, and not counted.

        :param extracted_at: time of the first response, a column in Parquet.
        :raises LandingError: the storage failed, or the extraction was finished or abandoned.
        """
        if not self._is_open:
            raise LandingError("The extraction is finished or abandoned. Nothing more can be written to it.")
        self._create_folder()
        suppression_list = self._get_suppression_list()
        rows = self._remove_suppressed(suppression_list, page)
        rejects = suppression_list.remove_suppressed_rejects(page.rejects)
        self._parts.write(rows._replace(extracted_at=extracted_at))
        self._fields.add(rows.texts)
        if rejects:
            self._rejects = self._rejects or _Rejects(self._prefix)
            self._rejects.write(rejects)
        self.pages += 1
        self.rows += len(rows.texts)
        self.rejected += len(rejects)
        self._reject_reasons.update(reject.reason for reject in rejects)
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
        declaration: Declaration | None = None,
    ) -> Manifest:
        """
        Close the files and write the manifest. After this, readers see the extraction.

        :param extracted_at: time of the first response, timezone-aware.
        :param lossy: whether it was synced too late, so that intermediate versions of the window may be missing.
        :param number_id: ID of the WhatsApp number that the account's token belongs to.
        :param group: only for snapshots, like ``is_cut`` and ``is_synchronised``; see :class:`Manifest`.
        :param declaration: known fields, to find schema drift. Default: no comparison.
        :raises LandingError: the storage failed, or the extraction was finished or abandoned.
        """
        if not self._is_open:
            raise LandingError("The extraction is finished or abandoned. It cannot be finished again.")
        self._create_folder()
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
            **self._manifest_fields,
        )
        if declaration is not None:
            manifest = find_file_drift(self._root, manifest, self._fields, declaration)
        write_whole(self._prefix, MANIFEST, encode_manifest(manifest))
        self._is_open = False
        return manifest

    def _remove_suppressed(self, suppression_list: SuppressionList, page: Page[Any]) -> Rows:
        found = suppression_list.find_rows(self._manifest_fields["source"], self._manifest_fields["account"], page.keys)
        hidden = self._hidden.rows(page.texts) if suppression_list else ()
        found.update(index for index in hidden if suppression_list.found_in(bytes(page.texts[index])))
        if not found:
            return Rows(page.texts, page.keys, page.repaired)
        kept = [index for index in range(len(page.texts)) if index not in found]
        return Rows(
            [page.texts[index] for index in kept],
            [page.keys[index] for index in kept],
            frozenset(row for row, index in enumerate(kept) if index in page.repaired),
        )

    def _create_folder(self) -> None:
        if self._folder is not None:
            with storage_errors("The folder of the extraction could not be created"):
                create_folder(self._folder, self._file_mode)

    def abandon(self) -> None:
        """Close the files without a manifest, so that no reader sees them. After :meth:`finish`, it does nothing."""
        if self._is_open:
            self._is_open = False
            with suppress(LandingError):
                self._parts.abandon()
            if self._rejects:
                with suppress(LandingError):
                    self._rejects.abandon()


class _Rejects:
    """The file of rejects."""

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


def _refuse_existing(prefix: ObjectPath) -> None:
    with storage_errors("The path could not be read"):
        if prefix.exists():
            raise LandingError("The prefix of the extraction exists already. Files are never replaced.")
