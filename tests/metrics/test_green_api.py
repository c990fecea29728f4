"""Metrics of GREEN-API's snapshots, and of loaded files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.hooks import green_api
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from tests.operators.green_api_cases import ANN, MONDAY, Connect, Context, to_files, to_store

DAY = timedelta(days=1)

Told = Callable[[], dict[str, Any]]


def counts(source: str, **figures: int) -> dict[str, int]:
    names = ("pages", "rows", "new_versions", "rejected", "gone", "back")
    return {f"{source}.{name}": figures.get(name, 0) for name in names}


def test_new_gone_and_returned_contacts_are_counted(told: Told, green: Sandbox, run: Context) -> None:
    for day, change in enumerate([lambda: None, lambda: green.green_api.remove(ANN), lambda: green.green_api.put(ANN)]):
        green.clock.set(MONDAY + day * DAY)
        change()
        to_store(shrink_guard=0.7).execute(run())

    assert told() == counts("green_api", pages=3, rows=11, new_versions=6, gone=1, back=1)


@pytest.mark.usefixtures("green")
def test_files_have_no_comparison_counts(told: Told, run: Context, tmp_path: Path) -> None:
    to_files(tmp_path).execute(run())

    assert told() == {"green_api.pages": 1, "green_api.rows": 4, "green_api.rejected": 0}


def test_empty_responses_are_counted(told: Told, green: Sandbox, run: Context) -> None:
    green.fail(Fault(on="contacts", kind="body", body="[]", times=2))

    with pytest.raises(TaskDeferred):
        to_store().execute(run())
    with pytest.raises(TaskDeferred):
        to_store().execute_after_wait(run(), {"attempt": 2})

    assert told() == {"green_api.empty": 2}


@pytest.mark.usefixtures("sleepless")
def test_a_rate_limit_is_measured_with_its_pause(
    told: Told, green: Sandbox, run: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(green_api, "RETRY_POLICY", RetryPolicy())
    green.fail(Fault(on="contacts", kind="rate_limited", headers={"retry-after": "60"}))

    to_store().execute(run())

    figures = told()
    assert (figures["green_api.retries"], figures["green_api.rate_limit_waits"]) == (
        1,
        [pytest.approx(63_000.0, abs=3_000.0)],
    )


def test_imported_files_are_measured_apart_from_syncs(
    told: Told, green: Sandbox, run: Context, tmp_path: Path, connect: Connect
) -> None:
    connect("anew", conn_type="sqlite", host=str(tmp_path / "anew.db"))
    files = tmp_path / "files"
    for day, change in enumerate([lambda: None, lambda: green.green_api.remove(ANN), lambda: green.green_api.put(ANN)]):
        green.clock.set(MONDAY + day * DAY)
        change()
        to_files(files).execute(run())

    for _ in range(2):
        land = ContactFilesToSqlOperator(task_id="land", path=f"file://{files}", store_conn_id="anew", shrink_guard=0.7)
        land.execute(run())

    assert told() == {
        "green_api.pages": 3,
        "green_api.rows": 11,
        "green_api.rejected": 0,
        **counts("files", pages=3, rows=11, new_versions=6, gone=1, back=1),
    }
