"""Turn.io's operators, and their possible outcomes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

from airflow_provider_wacontacts.hooks.turn import TurnHook
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
from airflow_provider_wacontacts.sandbox import Fault, TurnBehaviour, seeded_world
from airflow_provider_wacontacts.sandbox.population import NAMES, SURNAMES
from tests.leaks.capture import Capture, Case, error_headers, respond
from tests.leaks.setup import (
    OUTLET,
    PASSWORD,
    QUOTING,
    Setup,
    break_store_or_files,
    corrupt_database,
    quote_rows,
    stored,
)

__all__ = ["FILES_CASES", "POSTGRES_CASES", "SQL_CASES", "TurnToFiles", "TurnToSql"]

TOKEN = "example-token-58c1f0"
NUMBER, NAME = "447700900001", NAMES[0]
#: The path of every URL with a cursor in it.
PATH = "/v1/data/contacts/cursor/"
ECHO = f"{TOKEN} {NUMBER} {NAME} {PATH}abc"
ERROR = json.dumps({"errors": [{"code": 400, "title": ECHO, "details": ECHO}]})
HTML = f"<html><title>{ECHO}</title></html>"
HEADERS = error_headers(ECHO, TOKEN)
REJECTED = {"updated_at": ECHO, "details": {"name": NAME, "whatsapp_id": NUMBER}}
#: Success responses that hold no page.
NO_PAGE = (HTML, json.dumps(ECHO), json.dumps({ECHO: ECHO}), json.dumps({"data": ECHO}), ERROR[:-5])
NO_PAGING = (json.dumps({"data": [], "paging": paging}) for paging in (ECHO, [ECHO], {"next": [ECHO]}))
REFUSED = (301, 302, 307, 400, 401, 403, 404, 409, 418, 422, 451)
ELSEWHERE = f"http://127.0.0.1:1{PATH}{TOKEN}"
#: Requests before the second page: the one that creates a cursor, and the first page.
SECOND_PAGE = 3


class TurnToSql:
    """Loads Monday, 12 September 2022, into the store."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._server = setup.server

    def prepare(self, case: Case) -> None:
        people = seeded_world(contacts=12, days=1)
        self._server.load(people, now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=3, token=TOKEN))
        self._server.change(**case.behaviour)
        self._server.fail(*case.faults)
        connection = {"conn_type": "turn", "host": self._server.url, "password": TOKEN}
        self.setup.connect("turn_default", **connection | dict(case.connection))
        self.setup.connect_store(case.store)

    def execute(self, case: Case, capture: Capture) -> Any:
        self.capture = capture
        operator = self._operator(**case.arguments)
        operator.__dict__["hook"] = TurnHook(clock=self.setup.patient())
        capture.operator(operator)
        interval = {"data_interval_start": _day(12), "data_interval_end": _day(13)}
        with self.setup.interrupted(case, self):
            run = SimpleNamespace(run_after=_day(13))
            return self.setup.context(capture, operator.execute, dag_run=run, **interval)

    def secrets(self) -> Collection[str]:
        cursors = {cursor.partition("-")[0] for cursor in self._server._api._cursors._places}
        texts = {TOKEN, PASSWORD, NUMBER, *NAMES, *SURNAMES, self._server.url, *cursors}
        return {re.escape(text) for text in texts | self._server.world.personal_texts()} | {f"{PATH}[0-9A-Za-z]"}

    def stored(self) -> Mapping[str, str]:
        return stored(self.setup)

    def _operator(self, **arguments: Any) -> Any:
        return TurnContactsToSqlOperator(task_id="task", outlets=[OUTLET], **arguments)


class TurnToFiles(TurnToSql):
    """Writes Monday, 12 September 2022, to files."""

    def _operator(self, **arguments: Any) -> Any:
        path = f"file://{self.setup.files}"
        return TurnContactsToObjectStorageOperator(task_id="task", path=path, outlets=[OUTLET], **arguments)


def _day(day: int) -> datetime:
    return datetime(2022, 9, day, tzinfo=UTC)


def _respond(on: Any, status: int, body: str, **headers: str) -> list[Fault]:
    return [respond(on, status, body, HEADERS, **headers)]


def _page(*contacts: Any) -> list[Fault]:
    return _respond("page", 200, json.dumps({"data": contacts}))


def _break(subject: TurnToSql, request: int) -> None:
    if request == SECOND_PAGE:
        break_store_or_files(subject.setup)


def _corrupt(subject: TurnToSql, request: int) -> None:
    if request == 1:
        corrupt_database(subject.setup, ECHO)


def _overtake(subject: TurnToSql, request: int) -> None:
    """Let another attempt of the task complete before the second page."""
    if request == SECOND_PAGE:
        subject.execute(Case("other attempt"), subject.capture)


def _quote_rows(table: str, raising: str, subject: TurnToSql, request: int) -> None:
    if request == 1:
        quote_rows(subject.setup, table, raising)


CONNECTIONS: list[dict[str, Any]] = [
    {"host": f"https://user:{TOKEN}@turn.example"},
    {"host": f"https://turn.example/?token={TOKEN}"},
    {"host": f"turn .example{TOKEN}"},
    {"host": f"ftp://{TOKEN}.example"},
    {"password": f"{TOKEN} {NAME}"},
    {"password": f"{TOKEN}\n"},
    {"password": f"{TOKEN}é"},
    {"password": ""},
    {"extra": f'{{"account": "{TOKEN}"'},
    {"extra": json.dumps([TOKEN])},
    {"extra": json.dumps({"verify": TOKEN, "timeout": TOKEN})},
    {"extra": json.dumps({"timeout": TOKEN})},
    {"extra": json.dumps({"allow_http": TOKEN})},
    {"extra": json.dumps({"proxies": [f"http://user:{TOKEN}@proxy.example"]})},
    {"extra": json.dumps({"proxies": {"http": f"http://user:{TOKEN}@[proxy.example"}})},
]
STORES: list[dict[str, Any]] = [
    {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": NAME, "password": PASSWORD, "schema": NAME},
]
CLIENT_CASES = [
    *(
        Case(f"{on} {status}", _respond(on, status, ERROR, location=ELSEWHERE))
        for on in ("create", "page")
        for status in REFUSED
    ),
    *(Case(f"page {status} in HTML", _respond("page", status, HTML)) for status in (400, 401, 403, 500, 502)),
    *(Case(f"{on} 500", _respond(on, 500, ERROR)) for on in ("create", "page")),
    Case("page 503 with an invalid Retry-After", _respond("page", 503, ERROR, **{"retry-after": ECHO})),
    Case("page 429", _respond("page", 429, ERROR, **{"retry-after": "3600"})),
    Case("page 429 with an invalid Retry-After", _respond("page", 429, ERROR, **{"retry-after": ECHO})),
    Case("create 429", _respond("create", 429, ERROR, **{"x-ratelimit-reset": "9999999999", "retry-after": "3601"})),
    *(
        Case(f"page 200 without a page {n}", _respond("page", 200, body))
        for n, body in enumerate((*NO_PAGE, *NO_PAGING))
    ),
    *(Case(f"create 200 without a cursor {n}", _respond("create", 200, body)) for n, body in enumerate(NO_PAGE)),
    *(
        Case(f"{on} {kind}", [Fault(kind=kind, on=on, every=1)])
        for on in ("create", "page")
        for kind in ("drop", "cut")
    ),
    *(
        Case(f"connection {n}: {next(iter(given))}", connection=given, outcome="")
        for n, given in enumerate(CONNECTIONS)
    ),
]
LANDING_CASES = [
    Case("repeated cursor", [Fault(kind="repeat_cursor", on="page", skip=1)]),
    Case("every cursor expires", [Fault(kind="expired", on="page", every=1)]),
    Case("empty pages", [Fault(kind="empty_page", on="page", every=1)]),
    Case("invalid Date header", _respond("create", 404, ERROR, date=ECHO)),
    Case("rejected rows", _page(REJECTED, ECHO, [ECHO], {"uuid": NAME, "updated_at": 7})),
    Case(
        "two number ids",
        _page(*({"uuid": NAME, "updated_at": "2022-09-12T08:00Z", "number_id": n} for n in (1, NUMBER))),
    ),
    Case("NaN", _respond("page", 200, json.dumps({"data": [{"uuid": NAME, "updated_at": math.nan}]}))),
    Case("refused option", arguments={"page_size": 1}, behaviour={"page_size_option": "refuse"}),
    Case("a rejected row after others", [Fault(kind="body", on="page", skip=1, body=json.dumps({"data": [REJECTED]}))]),
    Case("store or folder breaks", before=_break),
    Case(
        "success",
        [Fault(kind="cut", on="page", times=2), Fault(kind="expired", on="page", skip=1)],
        behaviour={"cursor_needs_quoting": True, "advance_per_page_s": 20.0},
        outcome="success",
    ),
]
OVERTAKEN = Case("another attempt completes", before=_overtake)
#: What differs for a task that loads into the store, and for one that writes files.
SQL_CASES = [
    *CLIENT_CASES,
    *LANDING_CASES,
    Case("corrupt database", before=_corrupt),
    OVERTAKEN,
    *(Case("unreachable store", store=fields, outcome="LandingError") for fields in STORES),
]
#: Files have the same client: some of its errors stand for all.
FILES_CASES = [*CLIENT_CASES[::5], *LANDING_CASES, replace(OVERTAKEN, outcome="success")]
#: PostgreSQL quotes the row in each of these.
POSTGRES_CASES = [
    Case(f"{table} {name}", before=partial(_quote_rows, table, what), outcome=outcome)
    for table in ("wacontacts_contact_version", "wacontacts_contact_payload", "wacontacts_contact_current")
    for name, (what, outcome) in QUOTING.items()
]
