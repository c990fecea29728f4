"""A token that is replaced in Airflow's database and at Turn.io while a worker syncs a long window."""

import json

import pytest
import requests

from airflow_provider_wacontacts.sandbox import Fault, Sandbox, TurnBehaviour
from tests.deployed.conftest import DAY, MONDAY, the_world

OLD, NEW = "example-token-of-last-year", "example-token-of-this-year"
PAGES_BEFORE = 3


@pytest.fixture
def turn():
    """A Turn.io with a page for each contact, which has the worker wait before the fourth until it is called off."""
    with Sandbox(the_world(), now=MONDAY + DAY, behaviour=TurnBehaviour(token=OLD, page_size=1)) as sandbox:
        sandbox.fail(Fault(on="page", kind="rate_limited", delay_s=1.0, skip=PAGES_BEFORE, every=1))
        yield sandbox


@pytest.fixture
def connect(runs, turn):
    """Put a token into the connection, by Airflow's command line."""

    def put(token):
        fields = {"conn_type": "turn", "host": turn.url, "password": token}
        runs.airflow.cli("connections", "add", "turn_rotated", "--conn-json", json.dumps(fields))

    return put


def test_a_worker_continues_with_the_connections_new_token(runs, turn, connect):
    connect(OLD)
    runs.airflow.unpause("rotated")
    window = {"start": MONDAY.isoformat(), "end": (MONDAY + DAY).isoformat()}
    run_id = runs.airflow.trigger("rotated", conf=window)
    runs.airflow.wait(lambda: turn.requests.count("page", 429), "the first pages", 600)

    runs.airflow.cli("connections", "delete", "turn_rotated")
    connect(NEW)
    turn.change(token=NEW)
    requests.delete(f"{turn.url}/sandbox/faults", timeout=60).raise_for_status()
    states = runs.airflow.wait_for_runs("rotated", [run_id])

    (task,) = runs.airflow.tasks("rotated", run_id)
    pages = runs.airflow.xcom("rotated", run_id, "pull")["pages"]
    assert (states, task["try_number"]) == ({run_id: "success"}, 1)
    assert PAGES_BEFORE < pages == turn.requests.count("page", 200)
    assert turn.requests.count(outcome=401) == 1
