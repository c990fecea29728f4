"""
Coverage of accounts as a calendar: for each day or hour, whether it was synced, and the number of new versions.

For feeds of windows, a cell has the worst state of its intervals. For feeds of snapshots, a cell has the state of its
snapshots: no time between two snapshots counts as missing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.coverage import gaps_between, lossy_among, merge_interval
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.intervals import Synced, read_synced
from airflow_provider_wacontacts.store.ledger import IS_SILENT, LOST_AFTER

__all__ = ["CELL_STATES", "AccountCalendar", "Cell", "cells_of", "read_calendars"]

#: The states of a cell, worst first.
CELL_STATES = ("running", "failed", "gap", "late", "complete", "none")

#: The plus sign prevents the use of the index by account: a scan of a ledger of years in its own order is faster.
ACCOUNTS = """
SELECT a.account_id, a.source, a.account, min(e.window_start) AS first_start, max(e.covered_until) AS reached_at,
    min(e.extracted_at) AS first_at
FROM {at}wacontacts_account a
LEFT JOIN {at}wacontacts_extraction e ON e.account_id = a.account_id AND e.state = 'complete'
GROUP BY a.account_id, a.source, a.account ORDER BY a.source, a.account
"""
#: By day, or by hour.
COUNTED = """
SELECT e.account_id, e.window_start IS NULL AS is_snapshot, {moment} AS moment, sum(e.new_versions) AS new_versions,
    max(e.extracted_at) AS last_at
FROM {{at}}wacontacts_extraction e
WHERE +e.account_id IN :account_ids AND e.state = 'complete' AND e.covered_until > :since
    AND coalesce(e.window_start, e.extracted_at) < :until
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
#: The UTC day, or hour, in which an extraction's window starts, or in which its snapshot was taken: PostgreSQL's, and
#: SQLite's, which stores times as text.
MOMENTS = {
    False: "date_trunc(:unit, coalesce(e.window_start, e.extracted_at) AT TIME ZONE 'UTC')",
    True: "substr(coalesce(e.window_start, e.extracted_at), 1, CASE :unit WHEN 'day' THEN 10 ELSE 13 END)",
}
UNFINISHED = f"""
SELECT e.account_id, coalesce(e.window_start, e.extracted_at) AS start_at,
    coalesce(e.window_end, e.extracted_at) AS end_at, e.window_start IS NULL AS is_snapshot,
    CASE WHEN e.state = 'running' AND NOT {IS_SILENT} THEN 'running' ELSE 'failed' END AS state
FROM {{at}}wacontacts_extraction e
WHERE +e.account_id IN :account_ids AND e.state <> 'complete' AND coalesce(e.window_end, e.extracted_at) >= :since
    AND coalesce(e.window_start, e.extracted_at) < :until
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2
"""
INSTANT = timedelta(microseconds=1)


@dataclass(slots=True)
class AccountCalendar:
    """
    The ledger's data about an account in a span of time.

    :param account_id: key of the account's row.
    :param reached_at: the account's watermark; ``None`` if it was never synced.
    :param intervals: by the state of :data:`CELL_STATES`, ascending and disjoint.
    :param new_versions: by the start of the day or hour of their window's start.
    """

    account_id: int
    source: str
    account: str
    reached_at: datetime | None = None
    intervals: Mapping[str, Sequence[Window]] = field(default_factory=dict)
    new_versions: Mapping[datetime, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """
    A day or an hour of a calendar.

    :param state: one of :data:`CELL_STATES`.
    """

    start: datetime
    state: str
    new_versions: int


@dataclass(slots=True)
class _Found:
    """
    The data of an account while it is collected.

    :param snapshots: times of the last snapshot of each day or hour.
    :param new_versions: by the start of the day, or hour.
    """

    snapshots: list[datetime] = field(default_factory=list)
    unfinished: list[Any] = field(default_factory=list)
    new_versions: Counter[datetime] = field(default_factory=Counter)


def read_calendars(
    db: Database,
    span: Window,
    *,
    now: datetime,
    late_after: timedelta,
    account_id: int | None = None,
    by_hour: bool = False,
) -> list[AccountCalendar]:
    """
    Read the calendar of each account in a span of time.

    :param late_after: maximum sync lag of a window that is synced in time, inclusive.
    :param account_id: the account to read; ``None`` for all.
    :param by_hour: count new versions by hour, for cells of an hour.
    :returns: by source, then account.
    """
    accounts = db.execute(ACCOUNTS, times=("first_start", "reached_at", "first_at")).all()
    chosen = [row for row in accounts if account_id in (None, row.account_id)]
    account_ids = [row.account_id for row in chosen]
    synced = read_synced(db, account_ids, late_after=late_after, span=span)
    found = _gather(db, span, account_ids, "hour" if by_hour else "day", now)
    return [_calendar(row, synced[row.account_id], found[row.account_id], span) for row in chosen]


def cells_of(calendar: AccountCalendar, span: Window, length: timedelta) -> list[Cell]:
    """
    Divide a span into cells.

    :param length: length of a cell: an hour or a day.
    """
    counted: Counter[int] = Counter()
    for start, versions in calendar.new_versions.items():
        counted[(start - span.start) // length] += versions
    return [
        Cell(cell.start, _worst(calendar.intervals, cell), counted[index])
        for index, cell in enumerate(span.split(length))
    ]


def _gather(db: Database, span: Window, account_ids: Sequence[int], unit: str, now: datetime) -> Mapping[int, _Found]:
    found: defaultdict[int, _Found] = defaultdict(_Found)
    if not account_ids:
        return found
    asked: dict[str, Any] = {"account_ids": list(account_ids), "since": span.start, "until": span.end}
    counted = COUNTED.format(moment=MOMENTS[db.is_sqlite])
    for row in db.execute(counted, times=("last_at",), unit=unit, **asked):
        account = found[row.account_id]
        account.new_versions[_in_utc(row.moment)] += int(row.new_versions)
        if row.is_snapshot:
            account.snapshots.append(row.last_at)
    for row in db.execute(UNFINISHED, times=("start_at", "end_at"), silent_since=now - LOST_AFTER, **asked):
        found[row.account_id].unfinished.append(row)
    return found


def _calendar(row: Any, synced: Synced, found: _Found, span: Window) -> AccountCalendar:
    intervals: dict[str, Sequence[Window]] = {
        "complete": [*synced.all, *(_instant(moment) for moment in found.snapshots)],
        "gap": _gaps(row, synced.all, span),
        "late": lossy_among(synced.all, synced.in_time, baseline_until=row.first_at) if synced.all else [],
    }
    unfinished = [each for each in found.unfinished if not _is_followed(each, found.snapshots)]
    for state in ("running", "failed"):
        attempted = _merged(_attempted(each) for each in unfinished if each.state == state)
        intervals[state] = list(_without(attempted, synced.all))
    return AccountCalendar(row.account_id, row.source, row.account, row.reached_at, intervals, found.new_versions)


def _gaps(row: Any, complete: Sequence[Window], span: Window) -> list[Window]:
    """Return the gaps in a span, including gaps that begin before it or end after it."""
    if row.first_start is None:
        return []
    edges = list(complete)
    if row.first_start < span.start < row.reached_at and (not complete or complete[0].start > span.start):
        edges.insert(0, _instant(span.start - INSTANT))
    if row.first_start < span.end < row.reached_at and (not complete or complete[-1].end < span.end):
        edges.append(_instant(span.end))
    return gaps_between(edges)


def _is_followed(unfinished: Any, snapshots: Sequence[datetime]) -> bool:
    """Return whether a complete snapshot came after an unfinished one on the same day."""
    if not unfinished.is_snapshot:
        return False
    started = unfinished.start_at
    return any(started <= taken and taken.date() == started.date() for taken in snapshots)


def _instant(moment: datetime) -> Window:
    return Window(moment, moment + INSTANT)


def _attempted(row: Any) -> Window:
    return _instant(row.start_at) if row.is_snapshot else Window(row.start_at, row.end_at)


def _merged(windows: Iterable[Window]) -> list[Window]:
    merged: list[tuple[datetime, datetime]] = []
    for window in windows:
        merge_interval(merged, window.start, window.end)
    return [Window(*interval) for interval in merged]


def _without(windows: Iterable[Window], removed: Sequence[Window]) -> Iterator[Window]:
    """Yield windows without removed parts. Both arguments are ascending and disjoint."""
    for window in windows:
        start = window.start
        for other in removed[max(0, bisect_right(removed, start, key=_start_of) - 1) :]:
            if other.start >= window.end:
                break
            if start < other.start:
                yield Window(start, other.start)
            start = max(start, other.end)
        if start < window.end:
            yield Window(start, window.end)


def _worst(intervals: Mapping[str, Sequence[Window]], cell: Window) -> str:
    return next((state for state in CELL_STATES if _overlap(intervals.get(state, ()), cell)), "none")


def _overlap(windows: Sequence[Window], cell: Window) -> bool:
    after = bisect_right(windows, cell.start, key=_start_of)
    is_begun = after > 0 and windows[after - 1].end > cell.start
    return is_begun or (after < len(windows) and windows[after].start < cell.end)


def _start_of(window: Window) -> datetime:
    return window.start


def _in_utc(moment: datetime | str) -> datetime:
    return (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).replace(tzinfo=UTC)
