"""All three systems, a store, and a task of each kind that defers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.hooks import green_api, number_clients
from airflow_provider_wacontacts.operators.green_api import (
    GreenApiCheckContactsOperator,
    GreenApiContactsToObjectStorageOperator,
    GreenApiContactsToSqlOperator,
    GreenApiRevalidateContactsOperator,
)
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppCheckContactsOperator,
    WhatsAppRevalidateContactsOperator,
)
from airflow_provider_wacontacts.sandbox import ContactList, Fault, GreenApiBehaviour, Sandbox, bob
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor
from tests.triggers.conftest import hasty
from tests.triggers.waiting import SENDER, SLOW, numbers

__all__ = ["hasty"]

TUESDAY = datetime(2022, 9, 13, tzinfo=UTC)
#: The number, by its place, whose answer does not take a while.
KNOWN = 20
LATER = {"retry-after": "3600"}


class Scene:
    """
    Tasks, and what they work on.

    :ivar api: the mock server for all three systems.
    :ivar check_id: of a check with numbers that are waited for.
    """

    def __init__(self, api: Sandbox, files: Path) -> None:
        self.api = api
        self._files = f"file://{files}"
        self._checked(numbers(1, first=KNOWN), run_id="yesterday")
        known = GreenApiCheckContactsOperator(task_id="task", contacts=numbers(1, first=KNOWN))
        known.execute(self.context("yesterday"))
        self.check_id = self._checked(numbers(3))

    def task(self, form: dict[str, Any]) -> Any:
        """Make the task that has left a form."""
        name = form["task"].rpartition(".")[2]
        if form["method"] == "execute_after_results":
            return WhatsAppCheckContactsOperator(task_id="task", contacts=numbers(2, first=10), blocking="wait")
        return self._makers()[name]()

    def context(self, run_id: str = "run") -> dict[str, Any]:
        """Give what Airflow hands to a task, as far as these may look at it."""
        ti = SimpleNamespace(dag_id="contacts", run_id=run_id, task_id="task", map_index=-1)
        run = SimpleNamespace(run_after=datetime.now(UTC))
        return {"ti": ti, "dag_run": run, "outlet_events": {}}

    def delay(self, form: dict[str, Any]) -> None:
        """Give every task a reason to wait: a limit of an hour, an account that is empty, answers that take a while."""
        if form["method"] == "execute_after_results":
            self.api.whatsapp.change(processing_share=1.0, processing_time="real", processing_s=0.15, wait_s=10.0)
            return
        for on in ("create", "check", "whatsapp"):
            self.api.fail(Fault(on=on, kind="rate_limited", headers=LATER, every=1))
        self.api.green_api.change(empty_answers=None)

    def _checked(self, some: list[str], run_id: str = "today") -> str:
        task = WhatsAppCheckContactsOperator(task_id="task", contacts=some)
        return str(task.execute(self.context(run_id))["check_id"])

    def _makers(self) -> dict[str, Callable[[], Any]]:
        whose: dict[str, Any] = {"task_id": "task"}
        window = {"start": TUESDAY, "end": TUESDAY + timedelta(days=1)}
        return {
            "TurnContactsToSqlOperator": lambda: TurnContactsToSqlOperator(**whose, **window),
            "TurnContactsToObjectStorageOperator": lambda: TurnContactsToObjectStorageOperator(
                **whose, **window, path=self._files
            ),
            "GreenApiContactsToSqlOperator": lambda: GreenApiContactsToSqlOperator(**whose),
            "GreenApiContactsToObjectStorageOperator": lambda: GreenApiContactsToObjectStorageOperator(
                **whose, path=self._files
            ),
            "GreenApiCheckContactsOperator": lambda: GreenApiCheckContactsOperator(
                **whose, contacts=numbers(2, first=10)
            ),
            "GreenApiRevalidateContactsOperator": lambda: GreenApiRevalidateContactsOperator(
                **whose, stale_after=timedelta(0), statuses=["valid", "invalid"]
            ),
            "WhatsAppCheckContactsOperator": lambda: WhatsAppCheckContactsOperator(
                **whose, contacts=numbers(2, first=10)
            ),
            "WhatsAppRevalidateContactsOperator": lambda: WhatsAppRevalidateContactsOperator(
                **whose, stale_after=timedelta(0), statuses=["valid"]
            ),
            "WhatsAppContactsSensor": lambda: WhatsAppContactsSensor(**whose, check_id=self.check_id, deferrable=True),
        }


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    def connect(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"host": api.url, **fields}))

    monkeypatch.setattr(number_clients, "MAX_WAIT", timedelta(seconds=0.05))
    monkeypatch.setattr(green_api, "RATE_LIMITERS", RateLimiters(timedelta(0)))
    behaviours = {"whatsapp": SLOW, "green_api": GreenApiBehaviour(), "contact_list": ContactList()}
    with Sandbox(bob(), now=datetime.now(UTC).replace(microsecond=0), **behaviours) as api:
        api.green_api.put("12015550101@c.us", name="Ann")
        api.whatsapp.put(numbers(1, first=KNOWN)[0])
        account = api.green_api.behaviour
        connect("turn_default", conn_type="turn", password=api.token)
        connect("green_api_default", conn_type="green_api", login=account.id_instance, password=account.token)
        extra = {"auth": "bearer", "sender": SENDER}
        connect("whatsapp_business_default", conn_type="whatsapp_business", password=SLOW.token, extra=extra)
        connect("wacontacts_store", conn_type="sqlite", host=str(tmp_path / "store.db"))
        yield Scene(api, tmp_path / "files")
