"""Runs of the DAGs that check numbers, watched from both sides: in Airflow, and at the mock server of WhatsApp."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_wacontacts.sandbox import ContactList, GreenApiBehaviour, Sandbox, WhatsAppBehaviour, World
from demo.crm import SENDER, Crm, newcomers
from demo.deployment import AirflowDeployment
from demo.failures import last_words
from demo.running import DeploymentError
from demo.tables import Progress

__all__ = [
    "CHECK",
    "DAILY_CHECKS",
    "REVALIDATE",
    "Ran",
    "connection_to",
    "let_days_pass",
    "make_whatsapp",
    "run",
]

CHECK, REVALIDATE = "whatsapp_check_contacts", "whatsapp_revalidate_stale"
DAILY_CHECKS = 1000
#: Clients remember for seven days.
LONG_AGO = timedelta(days=8)
LEAVING, OPTING_OUT = 3, 4


@dataclass
class Ran:
    """
    A run, and what it came to.

    :ivar day: the mock server's time.
    :ivar allowed: the numbers that might be asked about at that time.
    :ivar summary: what the task returned that asks.
    :ivar asked: how often the server was asked about each number.
    :ivar requests: how many requests that took.
    :ivar deferred_s: for how long the sensor was seen waiting in the triggerer, in seconds.
    """

    day: datetime
    dag_id: str
    allowed: frozenset[str]
    summary: dict[str, Any] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    deferred_s: float = 0.0

    @property
    def check_id(self) -> str:
        return str(self.summary["check_id"])

    @property
    def asked_again(self) -> frozenset[str]:
        """The numbers that were asked about more than once."""
        return frozenset(number for number, times in self.asked.items() if times > 1)


def make_whatsapp(contact_list: ContactList) -> Sandbox:
    """
    Make a client of the WhatsApp Business API that lives eight days ago: a tenth of its answers take a while.

    :param contact_list: the contacts of a phone, whose instance of GREEN-API lives beside it.
    """
    behaviour = WhatsAppBehaviour(
        sender=SENDER,
        auth="login",
        rate_limit=20,
        failing_share=0.02,
        processing_share=0.1,
        processing_s=4,
        processing_time="real",
        resolved_by="asking",
    )
    return Sandbox(
        World(),
        now=datetime.now(UTC) - LONG_AGO,
        rate=1,
        whatsapp=behaviour,
        green_api=GreenApiBehaviour(rate_limit=1),
        contact_list=contact_list,
    )


def connection_to(whatsapp: Sandbox) -> dict[str, Any]:
    """Return the Airflow connection that leads to it."""
    behaviour = whatsapp.whatsapp.behaviour
    return {
        "conn_type": "whatsapp_business",
        "host": whatsapp.url,
        "login": behaviour.username,
        "password": behaviour.password,
        "extra": {"sender": SENDER, "daily_checks": DAILY_CHECKS},
    }


def let_days_pass(whatsapp: Sandbox, crm: Crm) -> None:
    """Bring the mock server's clock to now: some have left WhatsApp by then, some opted out, and others are new."""
    client = whatsapp.whatsapp
    there = [number for number in crm.numbers if client.truth(number).status == "valid"]
    for number in there[:LEAVING]:
        client.put(number, "invalid")
    crm.opt_out(there[LEAVING : LEAVING + OPTING_OUT])
    crm.add(newcomers())
    whatsapp.clock.set(datetime.now(UTC), rate=1)


def run(airflow: AirflowDeployment, progress: Progress, whatsapp: Sandbox, crm: Crm, dag_id: str) -> Ran:
    """
    Trigger a DAG and wait until its run is over, telling what happens.

    :raises DeploymentError: a task failed.
    """
    client = whatsapp.whatsapp
    asked, requests = client.asked, len(client.calls)
    ran = Ran(whatsapp.clock.now(), dag_id, frozenset(crm.numbers))
    run_id = airflow.trigger(dag_id)
    progress.say(f"airflow dags trigger {dag_id}")
    watch = _Watch(airflow, progress, ran, run_id)
    airflow.wait_for_runs(dag_id, [run_id], seen=lambda _: watch.look())
    ran.asked = client.asked - asked
    ran.requests = len(client.calls) - requests
    return ran


class _Watch:
    """Tells of a run's tasks while they go on."""

    def __init__(self, airflow: AirflowDeployment, progress: Progress, ran: Ran, run_id: str) -> None:
        self._airflow = airflow
        self._progress = progress
        self._ran = ran
        self._run_id = run_id
        self._states: dict[str, str] = {}
        self._deferred_at = 0.0

    def look(self) -> None:
        dag_id = self._ran.dag_id
        if words := last_words(self._airflow, dag_id):
            raise DeploymentError(words)
        tasks = self._airflow.tasks(dag_id, self._run_id)
        # The API lists them by name; "wait" and what comes after it are told in the order of their work.
        for task in sorted(tasks, key=lambda task: (task["task_id"] == "hand_on", task["task_id"] == "wait")):
            name, state = str(task["task_id"]), str(task["state"])
            if self._states.get(name) != state:
                self._tell(name, self._states.get(name), state)
                self._states[name] = state

    def _tell(self, name: str, before: str | None, state: str) -> None:
        say, now = self._progress.say, time.monotonic()
        if state == "deferred":
            self._deferred_at = now
            say(f"{name}: deferred; the triggerer waits, no worker does")
        if before == "deferred":
            self._ran.deferred_s += now - self._deferred_at
        if state == "success":
            say(f"{name}: {self._came_to(name)}")

    def _came_to(self, name: str) -> str:
        told = self._airflow.xcom(self._ran.dag_id, self._run_id, name)
        if name == "hand_on":
            return f"{told['written']} IDs are in the table whatsapp_ids, {told['removed']} have been removed"
        if name == "wait":
            return f"all results are in: {told['valid']} valid, {told['invalid']} invalid, {told['failed']} failed"
        self._ran.summary = told
        return f"{told['given']} given, {told['asked']} checked, {told['processing']} of them still processing"
