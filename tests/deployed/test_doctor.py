"""``wacontacts doctor`` reports every defect of a deployment, and none of a correct one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.sandbox import ContactList, GreenApiBehaviour, Sandbox, WhatsAppBehaviour, World
from airflow_provider_wacontacts.store import Store

SECRET = "example-pseudonym-secret"
POOLS = ("turn", "green_api", "whatsapp_business")
#: What is broken, by what the finding's message must name.
BROKEN = {
    "connection turn_default": "unknown",  # a host name that does not exist
    "connection turn_token": "token",  # a wrong token
    "connection turn_extra": "extra 'acount' is unknown. Did you mean 'account'?",
    "connection green_api_default": "of type 'http'",
    "connection green_api_open": "unencrypted",  # http:// to another machine
    "connection whatsapp_business_default": "whatsapp_business.login",  # a wrong password
    "webhook of whatsapp_business_default": "extra 'webhook_secret' has less than 16 bytes",
    "receiver": "It does not respond",  # no server there
    "store wacontacts_store": "share no files",  # SQLite with the Celery executor
    "store wacontacts_store lost": "1 extractions and 0 checks are lost",
    "pool turn": "Run `airflow pools set turn 1",
    "triggerer": "Start `airflow triggerer`",
}


class Deployment:
    """An Airflow of its own, with connections to real servers."""

    def __init__(self, home, sandbox):
        self.home, self.sandbox = home, sandbox
        self.url = f"sqlite:///{home}/airflow.db"
        own = {"AIRFLOW_HOME": str(home), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.url}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        self.environment = kept | own
        whatsapp = sandbox.whatsapp.behaviour
        self.connect("turn_default", "turn", host=sandbox.url, password=sandbox.token)
        self.connect(
            "green_api_default",
            "green_api",
            host=sandbox.url,
            login=sandbox.green_api.behaviour.id_instance,
            password=sandbox.green_api.behaviour.token,
        )
        business = {"login": whatsapp.username, "password": whatsapp.password, "extra": {"sender": "+12015550100"}}
        self.connect("whatsapp_business_default", "whatsapp_business", host=sandbox.url, **business)
        self.connect(
            "wacontacts_store", "wacontacts_store", host=f"{home}/store.db", extra={"pseudonym_secret": SECRET}
        )

    def connect(self, conn_id, conn_type, **fields):
        self.environment[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps({"conn_type": conn_type, **fields})

    def run(self, module, *arguments, check=True):
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=check, env=self.environment)

    def doctor(self, *arguments):
        return self.run("airflow_provider_wacontacts.cli", "doctor", *arguments, check=False)

    @contextlib.contextmanager
    def triggerer(self):
        """Run a triggerer, from its first sign of life on."""
        command = [sys.executable, "-m", "airflow", "triggerer", "--skip-serve-logs"]
        with subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as own:
            engine = create_engine(self.url)
            alive = text("SELECT count(*) FROM job WHERE job_type = 'TriggererJob' AND state = 'running'")
            while True:
                with engine.connect() as connection:
                    if connection.execute(alive).scalar():
                        break
                assert own.poll() is None
                time.sleep(0.2)
            engine.dispose()
            yield
            own.kill()
        with create_engine(self.url).begin() as connection:
            connection.execute(text("DELETE FROM job"))


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    behaviours = {"green_api": GreenApiBehaviour(), "contact_list": ContactList(), "whatsapp": WhatsAppBehaviour()}
    with Sandbox(World(), **behaviours) as sandbox:
        deployment = Deployment(tmp_path_factory.mktemp("airflow"), sandbox)
        deployment.run("airflow", "db", "migrate")
        with create_engine(deployment.url).begin() as connection:
            for pool in POOLS:
                insert = "INSERT INTO slot_pool (pool, slots, include_deferred) VALUES (:pool, 1, false)"
                connection.execute(text(insert), {"pool": pool})
        yield deployment


def test_a_correct_deployment_has_no_findings_and_a_broken_one_has_all(deployment):
    with deployment.triggerer():
        well = deployment.doctor()
    assert (well.returncode, well.stdout.splitlines()[-1], "WRONG" in well.stdout) == (0, "Nothing is wrong.", False), (
        well.stdout + well.stderr
    )
    assert {f"pool {pool}" in well.stdout for pool in POOLS} == {True}

    sandbox = deployment.sandbox
    secret = "wrong-token-that-nobody-may-see"
    deployment.connect("turn_default", "turn", host="https://turn.invalid", password=secret)
    deployment.connect("turn_token", "turn", host=sandbox.url, password=secret)
    deployment.connect("turn_extra", "turn", host=sandbox.url, password=sandbox.token, extra={"acount": "helpline"})
    deployment.connect("green_api_default", "http", host=sandbox.url)
    deployment.connect("green_api_open", "green_api", host="http://192.0.2.1", login="1101000001", password=secret)
    wrong = {"login": "admin", "password": secret, "extra": {"sender": "+12015550100", "webhook_secret": "short"}}
    deployment.connect("whatsapp_business_default", "whatsapp_business", host=sandbox.url, **wrong)
    deployment.environment["AIRFLOW__CORE__EXECUTOR"] = "CeleryExecutor"
    with create_engine(deployment.url).begin() as connection:
        connection.execute(text("DELETE FROM slot_pool WHERE pool = 'turn'"))
    store_of(deployment)
    feeds = [name.removeprefix("connection ") for name in BROKEN if name.startswith("connection")]
    broken = deployment.doctor(
        "--json", "--receiver-url=http://127.0.0.1:1", *(f"--conn-id={conn_id}" for conn_id in feeds)
    )

    found = json.loads(broken.stdout)
    findings = [finding for finding in found["findings"] if not finding["is_ok"]]
    assert (broken.returncode, found["ok"], len(findings)) == (1, False, len(BROKEN)), broken.stdout
    for subject, words in BROKEN.items():
        messages = [finding["message"] for finding in findings if finding["subject"] == subject.removesuffix(" lost")]
        assert any(words in message for message in messages), (subject, messages)
    everything = broken.stdout + broken.stderr
    assert [one for one in (secret, sandbox.token, SECRET, "+12015550100") if one in everything] == []


def store_of(deployment):
    """Leave an attempt in the store whose worker was killed long ago."""
    from datetime import UTC, datetime

    store = Store(
        create_engine(f"sqlite:///{deployment.home}/store.db"),
        secret=SECRET.encode(),
        now=lambda: datetime.now(UTC) - timedelta(hours=1),
    )
    store.prepare()
    task = TaskInstanceKey("dag", "run", "task")
    store.begin(source="turn", account="main", window=None, task=task, options_digest="", package_version="1")


def test_missing_connections_are_findings(deployment):
    bare = {name: value for name, value in deployment.environment.items() if not name.startswith("AIRFLOW_CONN")}
    command = [sys.executable, "-m", "airflow_provider_wacontacts.cli", "doctor", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=bare)
    wrong = {finding["subject"] for finding in json.loads(run.stdout)["findings"] if not finding["is_ok"]}
    assert (run.returncode, wrong) == (1, {"connections", "store wacontacts_store", "triggerer"})
