"""Airflow's display of a task: rendered fields, first and last log lines, XComs, assets."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred

from airflow_provider_wacontacts.assets import prefix_asset, store_asset
from airflow_provider_wacontacts.operators.green_api import GreenApiContactsToSqlOperator
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
PAST = {"settle": timedelta(0), "lookback": timedelta(0)}

Context = Callable[..., dict[str, Any]]


@pytest.mark.usefixtures("connections")
def test_the_window_and_the_account_are_rendered_before_the_sync(context: Context) -> None:
    task = TurnContactsToSqlOperator(task_id="pull", **PAST)

    task.render_template_fields(context(MONDAY, TUESDAY))

    assert {name: getattr(task, name) for name in ("start", "end", "account")} == {
        "start": "2022-09-12T00:00:00.000000Z",
        "end": "2022-09-13T00:00:00.000000Z",
        "account": "turn_default",
    }
    assert task.execute(context(MONDAY, TUESDAY))["window_start"] == task.start


@pytest.mark.skipif(airflow.__version__ < "3", reason="earlier ones read their database to expand a task")
@pytest.mark.usefixtures("connections")
def test_a_mapped_task_shows_its_window_and_its_account(context: Context) -> None:
    with DAG("mapped", schedule=None) as dag:
        mapped = TurnContactsToSqlOperator.partial(task_id="pull", **PAST).expand(turn_conn_id=["turn_default"])
    given = context(MONDAY, TUESDAY) | {"task": mapped, "dag": dag}
    given["ti"].map_index, given["ti"].task, given["dag_run"].conf = 0, mapped, {}

    mapped.render_template_fields(given)

    assert (given["task"].start, given["task"].account) == ("2022-09-12T00:00:00.000000Z", "turn_default")


def test_an_undefined_connection_fails_the_task_and_not_its_rendering(context: Context) -> None:
    task = TurnContactsToSqlOperator(task_id="pull", turn_conn_id="nowhere", **PAST)

    task.render_template_fields(context(MONDAY, TUESDAY))

    with pytest.raises(AirflowFailException, match="'nowhere' is not defined"):
        task.execute(context(MONDAY, TUESDAY))


@pytest.mark.usefixtures("connections")
def test_the_log_has_the_window_first_and_the_counts_last(context: Context, logged: Callable[[], str]) -> None:
    TurnContactsToSqlOperator(task_id="pull", **PAST).execute(context(MONDAY, TUESDAY))
    said = logged()

    window = "contacts updated from 2022-09-12 00:00 UTC to 2022-09-13 00:00 UTC"
    assert f"Syncing account 'turn_default' into store 'wacontacts_store': {window}" in said
    assert re.search(r"Synced \d+ rows? on 1 page: \d+ new versions?, 0 rejected", said)


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(("end", "level"), [(timedelta(days=30), "warning"), (timedelta(minutes=1), "info")])
def test_a_deferral_far_into_the_future_is_a_warning(
    context: Context, logged: Callable[[], str], end: timedelta, level: str
) -> None:
    until = datetime.now(UTC) + end

    with pytest.raises(TaskDeferred):
        TurnContactsToSqlOperator(task_id="pull").execute(context(until - timedelta(hours=1), until))

    line, *_ = (line for line in logged().splitlines() if "Deferred until" in line)
    assert level in line.lower()


def test_each_field_of_a_summary_is_an_xcom() -> None:
    tasks = [
        TurnContactsToSqlOperator(task_id="pull"),
        GreenApiContactsToSqlOperator(task_id="snapshot"),
        ContactFilesToSqlOperator(task_id="load", path="/srv/contacts"),
        WhatsAppContactsSensor(task_id="wait", check_id="0" * 32),
    ]

    assert [task.multiple_outputs for task in tasks] == [True] * 4


@pytest.mark.skipif(airflow.__version__ < "3", reason="earlier ones know assets by their URI alone")
def test_assets_have_readable_names() -> None:
    assets = [store_asset(), store_asset(source="turn", account="helpline 1"), prefix_asset("s3://lake/contacts/")]

    assert [(asset.name, asset.group) for asset in assets] == [
        ("contacts in wacontacts_store: all", "wacontacts"),
        ("contacts in wacontacts_store: turn helpline%201", "wacontacts"),
        ("contacts in s3://lake/contacts: all", "wacontacts"),
    ]
