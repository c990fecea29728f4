"""Operators that check numbers, and their possible outcomes."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppCheckContactsOperator,
    WhatsAppRevalidateContactsOperator,
)
from airflow_provider_wacontacts.sandbox import Fault, WhatsAppBehaviour, World
from tests.leaks.capture import Capture, Case, error_headers, respond
from tests.leaks.setup import OUTLET, PASSWORD, Setup, stored

__all__ = ["CASES", "SQL_CASES", "CheckNumbers", "numbers"]

NAME, KEY = "Quillimar", "example-customer-key"
TOKEN, SENDER = "example-token-58c1f0", "+12015550100"


def numbers(count: int) -> list[str]:
    """Make up numbers of the United States that belong to no one."""
    return [f"+1212555{number:04}" for number in range(count)]


#: Each of the numbers, however it is written.
NUMBERS = r"\+?1?\W*212\W*555\W*0\d\d\d"
ECHO = f"{TOKEN} {PASSWORD} {NAME} {numbers(1)[0]}"
ERROR = json.dumps({"errors": [{"code": 1009, "title": ECHO, "details": ECHO, "href": ECHO}]})
HTML = f"<p>{ECHO}"
HEADERS = error_headers(ECHO, TOKEN)
SQL = {
    "contacts_sql": "SELECT id AS contact_key, phone AS number, agreed AS opted_in FROM people ORDER BY id",
    "contacts_conn_id": "crm",
}
FAILS, PASSES = "AirflowFailException", "success"
#: Made anew for each run, so that a case may be run twice.
RECHECK = "recheck"


class CheckNumbers:
    """Checks twenty numbers of a team's own database."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._server = setup.server

    def prepare(self, case: Case) -> None:
        own = WhatsAppBehaviour(sender=SENDER, on_whatsapp=1.0, processing_share=0.0, token=TOKEN, password=PASSWORD)
        self._server.load(World(), now=datetime.now(UTC).replace(microsecond=0), whatsapp=own)
        self._server.whatsapp.change(**case.behaviour)
        self._server.fail(*case.faults)
        extra = {"auth": "bearer", "sender": SENDER, "daily_checks": 50}
        connection = {"conn_type": "whatsapp_business", "host": self._server.url, "password": TOKEN, "extra": extra}
        given = dict(case.connection)
        connection["extra"] = extra | given.pop("extra", {})
        self.setup.connect("whatsapp_business_default", **connection | given)
        self.setup.connect_store(case.store)
        self._fill_crm()

    def execute(self, case: Case, capture: Capture) -> Any:
        self.capture = capture
        given = dict(case.arguments)
        if callable(contacts := given.get("contacts")):
            given["contacts"] = contacts(self)
        if RECHECK in given:
            operator: Any = WhatsAppRevalidateContactsOperator(task_id="task", outlets=[OUTLET])
        else:
            given = given if "contacts" in given else SQL | given
            operator = WhatsAppCheckContactsOperator(task_id="task", outlets=[OUTLET], **given)
            if "contacts" not in given:
                capture.operator(operator)
        run = SimpleNamespace(run_after=datetime.now(UTC))
        with self.setup.interrupted(case, self):
            return self.setup.context(capture, operator.execute, dag_run=run)

    def secrets(self) -> Collection[str]:
        return {NUMBERS, *map(re.escape, (NAME, KEY, PASSWORD, TOKEN))}

    def stored(self) -> Mapping[str, str]:
        return stored(self.setup)

    def _fill_crm(self) -> None:
        """Write people where a task may read them: a SQLite file, or the PostgreSQL database of the store."""
        rows = [(f"{KEY} {place}", number) for place, number in enumerate(numbers(20))]
        if self.setup.is_postgres:
            values = ", ".join(f"('{key}', '{number}', true)" for key, number in rows)
            self.setup.sql("CREATE TABLE people (id text, phone text, agreed boolean)")
            self.setup.sql(f"INSERT INTO people VALUES {values}")
            self.setup.connect("crm", **self.setup.store_fields())
            return
        path = self.setup.folder / "crm.db"
        with sqlite3.connect(path) as crm:
            crm.execute("CREATE TABLE people (id text, phone text, agreed boolean)")
            crm.executemany("INSERT INTO people VALUES (?, ?, true)", rows)
        self.setup.connect("crm", conn_type="sqlite", host=str(path))


def _respond(status: int, body: str = ERROR, on: Any = "check", **headers: str) -> list[Fault]:
    return [respond(on, status, body, HEADERS, **headers)]


def _drop_while(table: str, subject: CheckNumbers) -> Iterator[str]:
    """Give numbers, and drop a table before they end."""
    yield from numbers(20)
    cascade = " CASCADE" if subject.setup.is_postgres else ""
    subject.setup.sql(f"DROP TABLE {table}{cascade}")


UNREADABLE: list[Any] = [numbers(1)[0], [numbers(1)], [{"phone": numbers(1)[0], "name": NAME}], {KEY: numbers(1)[0]}]
STRANGE = [{"input": number, "status": ECHO, "wa_id": ECHO} for number in numbers(20)]
LOGIN = {"login": NAME, "password": PASSWORD, "extra": {"auth": "login"}}
STORES: list[dict[str, Any]] = [
    {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": NAME, "password": PASSWORD, "schema": NAME},
    {"conn_type": "sqlite", "host": "/no/such/place/store.db"},
    {"conn_type": "mysql", "host": "db.example", "login": NAME, "password": PASSWORD},
]
BY_FIVE = {"batch_size": 5}
CASES = [
    *(
        Case(f"HTTP {status}", _respond(status), arguments=BY_FIVE, outcome=FAILS)
        for status in (400, 401, 403, 404, 409, 422)
    ),
    *(
        Case(f"HTTP {status} in HTML", _respond(status, HTML), arguments=BY_FIVE, outcome=FAILS)
        for status in (400, 403)
    ),
    *(
        Case(f"HTTP {status}", _respond(status, HTML), arguments=BY_FIVE, outcome="ServerError")
        for status in (500, 502, 503)
    ),
    *(
        Case(name, _respond(status, json.dumps(body)), arguments=BY_FIVE, outcome=outcome)
        for name, status, body, outcome in (
            ("HTTP 500 with a code", 500, {"errors": [{"code": 1000, "title": ECHO}]}, "ServerError"),
            ("ban", 403, {"errors": [{"code": 1031, "title": ECHO}]}, FAILS),
            ("200 without contacts", 200, {"contacts": ECHO}, "ContractError"),
            ("200 with strange contacts", 200, {"contacts": [ECHO, {"input": ECHO}, {ECHO: 1}]}, PASSES),
            ("200 with strange statuses", 200, {"contacts": STRANGE}, PASSES),
            (
                "200 with errors",
                200,
                {"contacts": [], "errors": [{"code": 1013, "title": ECHO, "details": ECHO}]},
                PASSES,
            ),
            ("200 with a strange version", 200, {"contacts": [], "meta": {"version": ECHO}}, PASSES),
        )
    ),
    Case("redirect", _respond(307, location=f"http://127.0.0.1:1/{TOKEN}"), arguments=BY_FIVE, outcome=FAILS),
    Case("200 in HTML", _respond(200, HTML), arguments=BY_FIVE, outcome="ContractError"),
    Case("200 with errors alone", _respond(200), arguments=BY_FIVE, outcome=FAILS),
    Case("429", _respond(429, **{"retry-after": "3600"}), arguments=BY_FIVE, outcome="TaskDeferred"),
    Case("429 with an invalid Retry-After", _respond(429, **{"retry-after": ECHO}), outcome="RateLimitedError"),
    *(Case(kind, [Fault(kind=kind, on="check", every=1)], outcome="NetworkError") for kind in ("drop", "cut")),
    Case(
        "400 after some",
        [Fault(kind="status", on="check", status=400, code=1009, skip=2)],
        arguments=BY_FIVE,
        outcome=FAILS,
    ),
    *(
        Case(f"login {status}", _respond(status, on="login"), {"auth": "login"}, LOGIN, outcome="Exception")
        for status in (400, 401, 403, 500)
    ),
    *(
        Case(
            f"budget ends, {on_budget}",
            connection={"extra": {"daily_checks": 7}},
            arguments={"on_budget": on_budget},
            outcome=outcome,
        )
        for on_budget, outcome in (("fail", FAILS), ("defer", "TaskDeferred"), ("partial", PASSES))
    ),
    *(Case(f"store of type {place['conn_type']}", store=place, outcome="Exception") for place in STORES),
    *(
        Case(f"contacts that are none {n}", arguments={"contacts": given}, outcome=FAILS)
        for n, given in enumerate(UNREADABLE)
    ),
    Case(
        "success",
        [Fault(on="check", kind="cut"), Fault(on="check", kind="rate_limited", delay_s=0.05)],
        {"missing_share": 0.2, "version": "v2.45.1", "processing_share": 0.3},
        arguments=BY_FIVE,
        outcome=PASSES,
    ),
    Case("success of revalidation", arguments={RECHECK: True}, outcome=PASSES),
]
#: Queries that fail in either kind of database, and tables that are dropped at work.
SQL_CASES = [
    *(
        Case(f"query {n}", arguments={"contacts_sql": sql}, outcome="")
        for n, sql in enumerate(
            (
                "SELECT phone AS number FROM nowhere",
                "SELECT phone FROM people",
                "SELECT phone AS number, 1 / (length(phone) - 12) AS opted_in FROM people WHERE id = ''",
                "SELECT CAST(phone AS int) AS number FROM people",
                "SELECT phone AS number FROM people WHERE",
            )
        )
    ),
    Case(
        "query of messages",
        arguments={"messages_conn_id": "crm", "messages_sql": "SELECT phone AS day, phone AS messages FROM people"},
        outcome=FAILS,
    ),
]
SQL_CASES += [
    Case(f"{table} is dropped", arguments={"contacts": partial(_drop_while, table)}, outcome="AirflowFailException")
    for table in ("wacontacts_number", "wacontacts_budget")
]
