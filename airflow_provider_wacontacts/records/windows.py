"""Windows: half-open spans of time, in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["Window", "format_millis", "format_time", "parse_time", "resolve_run_window"]

MILLISECOND = timedelta(milliseconds=1)


def parse_time(text: str) -> datetime:
    """
    Read an ISO 8601 time that carries its offset.

    :param text: fraction of none to any number of digits, ``Z`` or ``+hh:mm``; a blank or ``T`` between date and time.
    :returns: in UTC, to the microsecond.
    :raises ValueError: the text is no time, or a naive one.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    return moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """Write a time with a fixed width, UTC, microseconds, so that text sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def format_millis(moment: datetime) -> str:
    """Write a time as Turn.io's documents do: UTC, milliseconds; finer parts are dropped."""
    return format_time(moment)[:23] + "Z"


@dataclass(frozen=True, slots=True)
class Window:
    """
    A half-open span of time: ``start`` belongs to it, ``end`` does not.

    :param start: aware.
    :param end: aware, later than ``start``.
    :raises ConfigError: a naive time, or an end that is not after the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            moment = getattr(self, name)
            if moment.tzinfo is None:
                raise ConfigError(
                    f"{name} {moment.isoformat()} has no time zone; write it with an offset, such as +00:00"
                )
            # Airflow hands over pendulum's times, which are datetimes that behave differently: they end here.
            object.__setattr__(self, name, datetime.fromisoformat(moment.isoformat()).astimezone(UTC))
        if self.end <= self.start:
            raise ConfigError(f"end {format_time(self.end)} is not after start {format_time(self.start)}")

    def split(self, length: timedelta) -> Iterator[Window]:
        """
        Cut into windows of one length, in order, sharing their borders; the last may be shorter.

        :param length: longer than nothing.
        """
        if length <= timedelta(0):
            raise ConfigError("a window's length must be longer than nothing")
        start = self.start
        while start < self.end:
            end = min(start + length, self.end)
            yield Window(start, end)
            start = end


def resolve_run_window(
    *,
    start: str | datetime | None,
    end: str | datetime | None,
    window_length: timedelta | None,
    interval: tuple[datetime, datetime] | None,
    run_after: datetime | None,
) -> Window:
    """
    Decide which window a run pulls.

    Explicit times come first; then a length, counted back from the end of the run's interval or, where it has none,
    from when the run was due; then the interval itself.

    :param start: aware time or its ISO text; with ``end`` or not at all.
    :param window_length: longer than nothing.
    :param interval: the run's data interval; of zero length under the plain presets of Airflow 3.
    :param run_after: when the run was due.
    :raises ConfigError: times that cannot be, one without the other, or nothing to go by.
    """
    if start is not None or end is not None:
        return Window(_given_time("start", start, other="end"), _given_time("end", end, other="start"))
    if window_length is not None:
        last = interval[1] if interval else run_after
        if window_length <= timedelta(0):
            raise ConfigError(f"window_length is {window_length}; it must be longer than nothing")
        if last is not None:
            return Window(last - window_length, last)
    elif interval and interval[0] < interval[1]:
        return Window(*interval)
    raise ConfigError(
        "this run has no data interval, or one of zero length: give window_length=, such as timedelta(days=1), or"
        " schedule the DAG with an interval timetable such as CronDataIntervalTimetable"
    )


def _given_time(name: str, value: str | datetime | None, *, other: str) -> datetime:
    if value is None:
        raise ConfigError(f"{other} is given without {name}; give both or neither")
    if isinstance(value, datetime):
        return value
    if value.strip() in ("", "None"):
        raise ConfigError(f"{name} is empty once rendered; give an ISO time such as 2022-09-12T00:00:00Z")
    try:
        return parse_time(value)
    except ValueError:
        raise ConfigError(
            f"{name} is not an ISO time with an offset, such as 2022-09-12T00:00:00Z or 2022-09-12T02:00:00+02:00"
        ) from None
