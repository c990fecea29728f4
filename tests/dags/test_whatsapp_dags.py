"""The example DAGs for checks: dependencies, systems and parameters."""

from datetime import timedelta
from pathlib import Path

import pytest

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[2] / "dags"
CHECK, REVALIDATE = "whatsapp_check_contacts", "whatsapp_revalidate_stale"
MANY = "whatsapp_check_many"


@pytest.fixture(scope="module")
def dags():
    return DagBag(dag_folder=str(DAGS)).dags


@pytest.fixture(params=[CHECK, REVALIDATE])
def checking(dags, request):
    return dags[request.param]


def task_that_asks(dag):
    return dag.get_task("check" if dag.dag_id == CHECK else "revalidate")


def test_the_wait_follows_the_check_and_uses_its_id(checking):
    asks, wait = task_that_asks(checking), checking.get_task("wait")
    assert wait.upstream_task_ids == {asks.task_id}
    assert (wait.check_id.operator.task_id, wait.check_id.key) == (asks.task_id, "check_id")
    assert asks.multiple_outputs


def test_the_wait_is_deferrable_with_a_timeout(checking):
    wait = checking.get_task("wait")
    assert wait.deferrable
    assert timedelta(0) < timedelta(seconds=wait.timeout) <= timedelta(days=1)


def test_the_valid_ids_are_written_after_the_wait(checking):
    asks, hand_on = task_that_asks(checking), checking.get_task("hand_on")
    assert hand_on.upstream_task_ids == {asks.task_id, "wait"}
    assert (hand_on.statuses, hand_on.target_table) == (("valid",), "whatsapp_ids")


@pytest.mark.parametrize("dag_id", [CHECK, REVALIDATE, MANY])
def test_each_example_can_use_green_api(dag_id, tmp_path):
    source = (DAGS / f"{dag_id}.py").read_text()
    changed = source.replace('SYSTEM = "whatsapp_business"', 'SYSTEM = "green_api"')
    assert changed != source
    (tmp_path / "example.py").write_text(changed)
    (dag,) = DagBag(dag_folder=str(tmp_path)).dags.values()

    by_name = {task.task_id.rpartition(".")[2]: task for task in dag.tasks}
    asks = by_name.get("check") or by_name["revalidate"]
    assert type(asks).__name__.startswith("GreenApi") or "GreenApi" in str(asks.operator_class)
    wait = by_name["wait"]
    given = getattr(wait, "partial_kwargs", None) or vars(wait)
    assert (given["green_api_conn_id"], given["recheck_failed"]) == ("green_api_default", 2)


def test_checks_do_not_bypass_the_clients_cache(checking):
    assert not task_that_asks(checking).force_check


def test_both_queries_select_opted_in(checking):
    assert "opted_in" in task_that_asks(checking).contacts_sql


@pytest.mark.parametrize("table", ["contacts", "crm.contacts", "_Contacts2"])
def test_a_run_may_name_another_table(checking, table):
    param = checking.params.get_param("table")
    assert param.resolve(table) == table


@pytest.mark.parametrize("table", ["contacts; DROP TABLE contacts", "contacts WHERE true", "a.b.", "1contacts", ""])
def test_a_run_cannot_name_more_than_a_table(checking, table):
    param = checking.params.get_param("table")
    with pytest.raises(Exception, match="does not match"):
        param.resolve(table)


def test_revalidation_is_scheduled_daily(dags):
    assert dags[REVALIDATE].timetable.summary == "0 3 * * *"
    assert not dags[CHECK].timetable.can_be_scheduled
