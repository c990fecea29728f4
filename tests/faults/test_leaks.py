"""
Whatever fails, nothing personal and nothing secret is in anything that Airflow keeps, with logging at DEBUG.

Both operators walk each way to fail, against a server that echoes the token, a cursor's URL, a number and a name in
whatever it answers. Then everything that is kept is searched: log records, the standard streams, the error with its
causes, a deferral's trigger, the summary, the ledger and the manifests.
"""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import sqlite3
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from sqlalchemy import create_engine

from airflow_provider_wacontacts.exceptions import LandingError, WaContactsError
from airflow_provider_wacontacts.sandbox import Fault, Sandbox, TurnBehaviour, seeded_world
from airflow_provider_wacontacts.sandbox.population import NAMES, SURNAMES
from airflow_provider_wacontacts.store import upgrade

TOKEN, PASSWORD = "example-token-58c1f0", "example-password-7d21"
NUMBER, NAME = "447700900001", NAMES[0]
LAST_WORDS = "this was logged last"
#: What every URL with a cursor in it has in its path.
PATH = "/v1/data/contacts/cursor/"
ECHO = f"{TOKEN} {NUMBER} {NAME} {PATH}abc"
TURN_ERROR = json.dumps({"errors": [{"code": 400, "title": ECHO, "details": ECHO}]})
HTML = f"<html><title>{ECHO}</title></html>"
HEADERS = {"x-echo": ECHO, "set-cookie": f"session={TOKEN}", "www-authenticate": f'Bearer realm="{ECHO}"'}
BAD = {"updated_at": ECHO, "details": {"name": NAME, "whatsapp_id": NUMBER}}


@dataclass(frozen=True)
class Way:
    """
    One way to fail.

    :param before_page: is handed the number of the page that is asked for next, and the task.
    """

    name: str
    faults: list[Fault] = field(default_factory=list)
    arguments: dict[str, Any] = field(default_factory=dict)
    behaviour: dict[str, Any] = field(default_factory=dict)
    before_page: Callable[[int, Any], None] = lambda _number, _task: None


def saying(on: Any, status: int, body: str, **headers: str) -> list[Fault]:
    """Answer with what was sent, and more; for ever."""
    return [Fault(kind="body", on=on, status=status, body=body, headers=HEADERS | headers, every=1)]


def page_of(*contacts: Any) -> list[Fault]:
    return saying("page", 200, json.dumps({"data": contacts}))


def break_what_is_written_to(number: int, task: Any) -> None:
    """Take the tables, or the directory, away before the second page."""
    if number == 2 and task.kind == "store":
        with sqlite3.connect(task.store_path) as connection:
            connection.execute("DROP TABLE wacontacts_body")
    elif number == 2:
        shutil.rmtree(task.files_path)
        task.files_path.touch()


def spoil_the_database(number: int, task: Any) -> None:
    if number == 1 and task.kind == "store":
        for path in task.store_path.parent.glob("store.db*"):
            path.write_bytes(ECHO.encode() * 1000)


def take_over(number: int, task: Any) -> None:
    """Let another try of the task do all of it before the second page."""
    if number == 2:
        task.run()


#: A body of a success that is no page, but holds what must not be told.
NOT_A_PAGE = (HTML, json.dumps(ECHO), json.dumps({ECHO: ECHO}), json.dumps({"data": ECHO}), TURN_ERROR[:-5])
NO_PAGING = (json.dumps({"data": [], "paging": paging}) for paging in (ECHO, [ECHO], {"next": [ECHO]}))
REFUSED = (301, 302, 307, 400, 401, 403, 404, 409, 418, 422, 451)

WAYS = [
    *(
        Way(f"{on} {status}", saying(on, status, TURN_ERROR, location=f"http://127.0.0.1:1{PATH}{TOKEN}"))
        for on in ("create", "page")
        for status in REFUSED
    ),
    *(Way(f"page {status} in HTML", saying("page", status, HTML)) for status in (400, 401, 403, 500, 502)),
    *(Way(f"{on} 500", saying(on, 500, TURN_ERROR)) for on in ("create", "page")),
    Way("page 503 with an odd Retry-After", saying("page", 503, TURN_ERROR, **{"retry-after": ECHO})),
    Way("page 429", saying("page", 429, TURN_ERROR, **{"retry-after": "3600"})),
    Way("page 429 with an odd Retry-After", saying("page", 429, TURN_ERROR, **{"retry-after": ECHO})),
    Way("create 429", saying("create", 429, TURN_ERROR, **{"x-ratelimit-reset": "9999999999", "retry-after": "3601"})),
    *(Way(f"page 200 no page {n}", saying("page", 200, body)) for n, body in enumerate((*NOT_A_PAGE, *NO_PAGING))),
    *(Way(f"create 200 no cursor {n}", saying("create", 200, body)) for n, body in enumerate(NOT_A_PAGE)),
    *(Way(f"{on} {kind}", [Fault(kind=kind, on=on, every=1)]) for on in ("create", "page") for kind in ("drop", "cut")),
    Way("repeated cursor", [Fault(kind="repeat_cursor", on="page", skip=1)]),
    Way("expired again and again", [Fault(kind="expired", on="page", every=1)]),
    Way("empty pages", [Fault(kind="empty_page", on="page", every=1)]),
    Way("odd Date", saying("create", 404, TURN_ERROR, date=ECHO)),
    Way("rows that are rejected", page_of(BAD, ECHO, [ECHO], {"uuid": NAME, "updated_at": 7})),
    Way(
        "two numbers",
        page_of(*({"uuid": NAME, "updated_at": "2022-09-12T08:00Z", "number_id": n} for n in (1, NUMBER))),
    ),
    Way(
        "a number that no database holds",
        saying("page", 200, json.dumps({"data": [{"uuid": NAME, "updated_at": math.nan}]})),
    ),
    Way("refused options", arguments={"page_size": 1}, behaviour={"page_size_option": "refuse"}),
    Way("a rejected row after others", [Fault(kind="body", on="page", skip=1, body=json.dumps({"data": [BAD]}))]),
    Way("nothing to write to", before_page=break_what_is_written_to),
    Way("no database", before_page=spoil_the_database),
    Way("another try", before_page=take_over),
]
#: Ways that only one of the two operators fails on.
ONE_ONLY = {("no database", "files"), ("another try", "files")}


class Kept:
    """All that is kept of a try, by where it is kept."""

    def __init__(self, records: list[logging.LogRecord], capfd: pytest.CaptureFixture[str]) -> None:
        self._records = records
        self._capfd = capfd
        self.places: dict[str, str] = {}

    def error(self, error: BaseException) -> None:
        """Keep an error with everything that it was raised from and while."""
        self.places["traceback"] = "".join(traceback.format_exception(error))
        chain: list[BaseException] = []
        following: BaseException | None = error
        while following is not None and following not in chain:
            chain.append(following)
            following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
        self.places["errors"] = repr([(each, str(each), each.args, vars(each)) for each in chain])
        if isinstance(error, TaskDeferred):
            self.places["trigger"] = repr((error.trigger.serialize(), error.kwargs, error.method_name))

    def task(self, task: Any) -> None:
        """Keep the ledger, and what is in the manifests and the names of files."""
        self.places["files"] = "\n".join(map(str, task.files_path.rglob("*")))
        self.places["manifests"] = "\n".join(path.read_text() for path in task.files_path.rglob("_manifest.json"))
        for table in ("extraction", "account", "meta", "reject"):
            columns = "extraction_id, reason" if table == "reject" else "*"
            try:
                self.places[table] = repr(task.ask(f"SELECT {columns} FROM wacontacts_{table}"))
            except Exception as spoilt:  # noqa: BLE001 - where the database was spoilt, there is no ledger
                self.places[table] = type(spoilt).__name__

    def all(self) -> dict[str, str]:
        """Give all there is, with what was logged and written until now."""
        logging.getLogger("airflow_provider_wacontacts").debug(LAST_WORDS)
        out, err = self._capfd.readouterr()
        records = repr([(record.getMessage(), vars(record)) for record in self._records])
        assert LAST_WORDS in records
        return self.places | {"stdout": out, "stderr": err, "records": records}


class Recorder(logging.Handler):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Log all at DEBUG, but for the server that stands in for Turn.io in this very process."""
    for module in ("hooks.store", "hooks.turn", "operators.turn"):
        # Airflow sets logging up when it is imported.
        import_module(f"airflow_provider_wacontacts.{module}")
    for name in ("uvicorn.access", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    root, recorder = logging.getLogger(), Recorder()
    for name in ("root", "airflow", "airflow.task", "sqlalchemy", "sqlalchemy.engine", "httpx"):
        # Airflow keeps these quieter than others.
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET if name != "root" else logging.DEBUG)
    root.manager._clear_cache()
    monkeypatch.setattr(root, "handlers", [*root.handlers, recorder])
    return Kept(recorder.records, capfd)


@pytest.fixture(autouse=True)
def world(turn: Sandbox) -> Sandbox:
    """A dozen people."""
    people = seeded_world(contacts=12, days=1)
    turn.load(people, now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=3, token=TOKEN))
    return turn


@pytest.fixture
def leaks(world: Sandbox) -> Callable[[dict[str, str]], dict[str, set[str]]]:
    """Search what is kept; names places and what was found there."""

    def search(places: dict[str, str]) -> dict[str, set[str]]:
        cursors = {cursor.partition("-")[0] for cursor in world._api._cursors._places}
        needles = {TOKEN, PASSWORD, NUMBER, *NAMES, *SURNAMES, world.url, *world.world.personal_texts(), *cursors}
        pattern = re.compile("|".join([*map(re.escape, needles), f"{PATH}[0-9A-Za-z]"]))
        return {place: found for place, kept in places.items() if (found := set(pattern.findall(kept)))}

    return search


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_way_to_fail_tells_anything_personal_or_secret(
    task: Any, world: Sandbox, kept: Kept, leaks: Any, way: Way
) -> None:
    world.change(**way.behaviour)
    world.fail(*way.faults)
    failed = True
    try:
        kept.places["summary"] = repr(
            task.run(**way.arguments, before_page=lambda number: way.before_page(number, task))
        )
        failed = False
    except (WaContactsError, AirflowException, TaskDeferred) as error:
        kept.error(error)
    kept.task(task)

    found = kept.all()

    assert failed == ((way.name, task.kind) not in ONE_ONLY)
    assert leaks(found) == {}


def test_what_succeeds_tells_nothing_either(task: Any, world: Sandbox, kept: Kept, leaks: Any) -> None:
    world.change(cursor_needs_quoting=True, advance_per_page_s=20.0)
    world.fail(Fault(kind="cut", on="page", times=2), Fault(kind="expired", on="page", skip=1))

    summary = task.run()
    kept.places["summary"] = repr(summary)
    kept.task(task)

    found = kept.all()
    assert leaks(found) == {}
    assert "turn.contacts.page" in found["records"]
    assert any(summary["extraction_id"] in found[place] for place in ("extraction", "manifests"))


@pytest.mark.parametrize(
    "fields",
    [
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
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_no_connection_that_cannot_be_tells_what_is_in_it(
    task: Any, world: Sandbox, connect: Any, *, kept: Kept, leaks: Any, fields: dict[str, str]
) -> None:
    connect("turn_default", **{"conn_type": "turn", "host": world.url, "password": TOKEN} | fields)
    try:
        kept.places["summary"] = repr(task.run())
    except (WaContactsError, AirflowException) as error:
        kept.error(error)
    kept.task(task)

    assert leaks(kept.all()) == {}


LOUD = """
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE WARNING 'row %', NEW; {what} RETURN NEW; END $$;
CREATE TRIGGER tell BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION tell();
"""


@pytest.mark.parametrize("table", ["wacontacts_sighting", "wacontacts_body", "wacontacts_head"])
@pytest.mark.parametrize(
    ("what", "fails"),
    [
        ("RAISE EXCEPTION 'row %', NEW;", True),
        ("RAISE EXCEPTION 'row %', NEW USING ERRCODE = '57014';", True),
        ("RAISE EXCEPTION 'row %', NEW USING ERRCODE = '22P02';", True),
        ("", False),
    ],
    ids=["fails", "is cancelled", "refuses a value", "warns"],
)
def test_a_database_that_quotes_rows_is_not_repeated(
    world: Sandbox, postgres_task: Any, kept: Kept, leaks: Any, *, table: str, what: str, fails: bool
) -> None:
    task = postgres_task(PASSWORD)
    engine = create_engine(task.database, isolation_level="AUTOCOMMIT")
    upgrade(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql(LOUD.format(table=table, what=what).replace("%", "%%"))
    engine.dispose()
    try:
        kept.places["summary"] = repr(task.run())
    except LandingError as error:
        kept.error(error)
    kept.task(task)

    found = kept.all()

    assert leaks(found) == {}
    assert ("errors" in found) == fails


def test_a_store_that_cannot_be_reached_is_not_told_of(
    world: Sandbox, postgres_task: Any, connect: Any, kept: Kept, leaks: Any
) -> None:
    task = postgres_task(PASSWORD)
    place = {"host": "127.0.0.1", "port": 1, "login": NAME, "schema": NAME}
    connect("wacontacts_store", conn_type="postgres", password=PASSWORD, **place)
    with pytest.raises(LandingError) as raised:
        task.run()
    kept.error(raised.value)

    assert leaks(kept.all()) == {}


def test_the_search_finds_what_is_there(task: Any, kept: Kept, leaks: Any, world: Sandbox) -> None:
    """Else nothing above has shown anything."""
    connect_error = ValueError(NUMBER)
    try:
        try:
            raise connect_error
        except ValueError as error:
            raise LandingError("text") from error
    except LandingError as error:
        kept.error(error)
    logging.getLogger("airflow_provider_wacontacts.clients.requests_driver").debug("%s", TOKEN)
    print(f"{PATH}abc")  # noqa: T201
    kept.places["summary"] = repr({"uri": world.world.newest(1, world.clock.now()).details["whatsapp_id"]})

    found = leaks(kept.all())

    assert {place: found[place] for place in ("errors", "traceback", "stdout", "summary")} == {
        "errors": {NUMBER},
        "traceback": {NUMBER},
        "stdout": {f"{PATH}a"},
        "summary": {"447700900000"},
    }
    assert found["records"] == {TOKEN}
