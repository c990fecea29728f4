"""The sandbox's clock, independent of the machine's. It can be set, advanced, or running."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

__all__ = ["Clock", "TimeFormat", "read_time", "write_time"]

TimeFormat = Literal["millis", "micros", "seconds", "offset"]


def read_time(moment: datetime | str) -> datetime:
    """
    Read a time of a request, a control body or a test.

    :returns: UTC.
    :raises ValueError: the text is not an ISO 8601 time, or the time has no offset.
    """
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    return moment.astimezone(UTC)


def write_time(moment: datetime, style: TimeFormat = "micros") -> str:
    """Format a time in UTC, truncated to the style's precision. ``offset`` has whole seconds and +00:00."""
    match style:
        case "millis":
            return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
        case "micros":
            return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case "seconds":
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        case "offset":
            return moment.strftime("%Y-%m-%dT%H:%M:%S+00:00")


class Clock:
    """
    A clock that does not advance until it is set.

    :param now: the initial time.
    :param rate: sandbox seconds in a real second. 0 stops the clock, 1 is real time, 3600 makes a day last 24 s.
    :param monotonic: real seconds of a monotonic clock.
    """

    def __init__(
        self, now: datetime | str, *, rate: float = 0.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._rate = rate
        self._base = read_time(now)
        self._since = monotonic()

    @property
    def rate(self) -> float:
        """Sandbox seconds in a real second."""
        return self._rate

    def now(self) -> datetime:
        """Return the time, in UTC, to the microsecond."""
        with self._lock:
            return self._read()

    def set(self, now: datetime | str, *, rate: float | None = None) -> datetime:
        """Set the time, forward or back. The contacts are then as of that time."""
        with self._lock:
            return self._restart(read_time(now), rate)

    def advance(self, span: timedelta | float, *, rate: float | None = None) -> datetime:
        """
        Advance by a duration.

        :param span: a ``timedelta`` or seconds; negative to go back.
        """
        if not isinstance(span, timedelta):
            span = timedelta(seconds=span)
        with self._lock:
            return self._restart(self._read() + span, rate)

    def _restart(self, base: datetime, rate: float | None) -> datetime:
        self._base, self._since = base, self._monotonic()
        if rate is not None:
            self._rate = rate
        return base

    def _read(self) -> datetime:
        return self._base + timedelta(seconds=(self._monotonic() - self._since) * self._rate)
