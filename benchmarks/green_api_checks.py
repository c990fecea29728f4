"""Checking numbers with GREEN-API by the operator, one in a request, in real time."""

from __future__ import annotations

import json
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.tables import show

__all__ = ["run"]

ALLOWED_A_SECOND = 10


def run(rows: int) -> dict[str, Any]:
    """Check numbers with a SQLite store, print the table, and return the figures."""
    from airflow_provider_wacontacts.sandbox import ContactList, GreenApiBehaviour, Sandbox, World

    behaviour = GreenApiBehaviour(check_rate_limit=ALLOWED_A_SECOND)
    with (
        tempfile.TemporaryDirectory() as home,
        Sandbox(World(), now=datetime.now(UTC), rate=1.0, green_api=behaviour, contact_list=ContactList()) as api,
    ):
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__UNIT_TEST_MODE": "True"}
        budgets = {"daily_checks": rows, "monthly_checks": rows}
        account = {"login": behaviour.id_instance, "password": behaviour.token, "extra": budgets}
        _connect("green_api_default", conn_type="green_api", host=api.url, **account)
        _connect("wacontacts_store", conn_type="sqlite", host=str(Path(home, "store.db")))
        took_s, summary = _check([f"+1212{2_000_000 + row}" for row in range(rows)])
        asked = api.green_api.asked_numbers
    if summary["asked"] != rows or len(asked) != rows or set(asked.values()) != {1}:
        raise RuntimeError("not every number was checked once")
    figures = {"rows": rows, "total_s": took_s, "by_limit": took_s / (rows / ALLOWED_A_SECOND)}
    show(
        f"Checking {rows:,} numbers with GREEN-API; {ALLOWED_A_SECOND} requests a second are allowed",
        ("", "s", "by allowed"),
        [("SQLite", took_s, figures["by_limit"])],
    )
    return figures


def _check(contacts: list[str]) -> tuple[float, dict[str, Any]]:
    from airflow_provider_wacontacts.operators.green_api import GreenApiCheckContactsOperator

    operator = GreenApiCheckContactsOperator(task_id="check", contacts=contacts)
    ti = SimpleNamespace(dag_id="benchmark", run_id="benchmark", task_id="check", map_index=-1, try_number=1)
    begun = time.monotonic()
    summary = operator.execute({"ti": ti, "dag_run": SimpleNamespace(run_after=datetime.now(UTC)), "outlet_events": {}})
    return time.monotonic() - begun, summary


def _connect(conn_id: str, **fields: Any) -> None:
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)
