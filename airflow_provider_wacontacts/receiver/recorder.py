"""Deliveries on their way into the store: in a few threads, and refused at once while the store is down."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

from airflow_provider_wacontacts.exceptions import ContractError, LandingError, WaContactsError
from airflow_provider_wacontacts.pipelines.callbacks import (
    RecordedCallback,
    parse_delivery,
    record_delivery,
    reject_delivery,
)
from airflow_provider_wacontacts.store import Store

__all__ = ["MAX_WAIT", "Recorder", "UnavailableError"]

log = logging.getLogger(__name__)

#: How long a connection to the store, a lock or a statement may take. Clients wait no longer for a response.
MAX_WAIT = timedelta(seconds=3)
THREADS = 4
#: Deliveries that wait for a thread; more are refused.
MAX_WAITING = 500
#: How long its state is reused for.
HEALTH_CACHED_FOR_S = 1.0


class UnavailableError(Exception):
    """A delivery cannot be recorded now. The client must deliver it again."""


class Recorder:
    """
    Records deliveries in a store. It belongs to one event loop.

    :ivar rejected: the result of a delivery that cannot be read.
    """

    rejected = RecordedCallback(ignored=1)

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wacontacts-receiver")
        self._waiting = 0
        self._is_prepared = False
        self._is_down = False
        self._trial = threading.Lock()
        self._probe: asyncio.Task[bool] | None = None
        self._probed_at = 0.0

    def prepare(self) -> None:
        """
        Create the tables that are missing. A store that is down is reported, and prepared later.

        :raises ConfigError: the store's connection is wrong.
        """
        try:
            self._store.prepare()
        except LandingError as error:
            log.warning("Deliveries are refused until the store can be reached. %s", error)
        else:
            self._is_prepared = True

    async def record(self, sender: str, body: bytes, *, received_at: datetime) -> RecordedCallback:
        """
        Record a verified delivery. One that cannot be read is stored as a reject.

        :raises UnavailableError: the store is down, or too many deliveries wait.
        """
        if self._waiting >= MAX_WAITING:
            raise UnavailableError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._record, sender, body, received_at
            )
        finally:
            self._waiting -= 1

    async def is_available(self) -> bool:
        """Return whether the store can be read. Callers share one query a second."""
        if self._probe is None or (self._probe.done() and time.monotonic() - self._probed_at > HEALTH_CACHED_FOR_S):
            self._probe = asyncio.create_task(asyncio.to_thread(self._can_read))
            self._probed_at = time.monotonic()
        return await asyncio.shield(self._probe)

    def close(self) -> None:
        """Wait for the deliveries that are being recorded."""
        self._threads.shutdown()

    def _record(self, sender: str, body: bytes, received_at: datetime) -> RecordedCallback:
        try:
            delivery = parse_delivery(body, sender)
        except ContractError:
            self._write(lambda: reject_delivery(self._store, body, received_at=received_at))
            return self.rejected
        if not delivery.is_empty:
            self._write(lambda: record_delivery(self._store, sender, delivery, verified=True, received_at=received_at))
        return delivery.counts

    def _write(self, write: Callable[[], None]) -> None:
        """Write to the store. While it is down, one delivery at a time tries, and the others are refused at once."""
        is_trial = self._is_down
        if is_trial and not self._trial.acquire(blocking=False):
            raise UnavailableError
        try:
            if not self._is_prepared:
                self._store.prepare()
                self._is_prepared = True
            write()
            self._is_down = False
        except WaContactsError as error:
            self._is_down = True
            log.warning("A delivery was not recorded: the client must deliver it again. %s", error)
        except Exception as error:  # noqa: BLE001 - its text may quote the delivery
            log.error("A delivery was not recorded: %s %s. Report it.", type(error).__name__, _location(error))  # noqa: TRY400
        else:
            return
        finally:
            if is_trial:
                self._trial.release()
        raise UnavailableError

    def _can_read(self) -> bool:
        try:
            with self._store.context.read() as db:
                db.execute("SELECT 1")
        except WaContactsError:
            return False
        return True


def _location(error: Exception) -> str:
    """Return where an error was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"in {last.name}, line {last.lineno} of {Path(last.filename).name}"
