"""Checking numbers with GREEN-API by the operator, one in a request, in real time and by a simulated clock."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.tables import show

__all__ = ["run"]

ALLOWED_A_SECOND = 10


#: By a simulated clock, where sleeping takes no time.
SIMULATED_ROWS = 10_000


class SimulatedClock:
    """Seconds that pass only while a thread sleeps."""

    def __init__(self) -> None:
        self._now = time.time()
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        with self._lock:
            self._now += seconds


def run(rows: int) -> dict[str, Any]:
    """Check numbers with a SQLite store, print the table, and return the figures."""
    real_s, simulated_s = _measure(rows), _measure(SIMULATED_ROWS, SimulatedClock())
    figures = {
        "rows": rows,
        "total_s": real_s,
        "by_limit": real_s / (rows / ALLOWED_A_SECOND),
        "simulated_rows": SIMULATED_ROWS,
        "simulated_s": simulated_s,
        "simulated_by_limit": simulated_s / (SIMULATED_ROWS / ALLOWED_A_SECOND),
    }
    show(
        f"Checking numbers with GREEN-API; {ALLOWED_A_SECOND} requests a second are allowed",
        ("", "s", "by allowed"),
        [
            (f"{rows:,} numbers", real_s, figures["by_limit"]),
            (f"{SIMULATED_ROWS:,} numbers, simulated clock", simulated_s, figures["simulated_by_limit"]),
        ],
    )
    return figures


def _measure(rows: int, clock: SimulatedClock | None = None) -> float:
    from airflow_provider_wacontacts.sandbox import ContactList, GreenApiBehaviour, Sandbox, World

    behaviour = GreenApiBehaviour(check_rate_limit=ALLOWED_A_SECOND)
    now = clock.now if clock else time.time
    setup: dict[str, Any] = {"green_api": behaviour, "contact_list": ContactList(), "real_time": now}
    with tempfile.TemporaryDirectory() as home, Sandbox(World(), now=datetime.now(UTC), rate=1.0, **setup) as api:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__UNIT_TEST_MODE": "True"}
        budgets = {"daily_checks": rows, "monthly_checks": rows}
        account = {"login": behaviour.id_instance, "password": behaviour.token, "extra": budgets}
        _connect("green_api_default", conn_type="green_api", host=api.url, **account)
        _connect("wacontacts_store", conn_type="sqlite", host=str(Path(home, "store.db")))
        took_s, summary = _check([f"+1212{2_000_000 + row}" for row in range(rows)], clock, now)
        asked, refused = api.green_api.asked_numbers, api.requests.count("whatsapp") - rows
    if summary["asked"] != rows or len(asked) != rows or set(asked.values()) != {1} or refused:
        raise RuntimeError("not every number was checked once")
    return took_s


def _check(contacts: list[str], clock: SimulatedClock | None, now: Callable[[], float]) -> tuple[float, dict[str, Any]]:
    from airflow_provider_wacontacts.clients.retry import Clock
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.operators.green_api import GreenApiCheckContactsOperator

    operator = GreenApiCheckContactsOperator(task_id="check", contacts=contacts)
    if clock:
        operator.hook = GreenApiHook(clock=Clock(sleep=clock.sleep, monotonic=clock.now))
    ti = SimpleNamespace(dag_id="benchmark", run_id="benchmark", task_id="check", map_index=-1, try_number=1)
    begun = now()
    summary = operator.execute({"ti": ti, "dag_run": SimpleNamespace(run_after=datetime.now(UTC)), "outlet_events": {}})
    return now() - begun, summary


def _connect(conn_id: str, **fields: Any) -> None:
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)
