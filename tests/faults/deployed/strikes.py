"""Faults of a running deployment: processes are killed, stopped and cleared, and tables are rewritten."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import psutil
from sqlalchemy.exc import SQLAlchemyError

from tests.faults.deployed.deployment import Deployment, RunningTask
from tests.faults.deployed.work import Plan

__all__ = ["FAULTS", "PLANS", "Fault"]

#: Strikes once, and returns what it struck.
Strike = Callable[[Deployment, random.Random], list[str]]
#: Seconds for a service to end when it is asked to.
GRACE_S = 60
#: A spring day that lacks an hour, and an autumn day that has one twice.
SPRING, AUTUMN = date(2025, 3, 29), date(2024, 10, 26)


@dataclass(frozen=True)
class Fault:
    """
    A fault.

    :param times: how often it strikes in a round, at most.
    :param pause: seconds between two strikes, at least and at most.
    """

    name: str
    strike: Strike
    times: int = 1
    pause: tuple[float, float] = (0.5, 1.5)


def _signal_task(number: signal.Signals, *, to_supervisor: bool = False) -> Strike:
    def strike(deployment: Deployment, chance: random.Random) -> list[str]:
        for task in deployment.running(chance)[:1]:
            with suppress(psutil.Error):
                (task.process.parent() if to_supervisor else task.process).send_signal(number)
                return [task.name]
        return []

    return strike


def _service(name: str, number: signal.Signals, instances: int = 1) -> Strike:
    """End a service, with all that runs in it where it is killed, and start it again."""

    def strike(deployment: Deployment, chance: random.Random) -> list[str]:
        fleet = deployment.fleet
        container = name if instances == 1 else f"{name}-{chance.randint(1, instances)}"
        if number is signal.SIGTERM:
            leader = min(fleet.processes.members(container), key=lambda process: process.pid)
            leader.terminate()
            deployment.wait(lambda: not fleet.processes.members(container), GRACE_S)
        fleet.kill(container)
        fleet.start_again(container)
        return [container]

    return strike


def _clear(deployment: Deployment, chance: random.Random) -> list[str]:
    tasks = deployment.running(chance)[:1]
    for task in tasks:
        deployment.clear(task)
    return [task.name for task in tasks]


def _zombies(deployment: Deployment, chance: random.Random) -> list[str]:
    """Stop tasks with their supervisors, clear them, and let them go on once others have taken over."""
    tasks = deployment.running(chance)
    stopped = [process for task in tasks for process in _stop(task)]
    for task in tasks:
        deployment.clear(task)
    started = {task.process.pid for task in tasks}
    again = {(task.run_id, task.task_id) for task in tasks}
    deployment.wait(lambda: again <= _taken_over(deployment, started, chance), 60)
    for process in stopped:
        with suppress(psutil.Error):
            process.resume()
    return [task.name for task in tasks]


def _stop(task: RunningTask) -> list[psutil.Process]:
    with suppress(psutil.Error):
        both = [task.process.parent(), task.process]
        for process in both:
            process.suspend()
        return both
    return []


def _taken_over(deployment: Deployment, before: set[int], chance: random.Random) -> set[tuple[str, str]]:
    now = {(task.run_id, task.task_id) for task in deployment.running(chance) if task.process.pid not in before}
    query = "SELECT run_id, task_id FROM task_instance WHERE state IN ('success', 'deferred')"
    return now | {(run_id, task_id) for run_id, task_id in deployment.rows(query, deployment.metadata)}


def _vacuum(deployment: Deployment, _: random.Random) -> list[str]:
    with suppress(SQLAlchemyError):
        with deployment.store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL")
        return ["the store"]
    return []


TASK, SERVICE = {"times": 60}, {"times": 1, "pause": (3.0, 6.0)}
FAULTS = (
    Fault("SIGKILL of a task", _signal_task(signal.SIGKILL), **TASK),
    Fault("SIGTERM of a task", _signal_task(signal.SIGTERM), **TASK),
    Fault("SIGKILL of a worker", _service("airflow-worker", signal.SIGKILL, 2), **SERVICE),
    Fault("SIGKILL of a task's supervisor", _signal_task(signal.SIGKILL, to_supervisor=True), **TASK),
    Fault("SIGTERM of a task's supervisor", _signal_task(signal.SIGTERM, to_supervisor=True), **TASK),
    Fault("zombie beside its cleared task", _zombies, times=12, pause=(2.0, 5.0)),
    Fault("task cleared while it runs", _clear, times=20),
    Fault("SIGKILL of the triggerer", _service("airflow-triggerer", signal.SIGKILL), **SERVICE),
    Fault("SIGKILL of the scheduler", _service("airflow-scheduler", signal.SIGKILL), **SERVICE),
    Fault("VACUUM FULL", _vacuum, times=5, pause=(3.0, 6.0)),
    Fault("SIGTERM of a worker", _service("airflow-worker", signal.SIGTERM, 2), **SERVICE),
    Fault("SIGTERM of the triggerer", _service("airflow-triggerer", signal.SIGTERM), **SERVICE),
    Fault("SIGTERM of the scheduler", _service("airflow-scheduler", signal.SIGTERM), **SERVICE),
)
PLANS = {
    "proxy, http": Plan(proxy="http"),
    "backfill in reverse, a day of 23 hours": Plan(day=SPRING, is_backwards=True),
    "the same run twice at once": Plan(is_twice=True),
    "proxy, CONNECT": Plan(proxy="CONNECT"),
    "backfill in reverse, a day of 25 hours": Plan(day=AUTUMN, is_backwards=True),
}
