"""
An Airflow plugin of the demo: it moves the mock server's clock on before a run pulls its day.

The DAG is the example as it stands. Airflow tells this listener of each task that is about to run; the clock then goes
to shortly after the end of the run's data interval, as it would have been on that night. It never goes back: when the
days are pulled again, the mock server stays in the time after the last of them.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

#: Address of the mock server's clock, and seconds between a day's end and its run.
CLOCK, AFTER_S = "DEMO_CLOCK_URL", "DEMO_AFTER_S"


@hookimpl
def on_task_instance_running(task_instance: Any) -> None:
    """Move the clock; called in the task's own process, before it executes."""
    end = task_instance.get_template_context().get("data_interval_end")
    if end is None:
        return
    moment = datetime.fromisoformat(end.isoformat()) + timedelta(seconds=float(os.environ[AFTER_S]))
    if moment > datetime.fromisoformat(_clock()["now"]):
        _clock({"now": moment.isoformat()})


def _clock(body: dict[str, str] | None = None) -> dict[str, Any]:
    data = json.dumps(body).encode() if body else None
    with build_opener(ProxyHandler({})).open(Request(os.environ[CLOCK], data=data), timeout=10) as answer:
        moved: dict[str, Any] = json.load(answer)
        return moved


class WorldClock(AirflowPlugin):
    name = "world_clock"
    listeners = [sys.modules[__name__]]  # noqa: RUF012
