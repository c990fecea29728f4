"""Rechecks of the numbers whose last real check is too old, the oldest first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppRevalidateContactsOperator
from airflow_provider_wacontacts.sandbox import Sandbox
from tests.operators.whatsapp_business.cases import numbers, on_both

DAY = timedelta(days=1)
AGED = "SELECT number FROM wacontacts_check_result WHERE check_id = :check_id ORDER BY ordinal"


@pytest.fixture
def age(tasks: Any, api: Sandbox) -> Callable[..., None]:
    """Check numbers so long ago."""
    now = api.clock.now()

    def check(ago: timedelta, *some: str, status: str = "valid") -> None:
        for number in some:
            api.whatsapp.put(number, status)
        api.clock.set(now - ago)
        tasks.check(some, run_id=f"{ago} ago")
        api.clock.set(now)
        api.whatsapp.checks.clear_counts()

    return check


@on_both
def test_the_oldest_numbers_are_checked_first_up_to_the_limit(
    tasks: Any, api: Sandbox, age: Callable[..., None], store: Any
) -> None:
    first, second, third, fourth = numbers(4)
    age(9 * DAY, second)
    age(12 * DAY, first)
    age(8 * DAY, third)
    age(2 * DAY, fourth)

    summary = tasks.revalidate(limit=2)

    assert store.rows(AGED, check_id=summary["check_id"]) == [(first,), (second,)]
    assert api.whatsapp.checked == dict.fromkeys([first, second], 1)
    assert (summary["given"], summary["asked"], summary["valid"], summary["state"]) == (2, 2, 2, "resolved")

    again = tasks.revalidate(limit=2, run_id="tomorrow")
    assert store.rows(AGED, check_id=again["check_id"]) == [(third,)]
    assert tasks.revalidate(run_id="nothing is left")["given"] == 0


@pytest.mark.parametrize(("before_midnight", "asked"), [(timedelta(seconds=1), 1), (timedelta(seconds=-1), 0)])
def test_numbers_stale_by_the_end_of_the_utc_day_are_rechecked(
    tasks: Any, api: Sandbox, age: Callable[..., None], *, before_midnight: timedelta, asked: int
) -> None:
    now = api.clock.now()
    run_after = now.replace(hour=0, minute=5, second=0)
    midnight = now.replace(hour=0, minute=0, second=0) + DAY
    age(now - (midnight - 7 * DAY - before_midnight), numbers(1)[0])

    assert tasks.revalidate(run_after=run_after)["given"] == asked


@pytest.mark.parametrize(("before_its_end", "asked"), [(timedelta(seconds=1), 1), (timedelta(seconds=-1), 0)])
def test_a_run_with_an_interval_uses_its_end_as_the_day(
    tasks: Any, api: Sandbox, age: Callable[..., None], *, before_its_end: timedelta, asked: int
) -> None:
    end = api.clock.now() - 5 * DAY
    age(api.clock.now() - (end - 7 * DAY - before_its_end), numbers(1)[0])
    interval = {"data_interval_start": end - DAY, "data_interval_end": end}
    operator = WhatsAppRevalidateContactsOperator(task_id="revalidate")

    assert operator.execute(tasks.context() | interval)["given"] == asked


def test_statuses_select_numbers_and_exclude_invalid_by_default(
    tasks: Any, age: Callable[..., None], store: Any
) -> None:
    ok, gone, broken = numbers(3)
    age(8 * DAY, ok)
    age(9 * DAY, gone, status="invalid")
    age(10 * DAY, broken, status="failed")

    by_default, invalid = tasks.revalidate(), tasks.revalidate(statuses=["invalid"], run_id="invalid")

    assert store.rows(AGED, check_id=by_default["check_id"]) == [(broken,), (ok,)]
    assert store.rows(AGED, check_id=invalid["check_id"]) == [(gone,)]


@on_both
def test_contacts_sql_limits_the_numbers_to_its_rows(
    tasks: Any, age: Callable[..., None], crm: Any, store: Any
) -> None:
    kept, left, out, never_checked = numbers(4)
    age(9 * DAY, kept, left, out)
    crm(
        ("a", "(212) 555-0000", None),
        ("b", out, True),
        ("c", "(212) 555-0002", False),
        ("d", never_checked, True),
        ("e", "nonsense", True),
    )
    query = "SELECT phone AS number, agreed AS opted_in FROM people ORDER BY id"

    summary = tasks.revalidate(contacts_sql=query, contacts_conn_id="crm")

    assert store.rows(AGED, check_id=summary["check_id"]) == [(kept,)]


def test_opted_out_numbers_do_not_use_up_the_limit(tasks: Any, age: Callable[..., None], crm: Any, store: Any) -> None:
    *out, wanted = numbers(6)
    age(9 * DAY, *out)
    age(8 * DAY, wanted)
    rows = [(number, True) for number in (*out, wanted)] + [(number, False) for number in out]
    crm(*((f"{key:02}", *row) for key, row in enumerate(rows)))
    query = "SELECT phone AS number, agreed AS opted_in FROM people ORDER BY id"

    summary = tasks.revalidate(contacts_sql=query, contacts_conn_id="crm", limit=3)

    assert store.rows(AGED, check_id=summary["check_id"]) == [(wanted,)]


def test_stale_after_is_configurable_and_does_not_force_checks(
    tasks: Any, api: Sandbox, age: Callable[..., None]
) -> None:
    age(4 * DAY, numbers(1)[0])

    assert tasks.revalidate()["given"] == 0
    assert tasks.revalidate(stale_after=3 * DAY, run_id="three days")["asked"] == 1
    assert [call.force_check for call in api.whatsapp.calls] == [False]
    assert api.whatsapp.checked == {}

    assert tasks.revalidate(stale_after=3 * DAY, force_check=True, run_id="forced")["asked"] == 1
    assert api.whatsapp.checked == {numbers(1)[0]: 1}


def test_past_the_budget_numbers_are_left_to_the_next_run(
    tasks: Any, connect_api: Callable[..., None], age: Callable[..., None]
) -> None:
    age(8 * DAY, *numbers(30))
    connect_api(extra={"daily_checks": 40})

    summary = tasks.revalidate()

    assert (summary["asked"], summary["not_asked"], summary["budget_left"]) == (10, 20, 0)


@pytest.mark.parametrize(("on_budget", "error"), [("fail", AirflowFailException), ("defer", TaskDeferred)])
def test_on_budget_is_configurable(
    tasks: Any, connect_api: Callable[..., None], age: Callable[..., None], on_budget: str, error: type[Exception]
) -> None:
    age(8 * DAY, *numbers(3))
    connect_api(extra={"daily_checks": 3})

    with pytest.raises(error):
        tasks.revalidate(on_budget=on_budget)


@on_both
def test_two_tasks_never_check_the_same_number(
    tasks: Any, api: Sandbox, age: Callable[..., None], store: Any, connect_api: Callable[..., None]
) -> None:
    connect_api(extra={"daily_checks": 10_000})
    age(8 * DAY, *numbers(200))

    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(tasks.revalidate, run_id=f"run {number}", batch_size=5) for number in range(2)]
        summaries = [run.result() for run in runs]

    assert api.asked_numbers == dict.fromkeys(numbers(200), 1)
    assert sum(summary["asked"] for summary in summaries) == 200
    assert store.rows("SELECT spent FROM wacontacts_budget ORDER BY day") == [(400,)]


def test_a_retry_keeps_the_numbers_of_the_first_attempt(tasks: Any, api: Sandbox, age: Callable[..., None]) -> None:
    from airflow_provider_wacontacts.sandbox import Fault

    age(8 * DAY, *numbers(20))
    api.fail(Fault(on="check", kind="status", status=400, code=1009, skip=1, every=1))
    with pytest.raises(AirflowFailException):
        tasks.revalidate(batch_size=10)
    api.faults.clear()

    summary = tasks.revalidate(batch_size=10)

    assert (summary["given"], summary["asked"]) == (20, 20)
    assert api.asked_numbers == dict.fromkeys(numbers(20), 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"stale_after": timedelta(seconds=-1)}, "stale_after"),
        ({"statuses": "valid"}, "statuses"),
        ({"statuses": []}, "statuses"),
        ({"statuses": ["valid", "vaild"]}, "statuses is 'vaild'\\. .* valid, invalid, failed, processing, missing"),
        ({"statuses": [None]}, "statuses is of type NoneType"),
        ({"max_checks": 0}, "max_checks"),
    ],
)
def test_an_invalid_argument_is_rejected_by_name_when_the_dag_is_parsed(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        WhatsAppRevalidateContactsOperator(task_id="revalidate", **arguments)


def test_a_query_needs_its_connection(tasks: Any, api: Sandbox) -> None:
    with pytest.raises(ConfigError, match="contacts_conn_id"):
        tasks.revalidate(contacts_sql="SELECT 1 AS number")

    assert api.requests.count() == 0


def test_the_day_of_a_run_is_in_utc(tasks: Any, age: Callable[..., None], api: Sandbox) -> None:
    from airflow_provider_wacontacts.operators.task_context import end_of_run_day

    context = tasks.context(run_after=datetime.fromisoformat("2026-03-02T23:30:00-05:00"))

    assert end_of_run_day(context) == datetime(2026, 3, 4, tzinfo=UTC)
