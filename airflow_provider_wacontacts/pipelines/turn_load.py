"""Load the pages of a sync into the store, in a thread: the next page is fetched meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

from airflow_provider_wacontacts.exceptions import WaContactsError
from airflow_provider_wacontacts.pipelines.summaries import CommitStats, OnCommit
from airflow_provider_wacontacts.pipelines.turn_download import Received
from airflow_provider_wacontacts.records.canonical_forms import CanonicalForms
from airflow_provider_wacontacts.records.record import Record, Reject
from airflow_provider_wacontacts.store import Extraction

__all__ = ["Loader", "PendingBatch"]

#: A batch is committed when it has this many rows or this age. Slow pages are committed one by one.
BATCH_ROWS = 5_000
BATCH_SECONDS = 0.2
#: Received pages are also committed before a pause of at least this length.
LONG_PAUSE_SECONDS = 3.0
#: Maximum added pages that are not in a batch yet: one being loaded, and one waiting.
MAX_PAGES = 2


class Loader:
    """
    Loads pages in the order in which they are added, and commits each batch with the position of its last page.

    As a context manager, it also commits added pages if an error ends the block.
    """

    def __init__(self, batch: PendingBatch) -> None:
        self._batch = batch
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wacontacts-load")
        self._pages: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if error is not None:
            with suppress(WaContactsError):
                self._batch.commit()

    def add(self, received: Received) -> None:
        """
        Add a page. It blocks while another page waits.

        :raises WaContactsError: an earlier page could not be loaded.
        """
        self._wait_for(MAX_PAGES - 1)
        self._pages.append(self._thread.submit(self._batch.add, received))

    def before_pause(self, seconds: float) -> None:
        """Commit added pages before a long pause."""
        if seconds >= LONG_PAUSE_SECONDS:
            self.commit()

    def commit(self) -> None:
        """
        Commit added pages.

        :raises WaContactsError: a page could not be loaded.
        """
        self._wait_for(0)
        self._batch.commit()

    def _wait_for(self, left: int) -> None:
        while len(self._pages) > left:
            self._pages.popleft().result()


class PendingBatch:
    """
    Rows that are committed together with the position that the export had reached when they were received.

    :param canonical_form: writes each contact's canonical JSON, and counts the fields of all contacts.
    """

    _last: Received

    def __init__(
        self,
        extraction: Extraction,
        canonical_form: CanonicalForms,
        on_commit: OnCommit | None,
        monotonic: Callable[[], float],
    ) -> None:
        self._extraction = extraction
        self._canonical_form = canonical_form
        self._on_commit = on_commit
        self._monotonic = monotonic
        self._clear()

    def add(self, received: Received) -> None:
        """Add a page; commit if the batch is large or old enough."""
        page = received.page
        self._number_ids |= page.number_ids
        records, rejects = page.records(self._canonical_form)
        self._records += records
        self._rejects += rejects
        self._size += page.size
        self._pages += 1
        self._last = received
        if len(self._records) >= BATCH_ROWS or self._monotonic() - self._began >= BATCH_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Write pages that were added since the last commit."""
        if self._pages == 0:
            return
        extraction = self._extraction
        rows, rejected = extraction.rows, extraction.rejected
        new_versions = extraction.write(
            self._records,
            self._rejects,
            position=self._last.position,
            pages=self._pages,
            size=self._size,
            extracted_at=self._last.extracted_at,
            number_ids=self._number_ids,
        )
        stats = CommitStats(self._pages, extraction.rows - rows, extraction.rejected - rejected, new_versions)
        self._clear()
        if self._on_commit:
            self._on_commit(stats)

    def _clear(self) -> None:
        self._records: list[Record] = []
        self._rejects: list[Reject] = []
        self._number_ids: set[str] = set()
        self._size = self._pages = 0
        self._began = self._monotonic()
