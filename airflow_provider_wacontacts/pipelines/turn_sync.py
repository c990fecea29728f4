"""Sync one window of Turn.io contacts into the store or into files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from airflow_provider_wacontacts.clients.http import Flow
from airflow_provider_wacontacts.clients.turn import Export, ExportOptions
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files import ExtractionWriter, ObjectPath
from airflow_provider_wacontacts.files.local import FILE_MODE
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.pipelines.summaries import CommitStats, OnCommit, SyncSummary, check_rejected
from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer
from airflow_provider_wacontacts.records.record import Record, Reject
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey, options_digest
from airflow_provider_wacontacts.records.turn import SOURCE, TurnPage
from airflow_provider_wacontacts.records.windows import Window, format_time
from airflow_provider_wacontacts.store import Extraction, Store

__all__ = ["Progress", "SyncSpec", "sync_to_files", "sync_to_store"]

T = TypeVar("T")

#: A batch is committed when it has this many rows or is this old.
BATCH_ROWS = 5_000
BATCH_SECONDS = 10.0
PROGRESS_SECONDS = 10.0


class RunFlow(Protocol):
    """Sends the requests of a flow, as :meth:`.FeedHook.run_flow` does."""

    def __call__(self, flow: Flow[T], /) -> T:
        """Return what the flow returns."""


@dataclass(frozen=True, slots=True)
class SyncSpec:
    """
    What a sync fetches, and how it is written.

    :param window: window that the contacts are stored under. The sync also fetches ``lookback`` before it.
    :param ordering: like ``page_size`` and ``scrubbing_rules``, see
        :class:`~airflow_provider_wacontacts.clients.turn.ExportOptions`.
    :param lookback: overlap with the window before, for updates that arrived late.
    :param cursor_per_page: see :class:`~airflow_provider_wacontacts.clients.turn.Export`.
    :param max_rejected: share of the rows, 0 to 1, that may be rejected before the sync fails.
    :param late_after: sync lag from which on a window is lossy.
    :param pseudonyms: applied to contacts before they are written.
    """

    account: str
    window: Window
    task: TaskInstanceKey
    package_version: str
    ordering: str | None = None
    page_size: int | None = None
    scrubbing_rules: Mapping[str, Any] | None = None
    lookback: timedelta = timedelta(minutes=10)
    cursor_per_page: bool = False
    max_rejected: float = 0.01
    late_after: timedelta = timedelta(hours=1)
    pseudonyms: Pseudonymizer | None = None

    @property
    def options_digest(self) -> str:
        """A short string that changes with every option of the requests or the rows."""
        fields = tuple(self.pseudonyms.fields) if self.pseudonyms else ()
        return options_digest(self.ordering, self.page_size, self.scrubbing_rules, self.lookback, fields)


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a sync has come.

    :param rows: contacts received so far.
    :param rows_per_second: average since the start.
    :param share: share of the window, 0 to 1; ``None`` if rows do not come in order of update.
    """

    rows: int
    rows_per_second: float
    share: float | None

    def __str__(self) -> str:
        share = "" if self.share is None else f", {self.share:.0%} of the window"
        return f"{self.rows:,} rows, {self.rows_per_second:,.0f} a second{share}"


def sync_to_store(
    spec: SyncSpec,
    *,
    run: RunFlow,
    store: Store,
    uri: str,
    on_progress: Callable[[Progress], None] | None = None,
    on_commit: OnCommit | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
) -> SyncSummary:
    """
    Sync a window into the store, resuming an earlier attempt of the same task from its last checkpoint.

    :param run: sends the requests.
    :param uri: URI of the store's contacts, for the summary.
    :param on_progress: called about every ten seconds.
    :param on_commit: called after each committed batch.
    :raises ConfigError: the store cannot be used, or the token belongs to another number than before.
    :raises ApiError: a request failed. Committed rows stay.
    :raises LandingError: the store failed, another attempt took over, or too many rows were rejected.
    """
    digest = spec.options_digest
    store.prepare()
    extraction = store.begin(
        source=SOURCE,
        account=spec.account,
        window=spec.window,
        task=spec.task,
        options_digest=digest,
        package_version=spec.package_version,
        uri=uri,
    )
    download = _Download(spec, run, now=now, resume_from=extraction.resume_from)
    batch = _Batch(extraction, download, on_commit, monotonic)
    for page in _reporting(download, on_progress, monotonic):
        batch.add(page)
    batch.commit()
    error = check_rejected(extraction, spec.max_rejected)
    finished = extraction.finish("incomplete" if error else "complete")
    if error:
        raise error
    gap = "/".join(map(format_time, finished.gap_before)) if finished.gap_before else None
    return SyncSummary.of(finished, state=finished.state, new_versions=finished.new_versions, gap_before=gap, uri=uri)


def sync_to_files(
    spec: SyncSpec,
    *,
    run: RunFlow,
    root: ObjectPath,
    file_format: str,
    file_mode: int = FILE_MODE,
    suppressed: Callable[[], SuppressionList] = lambda: NO_SUPPRESSIONS,
    on_progress: Callable[[Progress], None] | None = None,
    on_commit: OnCommit | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
) -> SyncSummary:
    """
    Sync a window into a new prefix below a path of object storage.

    :param run: sends the requests.
    :param root: an ``ObjectStoragePath`` or a :class:`pathlib.Path`.
    :param file_format: ``jsonl.gz`` or ``parquet``.
    :param file_mode: permissions of files in a local directory.
    :param suppressed: returns the suppression list. Its contacts are skipped.
    :param on_progress: called about every ten seconds.
    :param on_commit: called when the manifest is written.
    :raises ConfigError: the file format is unknown, or the contacts belong to several numbers.
    :raises ApiError: a request failed. The prefix has no manifest, so readers skip it.
    :raises LandingError: the storage failed, or too many rows were rejected.
    """
    download = _Download(spec, run, now=now)
    number_ids: set[str] = set()
    with ExtractionWriter(
        root,
        source=SOURCE,
        account=spec.account,
        window=spec.window,
        task=spec.task,
        package_version=spec.package_version,
        file_format=file_format,
        file_mode=file_mode,
        suppression_list=suppressed,
    ) as extraction:
        for page in _reporting(download, on_progress, monotonic):
            number_ids |= _number_ids(page)
            _expect_one_number(number_ids)
            extraction.write(page)
        lag = download.extracted_at - spec.window.end
        manifest = extraction.finish(
            extracted_at=download.extracted_at,
            finished_at=now(),
            lossy=not timedelta(0) <= lag <= spec.late_after,
            number_id=next(iter(number_ids), None),
        )
    if on_commit:
        on_commit(CommitStats.in_files(manifest))
    if error := check_rejected(manifest, spec.max_rejected):
        raise error
    return SyncSummary.of(manifest, state="complete", new_versions=manifest.rows, gap_before=None, uri=extraction.uri)


class _Download:
    """
    The pages of a sync, pseudonymized if the spec says so.

    :ivar export: the export, which starts with the iteration.
    :ivar extracted_at: time of the server's first response; by the worker's clock if it sends no ``Date``.
    """

    export: Export
    extracted_at: datetime

    def __init__(
        self, spec: SyncSpec, run: RunFlow, *, now: Callable[[], datetime], resume_from: datetime | None = None
    ) -> None:
        self._spec = spec
        self._run = run
        self._now = now
        self._resume_from = resume_from

    def __iter__(self) -> Iterator[TurnPage]:
        spec = self._spec
        export = self.export = Export(
            spec.window,
            ExportOptions(spec.ordering, spec.page_size, spec.scrubbing_rules),
            lookback=spec.lookback,
            resume_from=self._resume_from,
            cursor_per_page=spec.cursor_per_page,
        )
        while not export.done and (page := self._run(export.next_page())) is not None:
            if export.pages == 1:
                self.extracted_at = export.server_time or self._now()
            yield page.pseudonymized(spec.pseudonyms) if spec.pseudonyms else page


class _Batch:
    """Rows that are committed together with the position that the export has reached."""

    def __init__(
        self,
        extraction: Extraction,
        download: _Download,
        on_commit: OnCommit | None,
        monotonic: Callable[[], float],
    ) -> None:
        self._extraction = extraction
        self._download = download
        self._on_commit = on_commit
        self._monotonic = monotonic
        self._clear()

    def add(self, page: TurnPage) -> None:
        """Add a page; commit if the batch is large or old enough."""
        records, rejects = page.records()
        self._records += records
        self._rejects += rejects
        self._size += page.size
        self._pages += 1
        self._number_ids |= _number_ids(page)
        if len(self._records) >= BATCH_ROWS or self._monotonic() - self._began >= BATCH_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Write what was added since the last commit."""
        if self._pages == 0:
            return
        extraction = self._extraction
        rows, rejected = extraction.rows, extraction.rejected
        new_versions = extraction.land(
            self._records,
            self._rejects,
            position=self._download.export.position,
            pages=self._pages,
            size=self._size,
            extracted_at=self._download.extracted_at,
            number_ids=self._number_ids,
        )
        if self._on_commit:
            self._on_commit(
                CommitStats(self._pages, extraction.rows - rows, extraction.rejected - rejected, new_versions)
            )
        self._clear()

    def _clear(self) -> None:
        self._records: list[Record] = []
        self._rejects: list[Reject] = []
        self._number_ids: set[str] = set()
        self._size = self._pages = 0
        self._began = self._monotonic()


def _reporting(
    download: _Download, on_progress: Callable[[Progress], None] | None, monotonic: Callable[[], float]
) -> Iterator[TurnPage]:
    """Yield the pages, reporting progress every few seconds."""
    rows, began = 0, monotonic()
    reported = began
    for page in download:
        yield page
        rows += len(page.texts)
        now = monotonic()
        if on_progress and now - reported >= PROGRESS_SECONDS:
            reported = now
            on_progress(Progress(rows, rows / (now - began), _share(download.export)))


def _share(export: Export) -> float | None:
    if export.position is None:
        return None
    window = export.window
    return min(max((export.position - window.start) / (window.end - window.start), 0.0), 1.0)


def _number_ids(page: TurnPage) -> set[str]:
    return {str(number_id) for number_id in {keys.number_id for keys in page.keys} if number_id is not None}


def _expect_one_number(number_ids: set[str]) -> None:
    if len(number_ids) > 1:
        raise ConfigError("The response holds contacts of several number_ids. Check the connection's API token.")
