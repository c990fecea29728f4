"""Attempts: each stores a heartbeat every minute, the time until which it is deferred, or the class of its error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any, Protocol

from sqlalchemy import update
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_wacontacts.exceptions import WaContactsError
from airflow_provider_wacontacts.store import ledger
from airflow_provider_wacontacts.store.context import StoreContext

__all__ = ["ExtractionAttempt", "RecordedAttempt", "recorded"]

BEAT_EVERY_S = 60.0


class RecordedAttempt(Protocol):
    """Stores the progress of an attempt."""

    def beat(self) -> None:
        """Store a heartbeat."""

    def fail(self, error: str) -> None:
        """Store that the attempt failed, unless it has ended or is deferred."""


@contextmanager
def recorded(attempt: RecordedAttempt) -> Iterator[None]:
    """Store a heartbeat every minute until the block ends. If an error or SIGTERM ends it, mark it as failed."""
    ended = Event()
    Thread(target=_beat, args=(attempt, ended), name="wacontacts-beat", daemon=True).start()
    try:
        yield
    except BaseException as error:
        with suppress(WaContactsError):
            attempt.fail(type(error).__name__)
        raise
    finally:
        ended.set()


def _beat(attempt: RecordedAttempt, ended: Event) -> None:
    while not ended.wait(BEAT_EVERY_S):
        with suppress(WaContactsError):
            attempt.beat()


class ExtractionAttempt:
    """
    An extraction as an attempt.

    :ivar extraction_id: 32 hexadecimal digits.
    :ivar resume_from: the last committed position of the previous attempt; ``None`` to start the window.
    :ivar resumes: earlier attempts, 0 and up.
    """

    def __init__(self, context: StoreContext, started: ledger.StartedExtraction) -> None:
        self.extraction_id = started.extraction_id
        self.resume_from = started.resume_from
        self.resumes = started.resumes
        self._started = started
        self._context = context

    def beat(self) -> None:
        """Store a heartbeat."""
        self._update(lambda now: {"heartbeat_at": now})

    def defer(self, delay: timedelta) -> None:
        """Store that the task is deferred: no heartbeat is expected until the delay is over."""
        self._update(lambda now: {"deferred_until": now + delay})

    def fail(self, error: str) -> None:
        """
        Store that the attempt failed, unless it has ended or is deferred.

        :param error: the error's class.
        """
        is_deferred = self._context.tables.extraction.c.deferred_until.is_not(None)
        self._update(lambda now: {"state": "failed", "error": error, "finished_at": now}, ~is_deferred)

    def _update(self, values: Callable[[datetime], dict[str, Any]], *conditions: ColumnElement[bool]) -> None:
        table = self._context.tables.extraction
        running = (table.c.extraction_id == self.extraction_id, table.c.state == "running", *conditions)

        def work(connection: Connection) -> None:
            now = self._context.now(connection)
            connection.execute(update(table).where(*running).values(**values(now)))

        self._context.transactions.run(work)
