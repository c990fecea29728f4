"""GREEN-API's operators: empty lists, and errors of the server, the connection or the arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    ContractError,
    LandingError,
    RateLimitedError,
    ServerError,
    TransientError,
)
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from airflow_provider_wacontacts.triggers.wait import WaitUntilTrigger
from tests.operators.green_api_cases import MONDAY, Connect, Context, to_files, to_store

LEDGER = "SELECT state, reason, row_count, gone, back FROM wacontacts_extraction ORDER BY extracted_at"

Query = Callable[[str], list[tuple[Any, ...]]]


def asked(green: Sandbox) -> tuple[int, int]:
    return green.requests.count("wa_settings"), green.requests.count("contacts")


# An empty answer


def test_after_an_empty_response_the_task_is_deferred_with_its_attempt(
    green: Sandbox, run: Context, operator: Any
) -> None:
    green.green_api.change(empty_answers=2)
    now = datetime.now(UTC)
    task = operator(empty_wait=timedelta(minutes=7))

    with pytest.raises(TaskDeferred) as first:
        task.execute(run())
    with pytest.raises(TaskDeferred) as second:
        task.execute_after_wait(run(), event_of(first.value))

    for number, attempt in enumerate([first.value, second.value], 2):
        assert isinstance(attempt.trigger, WaitUntilTrigger)
        assert (attempt.trigger.attempt, attempt.method_name, attempt.kwargs) == (number, "execute_after_wait", None)
        assert now + timedelta(minutes=7) <= attempt.trigger.until <= datetime.now(UTC) + timedelta(minutes=7)
    assert task.execute_after_wait(run(), event_of(second.value))["rows"] == 4
    assert asked(green) == (3, 3)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("on", ["wa_settings", "contacts"])
def test_a_long_retry_after_is_deferred(green: Sandbox, run: Context, *, operator: Any, on: Any, status: int) -> None:
    green.fail(Fault(on=on, kind="status", status=status, headers={"retry-after": "3600"}))
    now = datetime.now(UTC)

    with pytest.raises(TaskDeferred) as deferred:
        operator().execute(run())

    assert deferred.value.trigger.until >= now + timedelta(hours=1)
    assert operator().execute_after_wait(run(), event_of(deferred.value))["rows"] == 4


def test_a_token_replaced_while_the_task_is_deferred_is_used_afterwards(
    green: Sandbox, run: Context, *, operator: Any, connect: Connect
) -> None:
    green.green_api.change(empty_answers=1)
    with pytest.raises(TaskDeferred) as waiting:
        operator().execute(run())

    instance = green.green_api.change(token="example-token-new")
    fields = {"login": instance.id_instance, "password": instance.token}
    connect("green_api_default", conn_type="green_api", host=green.url, **fields)

    assert operator().execute_after_wait(run(), event_of(waiting.value))["rows"] == 4
    assert green.requests.count(outcome=401) == 0


def event_of(deferred: TaskDeferred) -> dict[str, Any]:
    """Give the event of a deferral's trigger, as the database hands it over."""
    _, arguments = deferred.trigger.serialize()
    event: dict[str, Any] = json.loads(json.dumps(arguments))
    return event


def wait_for_ever(task: Any, context: dict[str, Any]) -> Any:
    """Run a task, and go on after each wait; return its summary and how often it waited."""
    event: Any = None
    for waits in range(100):
        try:
            return (task.execute_after_wait(context, event) if event else task.execute(context)), waits
        except TaskDeferred as deferred:
            event = event_of(deferred)
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_an_account_that_stays_empty_fails_with_a_remedy(
    green: Sandbox, run: Context, *, operator: Any, retries: int
) -> None:
    green.green_api.change(empty_answers=None)

    with pytest.raises(AirflowFailException, match=r"NotEnabledError: .*QR code again"):
        wait_for_ever(operator(empty_retries=retries), run())

    assert asked(green) == (retries + 1, retries + 1)


def test_an_account_that_stays_empty_can_be_skipped(green: Sandbox, run: Context, operator: Any) -> None:
    green.green_api.change(empty_answers=None)

    with pytest.raises(AirflowSkipException, match="empty contact list"):
        wait_for_ever(operator(on_empty="skip"), run())

    assert asked(green) == (4, 4)


def test_an_accepted_empty_snapshot_marks_no_contacts_as_gone(green: Sandbox, run: Context, query: Query) -> None:
    to_store().execute(run())
    green.clock.set(MONDAY + timedelta(days=1))
    green.green_api.change(empty_answers=None)

    summary, waits = wait_for_ever(to_store(on_empty="accept", accept_shrink=True), run())

    assert (waits, summary["state"], summary["reason"], summary["rows"], summary["gone"]) == (
        *(3, "incomplete", "empty", 0, 0),
    )
    assert query(LEDGER)[-1] == ("incomplete", "empty", 0, 0, 0)


def test_an_accepted_empty_snapshot_is_written_to_files(green: Sandbox, run: Context, tmp_path: Path) -> None:
    green.green_api.change(empty_answers=None)

    summary, _ = wait_for_ever(to_files(tmp_path, on_empty="accept", empty_retries=0), run())

    assert (summary["state"], summary["rows"], summary["bytes"]) == ("complete", 0, 2)
    assert json.loads(next(tmp_path.rglob("_manifest.json")).read_text())["parts"] == []


def test_a_list_of_only_rejected_rows_does_not_count_as_empty(green: Sandbox, run: Context, operator: Any) -> None:
    green.fail(Fault(on="contacts", kind="body", body='[{"name": "nobody"}]'))

    with pytest.raises(LandingError, match="1 of 1 rows were rejected"):
        operator().execute(run())


def test_an_invalid_response_does_not_count_as_empty(green: Sandbox, run: Context, operator: Any) -> None:
    green.fail(Fault(on="contacts", kind="body", body='{"contacts": []}'))

    with pytest.raises(ContractError):
        operator(on_empty="accept", empty_retries=0).execute(run())


@pytest.mark.parametrize("event", [None, {}, {"attempt": "1"}, {"attempt": 0}, "text"])
def test_an_unknown_event_fails(green: Sandbox, run: Context, event: Any) -> None:
    with pytest.raises(ValueError, match="attempt"):
        to_store().execute_after_wait(run(), event)

    assert asked(green) == (0, 0)


# What fails


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        ("notAuthorized", AirflowFailException, "Scan its QR code"),
        ("blocked", AirflowFailException, "banned"),
        ("starting", TransientError, "5 minutes"),
        (None, TransientError, "being created"),
    ],
)
def test_a_transient_state_is_retried_and_any_other_fails_without_retries(
    green: Sandbox, run: Context, *, operator: Any, state: str | None, kind: Any, said: str
) -> None:
    green.green_api.change(state=state)

    with pytest.raises(kind, match=said):
        operator().execute(run())

    assert asked(green) == (1, 0)


#: What 400 Bad Request says, as on https://green-api.com/en/docs/api/common-errors/
REFUSALS = [
    ("instance in starting process try later", TransientError),
    ("instance is starting or not authorized", TransientError),
    ("instance account not authorized", AirflowFailException),
    ("Instance account is expired. Renew your instance from personal area", AirflowFailException),
    ("bad request data", AirflowFailException),
    ("Bad Request Validation failed", AirflowFailException),
    ("Unexpected token _ in JSON at position 10", AirflowFailException),
    ("Instance is deleted", AirflowFailException),
]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(on="contacts", kind="status", status=401), AirflowFailException),
        (Fault(on="contacts", kind="status", status=403), AirflowFailException),
        (Fault(on="contacts", kind="status", status=404), AirflowFailException),
        (Fault(on="contacts", kind="status", status=466), AirflowFailException),
        *((Fault(on="contacts", kind="status", status=400, message=message), kind) for message, kind in REFUSALS),
        (Fault(on="contacts", kind="rate_limited"), RateLimitedError),
        (Fault(on="contacts", kind="status", status=499), ServerError),
        (Fault(on="contacts", kind="status", status=500, message="request entity too large"), ServerError),
        (Fault(on="contacts", kind="status", status=502), ServerError),
        (Fault(on="contacts", kind="html"), ContractError),
    ],
    ids=lambda value: f"{value.status} {value.message or ''}" if isinstance(value, Fault) else "",
)
def test_only_transient_errors_are_left_to_retries(
    green: Sandbox, run: Context, *, operator: Any, fault: Fault, kind: Any
) -> None:
    green.fail(fault)

    with pytest.raises(kind):
        operator().execute(run())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"login": "1101000001", "password": "example-token"}, "host"),
        ({"host": "https://7103.api.greenapi.com?x=1", "login": "1101000001", "password": "example-token"}, "host"),
        ({"host": "https://7103.api.greenapi.com", "password": "example-token"}, "login"),
        ({"host": "https://7103.api.greenapi.com", "login": "7103-1", "password": "example-token"}, "login"),
        ({"host": "https://7103.api.greenapi.com", "login": "1101000001"}, "password"),
        ({"host": "http://green.example", "login": "1101000001", "password": "example-token"}, "allow_http"),
    ],
)
def test_an_invalid_connection_is_rejected_by_field_before_any_request(
    connect: Connect, run: Context, store_path: Path, *, operator: Any, fields: Any, named: str
) -> None:
    connect("green_api_default", conn_type="green_api", **fields)
    connect("wacontacts_store", conn_type="sqlite", host=str(store_path))

    with pytest.raises(AirflowFailException, match=named):
        operator().execute(run())

    assert not store_path.exists()


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"conn_type": "mysql", "host": "db.example"}, AirflowFailException),
        ({"conn_type": "sqlite"}, AirflowFailException),
        ({"conn_type": "sqlite", "host": "/nowhere/at/all/store.db"}, AirflowFailException),
    ],
)
def test_an_unusable_store_fails_the_task_before_any_request(
    green: Sandbox, connect: Connect, run: Context, *, fields: Any, kind: Any
) -> None:
    connect("wacontacts_store", **fields)

    with pytest.raises(kind):
        to_store().execute(run())

    assert asked(green) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"count": 0}, "count"),
        ({"count": -1}, "count"),
        ({"empty_retries": -1}, "empty_retries"),
        ({"empty_wait": timedelta(seconds=-1)}, "empty_wait"),
        ({"on_empty": "ignore"}, "on_empty"),
        ({"max_rejected": 1.1}, "max_rejected"),
    ],
)
def test_an_invalid_argument_is_rejected_by_name_when_the_dag_is_parsed(
    operator: Any, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        operator(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"shrink_guard": -0.1}, {"shrink_guard": 1.1}, {"shrink_confirmations": 0}], ids=str
)
def test_an_invalid_argument_of_the_shrink_guard_is_rejected_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        to_store(**arguments)


def test_an_unknown_file_format_is_refused_when_the_dag_is_parsed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="file_format"):
        to_files(tmp_path, file_format="csv")
