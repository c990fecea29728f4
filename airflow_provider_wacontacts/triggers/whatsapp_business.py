"""Wait for the results of a check without a worker slot, and start DAG runs when identities have changed."""

from __future__ import annotations

import asyncio
import time
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
from airflow_provider_wacontacts.triggers.positions import Position
from airflow_provider_wacontacts.triggers.problems import Problems

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2 has no asset watchers
    BaseEventTrigger = BaseTrigger  # type: ignore[assignment, misc]

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.wait_for_results import PendingCheck
    from airflow_provider_wacontacts.store.identities import ChangeLog

__all__ = ["IdentityChangedTrigger", "WhatsAppContactsTrigger"]


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
    the state of the watched asset. Each change is in at least one event: after a restart of the triggerer, it may be in
    a second one. Before Airflow 3.3, assets have no state: each start of the triggerer fires for all pending
    identities.

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
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[ChangeLog, None]:
        """Yield what the store's log of identity changes has after each poll."""
        store_conn_id, problems = kwargs["store_conn_id"], Problems(f"Identity changes of {kwargs['store_conn_id']!r}")
        while True:
            try:
                async with refcounted("modules", _modules):
                    from airflow_provider_wacontacts.hooks.shared_store import shared_store
                    from airflow_provider_wacontacts.store.identities import find_change_log

                    async with shared_store(store_conn_id) as shared:
                        while True:
                            change_log = await shared.run_in_thread(find_change_log, shared.store.context)
                            problems.solved()
                            yield change_log
                            await asyncio.sleep(kwargs["poll_interval"])
            except Exception as error:  # noqa: BLE001 - one that leaves this trigger has it started again every second
                problems.report(error)
            await asyncio.sleep(kwargs["poll_interval"])

    async def filter_shared_stream(self, shared_stream: AsyncIterator[ChangeLog]) -> AsyncIterator[TriggerEvent]:
        """Yield an event after each change."""
        async with aclosing(self._follow(shared_stream)) as events:
            async for event in events:
                yield event

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event after each change. Before Airflow 3.3, each trigger has its own query."""
        async with aclosing(self.open_shared_stream(self.serialize()[1])) as change_logs:
            async for event in self.filter_shared_stream(change_logs):
                yield event

    async def _follow(self, change_logs: AsyncIterator[ChangeLog]) -> AsyncGenerator[TriggerEvent, None]:
        position, problems = Position(getattr(self, "asset_state_store", None)), Problems("Identity changes")
        was_read: ChangeLog | None = None
        async for change_log in change_logs:
            await position.store()
            while change_log != was_read:
                try:
                    identity_ids = await self._read(position, change_log)
                except Exception as error:  # noqa: BLE001 - as above
                    problems.report(error)
                    break
                problems.solved()
                # If the limit was reached, there may be more.
                if identity_ids:
                    yield TriggerEvent({"identity_ids": identity_ids})
                else:
                    was_read = change_log

    async def _read(self, position: Position, change_log: ChangeLog) -> list[int]:
        """Return identities that have become pending since the position, and move it."""
        from airflow_provider_wacontacts.hooks.shared_store import shared_store
        from airflow_provider_wacontacts.hooks.whatsapp_business_shared import read_sender_of_connection
        from airflow_provider_wacontacts.store.identities import SenderIdentities

        sender = await read_sender_of_connection(self.whatsapp_business_conn_id)
        after = await position.load(change_log, sender)
        async with shared_store(self.store_conn_id) as shared:
            identities = SenderIdentities(shared.store.context, sender)
            changes = await shared.run_in_thread(identities.changes, after, self.limit, change_log.newest)
        position.move(changes[-1][0] if changes else change_log.newest)
        return [identity_id for _, identity_id in changes]


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
