"""Identity operators: which identities they process, and errors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, XComArg, task

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.exceptions import ConfigError, ContractError, ServerError
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppAcknowledgeIdentityOperator,
    WhatsAppCheckContactsOperator,
)
from airflow_provider_wacontacts.sandbox import Fault
from tests.operators.identity_cases import ANNA, BERT, CLEO, NOW, SENDER, Business, Context, acknowledge, get
from tests.operators.outlets import outlet_events


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Tell what tasks have logged, whichever way this Airflow logs."""
    caplog.set_level("DEBUG")
    return lambda: "".join((*capfd.readouterr(), caplog.text))


@pytest.fixture
def run(context: Context) -> Callable[[Any], dict[str, Any]]:
    return lambda operator: operator.execute(context(None, NOW))


def test_pending_identities_are_fetched_and_then_acknowledged_by_id(business: Business, run: Any) -> None:
    business.change(ANNA, BERT)

    looked = run(get())
    done = run(acknowledge(identity_ids=looked["identity_ids"]))

    assert looked == {
        "sender": SENDER,
        "given": 2,
        "unchanged": 2,
        "changed": 0,
        "unknown": 0,
        "identity_ids": [1, 2],
    }
    assert done == {
        "sender": SENDER,
        "given": 2,
        "acknowledged": 2,
        "already_acknowledged": 0,
        "changed": 0,
        "unknown": 0,
        "changed_ids": [],
    }
    assert (business.asked(), run(get())["given"]) == ((4, 2), 0)
    assert json.loads(json.dumps([looked, done])) == [looked, done]


def test_a_new_store_is_created_and_has_nothing_pending(business: Business, run: Any) -> None:
    assert (run(get())["given"], run(acknowledge())["given"], business.asked()) == (0, 0, (0, 0))


def test_limit_selects_the_oldest_pending_identities(business: Business, run: Any) -> None:
    business.change(CLEO, BERT, ANNA)

    assert run(get(limit=2))["identity_ids"] == [1, 2]
    assert run(acknowledge(limit=1))["acknowledged"] == 1
    assert run(get())["identity_ids"] == [2, 3]


def test_limit_does_not_apply_to_given_ids(business: Business, run: Any) -> None:
    business.change(ANNA, BERT)

    assert run(get(identity_ids=[1, 2], limit=1))["given"] == 2


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([2, 1], [2, 1]),
        ((1,), [1]),
        (2, [2]),
        ("2", [2]),
        ("[2, 1]", [2, 1]),
        ("['2', '1']", [2, 1]),
        ("(1,)", [1]),
        ("1, 2", [1, 2]),
        (["1", " 2 "], [1, 2]),
        (iter([1, 2]), [1, 2]),
        ([1, 1], [1]),
        ([], []),
        ("[]", []),
    ],
)
def test_ids_may_be_a_list_one_id_or_a_string(business: Business, run: Any, given: Any, meant: list[int]) -> None:
    business.change(ANNA, BERT)

    assert run(get(identity_ids=given))["identity_ids"] == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "None",
        "all",
        "+16315551000",
        "1 000",
        "[1 2]",
        "1,,2",
        None,
        {"1": 2},
        [None],
        [True],
        [1.0],
        [[1]],
        b"1",
        1.5,
        "9" * 30,
    ],
)
def test_invalid_ids_fail_unquoted_without_a_request(business: Business, run: Any, given: Any) -> None:
    business.change(ANNA)

    with pytest.raises(AirflowFailException, match="identity_ids") as refused:
        run(acknowledge(identity_ids=given))

    assert ("16315551000" in str(refused.value), business.asked()) == (False, (0, 0))


@pytest.mark.parametrize("unknown", [7, 16315551000, 10**18])
def test_unknown_ids_are_refused_unquoted_before_any_request(business: Business, run: Any, unknown: int) -> None:
    business.change(ANNA)

    with pytest.raises(AirflowFailException, match=r"identity_ids: 1 of 2 are not identities") as refused:
        run(acknowledge(identity_ids=[1, unknown]))

    assert (str(10**18) in str(refused.value), "16315551000" in str(refused.value)) == (False, False)
    assert business.asked() == (0, 0)


def test_an_upstream_output_of_none_does_not_select_pending_identities(business: Business, run: Any) -> None:
    business.change(ANNA)
    with DAG("identities", schedule=None, start_date=NOW):

        @task
        def choose() -> None:
            """Return nothing."""

        operator = acknowledge(identity_ids=choose())
    assert isinstance(operator.identity_ids, XComArg)
    assert operator.upstream_task_ids == {"choose"}

    operator.identity_ids = None  # as it is rendered
    with pytest.raises(AirflowFailException, match="identity_ids"):
        run(operator)

    assert business.asked() == (0, 0)


def test_each_field_of_a_summary_is_an_xcom() -> None:
    assert get().multiple_outputs
    assert acknowledge().multiple_outputs


def test_template_fields_are_as_documented() -> None:
    for operator in (get(), acknowledge()):
        assert set(operator.template_fields) == {
            *("whatsapp_business_conn_id", "store_conn_id", "identity_ids", "contacts_conn_id", "contacts_sql"),
        }


def test_a_rendered_list_is_read(business: Business, run: Any) -> None:
    business.change(ANNA, BERT)
    operator = get(identity_ids="{{ ids }}")

    operator.render_template_fields({"ids": [2, 1]})

    assert run(operator)["identity_ids"] == [2, 1]


def test_ids_can_be_mapped() -> None:
    with DAG("identities", schedule=None, start_date=NOW):
        mapped = WhatsAppAcknowledgeIdentityOperator.partial(task_id="acknowledge").expand(identity_ids=[1, 2])

    assert mapped.expand_input.value == {"identity_ids": [1, 2]}


@pytest.mark.parametrize("kind", [get, acknowledge])
def test_a_limit_below_one_is_refused_when_the_dag_is_parsed(kind: Any) -> None:
    with pytest.raises(ConfigError, match="limit"):
        kind(limit=0)


def test_a_newer_identity_is_a_warning_and_the_task_succeeds(
    business: Business, run: Any, logged: Callable[[], str]
) -> None:
    business.change(ANNA, BERT)
    business.change(ANNA, told=False)

    summary = run(acknowledge())

    assert (summary["acknowledged"], summary["changed"], summary["changed_ids"]) == (1, 1, [3])
    assert "1 users have changed again" in logged()
    assert run(get())["identity_ids"] == [3]


def test_acknowledge_latest_acknowledges_a_newer_identity(business: Business, run: Any) -> None:
    business.change(ANNA)
    business.change(ANNA, told=False)

    assert run(acknowledge(acknowledge_latest=True))["acknowledged"] == 1
    assert run(get())["given"] == 0


def test_if_all_users_are_unknown_the_warning_mentions_the_connection(
    business: Business, run: Any, logged: Callable[[], str]
) -> None:
    business.change(ANNA)
    business.whatsapp.put(f"+{ANNA}", "invalid")

    assert run(get())["unknown"] == 1
    assert "Check that the connection points to this sender's client" in logged()


def test_every_outlets_event_carries_the_summary(business: Business, context: Context) -> None:
    business.change(ANNA)
    outlet = store_asset(source="whatsapp_business")
    events = outlet_events()

    summary = get(outlets=[outlet]).execute(context(None, NOW, outlet_events=events))

    assert events[outlet].extra == summary


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(on="identity", kind="status", status=401, every=1), AirflowFailException),
        (Fault(on="identity", kind="status", status=403, code=1031, every=1), AirflowFailException),
        (Fault(on="identity", kind="status", status=400, code=1009, every=1), AirflowFailException),
        (Fault(on="acknowledge", kind="status", status=409, code=1009, every=1), AirflowFailException),
        (Fault(on="identity", kind="status", status=500, every=1), ServerError),
        (Fault(on="identity", kind="html", every=1), ContractError),
    ],
)
def test_only_transient_errors_are_left_to_retries(
    business: Business, run: Any, fault: Fault, error: type[Exception]
) -> None:
    business.change(ANNA)
    business.sandbox.fail(fault)

    with pytest.raises(error):
        run(acknowledge())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"password": "example-token", "extra": {"auth": "bearer"}}, "host"),
        ({"host": "https://wa.example", "login": "user"}, "password"),
        ({"host": "http://wa.example", "password": "x", "extra": {"auth": "bearer"}}, "allow_http"),
    ],
)
def test_an_invalid_connection_is_rejected_by_field_before_any_request(
    connect: Callable[..., None], run: Any, store_path: Any, fields: dict[str, Any], named: str
) -> None:
    connect("whatsapp_business_default", conn_type="whatsapp_business", **fields)
    connect("wacontacts_store", conn_type="sqlite", host=str(store_path))

    with pytest.raises(AirflowFailException, match=named):
        run(get())

    assert not store_path.exists()


def test_a_mapped_none_does_not_select_pending_identities(business: Business, context: Context) -> None:
    business.change(ANNA)
    mapped = context(None, NOW)
    mapped["ti"].map_index = 0

    with pytest.raises(AirflowFailException, match="identity_ids"):
        acknowledge(identity_ids=None).execute(mapped)

    assert business.asked() == (0, 0)
    assert acknowledge().execute(mapped)["acknowledged"] == 1


@pytest.fixture
def team(connect: Callable[..., None], tmp_path: Any) -> Callable[..., dict[str, Any]]:
    """Arguments of a query on a team's own table of users."""

    def fill(column: str, *values: str | None) -> dict[str, Any]:
        with closing(sqlite3.connect(tmp_path / "team.db")) as database, database:
            database.execute(f"CREATE TABLE users ({column} text)")
            database.executemany("INSERT INTO users VALUES (?)", [(value,) for value in values])
        connect("team", conn_type="sqlite", host=str(tmp_path / "team.db"))
        return {"contacts_sql": f"SELECT {column} FROM users", "contacts_conn_id": "team"}

    return fill


def test_users_of_a_query_are_requested_even_without_a_callback(
    business: Business, run: Any, team: Any, logged: Callable[[], str]
) -> None:
    business.change(ANNA)
    business.change(BERT, told=False)
    query = team("wa_id", ANNA, BERT, f"{ANNA}@c.us", None, "nobody")

    looked = run(get(**query))
    text = logged()

    assert looked.items() >= {"given": 2, "unchanged": 1, "changed": 1, "unknown": 0}.items()
    assert len(looked["identity_ids"]) == 2
    assert "2 rows name no user" in text
    assert [one for one in (ANNA, BERT, *business.hashes) if one in text + json.dumps(looked)] == []


def test_an_unrecorded_identity_is_only_recorded_and_acknowledged_by_the_next_run(
    business: Business, run: Any, team: Any
) -> None:
    business.change(ANNA)
    business.change(BERT, told=False)
    query = team("wa_id", ANNA, BERT)

    first, second = run(acknowledge(**query)), run(acknowledge(**query))

    assert first.items() >= {"given": 2, "acknowledged": 1, "changed": 1}.items()
    assert second.items() >= {"acknowledged": 1, "already_acknowledged": 1, "changed": 0}.items()


def test_a_number_is_replaced_by_the_id_that_its_check_returned(business: Business, run: Any, team: Any) -> None:
    business.whatsapp.put(f"+{ANNA}", "valid")
    business.change(ANNA, told=False)
    run(WhatsAppCheckContactsOperator(task_id="check", contacts=[f"+{ANNA}"]))

    assert run(get(**team("number", f"+{ANNA}", f"+{BERT}")))["given"] == 1


@pytest.mark.parametrize(
    "arguments",
    [{"contacts_sql": "SELECT 1 AS wa_id"}, {"contacts_sql": "SELECT 1", "contacts_conn_id": "a", "identity_ids": [1]}],
)
def test_a_query_needs_its_connection_and_excludes_ids(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="contacts_sql"):
        get(**arguments)
