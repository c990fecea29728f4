"""Wait for the answers of a check without holding a worker slot."""

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
from airflow_provider_wacontacts.hooks.refcounted import shared

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.wait_for_results import Waiting

__all__ = ["WhatsAppContactsTrigger"]


class WhatsAppContactsTrigger(BaseTrigger):
    """
    Asks again about the numbers of a check that are not resolved, until all are, or until a deadline; then fires once.

    The event is ``{"check_id": …, "state": …}`` and the check's counts; where the wait could not go on, also ``error``
    and ``message``. What was learned is in the store before that. All of these triggers in a triggerer share a
    connection's rate limit; one that is started again goes on.

    :param check_id: of a check in the store.
    :param deadline: aware time, or its ISO text.
    :param whatsapp_business_conn_id: connection of type ``whatsapp_business``, of the check's sender.
    :param store_conn_id: connection of the store that the check is in.
    :param recheck_failed: how often to ask again about a number that failed.
    :param batch_size: numbers in a request, 1 to 1,000.
    :param max_failures: how many rounds in a row may fail.
    :param waiter: who waits, where several may for one check; by default this trigger, also when it is started again.
    :param _later: what workers of a later release give as well; left aside.
    """

    def __init__(
        self,
        check_id: str,
        deadline: datetime | str,
        *,
        whatsapp_business_conn_id: str = "whatsapp_business_default",
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
                "store_conn_id": self.store_conn_id,
                "recheck_failed": self.recheck_failed,
                "batch_size": self.batch_size,
                "max_failures": self.max_failures,
                "waiter": self.waiter,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire when all that was learned is written."""
        yield TriggerEvent(await self._wait())

    async def _wait(self) -> dict[str, Any]:
        waiting: Waiting | None = None
        told: dict[str, Any] = {}
        # What Airflow makes of an exception shows whatever the exception quotes.
        try:
            async with shared("modules", _modules):
                from airflow_provider_wacontacts.hooks.whatsapp_business_shared import shared_client
                from airflow_provider_wacontacts.pipelines.wait_for_results import Waiting, WaitOptions, read_deadline

                terms = WaitOptions(
                    self.check_id,
                    read_deadline(self.deadline),
                    recheck_failed=self.recheck_failed,
                    batch_size=self.batch_size,
                    max_failures=self.max_failures,
                    waiter=self.waiter,
                )
                async with shared_client(self.whatsapp_business_conn_id, self.store_conn_id) as room:
                    waiting = Waiting(terms, room)
                    await waiting.until_answered()
        except WaContactsError as error:
            told = {"error": type(error).__name__, "message": str(error)}
        except Exception as error:  # noqa: BLE001 - see above
            told = {"error": type(error).__name__, "message": f"unexpected, {_place(error)}"}
        counts = waiting.totals._asdict() if waiting and waiting.totals else {"state": "open"}
        return {"check_id": self.check_id, **counts, **told}


@asynccontextmanager
async def _modules() -> AsyncIterator[None]:
    """Import what reads many files when it is imported first, in a thread."""
    await asyncio.to_thread(_load)
    yield


def _load() -> None:
    import airflow_provider_wacontacts.hooks.whatsapp_business_shared
    import airflow_provider_wacontacts.pipelines.wait_for_results  # noqa: F401 - to be there when it is needed
    from airflow_provider_wacontacts.hooks.metrics import load

    load()


def _place(error: Exception) -> str:
    """Say where an error was raised: what it says of itself may quote data."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"in {last.name}, line {last.lineno} of {Path(last.filename).name}"
