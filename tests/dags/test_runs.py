"""Example DAGs run completely in a separate Airflow process, against the sandbox."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_wacontacts.sandbox import (
    Fault,
    GreenApiBehaviour,
    Sandbox,
    WhatsAppBehaviour,
    World,
    example_contact_list,
)

ROOT = Path(__file__).resolve().parents[2]
DAGS = ("green_api_check", "green_api_snapshot", "whatsapp_check_and_send")
#: They check with GREEN-API if their constant says so.
OF_EITHER_SYSTEM = ("whatsapp_check_contacts", "whatsapp_check_many", "whatsapp_revalidate_stale")
THERE, INVALID, SLOW, OPTED_OUT, SILENT = (f"+1201555010{digit}" for digit in range(5))
PEOPLE = [("a", THERE, True), ("b", INVALID, True), ("c", SLOW, True), ("d", OPTED_OUT, False), ("e", SILENT, None)]


class Databases:
    def __init__(self, folder):
        self.crm, self.store = folder / "crm.db", folder / "store.db"
        with closing(sqlite3.connect(self.crm)) as crm, crm:
            crm.execute("CREATE TABLE contacts (contact_key text, number text, opted_in boolean)")
            crm.execute("CREATE TABLE outbox (contact_key text, number text, opted_in boolean, body text, state text)")
            crm.executemany("INSERT INTO contacts VALUES (?, ?, ?)", PEOPLE)
            crm.executemany("INSERT INTO outbox VALUES (?, ?, ?, 'hello', 'queued')", PEOPLE)

    def rows(self, name, query):
        with closing(sqlite3.connect(getattr(self, name))) as database:
            return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """All of the DAGs have run once; the client forgets contacts between check and message, one of them twice."""
    folder = tmp_path_factory.mktemp("runs")
    business = WhatsAppBehaviour(on_whatsapp=1.0, processing_share=0.0)
    instance = GreenApiBehaviour(on_whatsapp=1.0)
    lists = {"green_api": instance, "contact_list": example_contact_list()}
    with Sandbox(World(), now=datetime.now(UTC), rate=1.0, whatsapp=business, **lists) as sandbox:
        sandbox.whatsapp.put(INVALID, "invalid")
        sandbox.whatsapp.put(SLOW, slow=True)
        sandbox.green_api.put_number(INVALID, exists=False)
        sandbox.fail(Fault(on="message", kind="status", status=404, code=1006, times=2))
        sandbox.fail(Fault(on="message", kind="status", status=404, code=1006, skip=1))
        databases = Databases(folder)
        _run(folder, sandbox, databases)
        yield sandbox, databases


@pytest.fixture(scope="module")
def ran_with_green_api(tmp_path_factory):
    """The DAGs of either system have run once, set to GREEN-API."""
    folder = tmp_path_factory.mktemp("either")
    (folder / "dags").mkdir()
    for name in OF_EITHER_SYSTEM:
        text = (ROOT / "dags" / f"{name}.py").read_text()
        chosen = text.replace('SYSTEM = "whatsapp_business"', 'SYSTEM = "green_api"')
        assert chosen != text
        (folder / "dags" / f"{name}.py").write_text(chosen)
    with Sandbox(World(), now=datetime.now(UTC), rate=1.0, green_api=GreenApiBehaviour(on_whatsapp=1.0)) as sandbox:
        sandbox.green_api.put_number(INVALID, exists=False)
        databases = Databases(folder)
        _run(folder, sandbox, databases, folder / "dags", OF_EITHER_SYSTEM)
        yield sandbox, databases


def _run(folder, sandbox, databases, dags=ROOT / "dags", dag_ids=DAGS):
    business, instance = sandbox.whatsapp.behaviour, sandbox.green_api.behaviour
    connections = {
        "green_api_default": {"conn_type": "green_api", "login": instance.id_instance, "password": instance.token},
        "whatsapp_business_default": {"conn_type": "whatsapp_business", "password": business.token},
        "whatsapp_messages": {"conn_type": "http", "extra": {"Authorization": f"Bearer {business.token}"}},
        "wacontacts_store": {"conn_type": "sqlite", "host": str(databases.store)},
        "crm": {"conn_type": "sqlite", "host": str(databases.crm)},
    }
    connections["whatsapp_business_default"]["extra"] = {"auth": "bearer", "sender": business.sender}
    variables = {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps({"host": sandbox.url, **fields})
        for name, fields in connections.items()
    }
    airflow = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    if version("apache-airflow") < "3":  # its default executor, on this database
        airflow["AIRFLOW__CORE__EXECUTOR"] = "SequentialExecutor"
    argv = [sys.executable, Path(__file__).with_name("run_dags.py"), *dag_ids]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **variables, **airflow})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_green_api_checks_people_who_have_opted_in(ran):
    sandbox, databases = ran
    query = "SELECT sender, contact_key, status FROM wacontacts_check_result JOIN wacontacts_check USING (check_id)"
    rows = databases.rows("store", query)

    instance = f"green_api:{sandbox.green_api.behaviour.id_instance}"
    statuses = dict(zip("abcde", ("valid", "invalid", "valid", "not_asked", "not_asked"), strict=True))
    assert {key: status for sender, key, status in rows if sender == instance} == statuses
    assert sandbox.green_api.asked_numbers == dict.fromkeys((THERE, INVALID, SLOW), 1)


def test_both_whatsapp_dags_can_check_with_green_api(ran_with_green_api):
    sandbox, databases = ran_with_green_api

    assert databases.rows("store", "SELECT contact_key, number, status FROM whatsapp_ids ORDER BY 1") == [
        ("a", THERE, "valid"),
        ("c", SLOW, "valid"),
    ]
    senders = databases.rows("store", "SELECT DISTINCT sender FROM wacontacts_check")
    assert senders == [(f"green_api:{sandbox.green_api.behaviour.id_instance}",)]
    assert sandbox.green_api.asked_numbers == dict.fromkeys((THERE, INVALID, SLOW), 1)
    assert sandbox.asked_numbers == {}


def test_a_snapshot_of_green_api_has_all_contacts(ran):
    sandbox, databases = ran

    stored = {row[0] for row in databases.rows("store", "SELECT contact_id FROM wacontacts_current")}
    assert stored == {row["id"] for row in sandbox.green_api.rows()}


def test_messages_are_sent_once_to_people_who_are_on_whatsapp(ran):
    sandbox, databases = ran

    states = dict(databases.rows("crm", "SELECT contact_key, state FROM outbox"))
    assert [states[key] for key in "bde"] == ["queued"] * 3
    assert sorted(states[key] for key in "ac") == ["failed", "sent"]
    assert sandbox.whatsapp.sent == 1


def test_contacts_unknown_to_the_client_are_rechecked_and_messaged_again(ran):
    sandbox, databases = ran
    calls = sandbox.whatsapp.calls

    (last,) = [call for call in calls if call.blocking == "wait"]
    assert (last.size, last.force_check, last) == (2, False, calls[-1])
    assert sandbox.requests.count("message") == 4
    assert databases.rows("store", "SELECT sum(spent) FROM wacontacts_budget WHERE sender LIKE '+%'") == [(5,)]
    assert sandbox.asked_numbers.keys() == {THERE, INVALID, SLOW}
