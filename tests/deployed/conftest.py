"""One real Airflow for all tests of complete runs. All DAGs run once, and the tests check the results."""

import shutil
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url

from airflow_provider_wacontacts.sandbox import (
    Fault,
    Raw,
    Sandbox,
    TurnBehaviour,
    WhatsAppBehaviour,
    World,
    bob,
    seeded_world,
)
from demo.crm import SENDER, Crm, invented_contacts, newcomers
from demo.deployment import AirflowDeployment
from demo.failures import last_words
from demo.postgres import free_port
from tests.statsd import StatsdServer

ROOT = Path(__file__).resolve().parents[2]
DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
#: Bob saves 100 on the first of the days that are backfilled and 120 on the second.
MONDAY = TODAY - 4 * DAY
BOB = 999
AFTER_S = 900.0

DAILY, FIRST_LOAD = "turn_contacts_daily", "turn_contacts_first_load"
CHECK, REVALIDATE = "whatsapp_check_contacts", "whatsapp_revalidate_stale"
CASES = ("failures", "forgetting", "querying")
SECRETS = {
    "turn_default": "example-token-of-the-line",
    "turn_wrong_token": "example-token-that-is-wrong",
    "store_unreachable": "example-password-of-the-store",
    "store_forgotten": "example-pseudonym-secret-of-pseudonyms",
    "whatsapp_business_default": "example-password-of-the-client",
    "whatsapp_wrong_password": "example-password-that-is-wrong",
}


#: What is up while the tests of this folder run.
RUNNING = ExitStack()


@dataclass
class Asked:
    """
    A run that asks about numbers.

    :ivar allowed: the numbers that might be asked about at its time.
    :ivar times: how often the server was asked about each.
    :ivar triggerers: which triggerers had the sensor's trigger, one after another.
    """

    allowed: frozenset[str]
    run_id: str = ""
    summary: dict = field(default_factory=dict)
    times: Counter = field(default_factory=Counter)
    triggerers: list[int] = field(default_factory=list)


@dataclass
class Runs:
    """What ran, and where to look."""

    airflow: AirflowDeployment
    sandbox: Sandbox
    sandboxes: list[Sandbox]
    whatsapp: Sandbox
    crm: Crm
    store: Engine
    metadata: Engine
    files: Path
    statsd: StatsdServer
    monday: datetime = MONDAY
    daily: list[str] = field(default_factory=list)
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    settling_seen: set[str] = field(default_factory=set)
    settling_window: tuple[datetime, datetime] | None = None
    triggers_seen: list[str] = field(default_factory=list)
    xcoms_of_first_pass: list[dict] = field(default_factory=list)
    checked: Asked | None = None
    revalidated: Asked | None = None

    @property
    def secrets(self):
        """Tokens and passwords of all connections, and the tokens that logins brought."""
        brought = self.whatsapp.whatsapp.logins._tokens
        return {*SECRETS.values(), *(sandbox.token for sandbox in self.sandboxes), *brought}

    @property
    def given(self):
        """Every number of the CRM, as it is written and as digits, and every WhatsApp id."""
        written = {contact.number for contact in self.crm.contacts}
        digits = {contact.e164.strip("+") for contact in self.crm.contacts if contact.e164}
        ids = {self.whatsapp.whatsapp.truth(f"+{number}").wa_id for number in digits} - {None}
        return written | digits | ids

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
        "turn_forgotten": Sandbox(the_world()),
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


def the_whatsapp():
    """A client that lives eight days ago; what takes it a while takes it until it is told to go on."""
    behaviour = WhatsAppBehaviour(
        sender=SENDER,
        auth="login",
        password=SECRETS["whatsapp_business_default"],
        processing_share=0.2,
        resolved_by="never",
    )
    return Sandbox(World(), now=datetime.now(UTC) - 8 * DAY, rate=1, whatsapp=behaviour)


def the_talkative_whatsapp():
    """A client that quotes what it was asked about."""
    gossip = f'{{"errors": [{{"code": 1009, "title": "{invented_contacts()[0].e164} is not a number"}}]}}'
    sandbox = Sandbox(World(), whatsapp=the_whatsapp().whatsapp.behaviour)
    sandbox.fail(Fault(on="check", kind="status", status=400, body=gossip, every=1))
    return sandbox


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Show with a failure which task failed, and what Airflow's scheduler says of it."""
    report = yield
    if report.failed and report.when == "call":
        for airflow in item.funcargs.values():
            if isinstance(airflow, AirflowDeployment):
                scheduler = (airflow.process_logs / "scheduler.log").read_text(errors="replace")
                errors = [line for line in scheduler.splitlines() if "[error" in line]
                report.sections.append(("Airflow", "\n".join([str(last_words(airflow, "~")), *errors])))
    return report


@pytest.fixture(scope="session")
def runs(postgres, tmp_path_factory):
    if int(version("apache-airflow").partition(".")[0]) < 3:
        pytest.skip("the deployment is one of Airflow 3: API server, execution API, backfills by the scheduler")
    home = tmp_path_factory.mktemp("airflow")
    with RUNNING as stack:
        sandbox = Sandbox(the_world(), now=MONDAY, behaviour=TurnBehaviour(token=SECRETS["turn_default"], page_size=20))
        wrong = wrong_sandboxes()
        whatsapp, talkative = the_whatsapp(), the_talkative_whatsapp()
        for each in (sandbox, *wrong.values(), whatsapp, talkative):
            stack.enter_context(each)
        databases = ("deployed_store", "deployed_airflow", "deployed_crm")
        store, metadata, crm = (_database(postgres, stack, name) for name in databases)
        connections = {
            **_to_turn(sandbox, wrong),
            **_to_whatsapp(whatsapp, talkative),
            **_to_databases(store, crm),
            "store_in_sqlite": {"conn_type": "wacontacts_store", "host": str(home / "store.db")},
        }
        statsd = stack.enter_context(StatsdServer())
        airflow = stack.enter_context(_deployment(home, sandbox, connections, metadata, statsd))
        for dag_id in (DAILY, FIRST_LOAD, CHECK, REVALIDATE, "settling", "limited", *CASES):
            airflow.unpause(dag_id)
        contacts = Crm(crm, invented_contacts(60))
        up = (airflow, sandbox, [sandbox, *wrong.values()], whatsapp, contacts, store, metadata, home / "files", statsd)
        yield _run_everything(Runs(*up))


def _database(postgres, stack, name):
    maintenance = create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    maintenance.dispose()
    engine = create_engine(postgres.url(database=name))
    stack.callback(engine.dispose)
    return engine


def _to_turn(sandbox, wrong):
    good = {"conn_type": "turn", "host": sandbox.url, "password": sandbox.token}
    return {
        "turn_default": good,
        "turn_wrong_token": {**good, "password": SECRETS["turn_wrong_token"]},
        **{name: {**good, "host": each.url, "password": each.token} for name, each in wrong.items()},
    }


def _to_whatsapp(whatsapp, talkative):
    behaviour, extra = whatsapp.whatsapp.behaviour, {"sender": SENDER}
    login = {"login": behaviour.username, "password": behaviour.password}
    good = {"conn_type": "whatsapp_business", "host": whatsapp.url, **login, "extra": extra}
    elsewhere = {**good, "extra": {"sender": "another"}}
    return {
        "whatsapp_business_default": good,
        "whatsapp_wrong_password": {**elsewhere, "password": SECRETS["whatsapp_wrong_password"]},
        "whatsapp_talkative": {**elsewhere, "host": talkative.url},
    }


def _to_databases(store, crm):
    def to(engine):
        url = make_url(str(engine.url))
        parts = {"host": url.host, "port": url.port, "schema": url.database, "login": url.username}
        return {"conn_type": "postgres", **parts}

    unreachable = {"port": free_port(), "password": SECRETS["store_unreachable"]}
    extra = {"table_schema": "forgotten", "pseudonym_secret": SECRETS["store_forgotten"]}
    return {
        "wacontacts_store": to(store),
        "store_unreachable": {**to(store), **unreachable},
        "store_forgotten": {**to(store), "extra": extra},
        "store_with_schema": {**to(store), "conn_type": "wacontacts_store", "extra": {"table_schema": "of_queries"}},
        "crm": to(crm),
    }


def _deployment(home, sandbox, connections, metadata, statsd):
    dags = home / "dags"
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "dags" / "deployed_cases.py", dags)
    return AirflowDeployment(
        home / "home",
        dags,
        connections=connections,
        variables={"wacontacts_path": (home / "files").as_uri(), "forgotten_path": (home / "forgotten").as_uri()},
        pools={"turn": 1},
        plugins_folder=ROOT / "demo" / "plugins",
        database_url=metadata.url.render_as_string(hide_password=False),
        env={
            **statsd.settings,
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
            "DEMO_CLOCK_URL": f"{sandbox.url}/sandbox/clock",
            "DEMO_AFTER_S": str(AFTER_S),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            # How soon a triggerer that is lost is missed.
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        },
    )


def _run_everything(runs):
    airflow = runs.airflow
    runs.checked = _ask(runs, CHECK)
    _lose_the_triggerer_while_it_waits(runs, runs.checked)

    first, last = (MONDAY.date().isoformat(), (MONDAY + 2 * DAY).date().isoformat())
    runs.daily = airflow.backfill(DAILY, first, last)
    airflow.wait_for_runs(DAILY, runs.daily)
    runs.xcoms_of_first_pass = [airflow.xcom(DAILY, run_id, "to_store") for run_id in runs.daily]
    _finish(runs, CHECK, runs.checked, "check")

    now = runs.sandbox.clock.set(datetime.now(UTC), rate=1)
    runs.settling_window = (now - timedelta(hours=1), now)
    of_settling = dict(zip(("start", "end"), map(datetime.isoformat, runs.settling_window), strict=True))
    of_failures = {"start": MONDAY.isoformat(), "end": (MONDAY + DAY).isoformat()}
    started = {"settling": airflow.trigger("settling", conf=of_settling)}
    airflow.wait(
        lambda: _state_of_settling(runs, started) == "deferred", "the window to wait until it has settled", 300
    )

    runs.crm.add(newcomers())
    runs.whatsapp.clock.set(now, rate=1)
    runs.revalidated = _ask(runs, REVALIDATE)
    started |= {
        "limited": airflow.trigger("limited", conf=of_failures),
        **{dag_id: airflow.trigger(dag_id, conf=of_failures) for dag_id in CASES},
        FIRST_LOAD: airflow.trigger(FIRST_LOAD, conf={"since": (now - 65 * DAY).isoformat()}),
    }
    _watch_deferrals(runs, started)
    _finish(runs, REVALIDATE, runs.revalidated, "revalidate")
    airflow.backfill(DAILY, first, last, reprocess="completed")
    runs.states[DAILY] = airflow.wait_for_runs(DAILY, runs.daily)
    for dag_id in (*CASES, FIRST_LOAD):
        runs.states[dag_id] = airflow.wait_for_runs(dag_id, [started[dag_id]])
    return runs


def _ask(runs, dag_id):
    asked = Asked(frozenset(runs.crm.numbers), times=runs.whatsapp.asked_numbers)
    asked.run_id = runs.airflow.trigger(dag_id)
    return asked


def _lose_the_triggerer_while_it_waits(runs, asked):
    """Kill the triggerer that has the sensor's trigger, let another take over, and let the answers come."""

    def taken_over():
        rows = _look_at_what_waits(runs)
        owners = [row.triggerer_id for row in rows if "WhatsAppContactsTrigger" in row.classpath]
        new = [owner for owner in owners if owner is not None and owner not in asked.triggerers]
        return new and not asked.triggerers.extend(new)

    runs.airflow.wait(taken_over, "the sensor's trigger to be with a triggerer", 300)
    runs.airflow.lose("triggerer")
    runs.airflow.wait(taken_over, "the sensor's trigger to be with another triggerer", 300)
    runs.whatsapp.whatsapp.change(resolved_by="asking")


def _finish(runs, dag_id, asked, task_id):
    def none_failed(_):
        words = last_words(runs.airflow, dag_id)
        assert not words, words

    runs.states[dag_id] = runs.airflow.wait_for_runs(dag_id, [asked.run_id], seen=none_failed)
    asked.times = runs.whatsapp.asked_numbers - asked.times
    asked.summary = runs.airflow.xcom(dag_id, asked.run_id, task_id)


def _look_at_what_waits(runs):
    """Keep what the database holds of waiting tasks; return the rows of their triggers."""
    with runs.metadata.connect() as connection:
        rows = connection.execute(text("SELECT * FROM trigger")).fetchall()
        going_on = connection.execute(text("SELECT next_kwargs FROM task_instance WHERE next_kwargs IS NOT NULL"))
        runs.triggers_seen += map(str, [*rows, *going_on.fetchall()])
    return rows


def _state_of_settling(runs, started):
    (settling,) = runs.airflow.tasks("settling", started["settling"])
    runs.settling_seen.add(str(settling["state"]))
    return settling["state"]


def _watch_deferrals(runs, started, timeout=600):
    """Look at what the database holds of waiting tasks while they wait, until one went on and the other still waits."""
    deadline = time.monotonic() + timeout
    limited = ""
    while "success" not in runs.settling_seen or limited != "deferred":
        runs.airflow.check()
        assert time.monotonic() < deadline, (runs.settling_seen, limited)
        _state_of_settling(runs, started)
        (waiting,) = runs.airflow.tasks("limited", started["limited"])
        limited = str(waiting["state"])
        _look_at_what_waits(runs)
        time.sleep(0.5)
