"""The example DAG for snapshots: schedule, pool, outlet and arguments."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization


DAGS = Path(__file__).resolve().parents[2] / "dags"
MONDAY, DAY = datetime(2022, 9, 12, tzinfo=UTC), timedelta(days=1)


@pytest.fixture(scope="module")
def dag():
    return DagBag(dag_folder=str(DAGS)).dags["green_api_snapshot"]


@pytest.fixture
def task(dag):
    (task,) = dag.tasks
    return task


def test_the_dag_runs_nightly_without_catchup(dag):
    scheduled = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    (info,) = scheduled.iter_dagrun_infos_between(MONDAY, MONDAY + timedelta(hours=1))

    assert info.run_after == MONDAY + DAY + timedelta(minutes=30)
    assert not dag.catchup


def test_snapshots_use_the_documented_pool(dag, task):
    assert task.pool == "green_api"
    assert "pool ``green_api``" in dag.doc_md


def test_the_outlet_is_the_store_asset(task):
    assert [asset.uri for asset in task.outlets] == ["x-wacontacts-store://wacontacts_store/green_api"]


def test_empty_lists_fail_and_small_ones_are_not_accepted(task):
    assert (task.on_empty, task.shrink_guard, task.shrink_confirmations, task.accept_shrink) == ("fail", 0.8, 3, False)


def test_retries_last_longer_than_the_start_of_an_instance(task):
    """It takes 5 minutes."""
    assert task.retries * task.retry_delay >= timedelta(minutes=10)
