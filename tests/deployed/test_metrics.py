"""The metrics that tasks and triggers of a real Airflow send to a StatsD server."""

import re
from collections import defaultdict

import pytest

from airflow_provider_wacontacts.hooks.metrics import STATUSES
from demo.crm import SENDER
from tests.deployed.conftest import CHECK, DAILY, REVALIDATE
from tests.deployed.test_leaks import needles, secrets

__all__ = ["needles", "secrets"]

DATAGRAM = re.compile(r"airflow\.wacontacts\.([^,:]+),source=\w+(?:,dag_id=(\w+),task_id=(\w+))?[^:]*:([0-9.]+)\|\w+")
COUNTS = ("pages", "rows", "new_versions", "rejected")


@pytest.fixture(scope="module")
def datagrams(runs):
    """Everything that arrived while everything ran."""
    return runs.statsd.datagrams()


@pytest.fixture(scope="module")
def sums(datagrams):
    """The sum of what arrived of each metric, by its name, its DAG and its task; a triggerer names neither."""
    sums = defaultdict(float)
    for datagram in datagrams:
        *what, figure = DATAGRAM.fullmatch(datagram).groups()
        sums[*what] += float(figure)
    return sums


def test_sync_metrics_match_the_ledger(runs, sums):
    columns = ", ".join(f"sum({'row_count' if name == 'rows' else name})" for name in COUNTS)
    (ledger,) = runs.rows(
        f"SELECT {columns} FROM wacontacts_extraction WHERE dag_id = :dag_id AND task_id = 'to_store'", dag_id=DAILY
    )

    assert tuple(sums[f"turn.{name}", DAILY, "to_store"] for name in COUNTS) == ledger
    assert min(ledger[:3]) > 0


@pytest.mark.parametrize(("dag_id", "task_id"), [(CHECK, "check"), (REVALIDATE, "revalidate")])
def test_check_metrics_match_the_summaries(runs, sums, dag_id, task_id):
    summary = (runs.checked if dag_id == CHECK else runs.revalidated).summary
    names = ("given", "duplicates", "rejected", "not_asked", "from_store", "asked")

    assert [sums[f"whatsapp_business.{name}", dag_id, task_id] for name in names] == [summary[name] for name in names]
    assert summary["asked"] > 0


def test_polls_are_measured_by_the_triggerer(sums):
    asked = sums["whatsapp_business.asked_again", None, None]

    assert asked == sum(sums[f"whatsapp_business.{status}", None, None] for status in STATUSES) > 0


def test_the_end_of_a_wait_is_measured_by_the_resumed_task(sums):
    assert [sums["whatsapp_business.resolved", dag_id, "wait"] for dag_id in (CHECK, REVALIDATE)] == [1, 1]


def test_a_deferred_rate_limit_is_measured(sums):
    waits = {dag_id: waited for (name, dag_id, _), waited in sums.items() if name == "turn.rate_limit_waits"}

    assert waits["limited"] == pytest.approx(900_000, rel=0.1)


def test_no_datagram_contains_personal_data(datagrams, secrets):
    text = "\n".join(datagrams)

    assert secrets.findall(text) == []
    assert SENDER.strip("+") not in text
    assert len(datagrams) > 100
