"""Windows: half-open spans of time, in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["Window", "format_millis", "format_time", "parse_time"]

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
            object.__setattr__(self, name, moment.astimezone(UTC))
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
