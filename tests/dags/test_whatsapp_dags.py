"""The examples that check numbers: who waits for whom, what a parameter may hold, and what is handed on."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[2] / "dags"
CHECK, REVALIDATE = "whatsapp_check_contacts", "whatsapp_revalidate_stale"
RESULTS = "wacontacts_check_result (check_id text, contact_key text, status text, wa_id text)"


@pytest.fixture(scope="module")
def dags():
    return DagBag(dag_folder=str(DAGS)).dags


@pytest.fixture(params=[CHECK, REVALIDATE])
def checking(dags, request):
    return dags[request.param]


def task_that_asks(dag):
    return dag.get_task("check" if dag.dag_id == CHECK else "revalidate")


def test_the_wait_follows_whoever_asks_and_takes_the_id_of_its_check(checking):
    asks, wait = task_that_asks(checking), checking.get_task("wait")
    assert wait.upstream_task_ids == {asks.task_id}
    assert (wait.check_id.operator.task_id, wait.check_id.key) == (asks.task_id, "check_id")
    assert asks.multiple_outputs


def test_the_wait_holds_no_worker_and_comes_to_an_end(checking):
    wait = checking.get_task("wait")
    assert wait.deferrable
    assert timedelta(0) < timedelta(seconds=wait.timeout) <= timedelta(days=1)


def test_the_valid_ids_are_handed_on_after_the_wait(dags):
    assert dags[CHECK].get_task("hand_on").upstream_task_ids == {"check", "wait"}


def test_nothing_is_forced_past_the_memory_of_the_client(checking):
    assert not task_that_asks(checking).force_check


def test_whoever_has_opted_out_is_known_to_both(checking):
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


def test_revalidating_is_daily(dags):
    assert dags[REVALIDATE].timetable.summary == "0 3 * * *"
    assert not dags[CHECK].timetable.can_be_scheduled


class Store:
    """A store with the results of checks, and the task that hands them on."""

    def __init__(self, url, hand_on):
        self._engine = create_engine(url)
        self.hand_on = hand_on
        self.execute(f"CREATE TABLE {RESULTS}")

    def execute(self, sql, *rows):
        with self._engine.begin() as connection:
            connection.execute(text(sql), rows or None)

    def told(self, check_id, *rows):
        """Put the results of a check into it: contact key, status, id."""
        values = ({"i": check_id, "k": key, "s": status, "w": wa_id} for key, status, wa_id in rows)
        self.execute("INSERT INTO wacontacts_check_result VALUES (:i, :k, :s, :w)", *values)
        return self.hand_on(check_id)

    @property
    def ids(self):
        with self._engine.connect() as connection:
            return sorted(tuple(row) for row in connection.execute(text("SELECT * FROM whatsapp_ids")))


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, dags, tmp_path, monkeypatch):
    hand_on = dags[CHECK].get_task("hand_on").python_callable
    if request.param == "sqlite":
        url, fields = f"sqlite:///{tmp_path / 'store.db'}", {"host": str(tmp_path / "store.db")}
    else:
        server, database = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_database")
        url, parts = server.url(database=database), create_engine(server.url(database=database)).url
        fields = {"host": parts.host, "port": parts.port, "login": parts.username, "schema": database}
    extra = {"auto_upgrade": False}
    connection = json.dumps({"conn_type": request.param, **fields, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_WACONTACTS_STORE", connection)
    return Store(url, hand_on)


def test_the_valid_ids_of_a_check_are_handed_on_with_the_callers_key(store):
    rows = [("a", "valid", "1"), ("b", "invalid", None), ("c", "processing", "3"), (None, "valid", "4")]
    assert store.told("first", *rows, ("d", "valid", None)) == 1
    assert store.ids == [("a", "1")]


def test_two_contacts_may_share_an_id_and_one_may_have_two(store):
    rows = [("a", "valid", "1"), ("b", "valid", "1"), ("b", "valid", "2"), ("b", "valid", "2")]
    assert store.told("first", *rows) == 3
    assert store.ids == [("a", "1"), ("b", "1"), ("b", "2")]


def test_a_later_check_replaces_what_it_is_about_and_nothing_else(store):
    store.told(
        "first", ("gone", "valid", "1"), ("silent", "valid", "2"), ("other", "valid", "3"), ("moved", "valid", "4")
    )
    store.told("second", ("gone", "invalid", None), ("silent", "not_asked", None), ("moved", "valid", "5"))
    assert store.ids == [("moved", "5"), ("other", "3")]


def test_whoever_failed_keeps_the_id_that_was_known(store):
    store.told("first", ("a", "valid", "1"))
    assert store.told("second", ("a", "failed", "1"), ("b", "failed", "2")) == 0
    assert store.ids == [("a", "1")]


def test_the_id_of_a_number_that_a_contact_no_longer_has_goes_with_it(store):
    store.told("first", ("a", "valid", "1"), ("b", "valid", "2"), ("b", "valid", "3"))
    store.told("second", ("a", "failed", None), ("b", "failed", "2"), ("b", "valid", "4"), ("b", "valid", "2"))
    assert store.ids == [("b", "2"), ("b", "4")]


def test_handing_on_twice_makes_no_difference(store):
    assert store.told("first", ("a", "valid", "1")) == store.hand_on("first") == 1
    assert store.ids == [("a", "1")]
