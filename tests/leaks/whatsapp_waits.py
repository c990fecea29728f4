"""The sensor that waits for results, in the worker and in the triggerer, and its possible outcomes."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.sandbox import Fault, WhatsAppBehaviour, World
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor
from tests.leaks.capture import Capture, Case, error_headers, respond
from tests.leaks.setup import PASSWORD, Setup, stored
from tests.leaks.whatsapp_checks import NUMBERS, SENDER, numbers

__all__ = ["CASES", "WaitInTriggerer", "WaitInWorker"]

TOKEN, NAME = "example-token-58c1f0", "Quillimar"
GIVEN = numbers(3)
ECHO = f"{TOKEN} {NAME} {' '.join(GIVEN)}"
ERROR = {
    "errors": [{"code": 1009, "title": ECHO, "details": ECHO}],
    "contacts": [ECHO, {"input": ECHO, "status": ECHO}],
}
HTML = f"<p>{ECHO}"
HEADERS = error_headers(ECHO, TOKEN)


class WaitInWorker:
    """Waits for three numbers, of which the last is resolved when it is requested again."""

    deferrable = False

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._server = setup.server

    def prepare(self, case: Case) -> None:
        slow = {"processing_share": 1.0, "processing_answers": 1, "resolved_by": "asking"}
        own = WhatsAppBehaviour(sender=SENDER, on_whatsapp=1.0, token=TOKEN, **slow)
        self._server.load(World(), now=datetime.now(UTC).replace(microsecond=0), whatsapp=own)
        extra = {"auth": "bearer", "sender": SENDER}
        connection = {"conn_type": "whatsapp_business", "host": self._server.url, "password": TOKEN, "extra": extra}
        self.setup.connect("whatsapp_business_default", **connection)
        self.setup.connect_store(case.store)
        check = WhatsAppCheckContactsOperator(task_id="check", contacts=GIVEN)
        self._check_id = check.execute(self._context("check"))["check_id"]
        self._server.whatsapp.change(**case.behaviour)
        self._server.fail(*case.faults)

    def execute(self, case: Case, capture: Capture) -> Any:
        quick = {"timeout": 60.0 if case.outcome == "success" else 0.5, "poke_interval": 0.01, "max_failures": 1}
        own = quick | {"check_id": self._check_id, "deferrable": self.deferrable} | dict(case.arguments)
        sensor = WhatsAppContactsSensor(task_id="wait", **own)
        capture.operator(sensor)
        context = self._context("wait")
        with self.setup.interrupted(case, self):
            try:
                return sensor.execute(context)
            except TaskDeferred as deferral:
                capture.error(deferral)
                event = capture.event(deferral.trigger)
                return sensor.resume_execution(deferral.method_name, {"event": event}, context)

    def secrets(self) -> Collection[str]:
        return {NUMBERS, *map(re.escape, (NAME, PASSWORD, TOKEN))}

    def stored(self) -> Mapping[str, str]:
        return stored(self.setup)

    @staticmethod
    def _context(task_id: str) -> dict[str, Any]:
        ti = SimpleNamespace(dag_id="dag", run_id="run", task_id=task_id, map_index=-1, max_tries=0)
        run, task = SimpleNamespace(run_after=datetime.now(UTC)), SimpleNamespace(retries=0)
        return {"ti": ti, "dag_run": run, "task": task, "outlet_events": {}}


class WaitInTriggerer(WaitInWorker):
    """Waits for three numbers in the triggerer."""

    deferrable = True


CASES = [
    *(
        Case(f"HTTP {status}", [respond("check", status, json.dumps(ERROR), HEADERS)])
        for status in (301, 400, 401, 403, 404, 409, 500, 503)
    ),
    # Numbers that responses leave out are missing in the end.
    Case("HTTP 200", [respond("check", 200, json.dumps(ERROR), HEADERS)], outcome="success"),
    *(Case(f"HTTP {status} in HTML", [respond("check", status, HTML, HEADERS)]) for status in (200, 403, 502)),
    *(Case(kind, [Fault(kind=kind, on="check", every=1)]) for kind in ("drop", "cut")),
    Case("429", [Fault(on="check", kind="rate_limited", delay_s=0.1)], outcome="success"),
    Case("never resolved", behaviour={"resolved_by": "never"}),
    Case("unknown check", arguments={"check_id": "unknown"}),
    Case("connection that is not defined", arguments={"whatsapp_business_conn_id": "nowhere"}),
    Case("success", outcome="success"),
]
