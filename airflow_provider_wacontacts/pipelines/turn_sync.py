"""Pull one window of Turn.io contacts, into the store or into files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Protocol, TypeVar

import msgspec

from airflow_provider_wacontacts.clients.http import Flow
from airflow_provider_wacontacts.clients.turn import Export, ExportOptions
from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files import ExtractionWriter, ObjectPath
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.pipelines.commit_stats import CommitStats, Counts, uncounted
from airflow_provider_wacontacts.pipelines.progress import Pace, Progress
from airflow_provider_wacontacts.pipelines.rejected import rejected_error
from airflow_provider_wacontacts.pipelines.summaries import SyncSummary
from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer
from airflow_provider_wacontacts.records.record import Record
from airflow_provider_wacontacts.records.rejects import Reject
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import SOURCE, TurnPage
from airflow_provider_wacontacts.records.windows import Window, format_time
from airflow_provider_wacontacts.store import Extraction, Store

__all__ = ["Surroundings", "SyncSpec", "sync_to_files", "sync_to_store"]

T = TypeVar("T")

#: A batch is committed when it has so many rows or is so old: pages of 60 a minute are kept as they come.
BATCH_ROWS = 5_000
BATCH_SECONDS = 10.0


class Runner(Protocol):
    """Whatever sends for a flow, a hook say."""

    def __call__(self, flow: Flow[T], /) -> T:
        """Run a flow to its end."""


@dataclass(frozen=True, slots=True)
class SyncSpec:
    """
    What is to be pulled, and how.

    :param window: the window as it is filed; more is asked for, by ``lookback``.
    :param lookback: how much before the window is asked for again.
    :param cursor_per_page: see :class:`~airflow_provider_wacontacts.clients.turn.Export`.
    :param max_rejected: share of the rows that may be rejected, 0 to 1, before the pull counts as failed.
    :param late_after: from when on a first pull of a window is late.
    :param pseudonyms: what is put into contacts before anything is written; ``None`` for none.
    """

    account: str
    window: Window
    task: TaskInstanceKey
    package_version: str
    options: ExportOptions = field(default_factory=ExportOptions)
    lookback: timedelta = timedelta(minutes=10)
    cursor_per_page: bool = False
    max_rejected: float = 0.01
    late_after: timedelta = timedelta(hours=1)
    pseudonyms: Pseudonymizer | None = None

    @property
    def asked(self) -> Window:
        """The window that is asked for."""
        return Window(self.window.start - self.lookback, self.window.end)

    @property
    def options_digest(self) -> str:
        """A short text that differs where a retry would ask for something else."""
        asked = {**self.options.given(), "lookback_s": self.lookback.total_seconds()}
        if self.pseudonyms:
            asked["pseudonymize"] = self.pseudonyms.fields
        return blake2b(msgspec.json.encode(asked, order="sorted"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a pull needs of the world it runs in.

    :param report: is handed progress, about every ten seconds.
    :param count: is told what was committed: batch by batch in the store, at the end in files.
    :param now: aware time of the worker.
    :param monotonic: seconds, from a clock that never goes back.
    """

    report: Callable[[Progress], None]
    count: Counts = uncounted
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic


def sync_to_store(pull: SyncSpec, *, run: Runner, store: Store, uri: str, world: Surroundings) -> SyncSummary:
    """
    Pull a window into the store, going on where an earlier try of the same task stopped.

    :param run: sends the requests.
    :param uri: names the store in the summary.
    :raises ConfigError: the store cannot be used, or the token is of another number than before.
    :raises ApiError: what the export raises; what was committed stays.
    :raises LandingError: the store failed, another try took over, or too much was rejected.
    """
    store.prepare()
    extraction = store.begin(
        source=SOURCE,
        account=pull.account,
        window=pull.window,
        task=pull.task,
        options_digest=pull.options_digest,
        package_version=pull.package_version,
        uri=uri,
    )
    export = _export(pull, resume_from=extraction.resume_from)
    batch = _Batch(extraction, export, world)
    for page in _pages(pull, export, run, world):
        batch.add(page)
    batch.commit()
    too_much = rejected_error(extraction.rejected, extraction.rows, pull.max_rejected)
    finished = extraction.finish("incomplete" if too_much else "complete")
    if too_much:
        raise LandingError(too_much)
    gap = "/".join(map(format_time, finished.gap_before)) if finished.gap_before else None
    return SyncSummary.of(finished, state=finished.state, new_versions=finished.new_versions, gap_before=gap, uri=uri)


def sync_to_files(
    pull: SyncSpec,
    *,
    run: Runner,
    root: ObjectPath,
    file_format: str,
    world: Surroundings,
    erased: Callable[[], SuppressionList] = lambda: NO_SUPPRESSIONS,
) -> SyncSummary:
    """
    Pull a window into a prefix of its own below a path of object storage.

    :param run: sends the requests.
    :param root: an ``ObjectStoragePath``, or anything else that is used like a :class:`pathlib.Path`.
    :param file_format: ``jsonl.gz`` or ``parquet``.
    :param erased: tells who is to be passed over.
    :raises ConfigError: the file format is unknown, or the token is of more than one number.
    :raises ApiError: what the export raises; no reader takes what was written for complete.
    :raises LandingError: the storage failed, or too much was rejected.
    """
    export = _export(pull)
    lines: set[str] = set()
    with ExtractionWriter(
        root,
        source=SOURCE,
        account=pull.account,
        window=pull.window,
        task=pull.task,
        package_version=pull.package_version,
        file_format=file_format,
        suppression_list=erased,
    ) as extraction:
        for page in _pages(pull, export, run, world):
            _only(lines := lines | _lines_of(page))
            extraction.write(page)
        extracted_at = _extracted_at(export, world)
        late = extracted_at - pull.window.end
        manifest = extraction.finish(
            extracted_at=extracted_at,
            finished_at=world.now(),
            lossy=not timedelta(0) <= late <= pull.late_after,
            number_id=_only(lines),
        )
    world.count(CommitStats.in_files(manifest))
    too_much = rejected_error(manifest.rejected, manifest.rows, pull.max_rejected)
    if too_much:
        raise LandingError(too_much)
    return SyncSummary.of(manifest, state="complete", new_versions=manifest.rows, gap_before=None, uri=extraction.uri)


class _Batch:
    """Rows on their way into the store: committed together with how far they bring the export."""

    def __init__(self, extraction: Extraction, export: Export, world: Surroundings) -> None:
        self._extraction = extraction
        self._export = export
        self._world = world
        self._clear()

    def add(self, page: TurnPage) -> None:
        """Take a page in; commit when there is enough, or when it has waited long enough."""
        records, rejects = page.records()
        self._records += records
        self._rejects += rejects
        self._size += page.size
        self._pages += 1
        self._lines |= _lines_of(page)
        waited = self._world.monotonic() - self._began
        if len(self._records) >= BATCH_ROWS or waited >= BATCH_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Land what came since the last commit."""
        if self._pages == 0:
            return
        extraction = self._extraction
        rows, rejected = extraction.rows, extraction.rejected
        new_versions = extraction.land(
            self._records,
            self._rejects,
            position=self._export.position,
            pages=self._pages,
            size=self._size,
            extracted_at=_extracted_at(self._export, self._world),
            number_ids=self._lines,
        )
        self._world.count(
            CommitStats(self._pages, extraction.rows - rows, extraction.rejected - rejected, new_versions)
        )
        self._clear()

    def _clear(self) -> None:
        self._records: list[Record] = []
        self._rejects: list[Reject] = []
        self._lines: set[str] = set()
        self._size = self._pages = 0
        self._began = self._world.monotonic()


def _export(pull: SyncSpec, *, resume_from: datetime | None = None) -> Export:
    return Export(pull.asked, pull.options, resume_from=resume_from, cursor_per_page=pull.cursor_per_page)


def _pages(pull: SyncSpec, export: Export, run: Runner, world: Surroundings) -> Iterator[TurnPage]:
    pace = Pace(export.window, world.report, monotonic=world.monotonic)
    while (page := run(export.next_page())) is not None:
        _extracted_at(export, world)
        yield page.pseudonymized(pull.pseudonyms) if pull.pseudonyms else page
        pace.add(len(page.texts), export.position)


def _extracted_at(export: Export, world: Surroundings) -> datetime:
    """Tell when the server answered first: one time for all of a try, the worker's where the server tells none."""
    export.server_time = export.server_time or world.now()
    return export.server_time


def _lines_of(page: TurnPage) -> set[str]:
    return {str(line) for line in {head.number_id for head in page.keys} if line is not None}


def _only(lines: set[str]) -> str | None:
    """Return the line that all rows belong to; a token belongs to one."""
    if len(lines) > 1:
        raise ConfigError("the answer holds contacts of more than one number_id; check the connection's token")
    return next(iter(lines), None)
