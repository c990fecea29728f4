"""The example that takes snapshots: when it runs, what it goes through, and what it leaves to the operator."""

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


def test_it_runs_every_night_and_never_for_the_past(dag):
    scheduled = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    (info,) = scheduled.iter_dagrun_infos_between(MONDAY, MONDAY + timedelta(hours=1))

    assert info.run_after == MONDAY + DAY + timedelta(minutes=30)
    assert not dag.catchup


def test_snapshots_go_through_the_pool_that_the_text_tells_to_make(dag, task):
    assert task.pool == "green_api"
    assert "pool ``green_api``" in dag.doc_md


def test_it_tells_the_store_asset_what_landed(task):
    assert [asset.uri for asset in task.outlets] == ["x-wacontacts-store://wacontacts_store/green_api"]


def test_an_empty_answer_fails_it_and_a_small_one_is_not_believed(task):
    assert (task.on_empty, task.shrink_guard, task.shrink_confirmations, task.accept_shrink) == ("fail", 0.8, 3, False)


def test_retries_outlast_an_instance_that_starts(task):
    """It takes 5 minutes."""
    assert task.retries * task.retry_delay >= timedelta(minutes=10)
