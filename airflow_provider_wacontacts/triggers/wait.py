"""Wait until a time without a worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

__all__ = ["WaitUntilTrigger"]

#: Minimum time that a task stays deferred. Airflow fails a task that resumes before the scheduler has processed its
#: worker's exit: https://github.com/apache/airflow/issues/72716
MIN_DEFERRAL = timedelta(seconds=10)
MAX_SLEEP_S = 60.0


class WaitUntilTrigger(BaseTrigger):
    """
    Fires once at a time, but not in the trigger's first ten seconds.

    The event is ``{"until": …, "attempt": …}``, which the resumed task needs.

    :param until: Timezone-aware ``datetime``, or ISO 8601 string with an offset.
    :param attempt: Number of the resumed task's attempt, 1 and up; passed through unchanged. Default: 1.
    :param _later: Arguments of later releases; ignored.
    """

    def __init__(self, until: datetime | str, attempt: int = 1, **_later: Any) -> None:
        super().__init__()
        self.until = datetime.fromisoformat(until) if isinstance(until, str) else until
        if self.until.tzinfo is None:
            raise ValueError("until has no time zone; write it with an offset")
        self.attempt = attempt

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and plain arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"until": self.until.astimezone(UTC).isoformat(), "attempt": self.attempt},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep in short steps, then fire."""
        time = max(self.until, datetime.now(UTC) + MIN_DEFERRAL)
        # Short steps detect clock changes, and suspended machines.
        while (left := (time - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, MAX_SLEEP_S))
        yield TriggerEvent({"until": self.until.astimezone(UTC).isoformat(), "attempt": self.attempt})
