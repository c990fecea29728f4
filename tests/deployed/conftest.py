"""One real Airflow for all tests of whole runs: everything runs once, the tests look at what came of it."""

import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url

from airflow_provider_wacontacts.sandbox import Fault, Raw, Sandbox, TurnBehaviour, World, bob, seeded_world
from demo.deployment import AirflowDeployment, free_port

ROOT = Path(__file__).resolve().parents[2]
DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
#: Bob saves 100 on the first of the days that are backfilled and 120 on the second.
MONDAY = TODAY - 4 * DAY
BOB = 999
AFTER_S = 900.0

DAILY, FIRST_LOAD = "turn_contacts_daily", "turn_contacts_first_load"
SECRETS = {
    "turn_default": "example-token-of-the-line",
    "turn_wrong_token": "example-token-that-is-wrong",
    "store_unreachable": "example-password-of-the-store",
}


#: What is up while the tests of this folder run.
RUNNING = ExitStack()


@dataclass
class Runs:
    """What ran, and where to look."""

    airflow: AirflowDeployment
    sandbox: Sandbox
    sandboxes: list[Sandbox]
    store: Engine
    metadata: Engine
    files: Path
    monday: datetime = MONDAY
    daily: list[str] = field(default_factory=list)
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    settling_seen: set[str] = field(default_factory=set)
    settling_window: tuple[datetime, datetime] | None = None
    triggers_seen: list[str] = field(default_factory=list)
    xcoms_of_first_pass: list[dict] = field(default_factory=list)

    @property
    def secrets(self):
        """Tokens and passwords of all connections."""
        return {*SECRETS.values(), *(sandbox.token for sandbox in self.sandboxes)}

    @property
    def bob(self):
        """Bob's contact id in the store."""
        return next(event.uuid for event in self.sandbox.world if event.id == BOB)

    def rows(self, sql, **values):
        """Ask the store."""
        with self.store.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]


def the_world():
    """Invented people who changed over the last days, and Bob of the contract's example, moved to them."""
    shift = MONDAY - datetime(2022, 9, 12, tzinfo=UTC)
    people = seeded_world(7, contacts=60, start=MONDAY - 2 * DAY, days=6)
    return World.from_events([*people, *(replace(event, id=BOB, at=event.at + shift) for event in bob())], seed=7)


def wrong_sandboxes():
    """A Turn.io for each thing that can go wrong with it, by connection id."""
    person = next(iter(the_world())).details
    gossip = f'{{"errors": [{{"title": "{person["name"]} at +{person["whatsapp_id"]} is not to be exported"}}]}}'
    unreadable = the_world()
    unreadable.upsert(None, {**person, "remark": Raw(b"NaN")}, at=MONDAY + DAY / 2)
    unreadable.upsert(None, person, at=MONDAY + DAY / 2, extra={"updated_at": str(person["name"])})
    always = {"every": 1}
    return {
        "turn_forbidden": Sandbox(the_world(), behaviour=TurnBehaviour(export="forbidden")),
        "turn_talkative": _failing(the_world(), Fault(kind="status", status=400, body=gossip, **always)),
        "turn_html": _failing(the_world(), Fault(kind="html", on="page", **always)),
        "turn_cut": _failing(the_world(), Fault(kind="cut", on="page", **always)),
        "turn_limited": _failing(the_world(), Fault(kind="rate_limited", on="page", delay_s=900.0, **always)),
        "turn_unreadable": Sandbox(unreadable),
    }


def _failing(world, *faults):
    sandbox = Sandbox(world)
    sandbox.fail(*faults)
    return sandbox


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem):
    """End Airflow after the last test of this folder: the others need the machine for themselves."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        RUNNING.close()


@pytest.fixture(scope="session")
def runs(postgres, tmp_path_factory):
    if int(version("apache-airflow").partition(".")[0]) < 3:
        pytest.skip("the deployment is one of Airflow 3: API server, execution API, backfills by the scheduler")
    home = tmp_path_factory.mktemp("airflow")
    with RUNNING as stack:
        sandbox = Sandbox(the_world(), now=MONDAY, behaviour=TurnBehaviour(token=SECRETS["turn_default"], page_size=20))
        wrong = wrong_sandboxes()
        for each in (sandbox, *wrong.values()):
            stack.enter_context(each)
        store, metadata = (_database(postgres, stack, name) for name in ("deployed_store", "deployed_airflow"))
        airflow = stack.enter_context(_deployment(home, sandbox, wrong, store, metadata))
        for dag_id in (DAILY, FIRST_LOAD, "settling", "limited", "failures"):
            airflow.unpause(dag_id)
        yield _run_everything(Runs(airflow, sandbox, [sandbox, *wrong.values()], store, metadata, home / "files"))


def _database(postgres, stack, name):
    maintenance = create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    maintenance.dispose()
    engine = create_engine(postgres.url(database=name))
    stack.callback(engine.dispose)
    return engine


def _deployment(home, sandbox, wrong, store, metadata):
    dags = home / "dags"
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "dags" / "deployed_cases.py", dags)
    database = make_url(str(store.url))
    at_store = {"conn_type": "postgres", "host": database.host, "schema": database.database, "login": database.username}
    unreachable = {"port": free_port(), "password": SECRETS["store_unreachable"]}
    good = {"conn_type": "turn", "host": sandbox.url, "password": sandbox.token}
    return AirflowDeployment(
        home / "home",
        dags,
        connections={
            "turn_default": good,
            "turn_wrong_token": {**good, "password": SECRETS["turn_wrong_token"]},
            **{name: {**good, "host": each.url, "password": each.token} for name, each in wrong.items()},
            "wacontacts_store": {**at_store, "port": database.port},
            "store_unreachable": {**at_store, **unreachable},
        },
        variables={"wacontacts_path": (home / "files").as_uri()},
        pools={"turn": 1},
        plugins_folder=ROOT / "demo" / "plugins",
        database_url=metadata.url.render_as_string(hide_password=False),
        env={
            "DEMO_CLOCK_URL": f"{sandbox.url}/sandbox/clock",
            "DEMO_AFTER_S": str(AFTER_S),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        },
    )


def _run_everything(runs):
    airflow = runs.airflow
    first, last = (MONDAY.date().isoformat(), (MONDAY + 2 * DAY).date().isoformat())
    runs.daily = airflow.backfill(DAILY, first, last)
    airflow.wait_for_runs(DAILY, runs.daily)
    runs.xcoms_of_first_pass = [airflow.xcom(DAILY, run_id, "to_store") for run_id in runs.daily]

    now = runs.sandbox.clock.set(datetime.now(UTC), rate=1)
    runs.settling_window = (now - timedelta(hours=1), now)
    of_settling = dict(zip(("start", "end"), map(datetime.isoformat, runs.settling_window), strict=True))
    of_failures = {"start": MONDAY.isoformat(), "end": (MONDAY + DAY).isoformat()}
    started = {
        "settling": airflow.trigger("settling", conf=of_settling),
        "limited": airflow.trigger("limited", conf=of_failures),
        "failures": airflow.trigger("failures", conf=of_failures),
        FIRST_LOAD: airflow.trigger(FIRST_LOAD, conf={"since": (now - 65 * DAY).isoformat()}),
    }
    _watch_deferrals(runs, started)
    airflow.backfill(DAILY, first, last, reprocess="completed")
    runs.states[DAILY] = airflow.wait_for_runs(DAILY, runs.daily)
    for dag_id in ("failures", FIRST_LOAD):
        runs.states[dag_id] = airflow.wait_for_runs(dag_id, [started[dag_id]])
    return runs


def _watch_deferrals(runs, started, timeout=180):
    """Look at what the database holds of waiting tasks while they wait, until one went on and the other still waits."""
    deadline = time.monotonic() + timeout
    limited = ""
    while "success" not in runs.settling_seen or limited != "deferred":
        runs.airflow.check()
        assert time.monotonic() < deadline, (runs.settling_seen, limited)
        (settling,) = runs.airflow.tasks("settling", started["settling"])
        (waiting,) = runs.airflow.tasks("limited", started["limited"])
        runs.settling_seen.add(str(settling["state"]))
        limited = str(waiting["state"])
        with runs.metadata.connect() as connection:
            found = connection.execute(text("SELECT * FROM trigger")).fetchall()
            runs.triggers_seen += [str(row) for row in found]
        time.sleep(0.5)
