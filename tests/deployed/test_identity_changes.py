"""
A real Airflow, and callbacks of the client.

Identity changes start DAGs: none is missed, and a person approves an acknowledgement. A result ends a wait.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.sandbox import Fault, Sandbox, WhatsAppBehaviour, World
from demo.deployment import AirflowDeployment

ROOT = Path(__file__).resolve().parents[2]
APPROVAL = "whatsapp_identity_approval"
SENDER, PATH = "+12015550100", "example-path-of-a-client-that-signs-nothing"
PROCESSES, EACH = 4, 250
#: The watched asset of its own store: its trigger looks more often than the example's.
DAG = """
from datetime import datetime, timezone
from airflow.sdk import DAG, Asset, AssetWatcher, task
from airflow_provider_wacontacts.triggers.whatsapp_business import IdentityChangedTrigger

trigger = IdentityChangedTrigger(store_conn_id="many", poll_interval=1, limit=50)
MANY = Asset("many_changes", watchers=[AssetWatcher(name="many", trigger=trigger)])

with DAG("many_changes", schedule=[MANY], start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False):

    @task
    def seen():
        pass

    seen()
"""
#: A check whose result the client only calls back.
WAITING = """
from datetime import datetime, timezone
from airflow.sdk import DAG
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

with DAG("waiting", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False):
    check = WhatsAppCheckContactsOperator(task_id="check", contacts=["+16315551001"])
    WhatsAppContactsSensor(task_id="wait", check_id=check.output["check_id"], deferrable=True)
"""
RECORDER = """
import json, sys
from sqlalchemy import create_engine
from airflow_provider_wacontacts.callbacks import record_callback

url, sender, first, count = sys.argv[1:]
engine = create_engine(url)
for number in range(int(first), int(first) + int(count)):
    user = f"1631{5550000 + number}"
    system = {"type": "user_identity_changed", "identity": f"hash{number}", "user": user}
    message = {"from": user, "system": system, "timestamp": "1602535356", "type": "system"}
    record_callback(engine, sender, json.dumps({"messages": [message]}).encode())
"""


@pytest.fixture(scope="module")
def databases(postgres):
    names = ("identity_airflow", "identity_store", "identity_many")
    maintenance = create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        for name in names:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    maintenance.dispose()
    engines = [create_engine(postgres.url(database=name), pool_pre_ping=True) for name in names]
    yield engines
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="module")
def client():
    with Sandbox(World(), whatsapp=WhatsAppBehaviour(sender=SENDER)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def connections(databases, client):
    def to(engine):
        url = make_url(str(engine.url))
        parts = {"host": url.host, "port": url.port, "schema": url.database, "login": url.username}
        return {"conn_type": "wacontacts_store", **parts}

    _, store, many = databases
    behaviour = client.whatsapp.behaviour
    whatsapp = {
        "conn_type": "whatsapp_business",
        "host": client.url,
        "login": behaviour.username,
        "password": behaviour.password,
        "extra": {"sender": SENDER, "webhook_path": PATH},
    }
    return {"wacontacts_store": to(store), "many": to(many), "whatsapp_business_default": whatsapp}


@pytest.fixture(scope="module")
def airflow(databases, connections, tmp_path_factory):
    if tuple(map(int, version("apache-airflow").split(".")[:2])) < (3, 3):
        pytest.skip("assets have no state before Airflow 3.3")
    home = tmp_path_factory.mktemp("identity")
    dags = home / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "dags" / f"{APPROVAL}.py", dags)
    (dags / "many_changes.py").write_text(DAG)
    (dags / "waiting.py").write_text(WAITING)
    deployment = AirflowDeployment(
        home / "home",
        dags,
        connections=connections,
        database_url=databases[0].url.render_as_string(hide_password=False),
        env={
            # Airflow starts the trigger of a watcher when it reads the DAG the next time after it was unpaused.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3",
            # How soon a triggerer that is lost is missed.
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        },
    )
    with deployment as running:
        yield running


def rows(engine, sql):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def fired(databases, asset):
    """Return the identities of all events of an asset, each as often as it fired."""
    sql = "SELECT e.extra FROM asset_event e JOIN asset a ON a.id = e.asset_id WHERE a.name = :name ORDER BY e.id"
    with databases[0].connect() as connection:
        extras = connection.execute(text(sql), {"name": asset}).scalars().all()
    events = [json.loads(extra) if isinstance(extra, str) else extra for extra in extras]
    return [identity_id for event in events for identity_id in event["payload"]["identity_ids"]]


def test_no_change_is_missed_if_the_triggerer_is_killed_twice(airflow, databases):
    many = databases[2]
    airflow.unpause("many_changes")
    code = [sys.executable, "-c", RECORDER, many.url.render_as_string(hide_password=False), SENDER]
    recorders = [subprocess.Popen([*code, str(number * EACH), str(EACH)]) for number in range(PROCESSES)]
    for share in (0.1, 0.5):
        enough = share * PROCESSES * EACH
        airflow.wait(lambda enough=enough: len(set(fired(databases, "many_changes"))) >= enough, "changes", 600)
        airflow.lose("triggerer")
    assert [recorder.wait(600) for recorder in recorders] == [0] * PROCESSES

    recorded = {identity_id for (identity_id,) in rows(many, "SELECT identity_id FROM wacontacts_identity")}
    assert len(recorded) == PROCESSES * EACH
    airflow.wait(lambda: set(fired(databases, "many_changes")) == recorded, "the other changes", 600)


@pytest.fixture
def receiver(connections, tmp_path):
    """`wacontacts receiver` beside Airflow; gives the URL of its webhook."""
    environment = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in connections.items()}
    command = [sys.executable, "-m", "airflow_provider_wacontacts.cli", "receiver", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment) as process:
        while "running on" not in (line := process.stderr.readline()):
            assert process.poll() is None
        yield f"{line.partition('running on ')[2].split()[0]}/whatsapp_business_default/{PATH}"
        process.terminate()


def test_a_delivered_change_waits_for_an_approval_and_is_then_acknowledged(airflow, databases, client, receiver):
    airflow.unpause(APPROVAL)
    client.whatsapp.change(callback_url=receiver)
    client.whatsapp.change_identity("16315551000")
    assert client.whatsapp.callbacks.wait_for(1)

    run_id = airflow.wait(lambda: next((run["dag_run_id"] for run in airflow.runs(APPROVAL)), None), "a run", 600)
    path = ("dags", APPROVAL, "dagRuns", run_id, "taskInstances", "approve", "-1", "hitlDetails")

    def asked():
        state = next(task["state"] for task in airflow.tasks(APPROVAL, run_id) if task["task_id"] == "approve")
        return state in {"awaiting_input", "deferred"}

    airflow.wait(asked, "the request for an approval", 600)
    # Airflow fails a task that is answered before: https://github.com/apache/airflow/issues/72716
    exited = f"TaskInstance Finished: dag_id={APPROVAL}, task_id=approve,"
    scheduler = airflow.process_logs / "scheduler.log"
    airflow.wait(lambda: exited in scheduler.read_text(), "the scheduler to see the task's worker exit", 600)
    identities = rows(databases[1], "SELECT identity_id, acknowledged FROM wacontacts_identity")
    request = airflow.api.call("GET", *path)
    airflow.api.call("PATCH", *path, json={"chosen_options": ["Approve"], "params_input": {}})

    assert airflow.wait_for_runs(APPROVAL, [run_id]) == {run_id: "success"}
    ((identity_id, was_acknowledged),) = identities
    assert not was_acknowledged
    assert str(identity_id) in request["body"]
    assert "16315551000" not in json.dumps(request)
    assert rows(databases[1], "SELECT acknowledged FROM wacontacts_identity") == [(True,)]
    assert requests.get(f"{client.url}/sandbox/whatsapp/callbacks", timeout=60).json()[0]["outcomes"] == [200]


def test_a_delivered_result_ends_the_wait_of_a_sensor(airflow, databases, client, receiver):
    client.whatsapp.change(callback_url=receiver, processing_share=1.0, resolved_by="never")
    airflow.unpause("waiting")
    run_id = airflow.trigger("waiting")

    def state():
        return next(task["state"] for task in airflow.tasks("waiting", run_id) if task["task_id"] == "wait")

    airflow.wait(lambda: state() == "deferred", "the sensor to wait", 600)
    waiting = "SELECT state, finished_at IS NOT NULL FROM wacontacts_check"
    before = rows(databases[1], waiting)
    client.fail(Fault(on="check", kind="status", status=503, every=1))
    client.whatsapp.finish()

    assert airflow.wait_for_runs("waiting", [run_id]) == {run_id: "success"}
    assert (before, rows(databases[1], waiting)) == ([("open", True)], [("resolved", True)])
    result = airflow.xcom("waiting", run_id, "wait")
    assert (result["processing"], result["valid"] + result["invalid"]) == (0, 1)
