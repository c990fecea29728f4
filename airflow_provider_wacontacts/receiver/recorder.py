"""
Deliveries on their way into the store.

A transaction takes milliseconds, however little it writes, so deliveries that arrive while others are written share the
next transaction. While the store is down, deliveries are refused at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from airflow_provider_wacontacts.clients.errors import describe_origin
from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    ContractError,
    LandingError,
    LockTimeoutError,
    RetryableStoreError,
    WaContactsError,
)
from airflow_provider_wacontacts.pipelines.callbacks import (
    Delivery,
    RecordedCallback,
    parse_delivery,
    record_delivery,
    reject_deliveries,
)
from airflow_provider_wacontacts.store import Store

__all__ = ["MAX_WAIT", "Recorder", "UnavailableError"]

log = logging.getLogger(__name__)

#: How long a connection to the store, a lock or a statement may take.
MAX_WAIT = timedelta(seconds=3)
#: How long a client waits for its delivery to be recorded, for example while an erasure searches the store.
MAX_RESPONSE_S = 10.0
#: Larger deliveries, in bytes, are parsed in another thread. Starting that would take longer than parsing a small one.
LARGE_DELIVERY = 4_096
#: Transactions at once. Another thread parses large deliveries.
WRITERS = 2
#: Deliveries that wait for a writer before the next writer starts: few large transactions cost less than many.
WAITING_EACH = 10
#: Deliveries that wait for a transaction; more are refused.
MAX_WAITING = 500
#: How long a known state of the store is reused.
HEALTH_CACHED_FOR_S = 1.0
REFUSED = "Deliveries not recorded: %d. Their clients must deliver them again. %s"
#: The store is down, busy or misconfigured. After other errors, each delivery of a group is retried alone.
OF_THE_STORE = (ConfigError, RetryableStoreError, LockTimeoutError)


class UnavailableError(Exception):
    """A delivery cannot be recorded now. The client must deliver it again. The message is the reason, for the log."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """
    A delivery that waits for a transaction.

    :param delivery: its content; ``None`` if it cannot be read.
    """

    sender: str
    body: bytes
    delivery: Delivery | None
    received_at: datetime
    done: asyncio.Future[None]

    @property
    def numbers(self) -> Collection[str]:
        """Numbers that it has a result for."""
        return self.delivery.results if self.delivery else ()


class _Group(NamedTuple):
    """
    Deliveries that are recorded together.

    :param together: the contents of those that can be read; ``None`` if none can.
    """

    members: list[_Waiting]
    together: Delivery | None


class Recorder:
    """
    Records deliveries in a store. It belongs to one event loop.

    :ivar rejected: the result of a delivery that cannot be read.
    """

    rejected = RecordedCallback(ignored=1)

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(WRITERS + 1, thread_name_prefix="wacontacts-receiver")
        self._waiting: deque[_Waiting] = deque()
        self._writers: set[asyncio.Task[None] | None] = set()
        #: Numbers whose results are being written.
        self._numbers: set[str] = set()
        self._is_prepared = False
        self._is_down = False
        self._trial = threading.Lock()
        self._probe: asyncio.Task[bool] | None = None
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

    async def record(self, sender: str, body: bytes, *, received_at: datetime) -> RecordedCallback:
        """
        Record a verified delivery. One that cannot be read is stored as a reject.

        Results of a number are recorded in the order in which they arrived.

        :raises UnavailableError: the store is down or too slow, or too many deliveries wait.
        """
        loop = asyncio.get_running_loop()
        if len(body) > LARGE_DELIVERY:
            delivery = await loop.run_in_executor(self._threads, _parse, body, sender)
        else:
            delivery = _parse(body, sender)
        if delivery is None or not delivery.is_empty:
            if len(self._waiting) >= MAX_WAITING:
                raise UnavailableError("too many deliveries wait")
            waiting = _Waiting(sender, body, delivery, received_at, loop.create_future())
            self._waiting.append(waiting)
            if len(self._writers) < WRITERS and len(self._waiting) > len(self._writers) * WAITING_EACH:
                self._writers.add(asyncio.create_task(self._write_all()))
            await _within(MAX_RESPONSE_S, waiting.done)
        return delivery.counts if delivery else self.rejected

    async def is_available(self) -> bool:
        """Return whether the store can be read. Callers share one query a second."""
        if self._probe is None or (self._probe.done() and time.monotonic() - self._probed_at > HEALTH_CACHED_FOR_S):
            self._probe = asyncio.create_task(asyncio.to_thread(self._can_read))
            self._probed_at = time.monotonic()
        return await asyncio.shield(self._probe)

    def close(self) -> None:
        """Wait for the deliveries that are being recorded."""
        self._threads.shutdown()

    async def _write_all(self) -> None:
        while group := self._next_group():
            numbers = {number for waiting in group.members for number in waiting.numbers}
            self._numbers |= numbers
            written = await asyncio.get_running_loop().run_in_executor(self._threads, self._write, group)
            self._numbers -= numbers
            for waiting in group.members:
                if waiting.done.done():  # its client has left
                    continue
                if waiting in written:
                    waiting.done.set_result(None)
                else:
                    waiting.done.set_exception(UnavailableError("the store is unavailable"))
        # Not later, as a callback: a delivery that arrives in between would wait for the next one.
        self._writers.discard(asyncio.current_task())

    def _next_group(self) -> _Group | None:
        """
        Take the next deliveries that can be recorded together, in the order in which they arrived.

        :returns: ``None`` if there is none, or if the next one must wait for the other writer.
        """
        while self._waiting and self._waiting[0].done.done():
            self._waiting.popleft()
        if not self._waiting or not self._numbers.isdisjoint(self._waiting[0].numbers):
            return None
        members = [first := self._waiting.popleft()]
        together = first.delivery
        while self._waiting and (following := self._waiting[0]).sender == first.sender:
            if not self._numbers.isdisjoint(following.numbers):
                break
            if following.delivery is not None:
                joined = together.with_next(following.delivery) if together else following.delivery
                if joined is None:
                    break
                together = joined
            members.append(self._waiting.popleft())
        return _Group(members, together)

    def _write(self, group: _Group) -> list[_Waiting]:
        """Write deliveries; return the ones that were written."""
        is_trial = self._is_down
        if is_trial and not self._trial.acquire(blocking=False):
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
                self._trial.release()

    def _write_alone(self, members: Iterable[_Waiting]) -> list[_Waiting]:
        """Write each delivery in a transaction of its own, as long as its client waits."""
        deadline = time.monotonic() + MAX_WAIT.total_seconds()
        return [
            waiting
            for waiting in members
            if time.monotonic() < deadline and self._try(_Group([waiting], waiting.delivery))
        ]

    def _try(self, group: _Group) -> bool:
        try:
            if not self._is_prepared:
                self._store.prepare()
                self._is_prepared = True
            self._write_together(group)
        except WaContactsError as error:
            self._is_down = isinstance(error, OF_THE_STORE)
            log.warning(REFUSED, len(group.members), error)
        except Exception as error:  # noqa: BLE001 - its text may quote the delivery
            log.error(REFUSED, len(group.members), f"{type(error).__name__} {describe_origin(error)}. Report it.")  # noqa: TRY400
        else:
            self._is_down = False
            return True
        return False

    def _write_together(self, group: _Group) -> None:
        sender, received_at = group.members[0].sender, group.members[-1].received_at
        if rejects := [waiting.body for waiting in group.members if waiting.delivery is None]:
            reject_deliveries(self._store, rejects, received_at=received_at)
        if group.together is not None:
            record_delivery(self._store, sender, group.together, verified=True, received_at=received_at)

    def _can_read(self) -> bool:
        try:
            with self._store.context.read() as db:
                db.execute("SELECT 1")
        except WaContactsError:
            return False
        return True


def _parse(body: bytes, sender: str) -> Delivery | None:
    """Return the content of a delivery; ``None`` if it cannot be read."""
    try:
        return parse_delivery(body, sender)
    except ContractError:
        return None


async def _within(seconds: float, done: asyncio.Future[None]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await done
    except TimeoutError:
        raise UnavailableError(f"the store took more than {seconds:.0f} seconds") from None
