"""The example that checks a large table in slices."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[2] / "dags"
#: Airflow's default of [core] max_map_length.
MOST = 1024
LAST = 16**5 - 1


@pytest.fixture(scope="module")
def dag():
    return DagBag(dag_folder=str(DAGS)).dags["whatsapp_check_many"]


def ranges(dag, number):
    queries = dag.get_task("slices").python_callable({"table": "contacts", "slices": number})
    return [tuple(int(digits, 16) for digits in re.findall(r"'([0-9a-f]{5})'", query)) for query in queries]


@pytest.mark.parametrize("number", [1, 2, 3, 16, 1000, MOST])
def test_slices_share_no_contact_and_leave_none_out(dag, number):
    found = ranges(dag, number)
    assert len(found) == number
    assert (found[0][0], found[-1][1]) == (0, LAST)
    assert all(first <= last for first, last in found)
    assert all(after[0] == before[1] + 1 for before, after in pairwise(found))


def test_no_more_slices_than_airflow_maps(dag):
    param = dag.params.get_param("slices")
    assert param.resolve(MOST) == MOST
    with pytest.raises(Exception, match="1025 is greater than"):
        param.resolve(MOST + 1)


def test_whoever_asks_goes_through_the_pool_that_the_text_tells_to_make(dag):
    assert {dag.get_task(name).pool for name in ("part.check", "part.wait")} == {"whatsapp_business"}
    assert "pool ``whatsapp_business``" in dag.doc_md


def test_each_slice_is_waited_for_by_itself_and_all_are_handed_on_at_once(dag):
    after = {name: dag.get_task(name).upstream_task_ids for name in ("part.check", "part.wait", "hand_on")}
    assert after == {"part.check": {"slices"}, "part.wait": {"part.check"}, "hand_on": {"part.wait"}}
    assert dag.get_task("part.wait").deferrable
