"""What to show of a task that failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from demo.running import RunningAirflow

__all__ = ["last_words"]

LINES = 15


def last_words(airflow: RunningAirflow, dag_id: str) -> str | None:
    """Return which task of a DAG failed or is to be tried again, with the end of its log; ``None`` while none is."""
    failed = airflow.api.listing(
        "task_instances", "dags", dag_id, "dagRuns", "~", "taskInstances", state=["failed", "up_for_retry"]
    )
    if not failed:
        return None
    task = failed[0]
    logs = [path for path in airflow.task_logs() if f"task_id={task['task_id']}" in path.parts]
    lines = list(_readable(logs[-1]))[-LINES:] if logs else []
    return "\n".join([f"{task['task_id']} of {task['dag_run_id']} is {task['state']}; its log ends:", *lines])


def _readable(log: Path) -> Iterator[str]:
    """Read the lines of a task's log, which are JSON, as text."""
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            yield f"    {line}"
            continue
        yield f"    {entry.get('level', '')}: {entry.get('event', '')}"
        for error in entry.get("error_detail") or []:
            yield f"    {error.get('exc_type')}: {error.get('exc_value')}"
