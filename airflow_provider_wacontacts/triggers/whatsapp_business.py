"""Wait for the results of a check without a worker slot, and start DAG runs when identities have changed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Hashable
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_wacontacts.clients.errors import describe_origin
from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError
from airflow_provider_wacontacts.hooks.refcounted import refcounted
from airflow_provider_wacontacts.records.arguments import validate_int
from airflow_provider_wacontacts.triggers import wait

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2 has no asset watchers
    BaseEventTrigger = BaseTrigger  # type: ignore[assignment, misc]

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.wait_for_results import PendingCheck

__all__ = ["IdentityChangedTrigger", "WhatsAppContactsTrigger"]

log = logging.getLogger(__name__)

#: Airflow's triggerer usually writes an event to the database within a second. The position is stored after that.
STORED_AFTER_S = 5.0


class WhatsAppContactsTrigger(BaseTrigger):
    """
    Requests the missing results of a check until all are final, or until a deadline; then fires once.

    The event is ``{"check_id": …, "state": …}`` and the check's counts, after an error also ``error`` and ``message``.
    All results are stored before. The triggers of a connection in one triggerer share a rate limiter and requests. A
    restarted trigger continues.

    :param check_id: ID of a check in the store.
    :param deadline: Timezone-aware ``datetime``, or an ISO 8601 string.
    :param whatsapp_business_conn_id: Connection of type ``whatsapp_business`` of the check's sender.
    :param green_api_conn_id: Connection of type ``green_api`` to use instead. Default: ``None``.
    :param store_conn_id: Connection of the store that holds the check.
    :param recheck_failed: How many times to recheck a failed number. Default: 0.
    :param batch_size: Numbers in a request, 1 to 1,000. Default: 100.
    :param max_failures: Maximum consecutive failed polls. Default: 10.
    :param waiter: ID of the waiting task, if several wait for one check. Default: this trigger, even after a restart.
    :param _later: Arguments of a later release; ignored.
    """

    def __init__(
        self,
        check_id: str,
        deadline: datetime | str,
        *,
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        green_api_conn_id: str | None = None,
        store_conn_id: str = "wacontacts_store",
        recheck_failed: int = 0,
        batch_size: int = 100,
        max_failures: int = 10,
        waiter: str | None = None,
        **_later: Any,
    ) -> None:
        super().__init__()
        self.check_id = check_id
        self.deadline = deadline if isinstance(deadline, str) else deadline.isoformat()
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.green_api_conn_id = green_api_conn_id
        self.store_conn_id = store_conn_id
        self.recheck_failed = recheck_failed
        self.batch_size = batch_size
        self.max_failures = max_failures
        self.waiter = waiter or uuid4().hex

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and plain arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "check_id": self.check_id,
                "deadline": self.deadline,
                "whatsapp_business_conn_id": self.whatsapp_business_conn_id,
                "green_api_conn_id": self.green_api_conn_id,
                "store_conn_id": self.store_conn_id,
                "recheck_failed": self.recheck_failed,
                "batch_size": self.batch_size,
                "max_failures": self.max_failures,
                "waiter": self.waiter,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire when all results are recorded, but not in the trigger's first ten seconds."""
        not_before = time.monotonic() + wait.MIN_DEFERRAL.total_seconds()
        event = await self._wait()
        await asyncio.sleep(not_before - time.monotonic())
        yield TriggerEvent(event)

    async def _wait(self) -> dict[str, Any]:
        pending: PendingCheck | None = None
        error: dict[str, str] = {}
        # Airflow logs the text of an exception, which may quote data.
        try:
            async with refcounted("modules", _modules):
                from airflow_provider_wacontacts.hooks.green_api_shared import AsyncGreenApiNumberClient
                from airflow_provider_wacontacts.hooks.whatsapp_business_shared import shared_client
                from airflow_provider_wacontacts.pipelines.wait_for_results import (
                    PendingCheck,
                    read_deadline,
                    wait_for_results,
                )

                deadline = read_deadline(self.deadline)
                conn_id = self.green_api_conn_id or self.whatsapp_business_conn_id
                client_type = AsyncGreenApiNumberClient if self.green_api_conn_id else None
                async with shared_client(conn_id, self.store_conn_id, client_type=client_type) as client:
                    pending = PendingCheck(
                        client.checks,
                        self.check_id,
                        deadline,
                        recheck_failed=self.recheck_failed,
                        batch_size=self.batch_size,
                        waiter=self.waiter,
                    )
                    await wait_for_results(pending, client, max_failures=self.max_failures)
        except WaContactsError as known:
            error = {"error": type(known).__name__, "message": str(known)}
        except Exception as unknown:  # noqa: BLE001 - see above
            error = {"error": type(unknown).__name__, "message": f"unexpected, {describe_origin(unknown)}"}
        counts = pending.last_totals._asdict() if pending and pending.last_totals else {"state": "open"}
        return {"check_id": self.check_id, **counts, **error}


class IdentityChangedTrigger(BaseEventTrigger):
    """
    Fires when identities of a sender's users have become pending; for ``AssetWatcher``.

    An event is ``{"identity_ids": […]}``. The trigger follows the change log of identities, and stores its position in
    the state of the watched asset. Each change is in at least one event: after a crash of the triggerer, it may be in a
    second one. Before Airflow 3.3, assets have no state: each start of the triggerer fires for all pending identities.

    The triggers of a store share one query of the store per ``poll_interval``. While the store is down they wait.

    :param whatsapp_business_conn_id: Connection of type ``whatsapp_business`` of the sender.
    :param store_conn_id: Connection of the store.
    :param poll_interval: Seconds between two queries of the store, more than 0. Default: 10.
    :param limit: Maximum identities in an event; more are in the next one. Default: 500.
    :param _later: Arguments of a later release; ignored.
    """

    def __init__(
        self,
        *,
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        store_conn_id: str = "wacontacts_store",
        poll_interval: float = 10.0,
        limit: int = 500,
        **_later: Any,
    ) -> None:
        super().__init__()
        if isinstance(poll_interval, bool) or not isinstance(poll_interval, (int, float)) or not poll_interval > 0:
            raise ConfigError("poll_interval must be a number of seconds, more than 0.")
        validate_int("limit", limit, 1)
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.store_conn_id = store_conn_id
        self.poll_interval = poll_interval
        self.limit = limit

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and plain arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "whatsapp_business_conn_id": self.whatsapp_business_conn_id,
                "store_conn_id": self.store_conn_id,
                "poll_interval": self.poll_interval,
                "limit": self.limit,
            },
        )

    def shared_stream_key(self) -> Hashable:
        """Return the key of triggers that share a query."""
        return type(self).__qualname__, self.store_conn_id, self.poll_interval

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[int, None]:
        """Yield the ID of the store's last identity change after each poll."""
        store_conn_id, problems = kwargs["store_conn_id"], _Problems(f"Identity changes of {kwargs['store_conn_id']!r}")
        while True:
            try:
                async with refcounted("modules", _modules):
                    from airflow_provider_wacontacts.hooks.shared_store import shared_store
                    from airflow_provider_wacontacts.store.identities import newest_change

                    async with shared_store(store_conn_id) as shared:
                        while True:
                            newest = await shared.run_in_thread(newest_change, shared.store.context)
                            problems.solved()
                            yield newest
                            await asyncio.sleep(kwargs["poll_interval"])
            except Exception as error:  # noqa: BLE001 - one that leaves this trigger has it started again every second
                problems.report(error)
            await asyncio.sleep(kwargs["poll_interval"])

    async def filter_shared_stream(self, shared_stream: AsyncIterator[int]) -> AsyncIterator[TriggerEvent]:
        """Yield an event after each change."""
        async with aclosing(self._follow(shared_stream)) as events:
            async for event in events:
                yield event

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event after each change. Before Airflow 3.3, each trigger has its own query."""
        async with aclosing(self.open_shared_stream(self.serialize()[1])) as newest:
            async for event in self.filter_shared_stream(newest):
                yield event

    async def _follow(self, newest_changes: AsyncIterator[int]) -> AsyncGenerator[TriggerEvent, None]:
        states, key = getattr(self, "asset_state_store", None), f"wacontacts.{self.store_conn_id}.change_id"
        position, problems = _Position(states, key), _Problems("Identity changes")
        async for newest in newest_changes:
            await position.store()
            # If the limit was reached, there may be more.
            while identity_ids := await self._read(position, newest, problems):
                yield TriggerEvent({"identity_ids": identity_ids})

    async def _read(self, position: _Position, newest: int, problems: _Problems) -> list[int]:
        """Return identities that have become pending since the position, and move it."""
        try:
            after = await position.load(newest)
            if after >= newest:
                return []
            changes = await self._changes(after)
        except Exception as error:  # noqa: BLE001 - as above
            problems.report(error)
            return []
        problems.solved()
        position.move(changes[-1][0] if changes else newest)
        return [identity_id for _, identity_id in changes]

    async def _changes(self, after: int) -> list[tuple[int, int]]:
        from airflow_provider_wacontacts.hooks.shared_store import shared_store
        from airflow_provider_wacontacts.hooks.whatsapp_business_shared import read_sender_of_connection
        from airflow_provider_wacontacts.store.identities import SenderIdentities

        sender = await read_sender_of_connection(self.whatsapp_business_conn_id)
        async with shared_store(self.store_conn_id) as shared:
            identities = SenderIdentities(shared.store.context, sender)
            return await shared.run_in_thread(identities.changes, after, self.limit)


class _Position:
    """
    The position of a watcher in the change log, stored in the state of its asset.

    :param states: Airflow's accessor of the asset's state; ``None`` if there is none.
    """

    def __init__(self, states: Any, key: str) -> None:
        self._states = states
        self._key = key
        self._value: int | None = None
        self._moves: deque[tuple[float, int]] = deque()

    async def load(self, newest: int) -> int:
        """Return the position; 0 at first, or if the store has been replaced."""
        if self._value is None:
            stored = await self._get()
            self._value = stored if isinstance(stored, int) and stored <= newest else 0
        return self._value

    def move(self, value: int) -> None:
        """Move the position. It is stored later."""
        self._value = value
        self._moves.append((time.monotonic() + STORED_AFTER_S, value))

    async def store(self) -> None:
        """Store the position of the last events that are in Airflow's database."""
        due = None
        while self._moves and self._moves[0][0] <= time.monotonic():
            due = self._moves.popleft()
        if due is None or self._states is None:
            return
        try:
            await self._states.aset(self._key, due[1])
        except Exception as error:  # noqa: BLE001 - the API server is down: the next one is stored
            log.warning("The position in the log of identity changes was not stored (%s).", type(error).__name__)

    async def _get(self) -> Any:
        if self._states is None:
            return None
        try:
            return await self._states.aget(self._key)
        except ValueError:
            self._states = None
            log.warning(
                "One IdentityChangedTrigger watches several assets, so no position is stored: all pending"
                " identities are in the first event after each start of the triggerer. Use the watcher for one asset,"
                " or give the triggers different arguments, for example another limit."
            )
            return None


class _Problems:
    """Logs a problem once, until it changes or is solved."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = ""

    def report(self, error: Exception) -> None:
        """Log why there are currently no events."""
        is_known = isinstance(error, WaContactsError)
        cause = str(error) if is_known else f"{type(error).__name__}, {describe_origin(error)}"
        if cause != self._last:
            log.warning("%s cannot be read currently. The triggerer retries. %s", self._what, cause)
        self._last = cause

    def solved(self) -> None:
        """Log the next problem again."""
        if self._last:
            log.info("%s are read again.", self._what)
        self._last = ""


@asynccontextmanager
async def _modules() -> AsyncIterator[None]:
    """Import modules that read many files, in a thread."""
    await asyncio.to_thread(_import_modules)
    yield


def _import_modules() -> None:
    import airflow_provider_wacontacts.hooks.green_api_shared
    import airflow_provider_wacontacts.hooks.whatsapp_business_shared
    import airflow_provider_wacontacts.pipelines.wait_for_results
    import airflow_provider_wacontacts.store.identities  # noqa: F401 - imported for later
    from airflow_provider_wacontacts.hooks.metrics import warm_up

    warm_up()
