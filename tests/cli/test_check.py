"""`wacontacts check --dry-run`."""

import io
import json
import sys

import pytest
from sqlalchemy import create_engine

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.store import upgrade

GREEN_API = {"conn_type": "green_api", "host": "https://green-api.example", "login": "1101000001", "password": "a"}
BUSINESS = {"conn_type": "whatsapp_business", "host": "https://wa.example", "password": "a"}
BUSINESS |= {"extra": {"auth": "bearer", "sender": "+12015550100"}}
LINES = "+1 201-555-0123\n\n+12015550123\n(201) 555-0124\nno number\n"


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("STORE_URL", url)
    monkeypatch.setenv("AIRFLOW_CONN_GREEN", json.dumps(GREEN_API))
    monkeypatch.setenv("AIRFLOW_CONN_WA", json.dumps(BUSINESS))
    upgrade(create_engine(url))

    def run(*arguments):
        monkeypatch.setattr(sys, "stdin", io.StringIO(LINES))
        return cli.main(["check", "--dry-run", "--url-env", "STORE_URL", *arguments]), capsys.readouterr().out

    return run


def test_the_counts_of_both_systems_are_printed(check):
    code, out = check("--green-api-conn-id", "green", "--json")
    counts = {"given": 4, "duplicates": 1, "rejected": 2, "not_asked": 0, "fresh": 0, "leased": 0, "to_ask": 1}
    assert (code, json.loads(out)) == (
        0,
        {"sender": "green_api:1101000001", **counts, "budget_left": 1000, "budget_after": 999},
    )

    code, out = check("--whatsapp-business-conn-id", "wa")
    shown = {name: int(count) for count, name in (line.split() for line in out.splitlines())}
    assert (code, shown) == (0, counts | {"rejected": 1, "to_ask": 2, "budget_left": 1000, "budget_after": 998})
