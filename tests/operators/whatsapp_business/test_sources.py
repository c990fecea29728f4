"""Sources of numbers: a list, another task, or any SQL connection."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppCheckContactsOperator,
    WhatsAppRevalidateContactsOperator,
)
from airflow_provider_wacontacts.sandbox import Sandbox
from tests.operators.whatsapp_business.cases import SELECT, numbers

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

SQL = {"contacts_sql": SELECT, "contacts_conn_id": "crm"}


#: A DAG whose first task returns numbers, which the second checks.
PROGRAM = """
from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator

with DAG("numbers", schedule=None) as dag:

    @task
    def fetch():
        return [f"+1212555{number:04}" for number in range(3)]

    WhatsAppCheckContactsOperator(task_id="check", contacts=fetch()%s)
"""

#: A DAG whose first task returns lists of numbers, each of which a task group checks.
MAPPED = """
from airflow.providers.common.compat.sdk import DAG, task, task_group
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator

with DAG("mapped_numbers", schedule=None) as dag:

    @task
    def fetch():
        return [["+12125550000"], ["+12125550001", "+12125550002"]]

    @task_group
    def part(some):
        WhatsAppCheckContactsOperator(task_id="check", contacts=some)

    part.expand(some=fetch())
"""


@pytest.fixture
def dag_file() -> Iterator[Callable[..., DAG]]:
    """Put a DAG where Airflow finds it."""
    path = Path(os.environ["AIRFLOW_HOME"], "dags", "numbers.py")
    path.parent.mkdir(exist_ok=True)

    def write(arguments: str = "", program: str = "") -> DAG:
        path.write_text(program or PROGRAM % arguments)
        bag = DagBag(dag_folder=str(path))
        assert bag.import_errors == {}
        (dag,) = bag.dags.values()
        return dag

    yield write
    path.unlink()


@pytest.fixture(scope="module")
def airflow_database() -> None:
    """Airflow's own tables."""
    from airflow.utils.db import initdb

    initdb()


def dag_with(contacts: Any) -> DAG:
    with DAG("numbers", schedule=None) as dag:
        WhatsAppCheckContactsOperator(task_id="check", contacts=contacts)
    return dag


@pytest.mark.parametrize("contacts", [numbers(3), tuple(numbers(3)), [{"number": number} for number in numbers(3)]])
def test_the_serialized_dag_contains_no_contacts(contacts: Any) -> None:
    dag = dag_with(contacts)
    operator = dag.get_task("check")
    assert (operator.contacts, "contacts" in operator.template_fields) == (contacts, False)

    written = json.dumps(DagSerialization.to_dict(dag))

    assert "WhatsAppCheckContactsOperator" in written
    assert [number for number in numbers(3) if number.strip("+") in written] == []


def test_a_tasks_output_makes_it_upstream_and_is_not_serialized(dag_file: Callable[..., DAG]) -> None:
    dag = dag_file()
    serialized = DagSerialization.to_dict(dag)

    assert dag.get_task("check").upstream_task_ids == {"fetch"}
    assert DagSerialization.from_dict(serialized).get_task("check").upstream_task_ids == {"fetch"}
    (check,) = (str(task) for task in serialized["dag"]["tasks"] if "WhatsAppCheckContactsOperator" in str(task))
    assert "fetch" not in check


@pytest.mark.usefixtures("tasks", "airflow_database")
def test_a_tasks_output_is_resolved_when_the_check_runs(api: Sandbox, store: Any, dag_file: Callable[..., DAG]) -> None:
    run = dag_file().test()

    assert str(run.state) == "success"
    assert api.asked_numbers == dict.fromkeys(numbers(3), 1)
    query = "SELECT dag_id, run_id, task_id, state FROM wacontacts_check"
    assert store.rows(query) == [("numbers", run.run_id, "check", "resolved")]


@pytest.mark.usefixtures("tasks", "airflow_database")
def test_the_argument_of_a_mapped_task_group_is_resolved(
    api: Sandbox, store: Any, dag_file: Callable[..., DAG]
) -> None:
    run = dag_file(program=MAPPED).test()

    assert str(run.state) == "success"
    assert api.asked_numbers == dict.fromkeys(numbers(3), 1)
    assert store.rows("SELECT map_index, state FROM wacontacts_check ORDER BY 1") == [(0, "resolved"), (1, "resolved")]


def test_contacts_may_be_a_list_a_tuple_or_an_iterator(tasks: Any, api: Sandbox) -> None:
    kinds: list[Any] = [numbers(1), tuple(numbers(1, 1)), iter(numbers(1, 2)), {numbers(1, 3)[0]: None}.keys()]
    for number, given in enumerate(kinds):
        assert tasks.check(given, run_id=f"run {number}")["valid"] == 1

    assert api.asked_numbers == dict.fromkeys(numbers(4), 1)


def test_a_whole_number_of_any_type_is_read_as_its_digits(tasks: Any, api: Sandbox, crm: Any) -> None:
    crm(("a", 2125550000, None), ("b", 2125550001.0, None), ("c", 2125550002.5, None), kind="")

    summary = tasks.check(**SQL)

    assert api.asked_numbers == dict.fromkeys(numbers(2), 1)
    assert (summary["valid"], summary["rejected"]) == (2, 1)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_rows_are_read_in_chunks(
    tasks: Any, crm: Any, api: Sandbox, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, *, kind: str
) -> None:
    from airflow_provider_wacontacts.hooks import queries as store_hooks

    monkeypatch.setattr(store_hooks, "FETCH_SIZE", 7)
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else ""
    crm(*((f"{key:03}", number, True) for key, number in enumerate(numbers(50))), url=url)

    summary = tasks.check(**SQL)

    assert (summary["given"], summary["valid"]) == (50, 50)
    assert api.asked_numbers == dict.fromkeys(numbers(50), 1)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_empty_table_succeeds_with_zero(tasks: Any, crm: Any, request: pytest.FixtureRequest, kind: str) -> None:
    crm(url=request.getfixturevalue("postgres_url") if kind == "postgres" else "")

    assert tasks.check(**SQL)["given"] == 0


@pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)
def test_numbers_may_be_in_the_stores_database(
    tasks: Any, store: Any, crm: Any, connect: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    kind = "postgres" if store.fields["conn_type"] == "postgres" else "sqlite"
    crm(*((f"{key:05}", number, True) for key, number in enumerate(numbers(5500))),
        url=request.getfixturevalue(f"{kind}_url"))  # fmt: skip

    summary = tasks.check(**SQL, batch_size=1000, max_checks=10, on_budget="partial")

    assert (summary["given"], summary["asked"]) == (5500, 10)


def test_column_names_are_case_insensitive_and_others_are_ignored(tasks: Any, crm: Any, store: Any) -> None:
    crm(("a", numbers(1)[0], True))

    tasks.check(contacts_sql="SELECT agreed, phone AS NUMBER, id AS Contact_Key FROM people", contacts_conn_id="crm")

    assert store.rows("SELECT contact_key, status FROM wacontacts_check_result") == [("a", "valid")]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("people", [[], [("a", "+12125550000", True)]], ids=["empty", "filled"])
def test_a_query_without_a_number_column_is_refused_before_any_request(
    tasks: Any, crm: Any, api: Sandbox, request: pytest.FixtureRequest, *, kind: str, people: Any
) -> None:
    crm(*people, url=request.getfixturevalue("postgres_url") if kind == "postgres" else "")

    with pytest.raises(AirflowFailException, match=r"no column 'number'; it has phone, id\. See https"):
        tasks.check(contacts_sql="SELECT phone, id FROM people", contacts_conn_id="crm")

    assert api.requests.count() == 0


@pytest.mark.usefixtures("crm")
def test_an_undefined_connection_is_named(tasks: Any, api: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="Connection 'nobody' is not defined"):
        tasks.check(contacts_sql=SELECT, contacts_conn_id="nobody")

    assert api.requests.count() == 0


def test_a_connection_without_a_sql_hook_is_named(tasks: Any, connect: Callable[..., None]) -> None:
    connect("web", conn_type="http", host="https://example.com")

    with pytest.raises(AirflowFailException, match="Connection 'web' has no SQL hook"):
        tasks.check(contacts_sql=SELECT, contacts_conn_id="web")


@pytest.mark.parametrize(
    ("kind", "sql", "code"),
    [
        ("sqlite", "SELECT phone AS number FROM nowhere WHERE phone = '+12125550000'", "42P01"),
        ("postgres", "SELECT phone AS number FROM nowhere WHERE phone = '+12125550000'", "42P01"),
        ("postgres", "SELECT phone::int AS number FROM people", "22003"),
    ],
)
def test_a_database_error_has_its_code_and_no_values(
    tasks: Any, crm: Any, api: Sandbox, request: pytest.FixtureRequest, *, kind: str, sql: str, code: str
) -> None:
    crm(("a", "+12125550000", True), url=request.getfixturevalue("postgres_url") if kind == "postgres" else "")

    with pytest.raises((AirflowFailException, LandingError), match="Connection 'crm' ") as raised:
        tasks.check(contacts_sql=sql, contacts_conn_id="crm")

    error = raised.value.__cause__ or raised.value
    assert f"({code})" in str(error)
    assert "12125550000" not in str(error)
    assert (error.__cause__, error.__context__) == (None, None)
    assert api.requests.count() == 0


def test_a_retry_reads_an_interrupted_source_again(tasks: Any, api: Sandbox, store: Any) -> None:
    def breaking() -> Iterator[str]:
        yield from numbers(2)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - it has nothing to say
        tasks.check(breaking())

    summary = tasks.check(iter(numbers(3)))

    assert (summary["given"], api.asked_numbers) == (3, dict.fromkeys(numbers(3), 1))
    assert store.rows("SELECT state FROM wacontacts_check ORDER BY check_number") == [("expired",), ("resolved",)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"contacts": "+12125550000"}, "contacts is a single value"),
        ({"contacts": {"number": "+12125550000"}}, "contacts is a single value"),
        ({"contacts": 12125550000}, "did not return a list of numbers"),
        ({"contacts": [["+12125550000"]]}, "neither a number nor a mapping"),
        ({"contacts": [{"phone": "+12125550000"}]}, "a mapping has no key 'number'"),
        ({"contacts": ["+12125550000"], "default_region": "XX"}, "region 'XX'"),
    ],
)
def test_an_invalid_source_is_rejected_before_any_request(
    tasks: Any, api: Sandbox, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(AirflowFailException, match=named) as raised:
        tasks.check(**arguments)

    assert "2125550000" not in str(raised.value)
    assert api.requests.count() == 0


def test_a_query_without_its_connection_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ConfigError, match="contacts_conn_id"):
        WhatsAppCheckContactsOperator(task_id="check", contacts_sql=SELECT)


@pytest.mark.parametrize("arguments", [{}, {"contacts": ["+12125550000"], **SQL}], ids=["neither", "both"])
def test_exactly_one_source_is_required_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Set either contacts, or contacts_sql with contacts_conn_id"):
        WhatsAppCheckContactsOperator(task_id="check", **arguments)


def test_template_fields_are_as_documented() -> None:
    queries = {"contacts_conn_id", "contacts_sql", "messages_conn_id", "messages_sql"}
    promised = {"whatsapp_business_conn_id", "store_conn_id", *queries}

    assert set(WhatsAppCheckContactsOperator.template_fields) == promised
    assert set(WhatsAppRevalidateContactsOperator.template_fields) == promised


def test_a_query_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "people.sql").write_text(SELECT)
    with DAG("numbers", schedule=None, template_searchpath=str(tmp_path)):
        operator = WhatsAppCheckContactsOperator(task_id="check", contacts_sql="people.sql", contacts_conn_id="crm")

    operator.resolve_template_files()

    assert operator.contacts_sql == SELECT
