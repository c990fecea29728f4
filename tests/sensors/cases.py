"""Sensors, their contexts, and the way through the triggerer."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor
from tests.triggers.waiting import SENDER, event_of, numbers

__all__ = [
    "FIRST_LOOKS",
    "IS_AIRFLOW_2",
    "MESSAGE",
    "WAITED",
    "context",
    "deferrable",
    "deferred",
    "never_resolved",
    "resumed",
    "sensor",
    "through_the_triggerer",
]

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
#: By run, for Airflow 2.
FIRST_LOOKS = {}
MESSAGE = "The deadline passed before all results were final: 0 valid, 0 invalid, 0 failed, 3 processing, 0 missing"
WAITED = {
    "sender": SENDER,
    "state": "resolved",
    "given": 3,
    "duplicates": 0,
    "asked": 3,
    "not_asked": 0,
    "from_store": 0,
    "valid": 3,
    "invalid": 0,
    "processing": 0,
    "failed": 0,
    "rejected": 0,
    "missing": 0,
    "budget_left": 997,
    "status_is_reliable": True,
}


def sensor(check, **arguments):
    check_id = check if isinstance(check, str) else check.check_id
    return WhatsAppContactsSensor(task_id="wait", check_id=check_id, **{"poke_interval": 0.01} | arguments)


def deferrable(check, **arguments):
    return sensor(check, deferrable=True, **arguments)


def context(first_look=None, task_id="wait"):
    """Each Airflow tells in its own way when a task looked first: 3 through the task instance, 2 by its database."""
    ti = SimpleNamespace(dag_id="dag", task_id=task_id, run_id=f"looked {first_look}", map_index=-1, max_tries=0)
    if not IS_AIRFLOW_2:
        ti.get_first_reschedule_date = lambda context: first_look
    FIRST_LOOKS[ti.run_id] = first_look
    return {"ti": ti, "task": SimpleNamespace(retries=0)}


def deferred(made, task_id="wait"):
    with pytest.raises(TaskDeferred) as raised:
        made.execute(context(task_id=task_id))
    return raised.value


def resumed(made, event):
    """Go on as the task runner does, on another instance."""
    return made.resume_execution("execute_complete", {"event": event}, context())


def through_the_triggerer(made):
    return resumed(made, asyncio.run(event_of(deferred(made).trigger)))


def never_resolved(place):
    place.api.whatsapp.change(resolved_by="never")
    return place.check(numbers(3))
