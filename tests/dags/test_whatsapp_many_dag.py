"""The example that checks a large table in slices."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[2] / "dags"
#: Airflow's default of [core] max_map_length.
MOST = 1024


@pytest.fixture(scope="module")
def dag():
    return DagBag(dag_folder=str(DAGS)).dags["whatsapp_check_many"]


@pytest.mark.parametrize("number", [1, 2, 3, 16, MOST])
def test_slices_share_no_contact_and_leave_none_out(dag, number):
    keys = [*(f"contact {n // 2}" for n in range(100)), None, None]
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE contacts (contact_key text, number text, opted_in boolean)")
        database.executemany("INSERT INTO contacts VALUES (?, ?, true)", [(key, str(n)) for n, key in enumerate(keys)])
        queries = dag.get_task("slices").python_callable({"table": "contacts", "slices": number})
        found = [database.execute(query).fetchall() for query in queries]

    assert sorted(int(row[1]) for rows in found for row in rows) == [*range(len(keys))]
    slices = [{row[0] for row in rows} for rows in found]
    assert sum(map(len, slices)) == len(set().union(*slices))
    assert len(queries) == number


def test_slices_are_limited_to_airflows_maximum(dag):
    param = dag.params.get_param("slices")
    assert param.resolve(MOST) == MOST
    with pytest.raises(Exception, match="1025 is greater than"):
        param.resolve(MOST + 1)


def test_requesting_tasks_use_the_documented_pool(dag):
    assert {dag.get_task(name).pool for name in ("part.check", "part.wait")} == {"whatsapp_business"}
    assert "pool ``whatsapp_business``" in dag.doc_md


def test_each_slice_is_waited_for_and_written_separately(dag):
    after = {name: dag.get_task(f"part.{name}").upstream_task_ids for name in ("check", "wait", "hand_on")}
    assert after == {"check": {"slices"}, "wait": {"part.check"}, "hand_on": {"part.check", "part.wait"}}
    assert dag.get_task("part.wait").deferrable
