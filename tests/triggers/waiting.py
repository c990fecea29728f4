"""A WhatsApp Business API client, a store, and checks that wait for results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import phonenumbers
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.hooks.store import open_store
from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
from airflow_provider_wacontacts.hooks.whatsapp_business_shared import shared_client
from airflow_provider_wacontacts.pipelines.check_results import to_store_results
from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour
from airflow_provider_wacontacts.store import TaskInstanceKey
from airflow_provider_wacontacts.store.checks.lifecycle import Check
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.triggers.whatsapp_business import WhatsAppContactsTrigger

__all__ = ["SENDER", "SLOW", "Place", "client", "event_of", "numbers", "trigger", "until"]

SENDER = "+12015550100"
#: Everybody is on WhatsApp, and whoever is asked about takes a while.
SLOW = WhatsAppBehaviour(
    sender=SENDER, on_whatsapp=1.0, processing_share=1.0, processing_answers=1, resolved_by="asking"
)
EXAMPLE = phonenumbers.format_number(phonenumbers.example_number("US"), phonenumbers.PhoneNumberFormat.E164)


def numbers(count: int, first: int = 0) -> list[str]:
    """Numbers of nobody, beginning with as many as the example of the United States does."""
    return [f"{EXAMPLE[:5]}{555_0000 + first + number}" for number in range(count)]


class Place:
    """
    What a check is made in, and what of it can be seen.

    :ivar api: the mock server, over a real socket.
    """

    def __init__(self, api: Sandbox, store_url: str) -> None:
        self.api = api
        self._engine = create_engine(store_url)

    @property
    def checks(self) -> SenderChecks:
        hook = WhatsAppBusinessHook()
        store = open_store("wacontacts_store")
        store.prepare()
        return SenderChecks.of(store.context, hook.budget)

    def check(self, given: Sequence[str], *, run: str = "run") -> Check:
        """Check numbers as the operator does: ask about each once, and finish."""
        hook = WhatsAppBusinessHook()
        rules = CheckSpec(
            TaskInstanceKey("dag", run, "check"), "options", "1.2.3", datetime.now(UTC) - timedelta(days=7)
        )
        check = self.checks.open(rules)
        check.fill(CheckInput(number, number) for number in given)
        for number_ids in check.queued(100):
            leased, asked_at = check.lease(number_ids).numbers, datetime.now(UTC)
            if leased:
                check.record(to_store_results(hook.check_contacts(leased), leased, asked_at=asked_at))
        check.finish()
        return check

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Read rows as they come."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def do(self, sql: str, **values: Any) -> None:
        """Change rows behind everybody's back."""
        with self._engine.begin() as connection:
            connection.execute(text(sql), values)

    def statuses(self, check: Check) -> dict[str, str]:
        """What is known of each number of a check."""
        sql = "SELECT number, status FROM wacontacts_check_result WHERE check_id = :check_id"
        return dict(self.rows(sql, check_id=check.check_id))

    def state(self, check: Check) -> str:
        """Whether the check is open, resolved or expired."""
        ((state,),) = self.rows(
            "SELECT state FROM wacontacts_check WHERE check_id = :check_id", check_id=check.check_id
        )
        return str(state)

    def leased(self) -> int:
        """How many numbers somebody asks about now."""
        return int(self.rows("SELECT count(*) FROM wacontacts_number WHERE leased_by IS NOT NULL")[0][0])


def trigger(check: Check | str, *, seconds: float = 600.0, **settings: Any) -> WhatsAppContactsTrigger:
    """Make a trigger as the triggerer does: from what was serialized."""
    check_id = check if isinstance(check, str) else check.check_id
    made = WhatsAppContactsTrigger(check_id, datetime.now(UTC) + timedelta(seconds=seconds), **settings)
    return WhatsAppContactsTrigger(**json.loads(json.dumps(made.serialize()[1])))


async def event_of(waiting: WhatsAppContactsTrigger) -> dict[str, Any]:
    """Run a trigger to its only event."""
    (event,) = [event async for event in waiting.run()]
    payload: dict[str, Any] = json.loads(json.dumps(event.payload))
    return payload


def client() -> Any:
    """Return the shared client of the default connections."""
    return shared_client("whatsapp_business_default", "wacontacts_store")


async def until(condition: Callable[[], object]) -> None:
    """Wait until something has happened elsewhere."""
    async with asyncio.timeout(120):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.01)
