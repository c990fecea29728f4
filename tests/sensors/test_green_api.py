"""The sensor rechecks failed numbers of a check with GREEN-API, in a worker or in the triggerer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.hooks import green_api, green_api_shared
from airflow_provider_wacontacts.operators.green_api import GreenApiCheckContactsOperator
from airflow_provider_wacontacts.sandbox import GreenApiBehaviour, World
from tests.sensors.cases import context, sensor, through_the_triggerer
from tests.triggers.waiting import numbers

pytestmark = pytest.mark.usefixtures("hasty")
WAYS = pytest.mark.parametrize(
    "way", [through_the_triggerer, lambda made: made.execute(context())], ids=["deferred", "poke"]
)


@pytest.fixture
def instance(sandbox, declare, tmp_path, sqlite_url, monkeypatch):
    """An instance at which the check of the second of three numbers has failed."""
    for module in (green_api, green_api_shared):
        monkeypatch.setattr(module, "CHECK_RATE_LIMITERS", RateLimiters(timedelta(0)))
    behaviour = GreenApiBehaviour(on_whatsapp=1.0)
    sandbox.load(World(), now=datetime.now(UTC).replace(microsecond=0), green_api=behaviour)
    account = {"login": behaviour.id_instance, "password": behaviour.token, "host": sandbox.url}
    declare("green_api_default", conn_type="green_api", **account)
    declare("wacontacts_store", conn_type="sqlite", host=str(tmp_path / "store.db"))
    sandbox.green_api.put_number(numbers(2)[1], fails=True)
    check = GreenApiCheckContactsOperator(task_id="check", contacts=numbers(3))
    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="check", map_index=-1)
    summary = check.execute({"ti": ti, "dag_run": SimpleNamespace(run_after=None), "outlet_events": {}})
    assert (summary["state"], summary["failed"]) == ("resolved", 1)
    yield SimpleNamespace(api=sandbox, check_id=summary["check_id"], engine=create_engine(sqlite_url))
    sandbox.green_api.clear_calls()


def waited(instance, way):
    made = sensor(
        instance.check_id, green_api_conn_id="green_api_default", recheck_failed=2, deferrable=way is WAYS.args[1][0]
    )
    return way(made)


def spent(instance):
    with instance.engine.connect() as connection:
        return connection.execute(text("SELECT sum(spent) FROM wacontacts_budget")).scalar_one()


@WAYS
def test_a_failed_number_is_rechecked_within_the_budget(instance, way):
    instance.api.green_api.put_number(numbers(2)[1])

    summary = waited(instance, way)

    assert summary.items() >= {"state": "resolved", "valid": 3, "failed": 0, "status_is_reliable": True}.items()
    assert instance.api.green_api.asked_numbers == dict.fromkeys(numbers(3), 1) | {numbers(2)[1]: 2}
    assert spent(instance) == 4


@WAYS
def test_a_number_that_fails_again_is_rechecked_recheck_failed_times(instance, way):
    summary = waited(instance, way)

    assert summary.items() >= {"state": "resolved", "valid": 2, "failed": 1}.items()
    assert (instance.api.green_api.asked_numbers[numbers(2)[1]], spent(instance)) == (3, 5)


@WAYS
def test_a_used_up_quota_ends_the_rechecks(instance, way):
    instance.api.green_api.change(check_quota=1)

    summary = waited(instance, way)

    assert summary.items() >= {"state": "resolved", "valid": 2, "failed": 1}.items()
    assert instance.api.green_api.asked_numbers[numbers(2)[1]] == 1
