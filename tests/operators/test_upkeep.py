"""Tasks that look after a store: what they return, refuse and leave alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.store import PurgeStoreOperator
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store that tasks reach by their connection, whose window of Monday was synced on Tuesday."""
    url = store_url.replace("sqlite:///", "sqlite:////").replace("postgresql+psycopg", "postgres")
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
        ({"max_age": DAY, "include": ["history"]}, "include must be a list of one or more of checks"),
        ({"max_age": DAY, "dry_run": "False"}, "dry_run"),
    ],
)
def test_a_purge_without_a_safe_age_or_with_unknown_kinds_fails_as_the_dag_is_parsed(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PurgeStoreOperator(task_id="purge", **given)
