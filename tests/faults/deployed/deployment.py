"""Airflow with two Celery workers, its mock servers, and the observable state of both."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import requests
from sqlalchemy import text
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts.files import read_contacts
from airflow_provider_wacontacts.sandbox import (
    ContactList,
    Fault,
    GreenApiBehaviour,
    Sandbox,
    TurnBehaviour,
    WhatsAppBehaviour,
    World,
)
from demo.api import ApiRefusedError
from tests.fleet.deployment import Fleet, new_variables

__all__ = ["DAGS", "WORK", "Deployment", "RunningTask", "deployed"]

DAGS = Path(__file__).parent / "dags"
#: Their DAGs, by what comes after ``faults_`` in an ID.
WORK = ("windows", "window", "files", "snapshot", "check", "revalidate", "green_check", "erase")
#: The title of a process that runs a task; its parent is the task's supervisor.
TITLE = "airflow worker -- "
ENVIRONMENT = {
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
    # How soon what was killed is missed.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "90",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "100",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "3",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
}
#: Requests take a moment, so that tasks are killed while they work.
SLOW = (
    Fault(kind="delay", on="page", delay_s=0.4, every=1),
    Fault(kind="delay", on="check", delay_s=0.4, every=1),
    Fault(kind="delay", on="contacts", delay_s=1.0, every=1),
    Fault(kind="delay", on="whatsapp", delay_s=0.2, every=1),
)


@dataclass(frozen=True)
class RunningTask:
    """
    A task instance that a worker runs.

    :ivar process: what runs the operator; its parent is the supervisor.
    """

    name: str
    dag_id: str
    run_id: str
    task_id: str
    process: psutil.Process


class Deployment:
    """
    All services, and the mock servers.

    :ivar sandbox: Turn.io, GREEN-API, and a client that knows every result at once.
    :ivar late: a client that takes a while for half of the numbers, and lives eight days ago.
    """

    def __init__(self, fleet: Fleet, sandbox: Sandbox, late: Sandbox) -> None:
        self.fleet = fleet
        self.sandbox = sandbox
        self.late = late
        self.store, self.metadata, self.crm = (fleet.engine(name) for name in ("contacts", "airflow", "crm"))
        self.files = fleet.home / "volumes" / "files"

    def rows(self, sql: str, engine: Engine | None = None, **values: Any) -> list[tuple[Any, ...]]:
        with (engine or self.store).connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def call(self, method: str, *path: str, **given: Any) -> Any:
        """Send a request to Airflow's API; one that a busy machine does not answer in time is sent again."""
        for _ in range(5):
            with suppress(requests.RequestException):
                return self.fleet.api.call(method, *path, **given)
            time.sleep(2)
        return self.fleet.api.call(method, *path, **given)

    def connect(self, conn_id: str, **fields: Any) -> None:
        """Declare a connection."""
        self.call("POST", "connections", json={"connection_id": conn_id, **fields})

    def trigger(self, dag_id: str, **conf: str) -> tuple[str, str]:
        """Start a run."""
        made = self.call("POST", "dags", dag_id, "dagRuns", json={"conf": conf, "logical_date": None})
        return dag_id, made["dag_run_id"]

    def clear(self, task: RunningTask) -> None:
        """Clear a task instance, whatever its state."""
        chosen = {"dag_run_id": task.run_id, "task_ids": [task.task_id], "only_failed": False, "dry_run": False}
        with suppress(ApiRefusedError):  # It has just ended.
            self.call("POST", "dags", task.dag_id, "clearTaskInstances", json=chosen)

    def running(self, chance: random.Random) -> list[RunningTask]:
        """List the tasks that workers run at the moment, shuffled."""
        query = "SELECT CAST(id AS text), dag_id, run_id, task_id FROM task_instance WHERE state = 'running'"
        known = {row[0]: row[1:] for row in self.rows(query, self.metadata)}
        found = []
        for number in (1, 2):
            for process in self.fleet.processes.members(f"airflow-worker-{number}"):
                with suppress(psutil.Error):
                    task = known.get(" ".join(process.cmdline()).strip().removeprefix(TITLE))
                    if task:
                        dag_id, run_id, task_id = task
                        name = f"{dag_id.removeprefix('faults_')}.{task_id}"
                        found.append(RunningTask(name, dag_id, run_id, task_id, process))
        chance.shuffle(found)
        return found

    def wait(self, ready: Callable[[], Any], timeout: float) -> bool:
        """Wait until something is so; return whether it came to that in time."""
        deadline = time.monotonic() + timeout
        while not ready():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.5)
        return True

    def contacts_of_files(self) -> list[Any]:
        return [contact.record for contact in read_contacts(self.files)]


@contextmanager
def deployed(home: Path) -> Iterator[Deployment]:
    """Start everything, until the block is left."""
    variables = new_variables() | {"TASK_HEARTBEAT_TIMEOUT": "25", "WORKER_CONCURRENCY": "4"}
    dags = home / "dags"
    shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    now = datetime.now(UTC)
    with ExitStack() as stack:
        sandbox = stack.enter_context(
            Sandbox(
                World(),
                now=now,
                rate=1,
                contact_list=ContactList(),
                behaviour=TurnBehaviour(page_size=3),
                whatsapp=WhatsAppBehaviour(processing_share=0.0),
                green_api=GreenApiBehaviour(on_whatsapp=0.8),
            )
        )
        behaviour = WhatsAppBehaviour(processing_share=0.5, resolved_by="asking")
        late = stack.enter_context(Sandbox(World(), now=now - timedelta(days=8), rate=1, whatsapp=behaviour))
        for each in (sandbox, late):
            each.fail(*SLOW)
        fleet = stack.enter_context(Fleet(home, variables, folders={"./dags": dags}, environment=ENVIRONMENT))
        deployment = Deployment(fleet, sandbox, late)
        for engine in (deployment.store, deployment.metadata, deployment.crm):
            stack.callback(engine.dispose)
        for name in WORK:
            fleet.unpause(f"faults_{name}", timeout=300)
        yield deployment
