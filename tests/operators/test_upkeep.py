"""Tasks that maintain a store: their results, and refused arguments."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import create_engine, inspect

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.store import (
    CheckFreshnessOperator,
    ContactsViewOperator,
    PurgeStoreOperator,
)
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.sandbox import Sandbox, bob
from airflow_provider_wacontacts.store import Store, TaskInstanceKey

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store that tasks reach by their connection, whose window of Monday was synced on Tuesday."""
    url = re.sub(r"postgresql\+psycopg2?", "postgres", store_url.replace("sqlite:///", "sqlite:////"))
    monkeypatch.setenv("AIRFLOW_CONN_WACONTACTS_STORE", url.replace("options=-csearch_path%3D", "table_schema="))
    schema = store_url.partition("search_path%3D")[2] or None
    return lambda now: Store(create_engine(store_url), table_schema=schema, now=lambda: now)


def attempt(store: Store, run: str, day: int = 0) -> Any:
    store.prepare()
    start = MONDAY + day * DAY
    task = TaskInstanceKey("dag", run, "task")
    given = {"task": task, "options_digest": "options", "package_version": "1.2.3"}
    return store.begin(source="turn", account="main", window=Window(start, start + DAY), **given)


def run(operator: Any) -> Any:
    return operator.execute({"ti": SimpleNamespace(), "outlet_events": {}})


def test_a_task_purges_and_a_dry_run_only_counts(store: Any) -> None:
    attempt(store(MONDAY + DAY), "run").fail("ServerError")

    def purge(**given: Any) -> Any:
        return run(PurgeStoreOperator(task_id="purge", max_age=timedelta(days=30), **given))

    counts = {"checks": 0, "results": 0, "rejects": 0, "extractions": 1, "versions": 0}
    assert purge(dry_run=True) == counts | {"dry_run": True}
    assert purge() == counts | {"dry_run": False}
    assert purge(include=["extractions"])["extractions"] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_age": timedelta(hours=1)}, "max_age is 1:00:00. It must be 1 day"),
        ({"max_age": 90}, "max_age is 90. It must be a timedelta"),
        ({"max_age": DAY, "include": "versions"}, "include must be a list"),
        ({"max_age": DAY, "include": ["history"]}, "include is 'history'. It must be one of checks"),
        ({"max_age": DAY, "dry_run": "False"}, "dry_run"),
    ],
)
def test_an_unsafe_age_or_unknown_kind_of_a_purge_fails_when_the_dag_is_parsed(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PurgeStoreOperator(task_id="purge", **given)


def sync(store: Store, day: int) -> None:
    """Sync a day's window at the time of the store's clock."""
    extraction = attempt(store, f"day {day}", day)
    extraction.write([], position=None, pages=1, size=0, extracted_at=store.context.now())
    extraction.finish()


def check(**given: Any) -> Any:
    return run(CheckFreshnessOperator(task_id="check", **{"max_age": timedelta(days=365_000)} | given))


def test_fresh_contacts_pass_and_stale_ones_fail_without_retries(store: Any) -> None:
    store(MONDAY).prepare()
    with pytest.raises(AirflowFailException, match="no account was ever synced"):
        check()
    sync(store(MONDAY + DAY), 0)
    summary = check(source="turn", account="main")
    assert summary.pop("oldest_s") > DAY.total_seconds()
    assert summary == {"accounts": 1, "stale": 0, "gap": 0, "lossy": 0}
    with pytest.raises(AirflowFailException, match=r"turn main is \d+d.* old.*max_age is 26h"):
        check(max_age=timedelta(hours=26))
    assert check(max_age=timedelta(hours=26), fail_on=["gap"])["stale"] == 1
    for nothing in ({"account": "mian"}, {"source": "green_api"}):
        with pytest.raises(AirflowFailException, match="was never synced"):
            check(**nothing)


def test_gaps_and_lossy_intervals_fail_while_they_are_recent(store: Any) -> None:
    sync(store(MONDAY + DAY), 0)
    sync(store(MONDAY + 5 * DAY), 2)
    ever = {"loss_window": timedelta(days=365_000)}
    with pytest.raises(
        AirflowFailException, match=r"gap from 2024-01-02 .* to 2024-01-03.*lossy interval from 2024-01-03"
    ):
        check(**ever)
    assert check()["gap"] == 0
    with pytest.raises(AirflowFailException, match="lossy"):
        check(fail_on=["lossy"], **ever)
    assert check(fail_on=["lossy"], late_after=timedelta(days=3), **ever)["gap"] == 1


@pytest.mark.parametrize("given", [{"max_age": timedelta(0)}, {"fail_on": "stale"}, {"fail_on": ["late"]}])
def test_invalid_limits_fail_when_the_dag_is_parsed(given: Any) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        check(**given)


def test_a_view_has_the_fields_of_schema_and_contacts(
    store: Any, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(store(MONDAY + DAY), 0)
    with Sandbox(bob()) as sandbox:
        turn = {"conn_type": "turn", "host": sandbox.url, "password": sandbox.token, "extra": {"account": "main"}}
        monkeypatch.setenv("AIRFLOW_CONN_TURN_DEFAULT", json.dumps(turn))
        summary = run(ContactsViewOperator(task_id="view", view="helpline"))
        again = run(ContactsViewOperator(task_id="view", view="helpline"))
        with pytest.raises(AirflowFailException, match="'helpline' is in use"):
            run(ContactsViewOperator(task_id="view", view="helpline", history=True))
    columns = {column["name"] for column in inspect(create_engine(store_url)).get_columns("helpline")}
    assert {"contact_id", "type_mismatches", "language", "opted_in"} <= columns
    assert summary["columns"] == summary["new_columns"] == again["columns"] > again["new_columns"] == 0
