"""The operator that checks numbers with GREEN-API, and its possible outcomes."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.hooks import green_api as hooks
from airflow_provider_wacontacts.operators.green_api import GreenApiCheckContactsOperator
from airflow_provider_wacontacts.sandbox import Fault
from tests.leaks.capture import Case, respond
from tests.leaks.green_api import CONNECTIONS, ECHO, ERROR, HEADERS, HTML, MESSAGES, NAME, STATUSES, GreenApiToSql
from tests.leaks.setup import OUTLET

__all__ = ["CASES", "GreenApiChecks"]

LID = "100000000000777"
NUMBERS = [f"+4477009001{number:02}" for number in range(4)]
ON: Any = "whatsapp"
CHECK_MESSAGES = (
    *MESSAGES,
    "check phone number timeout limit exceeded",
    "bad phone number, valid from 11 to 16 digits",
)
#: Success responses without a result.
NO_RESULT = {
    "html": HTML,
    "a string": json.dumps(ECHO),
    "another object": json.dumps({"code": 401, "description": ECHO}),
}


class GreenApiChecks(GreenApiToSql):
    """Checks four numbers."""

    def prepare(self, case: Case) -> None:
        super().prepare(case)
        self.setup.monkeypatch.setattr(hooks, "CHECK_RATE_LIMITERS", RateLimiters(timedelta(0)))
        self._server.green_api.put_number(NUMBERS[0], lid=LID)

    def secrets(self) -> Collection[str]:
        return {*super().secrets(), LID, *(number[1:] for number in NUMBERS)}

    def _operator(self, **arguments: Any) -> Any:
        contacts = [{"number": number, "contact_key": NAME} for number in (*NUMBERS, f"no number {NAME}")]
        return GreenApiCheckContactsOperator(task_id="task", contacts=contacts, outlets=[OUTLET], **arguments)


CASES = [
    *(
        Case(f"{status} {what}", [respond(ON, status, body, HEADERS)])
        for status in STATUSES
        for what, body in (("in JSON", ERROR), ("in HTML", HTML))
    ),
    *(
        Case(
            f"400 {message[:30]}",
            [Fault(kind="status", on=ON, status=400, message=f"{message} {ECHO}", every=1)],
            outcome="",
        )
        for message in CHECK_MESSAGES
    ),
    *(Case(f"200 {what}", [respond(ON, 200, body, HEADERS)]) for what, body in NO_RESULT.items()),
    *(Case(kind, [Fault(kind=kind, on=ON, every=1)]) for kind in ("drop", "cut")),
    *(
        Case(f"quota, {on_budget}", behaviour={"check_quota": 1}, arguments={"on_budget": on_budget}, outcome="")
        for on_budget in ("fail", "defer", "partial")
    ),
    *(
        Case(f"connection {n}: {next(iter(given))}", connection=given, outcome="")
        for n, given in enumerate(CONNECTIONS)
    ),
    Case("success", outcome="success"),
]
