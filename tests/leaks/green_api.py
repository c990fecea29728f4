"""GREEN-API's operators, and their possible outcomes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.hooks import green_api as hooks
from airflow_provider_wacontacts.operators import green_api as operators
from airflow_provider_wacontacts.sandbox import Fault, GreenApiBehaviour, World, seeded_contact_list
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

__all__ = ["FILES_CASES", "POSTGRES_CASES", "SQL_CASES", "GreenApiToFiles", "GreenApiToSql"]

#: With characters that a path holds percent-encoded.
TOKEN, SECRET = "example/token+58c1f0", "example-pseudonym-secret-3f9a51"
QUOTED = quote(TOKEN, safe="")
NUMBER, NAME = "447700900999", "Glorbinda"
PATH = "/waInstance1101000001/"
ECHO = f"{TOKEN} {QUOTED} {NUMBER}@c.us {NAME} {PATH}getContacts/{QUOTED}"
HTML = f"<html><title>{ECHO}</title></html>"
HEADERS = error_headers(ECHO, TOKEN)
ERROR = json.dumps({"statusCode": 400, "path": f"{PATH}getContacts/{QUOTED}", "message": ECHO})
ROW = {"id": f"{NUMBER}@c.us", "name": NAME}
ELSEWHERE = f"http://127.0.0.1:1{PATH}{QUOTED}"
MESSAGES = (
    "instance in starting process try later",
    "instance is starting or not authorized",
    "instance account not authorized",
    "Instance account is expired. Renew your instance from personal area",
    "Instance is deleted",
    "bad request data",
    "Validation failed. Details: ",
    "Unexpected token _ in JSON at position 7",
)
STATES = ("notAuthorized", "blocked", "starting", "sleepMode", "pendingCode", "pendingPassword", "brandNew", ECHO)
STATUSES = (301, 302, 308, 400, 401, 403, 404, 405, 409, 418, 429, 466, 499, 500, 502, 503)
REQUESTS = ("wa_settings", "contacts")
#: Success responses that are no list of contacts.
NO_LIST = {
    "html": HTML,
    "an object": json.dumps({"code": 401, "description": ECHO, "path": PATH + QUOTED}),
    "an object with a list": json.dumps({"contacts": [ROW]}),
    "a string": json.dumps(ECHO),
    "a list of strings": json.dumps([ECHO, NUMBER]),
    "a truncated list": json.dumps([ROW])[:-2],
    "no JSON": ECHO,
}
PSEUDONYMS = {"pseudonymize": ["id", "name"], "pseudonym_conn_id": "keys"}


class GreenApiToSql:
    """Loads a snapshot of forty contacts into the store."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._server = setup.server

    def prepare(self, case: Case) -> None:
        people = seeded_contact_list(contacts=40, days=0)
        behaviour = GreenApiBehaviour(token=TOKEN)
        self._server.load(World(), now="2026-11-02T00:00:00Z", green_api=behaviour, contact_list=people)
        self._server.green_api.change(**case.behaviour)
        self._server.fail(*case.faults)
        self.setup.monkeypatch.setattr(hooks, "RATE_LIMITERS", RateLimiters(timedelta(0)))
        connection = {"conn_type": "green_api", "host": self._server.url, "login": "1101000001", "password": TOKEN}
        self.setup.connect("green_api_default", **connection | dict(case.connection))
        self.setup.connect("keys", conn_type="generic", extra={"pseudonym_secret": SECRET})
        self.setup.connect_store(case.store)

    def execute(self, case: Case, capture: Capture) -> Any:
        self.capture = capture
        operator = self._operator(**case.arguments)
        operator.__dict__["hook"] = hooks.GreenApiHook(clock=self.setup.patient())
        capture.operator(operator)
        with self.setup.interrupted(case, self):
            return self.setup.context(capture, operator.execute)

    def secrets(self) -> Collection[str]:
        account = self._server.green_api
        texts = {*account.secret_texts(), *account.personal_texts(), PASSWORD, SECRET, NUMBER, NAME, self._server.url}
        return {re.escape(text) for text in {*texts, TOKEN, QUOTED, QUOTED.lower()}} | {"waInstance"}

    def stored(self) -> Mapping[str, str]:
        return stored(self.setup)

    def _operator(self, **arguments: Any) -> Any:
        return operators.GreenApiContactsToSqlOperator(task_id="task", outlets=[OUTLET], **arguments)


class GreenApiToFiles(GreenApiToSql):
    """Writes a snapshot of forty contacts to files."""

    def _operator(self, **arguments: Any) -> Any:
        path = f"file://{self.setup.files}"
        return operators.GreenApiContactsToObjectStorageOperator(
            task_id="task", path=path, outlets=[OUTLET], **arguments
        )


def _respond(on: Any, status: int, body: str, **headers: str) -> list[Fault]:
    return [respond(on, status, body, HEADERS, **headers)]


def _at_first(change: Callable[[Setup], None]) -> Callable[[GreenApiToSql, int], None]:
    return lambda subject, request: change(subject.setup) if request == 1 else None


def _refuse(on: Any, message: str) -> list[Fault]:
    return [Fault(kind="status", on=on, status=400, message=f"{message} {ECHO}", every=1)]


def _quote_rows(table: str, raising: str, change: str, subject: GreenApiToSql, request: int) -> None:
    """Load a snapshot, change a contact, and let PostgreSQL quote the rows of the next snapshot."""
    if request != 1:
        return
    subject.execute(Case("snapshot of the day before"), subject.capture)
    quote_rows(subject.setup, table, raising)
    server = subject.setup.server
    server.clock.advance(86_400)
    contact = str(server.green_api.rows()[0]["id"])
    if change == "gone":
        server.green_api.remove(contact)
    else:
        server.green_api.rename(contact, name=NAME)


CONNECTIONS: list[dict[str, Any]] = [
    {"host": f"https://user:{TOKEN}@green.example"},
    {"host": f"https://green.example/?token={QUOTED}"},
    {"host": f"https://green.example{PATH}getContacts/{QUOTED}"},
    {"host": f"ftp://{QUOTED}.example"},
    {"login": f"{TOKEN} {NAME}"},
    {"login": ""},
    {"password": f"{TOKEN} {NAME}"},
    {"password": f"{TOKEN}\n"},
    {"password": f"{TOKEN}é"},
    {"password": ""},
    {"extra": f'{{"account": "{TOKEN}"'},
    {"extra": json.dumps([TOKEN])},
    {"extra": json.dumps({"timeout": TOKEN})},
    {"extra": json.dumps({"proxies": {"http": f"http://user:{QUOTED}@[proxy.example"}})},
]
CLIENT_CASES = [
    *(Case(f"state {state[:15]}", behaviour={"state": state}) for state in STATES),
    *(Case(f"no state in the {what}", behaviour={"state": None, "null_state": what}) for what in ("field", "body")),
    *(
        Case(f"contacts 400 {message[:30]} as {form}", _refuse("contacts", message), {"error_form": form})
        for form in ("full", "message", "text")
        for message in MESSAGES
    ),
    *(
        Case(f"wa_settings 400 {message[:30]}", _refuse("wa_settings", message), outcome="")
        for message in MESSAGES
        if "bad" not in message
    ),
    *(Case(f"refused {n}", behaviour={"refusal": f"{message} {ECHO}"}) for n, message in enumerate(MESSAGES)),
    *(
        Case(f"{on} {status} {what}", _respond(on, status, body, location=ELSEWHERE))
        for on, what, body in (("any", "in HTML", HTML), ("contacts", "in JSON", ERROR))
        for status in STATUSES
    ),
    *(
        Case(f"unknown token, {kind}", behaviour={"unauthorized_as": kind}, connection={"password": f"{TOKEN}x"})
        for kind in ("empty", "success")
    ),
    Case("429 with an invalid Retry-After", _respond("contacts", 429, ERROR, **{"retry-after": ECHO})),
    Case("429 with a long Retry-After", _respond("contacts", 429, "", **{"retry-after": "3600"})),
    Case("monthly quota", behaviour={"monthly_quota": 0}),
    Case("monthly quota as strings", behaviour={"monthly_quota": 0, "quota_numbers_as": "text"}),
    *(
        Case(f"{on} 200 {what}", _respond(on, 200, body), outcome=outcome)
        for on, outcome in zip(REQUESTS, ("", "BaseException"), strict=True)
        for what, body in NO_LIST.items()
    ),
    Case("contacts 200 without a body", [Fault(kind="empty", on="contacts", every=1)]),
    *(
        Case(f"{on} {kind}", [Fault(kind=kind, on=on, every=1)], outcome=outcome)
        for on, outcome in zip(REQUESTS, ("", "BaseException"), strict=True)
        for kind in ("drop", "cut")
    ),
    *(
        Case(f"connection {n}: {next(iter(given))}", connection=given, outcome="")
        for n, given in enumerate(CONNECTIONS)
    ),
]
LANDING_CASES = [
    Case("rejected rows", _respond("contacts", 200, json.dumps([{"name": NAME}, ECHO, [ECHO], {"id": [NUMBER]}]))),
    Case("a rejected row", _respond("contacts", 200, json.dumps([ROW, {"name": ECHO, "id": ""}]))),
    Case("empty list, requested again", behaviour={"empty_answers": None}),
    Case("empty list", behaviour={"empty_answers": None}, arguments={"empty_retries": 0}),
    Case("empty list, skipped", behaviour={"empty_answers": None}, arguments={"empty_retries": 0, "on_empty": "skip"}),
    Case("refused option", behaviour={"group_option": "refuse"}, arguments={"group": True}),
    Case("no pseudonym secret", arguments={"pseudonymize": ["id"], "pseudonym_conn_id": "green_api_default"}),
    Case("store or folder breaks", before=_at_first(break_store_or_files)),
    Case(
        "success",
        [Fault(kind="cut", on="contacts", times=2), Fault(kind="rate_limited", on="contacts")],
        outcome="success",
    ),
    Case("success with pseudonyms", arguments=PSEUDONYMS, outcome="success"),
    Case("pseudonyms and HTML", _respond("contacts", 200, HTML), arguments=PSEUDONYMS),
]
#: Files have the same client: some of its errors stand for all.
FILES_CASES = [*CLIENT_CASES[::5], *LANDING_CASES]
SQL_CASES = [
    *CLIENT_CASES,
    *LANDING_CASES,
    Case("corrupt database", before=_at_first(lambda setup: corrupt_database(setup, ECHO))),
    Case(
        "unreachable store",
        store={
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": 1,
            "login": NAME,
            "password": PASSWORD,
            "schema": NAME,
        },
        outcome="LandingError",
    ),
]
#: PostgreSQL quotes the row in each of these.
POSTGRES_CASES = [
    Case(f"{change} {table} {name}", before=partial(_quote_rows, table, raising, change), outcome=outcome)
    for table in ("wacontacts_contact_version", "wacontacts_contact_payload", "wacontacts_contact_current")
    for change in ("renamed", "gone")
    for name, (raising, outcome) in QUOTING.items()
    if name != "refuses a value"
]
