"""Find lossy intervals, which were synced too late, and gaps, which were not synced. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from airflow_provider_wacontacts.records.windows import Window

__all__ = [
    "SyncedWindow",
    "gap_before",
    "gaps_between",
    "intervals_since",
    "is_lossy",
    "lateness_s",
    "lossy_among",
    "merge_interval",
]


class SyncedWindow(NamedTuple):
    """The window of a complete extraction, and the extraction's start. All times timezone-aware, UTC."""

    start: datetime
    end: datetime
    extracted_at: datetime

    @property
    def covered_until(self) -> datetime:
        """The end of the covered time: the window's end, or the extraction if that came first."""
        return min(self.end, self.extracted_at)


def lateness_s(window: Window, extracted_at: datetime) -> float:
    """Seconds from a window's end to its extraction; negative if the window had not ended."""
    return (extracted_at - window.end).total_seconds()


def is_lossy(window: Window, synced: Iterable[SyncedWindow], late_after: timedelta) -> bool:
    """
    Return whether any interval of a window was never synced in time.

    :param synced: in any order; windows that do not overlap are ignored.
    :param late_after: maximum sync lag of a window that is synced in time, inclusive.
    """
    covered = window.start
    for earlier in sorted(synced):
        if earlier.extracted_at - earlier.end <= late_after and earlier.start <= covered:
            covered = max(covered, earlier.covered_until)
    return covered < window.end


def gap_before(window: Window, covered_until: datetime | None) -> tuple[datetime, datetime] | None:
    """
    Find the gap right before a window.

    :param covered_until: the latest end of coverage of windows that start earlier; ``None`` without such windows.
    :returns: start and end; ``None`` if there is no gap, or no earlier window.
    """
    return (covered_until, window.start) if covered_until is not None and covered_until < window.start else None


def merge_interval(intervals: list[tuple[datetime, datetime]], start: datetime, end: datetime) -> None:
    """
    Merge an interval into the last of some intervals if they touch or overlap; append it otherwise.

    :param intervals: start and end of each, ascending and disjoint; changed in place.
    :param start: not before the start of the last one.
    """
    if intervals and start <= intervals[-1][1]:
        intervals[-1] = (intervals[-1][0], max(intervals[-1][1], end))
    else:
        intervals.append((start, end))


def gaps_between(covered: Sequence[Window]) -> list[Window]:
    """
    Return the gaps between covered intervals.

    :param covered: ascending and disjoint.
    """
    return [Window(earlier.end, later.start) for earlier, later in pairwise(covered)]


def intervals_since(time: datetime | None, intervals: Sequence[Window]) -> Sequence[Window]:
    """Leave out intervals before a time, if given: purged extractions may have covered them."""
    if time is None:
        return intervals
    return [Window(max(interval.start, time), interval.end) for interval in intervals if interval.end > time]


def lossy_among(covered: Iterable[Window], in_time: Sequence[Window], *, baseline_until: datetime) -> list[Window]:
    """
    Return the intervals that were synced, but never in time.

    :param covered: the synced intervals, ascending and disjoint.
    :param in_time: the intervals that were synced in time, also ascending and disjoint; each lies within a covered one.
    :param baseline_until: when the account was first synced. Before this, only latest versions were available: the
        baseline is not lossy.
    :returns: ascending and disjoint.
    """
    found: list[Window] = []
    remaining = iter([*in_time, None])
    timely = next(remaining)
    for interval in covered:
        reached = max(interval.start, baseline_until)
        while timely is not None and timely.end <= interval.end:
            found += _interval(reached, timely.start)
            reached = max(reached, timely.end)
            timely = next(remaining)
        found += _interval(reached, interval.end)
    return found


def _interval(start: datetime, end: datetime) -> list[Window]:
    return [Window(start, end)] if start < end else []
