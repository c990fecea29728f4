"""Half-open windows of time in UTC, and formatting of times, durations and counts for logs and pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = [
    "Window",
    "format_count",
    "format_duration",
    "format_minute",
    "format_time",
    "parse_time",
    "resolve_run_window",
]

MILLISECOND = timedelta(milliseconds=1)
SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def parse_time(text: str) -> datetime:
    """
    Parse an ISO 8601 string with an offset.

    :param text: with any fraction of a second, ``Z`` or ``+hh:mm``, and a space or ``T`` between date and time.
    :returns: UTC, in microseconds.
    :raises ValueError: the text is not a time, or has no offset.
    """
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """Return a string of fixed width, UTC, microseconds. Strings sort like their times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def format_minute(moment: datetime) -> str:
    """Return a short string for logs: UTC, to the minute unless there are seconds."""
    moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC" if moment.second else "%Y-%m-%d %H:%M UTC")


def format_duration(duration: timedelta) -> str:
    """Return the two largest units, rounded down: ``3d 2h``, ``26h 5m``, ``0s``. Days start at 48 hours."""
    rest, parts = int(abs(duration.total_seconds())), []
    for unit in [*SECONDS][rest < 2 * SECONDS["d"] :]:
        count, rest = divmod(rest, SECONDS[unit])
        parts.append((count, unit))
    first = next((index for index, (count, _) in enumerate(parts) if count), -1)
    text = " ".join(f"{count}{unit}" for count, unit in parts[first:][:2] if count) or "0s"
    return text if duration >= timedelta(0) else f"-{text}"


def format_count(count: int, word: str) -> str:
    """Return a count with its noun: ``1 page``, ``2,000 rows``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Window:
    """
    A half-open window of time: it contains ``start``, but not ``end``.

    :param start: timezone-aware.
    :param end: timezone-aware, later than ``start``.
    :raises ConfigError: a time is naive, or the end is not after the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            moment = getattr(self, name)
            if moment.tzinfo is None:
                raise ConfigError(f"{name} {moment.isoformat()} has no time zone. Add an offset, for example +00:00.")
            # Airflow passes pendulum times, which have different arithmetic from datetime.
            object.__setattr__(self, name, datetime.fromisoformat(moment.isoformat()).astimezone(UTC))
        if self.end <= self.start:
            raise ConfigError(f"end {format_time(self.end)} is not after start {format_time(self.start)}.")

    def __str__(self) -> str:
        return f"{format_minute(self.start)} to {format_minute(self.end)}"

    def split(self, length: timedelta) -> Iterator[Window]:
        """
        Split into adjacent windows of one length, in order. The last may be shorter.

        :param length: longer than zero.
        """
        if length <= timedelta(0):
            raise ConfigError("The length of a window must be longer than zero.")
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
    Return the window that a run syncs.

    Explicit times take precedence, then ``window_length``, back from the end of the data interval or from
    ``run_after``, then the data interval itself.

    :param start: timezone-aware, or an ISO 8601 string; set both ``start`` and ``end``, or neither.
    :param window_length: longer than zero.
    :param interval: the run's data interval; its length is zero with the presets of Airflow 3.
    :param run_after: when the run was due.
    :raises ConfigError: a time is invalid, only one is set, or there is no window.
    """
    if start is not None or end is not None:
        return Window(_given_time("start", start, other="end"), _given_time("end", end, other="start"))
    if window_length is not None:
        last = interval[1] if interval else run_after
        if window_length <= timedelta(0):
            raise ConfigError(f"window_length is {window_length}. It must be longer than zero.")
        if last is not None:
            return Window(last - window_length, last)
    elif interval and interval[0] < interval[1]:
        return Window(*interval)
    raise ConfigError(
        "This run has no data interval, or one of zero length. Set window_length, for example timedelta(days=1), or"
        " schedule the DAG with an interval timetable, for example CronDataIntervalTimetable."
    )


def _given_time(name: str, value: str | datetime | None, *, other: str) -> datetime:
    if value is None:
        raise ConfigError(f"{other} is set without {name}. Set both or neither.")
    if isinstance(value, datetime):
        return value
    if value.strip() in ("", "None"):
        raise ConfigError(f"{name} is empty after rendering. Set an ISO 8601 time, for example 2022-09-12T00:00:00Z.")
    try:
        return parse_time(value)
    except ValueError:
        raise ConfigError(
            f"{name} is not an ISO 8601 time with an offset, for example 2022-09-12T02:00:00+02:00."
        ) from None
