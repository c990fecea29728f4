"""Sync one window of Turn.io contacts into the store or into files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow_provider_wacontacts.clients.turn import ExportOptions
from airflow_provider_wacontacts.clients.turn_export import Export
from airflow_provider_wacontacts.exceptions import ConfigError, TransientError, WaContactsError
from airflow_provider_wacontacts.files import ExtractionWriter, ObjectPath
from airflow_provider_wacontacts.files.fields import Declaration
from airflow_provider_wacontacts.files.local import FILE_MODE
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.pipelines.stop import StopSignal
from airflow_provider_wacontacts.pipelines.summaries import (
    CommitStats,
    OnCommit,
    OnDrift,
    SyncSummary,
    has_too_many_rejected,
    rejected_error,
)
from airflow_provider_wacontacts.pipelines.turn_download import Download, Received, RunFlow
from airflow_provider_wacontacts.pipelines.turn_load import Loader, PendingBatch
from airflow_provider_wacontacts.pipelines.written_fields import WrittenFields
from airflow_provider_wacontacts.records.canonical_forms import CanonicalForms
from airflow_provider_wacontacts.records.drift import FieldCounter
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey, options_digest
from airflow_provider_wacontacts.records.turn import SOURCE
from airflow_provider_wacontacts.records.windows import Window, format_time
from airflow_provider_wacontacts.store import Extraction, Store
from airflow_provider_wacontacts.store.attempts import recorded

__all__ = ["Progress", "SyncSpec", "sync_to_files", "sync_to_store"]

PROGRESS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SyncSpec:
    """
    What a sync fetches, and how it is written.

    :param window: window that the contacts are stored under. The sync also fetches ``lookback`` before it.
    :param ordering: like ``page_size`` and ``scrubbing_rules``, see
        :class:`~airflow_provider_wacontacts.clients.turn.ExportOptions`.
    :param lookback: overlap with the window before, for updates that arrived late.
    :param cursor_per_page: see :class:`~airflow_provider_wacontacts.clients.turn_export.Export`.
    :param max_rejected: share of the rows, 0 to 1, that may be rejected before the sync fails.
    :param late_after: sync lag beyond which a window is lossy.
    :param fields: the fields that are written.
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
    fields: WrittenFields = field(default_factory=WrittenFields)

    @property
    def options_digest(self) -> str:
        """A short string that changes with every option of the requests or the rows."""
        return options_digest(self.ordering, self.page_size, self.scrubbing_rules, self.lookback, *self.fields.options)

    def export(self, resume_from: datetime | None = None) -> Export:
        """Return the export, from a checkpoint on if there is one."""
        return Export(
            self.window,
            ExportOptions(self.ordering, self.page_size, self.scrubbing_rules),
            lookback=self.lookback,
            resume_from=resume_from,
            cursor_per_page=self.cursor_per_page,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """
    The progress of a sync.

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
    declared_types: Callable[[], Mapping[str, str] | None] = lambda: None,
    on_drift: OnDrift = lambda _: None,
    on_progress: Callable[[Progress], None] | None = None,
    on_commit: OnCommit | None = None,
    stop: StopSignal | None = None,
    is_deferrable: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
) -> SyncSummary:
    """
    Sync a window into the store, resuming an earlier attempt of the same task from its last checkpoint.

    A page is loaded while the next one is fetched. Received pages are committed with its position before a long
    pause, and when an error or ``stop`` ends the sync.

    :param run: sends the requests.
    :param uri: URI of the store's contacts, for the summary.
    :param declared_types: returns the types of fields as Turn.io declares them, by field; ``None`` if it does not.
    :param on_drift: called with the fields that changed since the account's last extraction, if any did.
    :param on_progress: called about every ten seconds.
    :param on_commit: called after each committed batch.
    :param stop: ends the attempt early.
    :param is_deferrable: the caller defers the task after a ``TransientError`` with a ``retry_after``.
    :raises ConfigError: the store cannot be used, or the token belongs to another number than before.
    :raises ApiError: a request failed. Committed rows stay.
    :raises LandingError: the store failed, another attempt took over, or too many rows were rejected.
    :raises Stopped: the attempt was stopped.
    """
    secret_id, digest, fields = spec.fields.secret_id, spec.options_digest, FieldCounter()
    canonical_form = CanonicalForms(fields)
    store.prepare()
    extraction = store.begin(
        source=SOURCE,
        account=spec.account,
        window=spec.window,
        task=spec.task,
        options_digest=digest,
        package_version=spec.package_version,
        uri=uri,
        secret_id=secret_id,
    )
    # Read from the database's clock once, so that changes of the worker's clock do not matter.
    began, began_at = store.context.now(), time.monotonic()
    now = store.context.clock or (lambda: began + timedelta(seconds=time.monotonic() - began_at))
    with recorded(extraction), _deferred(extraction, allowed=is_deferrable):
        with Loader(PendingBatch(extraction, canonical_form, on_commit, monotonic)) as loader:
            download = Download(
                partial(spec.export, extraction.resume_from),
                run,
                rewrite=spec.fields.rewrite,
                now=now,
                stop=stop or StopSignal(),
                before_pause=loader.before_pause,
            )
            for received in _reporting(download, on_progress, monotonic):
                loader.add(received)
            loader.commit()
        is_incomplete = has_too_many_rejected(extraction, spec.max_rejected)
        observation = spec.fields.observation(fields, None if is_incomplete else declared_types())
        finished = extraction.finish("incomplete" if is_incomplete else "complete", observation)
    if finished.drift:
        on_drift(finished.drift)
    reasons = finished.reject_reasons
    if error := rejected_error(extraction, spec.max_rejected, reasons):
        raise error
    gap = "/".join(map(format_time, finished.gap_before)) if finished.gap_before else None
    loaded = {"state": finished.state, "new_versions": finished.new_versions, "gap_before": gap}
    return SyncSummary.of(finished, reasons, **loaded, uri=uri)


def sync_to_files(
    spec: SyncSpec,
    *,
    run: RunFlow,
    root: ObjectPath,
    file_format: str,
    file_mode: int = FILE_MODE,
    get_suppression_list: Callable[[], SuppressionList] = lambda: NO_SUPPRESSIONS,
    declared_types: Callable[[], Mapping[str, str] | None] = lambda: None,
    on_drift: OnDrift = lambda _: None,
    on_progress: Callable[[Progress], None] | None = None,
    on_commit: OnCommit | None = None,
    stop: StopSignal | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
) -> SyncSummary:
    """
    Sync a window into a new prefix below a path of object storage.

    :param run: sends the requests.
    :param root: an ``ObjectStoragePath`` or a :class:`pathlib.Path`.
    :param file_format: ``jsonl.gz`` or ``parquet``.
    :param file_mode: permissions of files in a local directory.
    :param get_suppression_list: returns the suppression list. Its contacts are skipped.
    :param declared_types: see :func:`sync_to_store`, like ``on_drift``.
    :param on_progress: called about every ten seconds.
    :param on_commit: called when the manifest is written.
    :param stop: ends the attempt early.
    :raises ConfigError: the file format is unknown, or the contacts belong to several numbers.
    :raises ApiError: a request failed. The prefix has no manifest, so readers skip it.
    :raises LandingError: the storage failed, or too many rows were rejected.
    """
    download = Download(spec.export, run, rewrite=spec.fields.rewrite, now=now, stop=stop or StopSignal())
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
        get_suppression_list=get_suppression_list,
    ) as extraction:
        for received in _reporting(download, on_progress, monotonic):
            number_ids |= received.page.number_ids
            _expect_one_number(number_ids)
            extraction.write(received.page, received.extracted_at)
        lag = download.extracted_at - spec.window.end
        manifest = extraction.finish(
            extracted_at=download.extracted_at,
            finished_at=now(),
            lossy=not timedelta(0) <= lag <= spec.late_after,
            number_id=next(iter(number_ids), None),
            declaration=Declaration(declared_types(), spec.fields.has),
        )
    if on_commit:
        on_commit(CommitStats.in_files(manifest))
    if manifest.drift:
        on_drift(manifest.drift)
    reasons = extraction.reject_reasons
    if error := rejected_error(manifest, spec.max_rejected, reasons):
        raise error
    written = {"state": "complete", "new_versions": manifest.rows, "gap_before": None}
    return SyncSummary.of(manifest, reasons, **written, uri=extraction.uri)


@contextmanager
def _deferred(extraction: Extraction, *, allowed: bool) -> Iterator[None]:
    """Store until when the task is deferred, if an error with a ``retry_after`` ends the block."""
    try:
        yield
    except TransientError as error:
        if allowed and error.retry_after:
            with suppress(WaContactsError):
                extraction.defer(error.retry_after)
        raise


def _reporting(
    download: Download, on_progress: Callable[[Progress], None] | None, monotonic: Callable[[], float]
) -> Iterator[Received]:
    """Yield the pages, reporting progress every few seconds."""
    rows, began = 0, monotonic()
    reported = began
    for received in download:
        yield received
        rows += len(received.page.texts)
        now = monotonic()
        if on_progress and now - reported >= PROGRESS_SECONDS:
            reported = now
            on_progress(Progress(rows, rows / (now - began), _share(download.export)))


def _share(export: Export) -> float | None:
    if export.position is None:
        return None
    window = export.window
    return min(max((export.position - window.start) / (window.end - window.start), 0.0), 1.0)


def _expect_one_number(number_ids: set[str]) -> None:
    if len(number_ids) > 1:
        raise ConfigError("The response holds contacts of several number_ids. Check the connection's API token.")
