"""Wait for the results of a check without a worker slot."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_wacontacts.exceptions import WaContactsError
from airflow_provider_wacontacts.hooks.refcounted import refcounted

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.wait_for_results import PendingCheck

__all__ = ["WhatsAppContactsTrigger"]


class WhatsAppContactsTrigger(BaseTrigger):
    """
    Requests the missing results of a check until all are final, or until a deadline; then fires once.

    The event is ``{"check_id": …, "state": …}`` and the check's counts, after an error also ``error`` and ``message``.
    All results are in the store before. The triggers of a triggerer share a connection's rate limiter. A trigger that
    is started again continues.

    :param check_id: ID of a check in the store.
    :param deadline: Timezone-aware ``datetime``, or an ISO 8601 string.
    :param whatsapp_business_conn_id: Connection of type ``whatsapp_business`` of the check's sender.
    :param green_api_conn_id: Connection of type ``green_api``, instead. Default: ``None``.
    :param store_conn_id: Connection of the store that holds the check.
    :param recheck_failed: How many times to recheck a number whose result is ``failed``. Default: 0.
    :param batch_size: Numbers in a request, 1 to 1,000. Default: 100.
    :param max_failures: Maximum consecutive failed polls. Default: 10.
    :param waiter: Who waits, if several tasks wait for one check. Default: this trigger, also when it is restarted.
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
        """Wait, and fire once all results are recorded."""
        yield TriggerEvent(await self._wait())

    async def _wait(self) -> dict[str, Any]:
        pending: PendingCheck | None = None
        error: dict[str, str] = {}
        # Airflow logs the text of an exception, which may quote data.
        try:
            async with refcounted("modules", _modules):
                from airflow_provider_wacontacts.hooks.green_api_shared import AsyncGreenApiChecks
                from airflow_provider_wacontacts.hooks.whatsapp_business_shared import shared_client
                from airflow_provider_wacontacts.pipelines.wait_for_results import (
                    PendingCheck,
                    read_deadline,
                    wait_for_results,
                )

                deadline = read_deadline(self.deadline)
                conn_id = self.green_api_conn_id or self.whatsapp_business_conn_id
                kind = AsyncGreenApiChecks if self.green_api_conn_id else None
                async with shared_client(conn_id, self.store_conn_id, of=kind) as client:
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
            error = {"error": type(unknown).__name__, "message": f"unexpected, {_location(unknown)}"}
        counts = pending.last_totals._asdict() if pending and pending.last_totals else {"state": "open"}
        return {"check_id": self.check_id, **counts, **error}


@asynccontextmanager
async def _modules() -> AsyncIterator[None]:
    """Import modules that read many files, in a thread."""
    await asyncio.to_thread(_import_modules)
    yield


def _import_modules() -> None:
    import airflow_provider_wacontacts.hooks.green_api_shared
    import airflow_provider_wacontacts.pipelines.wait_for_results  # noqa: F401 - imported for later
    from airflow_provider_wacontacts.hooks.metrics import load

    load()


def _location(error: Exception) -> str:
    """Return where an error was raised, because its text may quote data."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"in {last.name}, line {last.lineno} of {Path(last.filename).name}"
