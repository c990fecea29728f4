"""Wait for a moment without holding a worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

__all__ = ["WaitUntilTrigger"]

MAX_SLEEP_S = 60.0


class WaitUntilTrigger(BaseTrigger):
    """
    Fires once, at a moment or as soon after it as it is looked at.

    The event is ``{"until": …, "attempt": …}``: it carries all that the resumed task needs.

    :param until: aware time, or its ISO text.
    :param attempt: which attempt the task makes when it goes on, 1 and up; handed through unchanged.
    :param _later: what workers of a later release give as well; left aside.
    """

    def __init__(self, until: datetime | str, attempt: int = 1, **_later: Any) -> None:
        super().__init__()
        self.until = datetime.fromisoformat(until) if isinstance(until, str) else until
        if self.until.tzinfo is None:
            raise ValueError("until has no time zone")
        self.attempt = attempt

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and plain arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"until": self.until.astimezone(UTC).isoformat(), "attempt": self.attempt},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep in short naps, so that a corrected clock is noticed, then fire."""
        # A nap, not one long sleep: a laptop that was shut, or a clock that was set, must not prolong the wait.
        while (left := (self.until - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, MAX_SLEEP_S))
        yield TriggerEvent({"until": self.until.astimezone(UTC).isoformat(), "attempt": self.attempt})
