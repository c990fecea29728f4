"""
Whatever fails at GREEN-API, nothing personal and nothing secret is in anything that Airflow keeps, at DEBUG neither.

Both operators walk each way to fail, against a server that echoes the token, as it is and as a path has it, a number
and a name. Then everything that is kept is searched, as for Turn.io.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.exceptions import LandingError, WaContactsError
from airflow_provider_wacontacts.hooks import green_api as hooks
from airflow_provider_wacontacts.sandbox import Fault, GreenApiBehaviour, Sandbox, World, seeded_contact_list
from airflow_provider_wacontacts.store import upgrade
from tests.faults.conftest import Pause
from tests.faults.test_leaks import LOUD, Kept, Recorder

TOKEN, PASSWORD, SECRET = "example/token+58c1f0", "example-password-7d21", "example-secret-3f9a51"
QUOTED = quote(TOKEN, safe="")
NUMBER, NAME = "447700900999", "Glorbinda"
PATH = "/waInstance1101000001/"
ECHO = f"{TOKEN} {QUOTED} {NUMBER}@c.us {NAME} {PATH}getContacts/{QUOTED}"
HTML = f"<html><title>{ECHO}</title></html>"
HEADERS = {"x-echo": ECHO, "set-cookie": f"session={TOKEN}", "www-authenticate": f'Bearer realm="{ECHO}"'}
TOLD = json.dumps({"statusCode": 400, "path": f"{PATH}getContacts/{QUOTED}", "message": ECHO})
ROW = {"id": f"{NUMBER}@c.us", "name": NAME}
MEANINGS = (
    "instance in starting process try later",
    "instance is starting or not authorized",
    "instance account not authorized",
    "Instance account is expired. Renew your instance from personal area",
    "Instance is deleted",
    "bad request data",
    "Validation failed. Details: ",
    "Unexpected token _ in JSON at position 7",
)


@dataclass(frozen=True)
class Way:
    """
    One way to fail.

    :param before: is handed the task before contacts are asked for.
    """

    name: str
    faults: list[Fault] = field(default_factory=list)
    behaviour: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    before: Callable[[Any], None] = lambda _task: None


def saying(on: Any, status: int, body: str, **headers: str) -> list[Fault]:
    """Answer with what was sent, and more; for ever."""
    return [Fault(kind="body", on=on, status=status, body=body, headers=HEADERS | headers, every=1)]


def take_the_place_away(task: Task) -> None:
    """Take the tables, or the directory, away when the snapshot is about to be asked for."""
    if task.kind == "store":
        with sqlite3.connect(task.store_path) as connection:
            connection.execute("DROP TABLE wacontacts_body")
    else:
        shutil.rmtree(task.files_path, ignore_errors=True)
        task.files_path.touch()


def spoil_the_database(task: Task) -> None:
    for path in task.store_path.parent.glob("store.db*"):
        path.write_bytes(ECHO.encode() * 1000)


STATES = ("notAuthorized", "blocked", "starting", "sleepMode", "pendingCode", "pendingPassword", "brandNew", ECHO)
ASKED = ("wa_settings", "contacts")
#: A body of a success that is no list of contacts, but holds what must not be told.
NO_LIST = {
    "html": HTML,
    "an object": json.dumps({"code": 401, "description": ECHO, "path": PATH + QUOTED}),
    "an object with a list": json.dumps({"contacts": [ROW]}),
    "a text": json.dumps(ECHO),
    "a list of texts": json.dumps([ECHO, NUMBER]),
    "a list that is cut": json.dumps([ROW])[:-2],
    "no json": ECHO,
}
WAYS = [
    *(Way(f"state {state[:15]}", behaviour={"state": state}) for state in STATES),
    *(Way(f"no state in the {what}", behaviour={"state": None, "null_state": what}) for what in ("field", "body")),
    *(
        Way(f"{on} 400 {said[:30]} as {form}", behaviour={"error_form": form}, faults=[fault])
        for form in ("full", "message", "text")
        for said in MEANINGS
        for on in ASKED
        if (fault := Fault(kind="status", on=on, status=400, message=f"{said} {ECHO}", every=1))
        if on == "contacts" or "bad" not in said
    ),
    *(Way(f"refused {n}", behaviour={"refusal": f"{said} {ECHO}"}) for n, said in enumerate(MEANINGS)),
    *(
        Way(f"{on} {status} {what}", saying(on, status, body, location=f"http://127.0.0.1:1{PATH}{QUOTED}"))
        for on in ("any", "contacts")
        for status in (301, 302, 308, 400, 401, 403, 404, 405, 409, 418, 429, 466, 499, 500, 502, 503)
        for what, body in (("in JSON", TOLD), ("in HTML", HTML))
    ),
    *(Way(f"a token that is not known, {kind}", behaviour={"unauthorized_as": kind}) for kind in ("empty", "success")),
    Way("429 with an odd Retry-After", saying("contacts", 429, TOLD, **{"retry-after": ECHO})),
    Way("429 with a long Retry-After", saying("contacts", 429, "", **{"retry-after": "3600"})),
    Way("the quota of the month", behaviour={"monthly_quota": 0}),
    Way("the quota of the month in texts", behaviour={"monthly_quota": 0, "quota_numbers_as": "text"}),
    *(Way(f"{on} 200 {what}", saying(on, 200, body)) for on in ASKED for what, body in NO_LIST.items()),
    Way("contacts 200 and nothing", [Fault(kind="empty", on="contacts", every=1)]),
    *(Way(f"{on} {kind}", [Fault(kind=kind, on=on, every=1)]) for on in ASKED for kind in ("drop", "cut")),
    Way(
        "rows that are rejected", saying("contacts", 200, json.dumps([{"name": NAME}, ECHO, [ECHO], {"id": [NUMBER]}]))
    ),
    Way("a row that is rejected", saying("contacts", 200, json.dumps([ROW, {"name": ECHO, "id": ""}]))),
    Way("nobody, and asked again", behaviour={"empty_answers": None}),
    Way("nobody for ever", behaviour={"empty_answers": None}, arguments={"empty_retries": 0}),
    Way("nobody, skipped", behaviour={"empty_answers": None}, arguments={"empty_retries": 0, "on_empty": "skip"}),
    Way("no options", behaviour={"group_option": "refuse"}, arguments={"group": True}),
    Way("no secret", arguments={"pseudonymize": ["id"], "pseudonym_conn_id": "green_api_default"}),
    Way("nothing to write to", before=take_the_place_away),
    Way("no database", before=spoil_the_database),
]
#: Ways that only one of the two operators fails on.
STORE_ONLY = {"no database"}


class Task:
    """A task instance of one of the operators; each :meth:`run` is a try."""

    def __init__(self, kind: str, directory: Path, database: str = "") -> None:
        self.kind = kind
        self.files_path = directory / "files"
        self.store_path = directory / "store.db"
        self.database = database or f"sqlite:///{self.store_path}"

    def run(self, *, before: Callable[[Task], None] = lambda _task: None, **arguments: Any) -> dict[str, Any]:
        """Take a snapshot."""
        operator = self.operator(**arguments)
        operator.__dict__["hook"] = self._hook(lambda: before(self))
        ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1)
        summary: dict[str, Any] = operator.execute({"ti": ti, "dag_run": SimpleNamespace(), "outlet_events": {}})
        return summary

    def operator(self, **arguments: Any) -> Any:
        from airflow_provider_wacontacts.operators import green_api

        if self.kind == "store":
            return green_api.GreenApiContactsToSqlOperator(task_id="task", **arguments)
        files = f"file://{self.files_path}"
        return green_api.GreenApiContactsToObjectStorageOperator(task_id="task", path=files, **arguments)

    def ask(self, query: str) -> list[Any]:
        """Ask the store's database."""
        engine = create_engine(self.database)
        with engine.connect() as connection:
            rows = list(connection.execute(text(query)))
        engine.dispose()
        return rows

    @staticmethod
    def _hook(before: Callable[[], None]) -> Any:
        class Hook(hooks.GreenApiHook):
            def get_contacts(self, **asked: Any) -> Any:
                before()
                return super().get_contacts(**asked)

        return Hook(clock=Pause().clock())


@pytest.fixture(scope="module")
def serving() -> Iterator[Sandbox]:
    with Sandbox(World(), now="2026-11-02T00:00:00Z") as running:
        yield running


@pytest.fixture(autouse=True)
def green(serving: Sandbox, connect: Any, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Forty contacts of all kinds, and a connection."""
    behaviour = GreenApiBehaviour(token=TOKEN)
    people = seeded_contact_list(contacts=40, days=0)
    serving.load(World(), now="2026-11-02T00:00:00Z", green_api=behaviour, contact_list=people)
    monkeypatch.setattr(hooks, "RATE_LIMITERS", RateLimiters(timedelta(0)))
    connect("green_api_default", conn_type="green_api", host=serving.url, login="1101000001", password=TOKEN)
    return serving


@pytest.fixture(params=["store", "files"])
def place(request: pytest.FixtureRequest, connect: Any, tmp_path: Path, empty_store: Path) -> Task:
    """A task of either operator."""
    shutil.copy(empty_store, tmp_path / "store.db")
    connect("wacontacts_store", conn_type="sqlite", host=str(tmp_path / "store.db"))
    return Task(request.param, tmp_path)


@pytest.fixture
def keeping(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Log all at DEBUG, but for the server that stands in for GREEN-API in this very process."""
    for module in ("hooks.store", "operators.green_api"):
        # Airflow sets logging up when it is imported.
        import_module(f"airflow_provider_wacontacts.{module}")
    for name in ("uvicorn.access", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    root, recorder = logging.getLogger(), Recorder()
    for name in ("root", "airflow", "airflow.task", "sqlalchemy", "sqlalchemy.engine", "urllib3", "httpx"):
        # Airflow keeps these quieter than others.
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET if name != "root" else logging.DEBUG)
    root.manager._clear_cache()
    monkeypatch.setattr(root, "handlers", [*root.handlers, recorder])
    return Kept(recorder.records, capfd)


@pytest.fixture
def found(green: Sandbox) -> Callable[[dict[str, str]], dict[str, set[str]]]:
    """Search what is kept; names places and what was found there."""

    def search(places: dict[str, str]) -> dict[str, set[str]]:
        account = green.green_api
        needles = {*account.secret_texts(), *account.personal_texts(), PASSWORD, SECRET, NUMBER, NAME, green.url}
        texts = sorted({*needles, TOKEN, QUOTED, QUOTED.lower()}, key=lambda text: (len(text), text))
        pattern = re.compile("|".join([*map(re.escape, texts), "waInstance"]))
        return {place: seen for place, kept in places.items() if (seen := set(pattern.findall(kept)))}

    return search


def keep(kept: Kept, task: Task, run: Callable[[], Any]) -> bool:
    """Run, keep what comes of it, and tell whether it failed."""
    failed = False
    try:
        kept.places["summary"] = repr(run())
    except (WaContactsError, AirflowException, TaskDeferred) as error:
        kept.error(error)
        failed = True
    kept.task(task)
    return failed


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_way_to_fail_tells_anything_personal_or_secret(
    place: Task, green: Sandbox, keeping: Kept, found: Any, connect: Any, *, way: Way
) -> None:
    green.green_api.change(**way.behaviour)
    if way.name.startswith("a token"):
        connect("green_api_default", conn_type="green_api", host=green.url, login="1101000001", password=f"{TOKEN}x")
    green.fail(*way.faults)

    failed = keep(keeping, place, lambda: place.run(before=way.before, **way.arguments))

    assert found(keeping.all()) == {}
    assert failed == (place.kind == "store" or way.name not in STORE_ONLY) or may_succeed(way)


def may_succeed(way: Way) -> bool:
    """Tell whether only the settings fail, in a way that contacts may be had without them."""
    return any(fault.on == "wa_settings" for fault in way.faults)


def test_what_succeeds_tells_nothing_either(place: Task, green: Sandbox, keeping: Kept, found: Any) -> None:
    green.fail(Fault(kind="cut", on="contacts", times=2), Fault(kind="rate_limited", on="contacts"))

    failed = keep(keeping, place, place.run)
    kept = keeping.all()

    assert (failed, found(kept)) == (False, {})
    assert "green_api.contacts.get" in kept["records"]
    assert "40 contacts" in kept["stdout"] + kept["stderr"] + kept["records"]


def test_neither_does_what_lands_under_pseudonyms(
    place: Task, connect: Any, keeping: Kept, found: Any, *, green: Sandbox
) -> None:
    connect("keys", conn_type="generic", extra={"pseudonym_secret": SECRET})
    given = {"pseudonymize": ["id", "name"], "pseudonym_conn_id": "keys"}
    assert keep(keeping, place, lambda: place.run(**given)) is False
    green.fail(*saying("contacts", 200, HTML))
    assert keep(keeping, place, lambda: place.run(**given)) is True

    assert found(keeping.all()) == {}


@pytest.mark.parametrize(
    "fields",
    [
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
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_no_connection_that_cannot_be_tells_what_is_in_it(
    place: Task, green: Sandbox, connect: Any, keeping: Kept, *, found: Any, fields: dict[str, str]
) -> None:
    own = {"conn_type": "green_api", "host": green.url, "login": "1101000001", "password": TOKEN}
    connect("green_api_default", **own | fields)

    keep(keeping, place, place.run)

    assert found(keeping.all()) == {}


@pytest.fixture
def postgres_place(connect: Any, tmp_path: Path, postgres_url: str) -> Task:
    """A task that lands into PostgreSQL, whose connection has a password, and a snapshot that has landed."""
    url = make_url(postgres_url)
    fields = {"host": url.host, "port": url.port, "login": url.username, "schema": url.database}
    connect("wacontacts_store", conn_type="postgres", password=PASSWORD, **fields)
    engine = create_engine(postgres_url)
    upgrade(engine)
    engine.dispose()
    task = Task("store", tmp_path, postgres_url)
    task.run()
    return task


@pytest.mark.parametrize("table", ["wacontacts_sighting", "wacontacts_body", "wacontacts_head"])
@pytest.mark.parametrize("change", ["renamed", "gone"])
@pytest.mark.parametrize(
    ("what", "fails"),
    [
        ("RAISE EXCEPTION 'row %', NEW;", True),
        ("RAISE EXCEPTION 'row %', NEW USING ERRCODE = '57014';", True),
        ("", False),
    ],
    ids=["fails", "is cancelled", "warns"],
)
def test_a_database_that_quotes_rows_is_not_repeated(
    postgres_place: Task, green: Sandbox, keeping: Kept, found: Any, *, table: str, change: str, what: str, fails: bool
) -> None:
    engine = create_engine(postgres_place.database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(LOUD.format(table=table, what=what).replace("%", "%%"))
    engine.dispose()
    green.clock.advance(86_400)
    someone = green.green_api.rows()[0]["id"]
    if change == "gone":
        green.green_api.remove(str(someone))
    else:
        green.green_api.rename(str(someone), name=NAME)

    failed = keep(keeping, postgres_place, postgres_place.run)

    assert (found(keeping.all()), failed) == ({}, fails)


def test_a_store_that_cannot_be_reached_is_not_told_of(
    postgres_place: Task, connect: Any, keeping: Kept, found: Any
) -> None:
    fields = {"host": "127.0.0.1", "port": 1, "login": NAME, "schema": NAME}
    connect("wacontacts_store", conn_type="postgres", password=PASSWORD, **fields)

    with pytest.raises(LandingError) as raised:
        postgres_place.run()
    keeping.error(raised.value)

    assert found(keeping.all()) == {}


def test_the_search_finds_what_is_there(place: Task, keeping: Kept, found: Any, green: Sandbox) -> None:
    """Else nothing above has shown anything."""
    keeping.error(LandingError(f"{NUMBER}@c.us"))
    logging.getLogger("airflow_provider_wacontacts.clients.requests_driver").debug("%s", QUOTED)
    print(f"{PATH}getContacts/{TOKEN}")  # noqa: T201
    keeping.places["summary"] = repr(green.green_api.rows()[0])

    seen = found(keeping.all())

    assert (seen["errors"], seen["stdout"]) == ({NUMBER}, {"waInstance", TOKEN})
    assert QUOTED in seen["records"]
    assert seen["summary"] >= {"447700900000"}
