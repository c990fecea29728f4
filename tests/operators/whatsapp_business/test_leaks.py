"""
Whatever becomes of a check, no number, name, key or credential is in anything that Airflow keeps.

Tasks walk each way to fail, with logging at DEBUG, against a server and databases that echo what they were given. Then
everything is searched: log records, the standard streams, errors with their causes, triggers, events, summaries and
template fields.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_wacontacts.exceptions import LandingError, WaContactsError
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from tests.operators.whatsapp_business.cases import SELECT, numbers, on_both

NAME, KEY = "Quillimar", "example-customer-key"
PASSWORD, TOKEN = "example-Password-7d21", "example-token-58c1f0"
LAST_WORDS = "this was logged last"
PERSONAL = re.compile(rf"\+?1?\W*212\W*555\W*0\d\d\d|{NAME}|{KEY}|{PASSWORD}|{TOKEN}")
ECHO = f"{TOKEN} {PASSWORD} {NAME} {numbers(1)[0]}"
ERROR = json.dumps({"errors": [{"code": 1009, "title": ECHO, "details": ECHO, "href": ECHO}]})
HEADERS = {"x-echo": ECHO, "set-cookie": f"session={TOKEN}", "www-authenticate": f'Bearer realm="{ECHO}"'}
SQL = {"contacts_sql": SELECT, "contacts_conn_id": "crm"}


def saying(status: int, body: str = ERROR, on: Any = "check", **headers: str) -> Fault:
    return Fault(kind="body", on=on, status=status, body=body, headers=HEADERS | headers, every=1)


class Recorder(logging.Handler):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Kept:
    """Runs tasks, and keeps all that Airflow would."""

    def __init__(self, recorder: Recorder, capfd: pytest.CaptureFixture[str]) -> None:
        self._recorder = recorder
        self._capfd = capfd
        self.places: dict[str, str] = {}

    def run(self, task: Callable[[], dict[str, Any]]) -> str:
        """Run a task; name how it ended."""
        try:
            self.places["summary"] = json.dumps(task())
        except (WaContactsError, AirflowException, TaskDeferred) as error:
            self._error(error)
            return "LandingError" if isinstance(error, LandingError) else type(error).__name__
        return "success"

    def operator(self, operator: Any) -> None:
        """Keep what is rendered."""
        self.places["templates"] = repr({name: getattr(operator, name) for name in operator.template_fields})

    def found(self) -> dict[str, set[str]]:
        """Search all there is, with what was logged and written until now."""
        logging.getLogger("airflow_provider_wacontacts").debug(LAST_WORDS)
        out, err = self._capfd.readouterr()
        records = repr([(record.getMessage(), vars(record)) for record in self._recorder.records])
        assert LAST_WORDS in records
        places = self.places | {"stdout": out, "stderr": err, "records": records}
        return {place: set(PERSONAL.findall(kept)) for place, kept in places.items() if PERSONAL.search(kept)}

    def _error(self, error: BaseException) -> None:
        self.places["traceback"] = "".join(traceback.format_exception(error))
        chain: list[BaseException] = []
        following: BaseException | None = error
        while following is not None and following not in chain:
            chain.append(following)
            following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
        self.places["errors"] = repr([(each, str(each), each.args, vars(each)) for each in chain])
        if isinstance(error, TaskDeferred):
            self.places["trigger"] = repr((error.trigger.serialize(), error.kwargs, error.method_name))


@pytest.fixture
def kept(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Log all at DEBUG, but for the server that stands in for the API in this very process."""
    for name in ("uvicorn.access", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    root, recorder = logging.getLogger(), Recorder()
    for name in ("root", "airflow", "airflow.task", "sqlalchemy", "sqlalchemy.engine", "httpx"):
        # Airflow keeps these quieter than others.
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET if name != "root" else logging.DEBUG)
    root.manager._clear_cache()
    monkeypatch.setattr(root, "handlers", [*root.handlers, recorder])
    return Kept(recorder, capfd)


@pytest.fixture(autouse=True)
def world(tasks: Any, api: Sandbox, behave: Callable[..., None], connect_api: Callable[..., None]) -> Sandbox:
    """A client whose credentials are needles, too."""
    behave(token=TOKEN, password=PASSWORD)
    connect_api(extra={"daily_checks": 50})
    return api


@pytest.fixture
def people(crm: Any) -> Any:
    return crm(*((f"{KEY} {place}", number, True) for place, number in enumerate(numbers(20))))


WAYS: dict[str, tuple[Fault, str]] = {
    **{f"HTTP {status}": (saying(status), "AirflowFailException") for status in (400, 401, 403, 404, 409, 422)},
    **{f"HTTP {status} in HTML": (saying(status, f"<p>{ECHO}"), "AirflowFailException") for status in (400, 403)},
    **{f"HTTP {status}": (saying(status, f"<p>{ECHO}"), "ServerError") for status in (500, 502, 503)},
    "HTTP 500 with a code": (saying(500, json.dumps({"errors": [{"code": 1000, "title": ECHO}]})), "ServerError"),
    "redirect": (saying(307, location=f"http://127.0.0.1:1/{TOKEN}"), "AirflowFailException"),
    "ban": (saying(403, json.dumps({"errors": [{"code": 1031, "title": ECHO}]})), "AirflowFailException"),
    "200 in HTML": (saying(200, f"<p>{ECHO}"), "ContractError"),
    "200 and no contacts": (saying(200, json.dumps({"contacts": ECHO})), "ContractError"),
    "200 and errors alone": (saying(200), "AirflowFailException"),
    "200 and strange contacts": (saying(200, json.dumps({"contacts": [ECHO, {"input": ECHO}, {ECHO: 1}]})), "success"),
    "200 and a strange status": (
        saying(200, json.dumps({"contacts": [{"input": n, "status": ECHO, "wa_id": ECHO} for n in numbers(20)]})),
        "success",
    ),
    "200 and errors beside": (
        saying(200, json.dumps({"contacts": [], "errors": [{"code": 1013, "title": ECHO, "details": ECHO}]})),
        "success",
    ),
    "200 and a strange version": (saying(200, json.dumps({"contacts": [], "meta": {"version": ECHO}})), "success"),
    "rate limit": (saying(429, **{"retry-after": "3600"}), "TaskDeferred"),
    "rate limit with an odd Retry-After": (saying(429, **{"retry-after": ECHO}), "RateLimitedError"),
    "drop": (Fault(kind="drop", on="check", every=1), "NetworkError"),
    "cut": (Fault(kind="cut", on="check", every=1), "NetworkError"),
    "fails after some": (Fault(kind="status", on="check", status=400, code=1009, skip=2), "AirflowFailException"),
}


@pytest.mark.usefixtures("people", "impatient")
@pytest.mark.parametrize("way", WAYS)
def test_no_answer_of_a_server_makes_a_task_tell(tasks: Any, api: Sandbox, kept: Kept, way: str) -> None:
    fault, ending = WAYS[way]
    api.fail(fault)

    assert kept.run(lambda: tasks.check(**SQL, batch_size=5)) == ending
    assert kept.found() == {}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_no_login_that_goes_wrong_tells(
    tasks: Any, api: Sandbox, connect_api: Any, behave: Any, impatient: None, *, kept: Kept, status: int
) -> None:
    behave(auth="login")
    connect_api(extra={"auth": "login"}, login=NAME, password=PASSWORD)
    api.fail(saying(status, on="login"))

    assert kept.run(lambda: tasks.check(**SQL)) in {"AirflowFailException", "ServerError"}
    assert kept.found() == {}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("on_budget", ["fail", "defer", "partial"])
def test_no_end_of_the_budget_tells(tasks: Any, connect_api: Callable[..., None], kept: Kept, on_budget: str) -> None:
    connect_api(extra={"daily_checks": 7})

    ending = kept.run(lambda: tasks.check(**SQL, on_budget=on_budget))

    assert ending == {"fail": "AirflowFailException", "defer": "TaskDeferred", "partial": "success"}[on_budget]
    assert kept.found() == {}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT phone AS number FROM nowhere",
        "SELECT phone FROM people",
        "SELECT phone AS number, 1 / (length(phone) - 12) AS opted_in FROM people WHERE id = ''",
        "SELECT CAST(phone AS int) AS number FROM people",
        "SELECT phone AS number FROM people WHERE",
    ],
)
def test_no_query_that_goes_wrong_tells(
    tasks: Any, crm: Any, kept: Kept, request: pytest.FixtureRequest, *, kind: str, sql: str
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else ""
    crm(*((KEY, number, True) for number in numbers(3)), url=url)

    kept.run(lambda: tasks.check(contacts_sql=sql, contacts_conn_id="crm"))

    assert kept.found() == {}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    "place",
    [
        {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": NAME, "password": PASSWORD, "schema": NAME},
        {"conn_type": "sqlite", "host": f"/no/such/place/{NAME}.db"},
        {"conn_type": "mysql", "host": "db.example", "login": NAME, "password": PASSWORD},
    ],
    ids=lambda place: place["conn_type"],
)
def test_no_store_that_cannot_be_reached_tells(
    tasks: Any, connect: Callable[..., None], kept: Kept, place: dict[str, Any]
) -> None:
    connect("wacontacts_store", **place)

    assert kept.run(lambda: tasks.check(**SQL)) in {"LandingError", "AirflowFailException"}
    assert kept.found() == {}


@on_both
@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("when", ["while it is filled", "while it asks"])
def test_no_store_that_breaks_half_way_tells(tasks: Any, store: Any, kept: Kept, when: str) -> None:
    tasks.check([], run_id="makes the tables")

    def given() -> Iterator[str]:
        yield from numbers(20)
        table = "wacontacts_number" if when == "while it is filled" else "wacontacts_budget"
        store.do(f"DROP TABLE {table} CASCADE" if store.fields["conn_type"] == "postgres" else f"DROP TABLE {table}")

    assert kept.run(lambda: tasks.check(given())) == "LandingError"
    assert kept.found() == {}


def test_no_input_that_cannot_be_tells(tasks: Any, kept: Kept) -> None:
    wrong: list[Any] = [numbers(1)[0], [numbers(1)], [{"phone": numbers(1)[0], "name": NAME}], {KEY: numbers(1)[0]}]
    for given in wrong:
        assert kept.run(partial(tasks.check, given)) == "AirflowFailException"

    assert kept.found() == {}


@pytest.mark.usefixtures("people")
def test_what_succeeds_tells_nothing_either(tasks: Any, api: Sandbox, kept: Kept, behave: Callable[..., None]) -> None:
    behave(missing_share=0.2, version="v2.45.1", processing_share=0.3)
    api.fail(Fault(on="check", kind="cut"), Fault(on="check", kind="rate_limited", delay_s=0.05))
    operator = tasks.operator(**SQL, batch_size=5)

    assert kept.run(lambda: operator.execute(tasks.context())) == "success"
    kept.operator(operator)
    assert kept.run(tasks.revalidate) == "success"

    assert kept.found() == {}


def test_a_wait_s_event_tells_nothing(tasks: Any, connect_api: Callable[..., None], kept: Kept) -> None:
    connect_api(extra={"daily_checks": 1})
    with pytest.raises(TaskDeferred) as deferred:
        tasks.check(numbers(3), on_budget="defer")
    trigger = deferred.value.trigger
    _, arguments = trigger.serialize()
    woken = type(trigger)(**arguments | {"until": "2022-01-01T00:00:00+00:00"})

    kept.places["event"] = repr(asyncio.run(anext(woken.run())).payload)

    assert "attempt" in kept.places["event"]
    assert kept.found() == {}


def test_the_search_finds_what_is_there(kept: Kept) -> None:
    """Else nothing above has shown anything."""

    def task() -> dict[str, Any]:
        print("212 555-0001")  # noqa: T201
        logging.getLogger("airflow_provider_wacontacts.clients.requests_driver").debug("%s", TOKEN)
        raise WaContactsError("text") from ValueError(numbers(1)[0])

    assert kept.run(task) == "WaContactsError"
    found = kept.found()
    # Airflow 2 writes to standard output what is logged.
    assert found.pop("stdout") - {TOKEN} == {"212 555-0001"}
    assert found == {"traceback": {numbers(1)[0]}, "errors": {numbers(1)[0]}, "records": {TOKEN}}
