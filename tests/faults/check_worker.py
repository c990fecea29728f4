"""The work of a worker that checks numbers; ``worker.py`` forks it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import create_engine

from airflow_provider_wacontacts.clients.green_api import Instance
from airflow_provider_wacontacts.clients.green_api_checks import check_whatsapp
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.whatsapp_business import check_contacts
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse
from airflow_provider_wacontacts.exceptions import BudgetExceededError
from airflow_provider_wacontacts.pipelines.check_inputs import parse_inputs
from airflow_provider_wacontacts.pipelines.check_numbers import CheckRun
from airflow_provider_wacontacts.pipelines.summaries import CheckSummary
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.schema import prepare

WEEK = timedelta(days=7)


def check(plan: dict[str, Any]) -> dict[str, Any]:
    """Check numbers, or those that are stale, by the job, which needs no Airflow; past the budget leave them."""
    budgets = {"daily_checks": plan["daily_checks"], "monthly_checks": plan.get("monthly_checks")}
    checks = SenderChecks(Store(create_engine(plan["store"])).context, plan["sender"], **budgets)
    while plan["gate"] and not Path(plan["gate"]).exists():
        time.sleep(0.001)
    prepare(checks.context)
    check = checks.open(CheckSpec(TaskInstanceKey("dag", plan["run_id"], "task"), "0", "0", datetime.now(UTC) - WEEK))
    if not check.is_filled:
        check.fill(_inputs(plan["numbers"], checks))
    client = _GreenApi(plan) if "instance" in plan else _Client(plan["api"], plan["token"], plan["batch_size"])
    with suppress(BudgetExceededError):
        CheckRun(check=check, checks=checks, client=client).run()
    return CheckSummary.of(check, checks, check.finish()).as_dict()


def _inputs(numbers: list[str] | None, checks: SenderChecks) -> Iterable[CheckInput]:
    if numbers is not None:
        return parse_inputs(numbers, None)
    return parse_inputs(checks.stale(statuses=["valid"], not_after=datetime.now(UTC) - WEEK, limit=1000), None)


class _Client:
    """A client of the WhatsApp Business API without Airflow."""

    requests_a_second = 500.0

    def __init__(self, url: str, token: str, batch_size: int) -> None:
        self.batch_size = batch_size
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["authorization"] = f"Bearer {token}"
        self._url = url

    def check_numbers(self, numbers: Sequence[str]) -> CheckResponse:
        return Driver(self._session, self._url).run(check_contacts(numbers, idempotent=False))


class _GreenApi:
    """GREEN-API without Airflow."""

    requests_a_second = 500.0
    batch_size = 1

    def __init__(self, plan: dict[str, Any]) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._url = plan["api"]
        self._instance = Instance(plan["instance"], plan["token"])

    def check_numbers(self, numbers: Sequence[str]) -> CheckResponse:
        return Driver(self._session, self._url).run(check_whatsapp(self._instance, *numbers))
