"""Calendars and bars as SVG: the position and text of each shape. The templates only print them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from airflow_provider_wacontacts.records.windows import Window, format_count
from airflow_provider_wacontacts.store.calendar import AccountCalendar, Cell, cells_of

__all__ = ["STATES", "Bar", "BudgetChart", "Square", "Strip", "budget_chart", "day_strip", "hour_strip"]

#: Text of a cell by its state, in the order of the legend.
STATES = {
    "complete": "synced in time",
    "late": "synced late, versions may be missing",
    "gap": "gap: never synced",
    "failed": "sync failed",
    "running": "sync is running",
    "none": "nothing due",
}
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LEFT, TOP = 34, 18
BARS = 44
#: Pitch of a year's cells, and of two years'.
PITCH, NARROW_PITCH = 20, 11
HOUR_PITCH = 28


@dataclass(frozen=True, slots=True)
class Square:
    """A cell: its position, state, text, and the day that it links to."""

    x: float
    y: float
    state: str
    text: str
    day: date


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its position, size and text."""

    x: float
    y: float
    width: float
    height: float
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """
    A calendar of one account.

    :param size: of a cell.
    :param columns: labels above, with their x.
    :param lines: labels on the left, with their y.
    :param bars: new versions, below the cells.
    :param most: new versions of the highest bar.
    :param counts: number of cells by state.
    """

    width: float
    height: float
    size: float
    squares: Sequence[Square]
    columns: Sequence[tuple[float, str]]
    lines: Sequence[tuple[float, str]]
    bars: Sequence[Bar]
    bars_y: float
    most: int
    counts: Mapping[str, int]


def day_strip(calendar: AccountCalendar, span: Window, today: date) -> Strip:
    """Return a calendar of weeks, one cell a day, with the new versions of each day below."""
    cells = [cell for cell in cells_of(calendar, span, DAY) if cell.start.date() <= today]
    weeks = (span.end - span.start) // (7 * DAY)
    pitch = PITCH if weeks <= 53 else NARROW_PITCH
    squares = [
        Square(LEFT + index // 7 * pitch, TOP + index % 7 * pitch, cell.state, _day_text(cell), cell.start.date())
        for index, cell in enumerate(cells)
    ]
    most = max((cell.new_versions for cell in cells), default=0)
    step, bars_y = pitch / 7, TOP + 7 * pitch + 8
    bars = [
        _bar(
            LEFT + index // 7 * pitch + index % 7 * step,
            bars_y,
            step * 0.8,
            share=cell.new_versions / most,
            text=_day_text(cell),
        )
        for index, cell in enumerate(cells)
        if cell.new_versions
    ]
    return Strip(
        width=LEFT + weeks * pitch,
        height=bars_y + BARS + 2,
        size=pitch - (3 if pitch == PITCH else 2),
        squares=squares,
        columns=list(_months(span, pitch)),
        lines=[(TOP + row * pitch + pitch * 0.65, name) for row, name in ((0, "Mon"), (2, "Wed"), (4, "Fri"))],
        bars=bars,
        bars_y=bars_y,
        most=most,
        counts=_counts(cells),
    )


def hour_strip(calendar: AccountCalendar, span: Window, now: datetime) -> Strip:
    """Return a week, one row a day and one cell an hour, with the new versions of each hour below."""
    cells = [cell for cell in cells_of(calendar, span, HOUR) if cell.start <= now]
    left = LEFT + 30
    squares = [
        Square(
            left + index % 24 * HOUR_PITCH,
            TOP + index // 24 * HOUR_PITCH,
            cell.state,
            _hour_text(cell),
            cell.start.date(),
        )
        for index, cell in enumerate(cells)
    ]
    by_hour = [sum(cell.new_versions for cell in cells[hour::24]) for hour in range(24)]
    most, bars_y = max(by_hour), TOP + 7 * HOUR_PITCH + 8
    bars = [
        _bar(
            left + hour * HOUR_PITCH,
            bars_y,
            HOUR_PITCH - 3,
            share=versions / most,
            text=f"{hour:02d}:00 UTC, all days: {format_count(versions, 'new version')}",
        )
        for hour, versions in enumerate(by_hour)
        if versions
    ]
    return Strip(
        width=left + 24 * HOUR_PITCH,
        height=bars_y + BARS + 2,
        size=HOUR_PITCH - 3,
        squares=squares,
        columns=[(left + hour * HOUR_PITCH, f"{hour:02d}") for hour in range(0, 24, 3)],
        lines=[(TOP + row * HOUR_PITCH + HOUR_PITCH * 0.6, f"{span.start + row * DAY:%a %d %b}") for row in range(7)],
        bars=bars,
        bars_y=bars_y,
        most=most,
        counts=_counts(cells),
    )


@dataclass(frozen=True, slots=True)
class BudgetChart:
    """
    The checks that a sender has spent, one bar per day.

    :param bars: of spent checks; those past 90 percent of the day's limit are of kind ``full``.
    :param limits: the limit of each day, as points of a line.
    """

    width: float
    height: float
    bars: Sequence[Bar]
    limits: Sequence[Bar]
    columns: Sequence[tuple[float, str]]
    most: int


def budget_chart(spent: Mapping[date, tuple[int, int | None]], today: date, days: int) -> BudgetChart:
    """Return the checks of a sender over some days, up to today, against their limit."""
    pitch, height, top = 30, 120, 12
    shown = [today - (days - 1 - index) * DAY for index in range(days)]
    values = [spent.get(day, (0, None)) for day in shown]
    most = max([1, *(max(count, limit or 0) for count, limit in values)])

    def y_of(count: float) -> float:
        return round(top + height * (1 - count / most), 1)

    bars = [
        Bar(
            index * pitch + 3,
            y_of(count),
            pitch - 6,
            round(height + top - y_of(count), 1),
            f"{day:%a %d %b}: {count:,} checks spent" + (f" of {limit:,}" if limit else ""),
            "full" if limit and count >= limit else "high" if limit and count >= limit * 0.9 else "spent",
        )
        for index, (day, (count, limit)) in enumerate(zip(shown, values, strict=True))
    ]
    limits = [
        Bar(index * pitch, y_of(limit), pitch, 0, f"{day:%a %d %b}: limit {limit:,}")
        for index, (day, (_, limit)) in enumerate(zip(shown, values, strict=True))
        if limit
    ]
    columns = [(index * pitch, f"{day:%d %b}") for index, day in enumerate(shown) if index % 5 == 0]
    return BudgetChart(days * pitch, height + top + 22, bars, limits, columns, most)


def _months(span: Window, pitch: float) -> Iterator[tuple[float, str]]:
    """Yield the name of each month above the first week that begins in it, where there is room."""
    free_from = 0.0
    for week in range((span.end - span.start) // (7 * DAY)):
        monday = span.start + week * 7 * DAY
        x = LEFT + week * pitch
        if monday.day <= 7 and x >= free_from:
            free_from = x + (56 if monday.month == 1 else 29)
            yield x, f"{monday:%b %Y}" if monday.month == 1 else f"{monday:%b}"


def _bar(x: float, y: float, width: float, *, share: float, text: str) -> Bar:
    height = max(2.0, round(BARS * share, 1))
    return Bar(round(x, 2), round(y + BARS - height, 1), round(width, 2), height, text)


def _day_text(cell: Cell) -> str:
    return f"{cell.start:%a %d %b %Y}: {STATES[cell.state]}{_with_versions(cell)}"


def _hour_text(cell: Cell) -> str:
    return f"{cell.start:%a %d %b, %H:00} UTC: {STATES[cell.state]}{_with_versions(cell)}"


def _with_versions(cell: Cell) -> str:
    return f"; {format_count(cell.new_versions, 'new version')}" if cell.new_versions else ""


def _counts(cells: Sequence[Cell]) -> Mapping[str, int]:
    return {state: sum(cell.state == state for cell in cells) for state in STATES}
