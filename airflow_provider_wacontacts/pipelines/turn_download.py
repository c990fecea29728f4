"""Download the pages of an export of Turn.io contacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from typing import NamedTuple, Protocol, TypeVar

from airflow_provider_wacontacts.clients.http import MAX_CLOCK_DIFFERENCE, Flow
from airflow_provider_wacontacts.clients.turn_export import Export
from airflow_provider_wacontacts.pipelines.stop import StopSignal
from airflow_provider_wacontacts.records.turn import TurnPage

__all__ = ["Download", "Received", "RunFlow"]

T = TypeVar("T")


class RunFlow(Protocol):
    """Sends the requests of a flow, as :meth:`.FeedHook.run_flow` does."""

    def __call__(self, flow: Flow[T], /, *, before_pause: Callable[[float], None] | None = None) -> T:
        """Return what the flow returns; ``before_pause`` is called with the seconds before each pause."""


class Received(NamedTuple):
    """
    A page with the fields that are written.

    :param position: the export's position when the page was received.
    :param extracted_at: time of the export's first response.
    """

    page: TurnPage
    position: datetime | None
    extracted_at: datetime


class Download:
    """
    The pages of a sync.

    :param create_export: called when the iteration starts.
    :param rewrite: returns a page with the fields that are written.
    :param before_pause: called with the seconds before each pause.
    :ivar extracted_at: time of the server's first response: its own, unless it sends none, or one in the future.
    """

    extracted_at: datetime

    def __init__(
        self,
        create_export: Callable[[], Export],
        run: RunFlow,
        *,
        rewrite: Callable[[TurnPage], TurnPage],
        now: Callable[[], datetime],
        stop: StopSignal,
        before_pause: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._create_export = create_export
        self._run = run
        self._rewrite = rewrite
        self._now = now
        self._stop = stop
        self._before_pause = before_pause

    @cached_property
    def export(self) -> Export:
        """The export."""
        return self._create_export()

    def __iter__(self) -> Iterator[Received]:
        while (page := self._next_page()) is not None:
            if self.export.pages == 1:
                self.extracted_at = self._first_response_at()
            yield Received(self._rewrite(page), self.export.position, self.extracted_at)
            if self.export.done:
                return

    def _next_page(self) -> TurnPage | None:
        with self._stop.interruptible_block():
            return self._run(self.export.next_page(), before_pause=self._pause)

    def _pause(self, seconds: float) -> None:
        with self._stop.interruptible_block(allowed=False):
            self._before_pause(seconds)

    def _first_response_at(self) -> datetime:
        ours, theirs = self._now(), self.export.server_time
        return theirs if theirs is not None and theirs <= ours + MAX_CLOCK_DIFFERENCE else ours
