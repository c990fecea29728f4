"""
A program that forks workers that sync or check, so that they start immediately, and can be killed and stopped.

It reads commands from its standard input and writes one JSON object a line to its standard output. The response to
``{"do": "start", "plan": {…}}`` is ``{"pid": …}``. The response to ``{"do": "wait", "pid": …}``, when the worker has
stopped or ended, is ``{"stopped": true}`` or ``{"stopped": false}``. A worker writes its result into the file that its
plan names as ``outcome``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import requests
from sqlalchemy import create_engine

from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec, sync_to_files, sync_to_store
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store


def pull(plan: dict[str, Any]) -> dict[str, Any]:
    """Pull a window by the job, which needs no Airflow."""
    ticks = count(step=plan["tick_s"])
    window = Window(*map(datetime.fromisoformat, plan["window"]))
    spec = SyncSpec("main", window, TaskInstanceKey("dag", plan["run_id"], "task"), "0", lookback=timedelta(0))
    session = requests.Session()
    session.headers["authorization"] = f"Bearer {plan['token']}"
    run = stopping(Driver(session, plan["turn"]).run, plan["stop_after"], is_committed=plan["tick_s"] > 0)
    if plan["store"] is None:
        file_format = plan["file_format"]
        summary = sync_to_files(spec, run=run, root=Path(plan["path"]), file_format=file_format)
    else:
        store = Store(create_engine(plan["store"]))
        summary = sync_to_store(spec, run=run, store=store, uri="x:", monotonic=lambda: next(ticks))
    return summary.as_dict()


def stopping(run: Any, after: int | None, *, is_committed: bool) -> Any:
    """
    Let the worker stop itself when it has run so many flows, before it does anything with what came.

    :param is_committed: what came before is committed first, so that it does not stop in the midst of that.
    """
    number = count(1)

    def stop(flow: Any, **given: Any) -> Any:
        came = run(flow, **given)
        if next(number) == after:
            if is_committed and "before_pause" in given:
                given["before_pause"](60)
            os.kill(os.getpid(), signal.SIGSTOP)
        return came

    return stop


def execute(plan: dict[str, Any]) -> dict[str, Any]:
    """Pull a window by the operator, as soon as the file is there that all wait for."""
    from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator

    os.environ |= plan["environment"]
    start, end = map(datetime.fromisoformat, plan["window"])
    ti = SimpleNamespace(dag_id="dag", run_id=plan["run_id"], task_id="task", map_index=-1)
    context = {"ti": ti, "data_interval_start": start, "data_interval_end": end, "outlet_events": {}}
    operator = TurnContactsToSqlOperator(task_id="task", account="main", page_size=plan["page_size"])
    while not Path(plan["gate"]).exists():
        time.sleep(0.001)
    return operator.execute(context)


def check(plan: dict[str, Any]) -> dict[str, Any]:
    """Check numbers."""
    import check_worker

    return check_worker.check(plan)


def work(plan: dict[str, Any]) -> None:
    do = check if "numbers" in plan else execute if "gate" in plan else pull
    try:
        outcome = {"summary": do(plan)}
    except Exception as error:  # noqa: BLE001 - it is told, whatever it is
        outcome = {"error": type(error).__name__, "message": str(error)}
    aside = Path(plan["outcome"]).with_suffix(".writing")
    aside.write_text(json.dumps(outcome))
    aside.rename(plan["outcome"])


def answer(command: dict[str, Any]) -> dict[str, Any]:
    if command["do"] == "wait":
        _, status = os.waitpid(command["pid"], os.WUNTRACED)
        return {"stopped": os.WIFSTOPPED(status)}
    pid = os.fork()
    if pid == 0:
        try:
            work(command["plan"])
        finally:
            os._exit(0)
    return {"pid": pid}


if __name__ == "__main__":
    # Airflow writes to standard output when it is imported; from here on that is the standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if "operators" in sys.argv[1:]:
        import airflow_provider_wacontacts.hooks.store
        import airflow_provider_wacontacts.hooks.turn
        import airflow_provider_wacontacts.operators.turn  # noqa: F401
    if "checks" in sys.argv[1:]:
        import check_worker  # noqa: F401
    # It imports pandas when it first converts something; else every worker would do so anew.
    pa.array([0])
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()
