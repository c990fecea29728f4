"""How far a job has come, said every few seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_wacontacts.records.windows import Window

__all__ = ["Pace", "Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """
    Where an export stands.

    :param rows: contacts received so far.
    :param rows_per_second: since it began.
    :param share: how far into the window it is, 0 to 1; ``None`` while that cannot be told.
    """

    rows: int
    rows_per_second: float
    share: float | None

    def __str__(self) -> str:
        share = "" if self.share is None else f", {self.share:.0%} of the window"
        return f"{self.rows:,} rows, {self.rows_per_second:,.0f} a second{share}"


class Pace:
    """
    Reports progress, but not more often than every few seconds.

    :param report: is handed each :class:`Progress`.
    :param monotonic: seconds, from a clock that never goes back.
    :param every: seconds between two reports.
    """

    def __init__(
        self,
        window: Window,
        report: Callable[[Progress], None],
        *,
        monotonic: Callable[[], float],
        every: float = 10.0,
    ) -> None:
        self._window = window
        self._report = report
        self._monotonic = monotonic
        self._every = every
        self._began = self._reported = monotonic()
        self._rows = 0

    def add(self, rows: int, position: datetime | None) -> None:
        """
        Count rows, and report when it is time.

        :param position: time of update of the last row, where rows come in that order.
        """
        self._rows += rows
        now = self._monotonic()
        if now - self._reported >= self._every:
            self._reported = now
            self._report(Progress(self._rows, self._rows / (now - self._began), self._share(position)))

    def _share(self, position: datetime | None) -> float | None:
        if position is None:
            return None
        share = (position - self._window.start) / (self._window.end - self._window.start)
        return min(max(share, 0.0), 1.0)
