"""What was pulled too late, and what was not pulled at all. Pure: it is handed the windows that were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple, TypeVar

from airflow_provider_wacontacts.records.windows import Window

__all__ = ["Pulled", "gap_before", "gaps_between", "is_lossy", "lateness_s", "lossy_among", "merge_interval"]

T = TypeVar("T", datetime, str)


class Pulled(NamedTuple):
    """A window that an extraction covers completely, and when that extraction began. All times aware, UTC."""

    start: datetime
    end: datetime
    extracted_at: datetime

    @property
    def covered_until(self) -> datetime:
        """The end of what it covers: nobody has seen the time after its extraction."""
        return min(self.end, self.extracted_at)


def lateness_s(window: Window, extracted_at: datetime) -> float:
    """Seconds from a window's end to its extraction; negative where it had not ended."""
    return (extracted_at - window.end).total_seconds()


def is_lossy(window: Window, pulled: Iterable[Pulled], late_after: timedelta) -> bool:
    """
    Tell whether some stretch of a window is in nothing that was pulled in time.

    :param pulled: in any order; those that lie elsewhere do not matter.
    :param late_after: how long after its end a window may be pulled and be in time, itself included.
    """
    covered = window.start
    for one in sorted(pulled):
        if one.extracted_at - one.end <= late_after and one.start <= covered:
            covered = max(covered, one.covered_until)
    return covered < window.end


def gap_before(window: Window, reached: datetime | None) -> tuple[datetime, datetime] | None:
    """
    Find the stretch right before a window that nothing covers.

    :param reached: how far reaches what was pulled of windows that start earlier; ``None`` where there are none.
    :returns: its start and end; ``None`` where there is none, or where nothing earlier was ever pulled.
    """
    return (reached, window.start) if reached is not None and reached < window.start else None


def merge_interval(stretches: list[tuple[T, T]], start: T, end: T) -> None:
    """
    Add a window to the stretches that windows cover: to the last of them, where it touches or overlaps that.

    :param stretches: start and end of each, ascending, with time between each and the next; changed.
    :param start: not before the start of the last; any kind of value that sorts as time does.
    """
    if stretches and start <= stretches[-1][1]:
        stretches[-1] = (stretches[-1][0], max(stretches[-1][1], end))
    else:
        stretches.append((start, end))


def gaps_between(covered: Sequence[Window]) -> list[Window]:
    """
    Find the stretches between those that something covers.

    :param covered: ascending, with time between each and the next.
    """
    return [Window(one.end, after.start) for one, after in pairwise(covered)]


def lossy_among(covered: Iterable[Window], in_time: Sequence[Window], *, baseline_until: datetime) -> list[Window]:
    """
    Find the stretches that were pulled, but never in time.

    :param covered: the stretches that were pulled at all; ascending, with time between each and the next.
    :param in_time: those that were pulled in time, likewise; they lie within the others.
    :param baseline_until: when the account was first pulled. Of what precedes it nobody could see more than the newest
        states, so it is the account's baseline, and not lossy.
    :returns: ascending, with time between each and the next.
    """
    found: list[Window] = []
    punctual = iter([*in_time, None])
    hole = next(punctual)
    for stretch in covered:
        reached = max(stretch.start, baseline_until)
        while hole is not None and hole.end <= stretch.end:
            found += _stretch(reached, hole.start)
            reached = max(reached, hole.end)
            hole = next(punctual)
        found += _stretch(reached, stretch.end)
    return found


def _stretch(start: datetime, end: datetime) -> list[Window]:
    return [Window(start, end)] if start < end else []
