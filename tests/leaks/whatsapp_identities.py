"""Operators for identities of users, and their possible outcomes."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppAcknowledgeIdentityOperator,
    WhatsAppGetIdentityOperator,
)
from airflow_provider_wacontacts.sandbox import Fault, WhatsAppBehaviour, World
from tests.leaks.capture import Capture, Case, error_headers, respond
from tests.leaks.setup import OUTLET, Setup, stored
from tests.operators.identity_cases import ANNA, BERT, NOW, SENDER

__all__ = ["CASES", "AcknowledgeIdentities", "GetIdentities"]

TOKEN, HASH, NAME = "example-token-58c1f0", "UKD6Y/5SqDU=", "Quillimar"
ECHO = f"{TOKEN} {ANNA} {HASH} {NAME}"
ERROR = json.dumps({"errors": [{"code": 1009, "title": ECHO, "details": ECHO}], "contacts": ECHO})
HEADERS = error_headers(ECHO, TOKEN)


class GetIdentities:
    """Gets the identities of two users that changed."""

    operator: Any = WhatsAppGetIdentityOperator

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._server = setup.server
        self.hashes: set[str] = set()

    def prepare(self, case: Case) -> None:
        self._server.load(World(), now=NOW, whatsapp=WhatsAppBehaviour(sender=SENDER, token=TOKEN))
        extra = {"auth": "bearer", "sender": SENDER}
        connection = {"conn_type": "whatsapp_business", "host": self._server.url, "password": TOKEN, "extra": extra}
        self.setup.connect("whatsapp_business_default", **connection)
        self.setup.connect_store(case.store)
        self.change(ANNA)
        self.change(BERT)
        self._server.fail(*case.faults)

    def execute(self, case: Case, capture: Capture) -> Any:
        operator = self.operator(task_id="task", outlets=[OUTLET], **case.arguments)
        capture.operator(operator)
        run = SimpleNamespace(run_after=NOW)
        with self.setup.interrupted(case, self):
            return self.setup.context(capture, operator.execute, dag_run=run)

    def change(self, wa_id: str, *, delivered: bool = True) -> None:
        """Change a user's identity, with a callback or without."""
        self._server.clock.advance(60)
        self.hashes.add(self._server.whatsapp.change_identity(wa_id).hash)
        if delivered:
            record_callback(self.setup.store, SENDER, self._server.whatsapp.callbacks.log[-1].body)

    def secrets(self) -> Collection[str]:
        return set(map(re.escape, {ANNA, BERT, *self.hashes, TOKEN, HASH, NAME, self._server.url}))

    def stored(self) -> Mapping[str, str]:
        return stored(self.setup)


class AcknowledgeIdentities(GetIdentities):
    """Acknowledges the identities of two users that changed."""

    operator = WhatsAppAcknowledgeIdentityOperator


def _change_silently(subject: GetIdentities, request: int) -> None:
    if request == 1:
        subject.change(ANNA, delivered=False)


def _forget_user(subject: GetIdentities, request: int) -> None:
    if request == 1:
        subject.setup.server.whatsapp.put(f"+{ANNA}", "invalid")


def _drop_table(subject: GetIdentities, request: int) -> None:
    if request == 1:
        subject.setup.sql("DROP TABLE wacontacts_identity")


CASES = [
    Case("success", outcome="success"),
    Case("changed since", before=_change_silently, outcome=""),
    Case("unknown user", before=_forget_user, outcome=""),
    Case("no table", before=_drop_table, outcome="AirflowFailException"),
    *(
        Case(f"{on} {status}", [respond(on, status, ERROR, HEADERS)], outcome="")
        for on in ("identity", "acknowledge")
        for status in (200, 301, 400, 401, 403, 404, 409, 429, 500)
    ),
    *(Case(kind, [Fault(on="identity", kind=kind, every=1)], outcome="") for kind in ("drop", "cut")),
    Case("HTML", [Fault(on="any", kind="html", every=1)]),
]
