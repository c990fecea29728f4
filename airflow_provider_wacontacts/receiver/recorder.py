"""
Deliveries on their way into the store.

A transaction takes milliseconds, however little it writes, so deliveries that arrive while others are written share the
next transaction. While the store is down, deliveries are refused at once. While it is silent, other deliveries are
recorded over new connections.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar, cast

from airflow_provider_wacontacts.clients.errors import describe_origin
from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    LandingError,
    LockTimeoutError,
    RetryableStoreError,
    WaContactsError,
)
from airflow_provider_wacontacts.pipelines.callbacks import (
    UNREADABLE,
    UNREADABLE_ENTRIES,
    RecordedCallback,
    record_delivery,
    reject_deliveries,
)
from airflow_provider_wacontacts.receiver.waiting import Group, Waiting, WaitingDeliveries
from airflow_provider_wacontacts.store import Store

__all__ = ["MAX_WAIT", "Recorder", "UnavailableError", "in_daemon_thread"]

log = logging.getLogger(__name__)

#: How long a connection to the store, a lock or a statement may take.
MAX_WAIT = timedelta(seconds=3)
#: How long a client waits for its delivery to be parsed and recorded, for example while an erasure searches the store.
MAX_RESPONSE_S = 10.0
#: How long :meth:`Recorder.close` waits for deliveries that are being recorded.
MAX_CLOSE_S = 5.0
#: Larger deliveries, in bytes, are parsed in another thread. Starting that would take longer than parsing a small one.
LARGE_DELIVERY = 4_096
#: Transactions at once.
WRITERS = 2
#: Deliveries that wait for a writer before the next writer starts: few large transactions cost less than many.
WAITING_EACH = 10
#: After this time, a transaction is slow: another writer may start meanwhile.
SLOW_AFTER_S = 0.5
#: After this time, a writer gives its transaction up. Each statement has a shorter limit, except over a proxy that
#: keeps a silent connection open.
MAX_WRITE_S = 60.0
#: Deliveries that wait to be parsed or recorded; more are refused.
MAX_WAITING = 500
#: How long a known state of the store is reused, and how long a query may take until the store is unavailable.
HEALTH_CACHED_FOR_S = 1.0
HEALTH_WITHIN_S = 5.0
ANY_NUMBER = "SELECT 1 FROM {at}wacontacts_number LIMIT 1"
REFUSED = "Deliveries not recorded: %d. Their clients must deliver them again. %s"
#: The store is down, busy or misconfigured. After other errors, each delivery of a group is retried alone.
OF_THE_STORE = (ConfigError, RetryableStoreError, LockTimeoutError)

T = TypeVar("T")


class UnavailableError(Exception):
    """A delivery cannot be recorded now. The client must deliver it again. The message is the reason, for the log."""


class Recorder:
    """
    Records deliveries in a store. It belongs to one event loop.

    :ivar rejected: the result of a delivery that cannot be read.
    """

    rejected = RecordedCallback(ignored=1)

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parser = ThreadPoolExecutor(1, thread_name_prefix="wacontacts-receiver")
        self._waiting = WaitingDeliveries()
        self._writers: set[asyncio.Task[None]] = set()
        #: Writers whose transaction is slow.
        self._slow: set[asyncio.Task[None]] = set()
        self._is_prepared = False
        self._is_down = False
        self._trial = threading.Lock()
        self._probe: asyncio.Future[bool] | None = None
        self._probed_at = 0.0

    def prepare(self) -> None:
        """
        Create the tables that are missing. If the store is down, that is logged, and they are created later.

        :raises ConfigError: the store's connection is wrong.
        """
        try:
            self._store.prepare()
        except LandingError as error:
            log.warning("Deliveries are refused until the store can be reached. %s", error)
        else:
            self._is_prepared = True

    @property
    def needs_store(self) -> bool:
        """Whether the store failed when it was last used."""
        return not self._is_prepared

    def use(self, store: Store) -> None:
        """Record further deliveries in another store, or in the same one over other connections."""
        self._store, self._is_prepared = store, False

    async def record(self, sender: str, body: bytes) -> RecordedCallback:
        """
        Record a verified delivery. One that cannot be read is stored as a reject.

        Results of a number are recorded in the order in which they arrived.

        :raises UnavailableError: the store is down or too slow, or too many deliveries wait.
        """
        waiting = Waiting(sender, body, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(MAX_RESPONSE_S):
                await self._record(waiting)
        except TimeoutError:
            raise UnavailableError(f"the store took more than {MAX_RESPONSE_S:.0f} seconds") from None
        finally:
            # If there is nothing to record, or its client has left, the ones behind it wait no longer.
            waiting.done.cancel()
            self._start_writer()
        return waiting.delivery.counts if waiting.delivery else self.rejected

    async def is_available(self) -> bool:
        """Return whether the store can be read. Callers share one query a second."""
        age = time.monotonic() - self._probed_at
        if self._probe is None or age > (HEALTH_CACHED_FOR_S if self._probe.done() else HEALTH_WITHIN_S):
            self._probe = in_daemon_thread(self._can_read)
            self._probed_at, age = time.monotonic(), 0.0
        probe = self._probe
        await asyncio.wait([probe], timeout=max(0.0, HEALTH_WITHIN_S - age))
        return probe.done() and probe.result()

    async def close(self) -> None:
        """Wait a few seconds for the deliveries that are being recorded."""
        if self._writers:
            await asyncio.wait(self._writers, timeout=MAX_CLOSE_S)
        self._parser.shutdown(wait=False, cancel_futures=True)

    async def _record(self, waiting: Waiting) -> None:
        """Give a delivery its place before it is parsed in another thread, so that no later one overtakes it."""
        is_large = len(waiting.body) > LARGE_DELIVERY
        if not is_large:
            waiting.parse()
            if waiting.is_empty:
                return
        if len(self._waiting) >= MAX_WAITING:
            raise UnavailableError("too many deliveries wait")
        self._waiting.add(waiting)
        if is_large:
            await asyncio.get_running_loop().run_in_executor(self._parser, waiting.parse)
        if not waiting.is_empty:
            waiting.is_ready = True
            self._start_writer()
            await waiting.done

    def _start_writer(self) -> None:
        """Start the next writer if many deliveries wait, or any while all transactions are slow."""
        quick = len(self._writers) - len(self._slow)
        if len(self._writers) < WRITERS and len(self._waiting) > quick * WAITING_EACH:
            self._writers.add(asyncio.create_task(self._write_all()))

    async def _write_all(self) -> None:
        writer = cast("asyncio.Task[None]", asyncio.current_task())
        while group := self._waiting.take():
            slow = asyncio.get_running_loop().call_later(SLOW_AFTER_S, self._note_slow, writer)
            writing = in_daemon_thread(self._write, group)
            await asyncio.wait([writing], timeout=MAX_WRITE_S)
            written = writing.result() if writing.done() else self._give_up(group)
            slow.cancel()
            self._slow.discard(writer)
            self._waiting.release(group)
            for waiting in group.members:
                if waiting.done.done():  # its client has left
                    continue
                if waiting in written:
                    waiting.done.set_result(None)
                else:
                    waiting.done.set_exception(UnavailableError("the store is unavailable"))
        # Not later, as a callback: a delivery that arrives in between would wait for the next one.
        self._writers.discard(writer)

    def _give_up(self, group: Group) -> list[Waiting]:
        """Stop waiting for a transaction whose connection is silent. The next one finds out if the store is down."""
        log.warning(REFUSED, len(group.members), f"The store has been silent for {MAX_WRITE_S:.0f} seconds.")
        self._trial = threading.Lock()
        return []

    def _note_slow(self, writer: asyncio.Task[None]) -> None:
        self._slow.add(writer)
        self._start_writer()

    def _write(self, group: Group) -> list[Waiting]:
        """Write deliveries; return the ones that were written."""
        is_trial, trial = self._is_down, self._trial
        if is_trial and not trial.acquire(blocking=False):
            # While the store is down, one tries at a time, and the others are refused at once.
            return []
        try:
            if self._try(group):
                return group.members
            if self._is_down or len(group.members) == 1:
                return []
            return self._write_alone(group.members)
        finally:
            if is_trial:
                trial.release()

    def _write_alone(self, members: Iterable[Waiting]) -> list[Waiting]:
        """Write each delivery in a transaction of its own, as long as its client waits."""
        deadline = time.monotonic() + MAX_WAIT.total_seconds()
        return [
            waiting
            for waiting in members
            if time.monotonic() < deadline and self._try(Group([waiting], waiting.delivery))
        ]

    def _try(self, group: Group) -> bool:
        try:
            store = self._prepared()
            _write_together(store, group)
        except WaContactsError as error:
            # The tables may be gone.
            self._is_prepared = False
            self._is_down = isinstance(error, OF_THE_STORE)
            log.warning(REFUSED, len(group.members), error)
        except Exception as error:  # noqa: BLE001 - its text may quote the delivery
            log.error(REFUSED, len(group.members), f"{type(error).__name__} {describe_origin(error)}. Report it.")  # noqa: TRY400
        else:
            self._is_down = False
            return True
        return False

    def _prepared(self) -> Store:
        """Return the store, whose tables exist."""
        store = self._store
        if not self._is_prepared:
            store.prepare()
            self._is_prepared = store is self._store
        return store

    def _can_read(self) -> bool:
        try:
            with self._prepared().context.read() as db:
                db.execute(ANY_NUMBER)
        except WaContactsError:
            self._is_prepared = False
            return False
        return True


def _write_together(store: Store, group: Group) -> None:
    delivery = group.together
    if unreadable := [waiting.body for waiting in group.members if waiting.delivery is None]:
        reject_deliveries(store, UNREADABLE, unreadable)
    if delivery is not None and delivery.unreadable:
        reject_deliveries(store, UNREADABLE_ENTRIES, delivery.unreadable)
    if delivery is not None and not delivery.is_empty:
        record_delivery(store, group.members[0].sender, delivery, verified=True)


def in_daemon_thread(work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
    """Work in a thread of its own, which does not keep the process: a silent connection may not end."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work(*arguments)
        except BaseException as error:  # noqa: BLE001 - passed on
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return asyncio.wrap_future(future)
