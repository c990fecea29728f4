"""All services of docker-compose.yaml run once, and the tests check the results."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
import requests
from sqlalchemy import text
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec, sync_to_store
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store
from demo.failures import last_words
from tests.fleet.deployment import Fleet, new_variables

DAY = timedelta(days=1)
DAYS = 10
DAILY, CHECK, MANY, SNAPSHOT = (
    "turn_contacts_daily",
    "whatsapp_check_contacts",
    "whatsapp_check_many",
    "green_api_snapshot",
)
LOOKBACK = timedelta(minutes=10)
#: Rows of the large table, and into how many slices it is cut.
MANY_ROWS, SLICES = 300, 4
#: What differs from .env.example: pulls side by side, and a lost worker that is missed soon.
SET = {"TURN_SLOTS": "4", "TASK_HEARTBEAT_TIMEOUT": "30"}

RUNNING = ExitStack()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem):
    """End everything after the last test of this folder: the others need the machine for themselves."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        RUNNING.close()


@dataclass
class Runs:
    """
    What ran, and where to look.

    :ivar killed: the name of the worker that was killed.
    :ivar lost: the task that it was running, by run and task id.
    :ivar lost_try: the id of that try, which is in the name of its process.
    :ivar ran_there: the commands of the processes that ended with it.
    :ivar late: the run whose results come by callbacks alone, and ``delivered`` are these.
    :ivar calls: the questions about the large table, and ``answered`` how.
    """

    fleet: Fleet
    store: Engine
    reference: Engine
    days: list[datetime]
    states: dict[str, set[str]] = field(default_factory=dict)
    daily: list[str] = field(default_factory=list)
    one_run: dict[str, str] = field(default_factory=dict)
    health: dict[str, bool] = field(default_factory=dict)
    killed: str = ""
    lost: tuple[str, str] = ("", "")
    lost_try: str = ""
    ran_there: list = field(default_factory=list)
    calls: list[dict] = field(default_factory=list)
    answered: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    late: str = ""
    delivered: list[dict] = field(default_factory=list)

    def rows(self, sql, engine=None, **values):
        with (engine or self.store).connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]

    def sandbox(self, method, path, body=None):
        answer = requests.request(method, f"{self.fleet.url('sandbox')}/sandbox/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()


@pytest.fixture(scope="session")
def variables():
    """What is in the .env that the project's own script makes, and what the tests set."""
    return new_variables() | SET


@pytest.fixture(scope="session")
def runs(variables, tmp_path_factory):
    if int(version("apache-airflow").partition(".")[0]) < 3:
        pytest.skip("docker-compose.yaml is for Airflow 3")
    pytest.importorskip("celery")
    missing = [program for program in ("redis-server", "redis-cli", "curl") if not shutil.which(program)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    with RUNNING as stack:
        fleet = stack.enter_context(Fleet(tmp_path_factory.mktemp("fleet"), variables))
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        engines = [fleet.engine("contacts"), _reference(fleet)]
        for engine in engines:
            stack.callback(engine.dispose)
        yield _run_everything(Runs(fleet, *engines, [today - number * DAY for number in range(DAYS, 0, -1)]))


def _reference(fleet):
    engine = fleet.engine("airflow").execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE reference")
    engine.dispose()
    return fleet.engine("reference")


def _run_everything(runs):
    fleet = runs.fleet
    runs.sandbox("POST", "clock", {"advance_s": 0, "rate": 0})
    callback_url = runs.sandbox("GET", "whatsapp")["behaviour"]["callback_url"]
    runs.sandbox("POST", "whatsapp/behaviour", {"callback_url": None})
    for dag_id in (CHECK, MANY, SNAPSHOT, DAILY):
        fleet.unpause(dag_id)
    _check_and_take_a_snapshot(runs)
    _check_many(runs)
    _receive_late_results(runs, callback_url)
    runs.health = fleet.healthy()
    _pull_the_days(runs)
    _pull_in_one_process(runs)
    return runs


def _check_and_take_a_snapshot(runs):
    for dag_id in (CHECK, SNAPSHOT):
        runs.one_run[dag_id] = runs.fleet.trigger(dag_id)
    for dag_id in (CHECK, SNAPSHOT):
        _finish(runs, dag_id, [runs.one_run[dag_id]])


def _check_many(runs):
    crm = runs.fleet.engine("crm")
    with crm.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE many AS SELECT n::text AS contact_key, '+1201555' || (2000 + n) AS number, true AS opted_in"
            f" FROM generate_series(0, {MANY_ROWS - 1}) AS n"
        )
    crm.dispose()
    runs.sandbox("DELETE", "whatsapp/numbers")
    runs.one_run[MANY] = runs.fleet.trigger(MANY, conf={"table": "many", "slices": SLICES})
    _finish(runs, MANY, [runs.one_run[MANY]])
    told = runs.sandbox("GET", "whatsapp/numbers")
    runs.calls, runs.asked = told["calls"], told["asked"]
    runs.answered = runs.sandbox("GET", "requests")["outcomes"]["check"]


def _receive_late_results(runs, callback_url):
    """Check numbers whose results come by callbacks alone."""
    crm = runs.fleet.engine("crm")
    with crm.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE late AS SELECT 'late' || n AS contact_key, '+1201555' || (4000 + n) AS number,"
            " true AS opted_in FROM generate_series(1, 20) AS n"
        )
    crm.dispose()
    runs.sandbox("POST", "whatsapp/behaviour", {"resolved_by": "callback", "processing_share": 1.0})
    runs.late = runs.fleet.trigger(CHECK, conf={"table": "late"})

    def waits():
        return any(
            (task["task_id"], task["state"]) == ("wait", "deferred") for task in runs.fleet.tasks(CHECK, runs.late)
        )

    runs.fleet.wait(waits, "the sensor to be deferred", 600)
    runs.sandbox("POST", "whatsapp/behaviour", {"callback_url": callback_url})
    _finish(runs, CHECK, [runs.late])
    runs.delivered = runs.sandbox("GET", "whatsapp/callbacks")
    runs.sandbox("POST", "whatsapp/behaviour", {"resolved_by": "either", "processing_share": 0.1})


def _pull_the_days(runs):
    """Backfill all days; one answer never comes, and the worker that waits for it is killed."""
    runs.sandbox("POST", "faults", {"kind": "delay", "on": "page", "skip": 8, "delay_s": 3600})
    first, last = (day.date().isoformat() for day in (runs.days[0], runs.days[-1]))
    runs.daily = runs.fleet.backfill(DAILY, first, last, max_active_runs=4)
    stuck = runs.fleet.wait(lambda: _stuck(runs), "a task to wait for its answer", 600)
    runs.killed, runs.lost, runs.lost_try = stuck["hostname"], (stuck["dag_run_id"], stuck["task_id"]), stuck["id"]
    runs.ran_there = runs.fleet.kill(runs.killed)
    runs.states[DAILY] = set(runs.fleet.wait_for_runs(DAILY, runs.daily, timeout=900).values())


def _stuck(runs):
    """Find the task whose answer never comes: it is the last that is running."""
    unfinished = [run for run in runs.fleet.runs(DAILY) if run["state"] not in ("success", "failed")]
    if runs.sandbox("GET", "faults") or len(unfinished) != 1:
        return None
    running = runs.fleet.api.listing("task_instances", "dags", DAILY, "dagRuns", "~", "taskInstances", state="running")
    return running[0] if len(running) == 1 else None


def _finish(runs, dag_id, run_ids):
    def none_failed(_):
        words = last_words(runs.fleet, dag_id)
        assert not words, words

    states = runs.fleet.wait_for_runs(dag_id, run_ids, seen=none_failed, timeout=900)
    runs.states[dag_id] = set(states.values())


def _pull_in_one_process(runs):
    """Pull the same windows, in order, from the same sandbox, without Airflow."""
    store = Store(runs.reference)
    store.prepare()
    session = requests.Session()
    session.headers["authorization"] = f"Bearer {runs.fleet.variables['SANDBOX_SECRET']}"
    run = Driver(session, runs.fleet.url("sandbox")).run
    for day in runs.days:
        order = SyncSpec(
            "turn_default",
            Window(day, day + DAY),
            TaskInstanceKey("dag", day.isoformat(), "task"),
            "0",
            lookback=LOOKBACK,
        )
        sync_to_store(order, run=run, store=store, uri="x:")
