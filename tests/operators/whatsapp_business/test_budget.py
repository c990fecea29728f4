"""The daily budget of checks, and numbers past the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import BudgetExceededError, ConfigError, RateLimitedError
from airflow_provider_wacontacts.pipelines import check_numbers
from airflow_provider_wacontacts.pipelines.check_numbers import CheckRun
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from airflow_provider_wacontacts.triggers import wait
from airflow_provider_wacontacts.triggers.wait import WaitUntilTrigger
from tests.operators.whatsapp_business.cases import numbers, on_both

MONDAY = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
STATUSES = "SELECT status, reason, count(*) FROM wacontacts_check_result GROUP BY status, reason ORDER BY status"


@pytest.fixture
def budget_of_30(connect_api: Callable[..., None], tasks: Any) -> None:
    connect_api(extra={"daily_checks": 30})


@pytest.mark.usefixtures("budget_of_30")
@on_both
def test_past_the_budget_the_task_fails_without_retries_and_keeps_results(tasks: Any, api: Sandbox, store: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"daily_checks \(30\) are spent for today. 70 numbers") as raised:
        tasks.check(numbers(100), batch_size=8)

    cause = raised.value.__cause__
    assert isinstance(cause, BudgetExceededError)
    assert (cause.limit, cause.used, cause.asked) == (30, 30, 70)
    assert sum(api.asked_numbers.values()) == 30
    assert store.rows("SELECT count(*) FROM wacontacts_number WHERE status = 'valid'") == [(30,)]
    assert store.rows("SELECT count(*) FROM wacontacts_number WHERE leased_until IS NOT NULL") == [(0,)]
    attempt = "SELECT state, error, finished_at FROM wacontacts_check"
    assert store.rows(attempt) == [("failed", "BudgetExceededError", None)]


@pytest.mark.usefixtures("budget_of_30")
def test_partial_finishes_and_leaves_the_rest_out(tasks: Any, store: Any) -> None:
    summary = tasks.check(numbers(100), on_budget="partial")

    assert (summary["given"], summary["asked"], summary["not_asked"], summary["budget_left"]) == (100, 30, 70, 0)
    assert store.rows(STATUSES) == [("not_asked", "past the budget", 70), ("valid", None, 30)]
    assert summary["state"] == "resolved"


@pytest.mark.usefixtures("budget_of_30")
@on_both
def test_past_the_budget_free_numbers_are_still_checked(tasks: Any, api: Sandbox, store: Any) -> None:
    slow = numbers(100)[-1]
    api.whatsapp.put(slow, slow=True)
    tasks.check([slow], run_id="asks about one")

    summary = tasks.check(numbers(100), batch_size=7, on_budget="partial")

    assert (summary["asked"], summary["not_asked"], summary["budget_left"]) == (30, 70, 0)
    answer = "SELECT status FROM wacontacts_check_result WHERE check_id = :check_id AND number = :number"
    assert store.rows(answer, check_id=summary["check_id"], number=slow) == [("valid",)]
    assert (api.asked_numbers[slow], store.rows("SELECT spent FROM wacontacts_budget")) == (2, [(30,)])


@pytest.mark.usefixtures("budget_of_30")
@on_both
def test_defer_resumes_the_same_check_on_the_next_utc_day(
    tasks: Any,
    api: Sandbox,
    store: Any,
    set_store_clock: Callable[[datetime], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wait, "MIN_DEFERRAL", timedelta(0))
    event: Any = {"attempt": 1}
    for day in range(3):
        set_store_clock(MONDAY + timedelta(days=day))
        with pytest.raises(TaskDeferred) as deferred:
            tasks.go_on(event, numbers(100), on_budget="defer")
        trigger = deferred.value.trigger
        assert isinstance(trigger, WaitUntilTrigger)
        assert (trigger.until, trigger.attempt) == (datetime(2026, 3, 3 + day, tzinfo=UTC), 1)
        assert (deferred.value.method_name, deferred.value.kwargs) == ("execute_after_wait", None)
        event = asyncio.run(anext(trigger.run())).payload

    set_store_clock(MONDAY + timedelta(days=3))
    summary = tasks.go_on(event, numbers(100), on_budget="defer")

    assert (summary["given"], summary["asked"], summary["from_store"], summary["budget_left"]) == (100, 100, 0, 20)
    assert api.asked_numbers == dict.fromkeys(numbers(100), 1)
    assert store.rows("SELECT check_id FROM wacontacts_check") == [(summary["check_id"],)]
    spent = [("2026-03-02", 30), ("2026-03-03", 30), ("2026-03-04", 30), ("2026-03-05", 10)]
    assert store.rows("SELECT CAST(day AS text), spent FROM wacontacts_budget ORDER BY day") == spent


@pytest.mark.usefixtures("budget_of_30")
def test_defer_does_not_wait_another_day_if_midnight_has_passed(
    tasks: Any, api: Sandbox, set_store_clock: Callable[[datetime], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CheckRun.run

    def until_midnight(self: CheckRun) -> None:
        try:
            run(self)
        finally:
            set_store_clock(MONDAY + timedelta(hours=2))
            self.checks.context.clock = lambda: MONDAY + timedelta(hours=2)

    set_store_clock(MONDAY)
    monkeypatch.setattr(CheckRun, "run", until_midnight)

    with pytest.raises(TaskDeferred) as deferred:
        tasks.check(numbers(60), on_budget="defer")

    assert deferred.value.trigger.until == datetime(2026, 3, 3, tzinfo=UTC)
    summary = tasks.go_on({"attempt": 2}, numbers(60), on_budget="defer")
    assert (summary["asked"], api.asked_numbers) == (60, dict.fromkeys(numbers(60), 1))


def test_max_checks_lowers_the_budget_for_one_task(tasks: Any, api: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match=r"max_checks \(10\) are spent for today. 5 numbers") as raised:
        tasks.check(numbers(15), max_checks=10, batch_size=3)

    cause = raised.value.__cause__
    assert isinstance(cause, BudgetExceededError)
    assert (cause.limit, cause.used, cause.asked) == (10, 10, 5)
    assert sum(api.asked_numbers.values()) == 10
    assert tasks.check(numbers(15), run_id="another")["budget_left"] == 985


@pytest.mark.usefixtures("budget_of_30")
def test_max_checks_never_raises_it(tasks: Any, api: Sandbox) -> None:
    tasks.check(numbers(50), max_checks=40, on_budget="partial")

    assert sum(api.asked_numbers.values()) == 30


@pytest.mark.usefixtures("budget_of_30")
def test_free_numbers_are_checked_when_the_budget_is_spent(tasks: Any, api: Sandbox) -> None:
    slow = numbers(5)
    for number in slow:
        api.whatsapp.put(number, slow=True)
    tasks.check(numbers(30), run_id="spends all")

    summary = tasks.check(numbers(30), run_id="asks again about five")

    assert (summary["asked"], summary["from_store"], summary["valid"], summary["budget_left"]) == (5, 25, 30, 0)


@pytest.mark.usefixtures("budget_of_30")
@pytest.mark.parametrize("force", [True, False])
def test_forced_checks_and_rechecks_of_failures_count_against_the_budget(
    tasks: Any, api: Sandbox, *, force: bool
) -> None:
    for number in numbers(20):
        api.whatsapp.put(number, "valid" if force else "failed")
    tasks.check(numbers(20), run_id="first")

    summary = tasks.check(numbers(20), run_id="second", force_check=force, on_budget="partial")

    assert (summary["asked"], summary["not_asked"], summary["budget_left"]) == (10, 10, 0)


@on_both
def test_two_checks_request_each_number_once_and_never_exceed_the_budget(
    tasks: Any, api: Sandbox, connect_api: Callable[..., None], store: Any
) -> None:
    connect_api(extra={"daily_checks": 120})
    tasks.check([])

    def run(number: int) -> dict[str, Any]:
        summary: dict[str, Any] = tasks.check(
            numbers(100, first=50 * number), run_id=f"run {number}", batch_size=5, on_budget="partial"
        )
        return summary

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(run, range(2))

    assert max(api.asked_numbers.values()) == 1
    assert sum(api.asked_numbers.values()) == 120 == first["asked"] + second["asked"]
    assert store.rows("SELECT spent FROM wacontacts_budget") == [(120,)]
    for summary in (first, second):
        assert summary["asked"] + summary["from_store"] + summary["not_asked"] == 100


@pytest.mark.parametrize("status", [429, 503])
def test_a_long_retry_after_is_deferred_with_its_attempt(tasks: Any, api: Sandbox, status: int) -> None:
    headers = {"retry-after": "3600"}
    api.fail(Fault(on="check", kind="body", status=status, body="{}", headers=headers, skip=1, every=1))
    before = datetime.now(UTC)

    with pytest.raises(TaskDeferred) as deferred:
        tasks.check(numbers(20), batch_size=10)

    trigger = deferred.value.trigger
    assert (trigger.attempt, trigger.until >= before + timedelta(hours=1)) == (2, True)
    assert sum(api.asked_numbers.values()) == 10
    api.faults.clear()
    summary = tasks.go_on({"attempt": 2}, numbers(20), batch_size=10)
    assert (summary["asked"], api.asked_numbers) == (20, dict.fromkeys(numbers(20), 1))


@pytest.mark.usefixtures("budget_of_30")
def test_a_wait_for_the_budget_does_not_count_as_a_rate_limited_attempt(tasks: Any) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        tasks.go_on({"attempt": 20}, numbers(60), on_budget="defer")

    assert deferred.value.trigger.attempt == 1


def test_the_task_fails_after_too_many_rate_limited_attempts(tasks: Any, api: Sandbox) -> None:
    api.fail(Fault(on="check", kind="rate_limited", headers={"retry-after": "3600"}))

    with pytest.raises(RateLimitedError):
        tasks.go_on({"attempt": 20}, numbers(1))


@pytest.mark.parametrize("event", [None, {}, {"attempt": "1"}, {"attempt": 0}, "text"])
def test_an_unknown_event_fails(tasks: Any, event: Any) -> None:
    with pytest.raises(ValueError, match="attempt"):
        tasks.go_on(event, numbers(1))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"max_checks": 0}, "max_checks is 0"),
        ({"on_budget": "wait"}, "on_budget is 'wait'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 1001}, "batch_size is 1001"),
        ({"blocking": "yes"}, "blocking is 'yes'"),
        ({"fresh_for": timedelta(seconds=-1)}, "fresh_for"),
    ],
)
def test_an_invalid_argument_is_rejected_by_name_when_the_dag_is_parsed(
    tasks: Any, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        tasks.operator(numbers(1), **arguments)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"extra": {"daily_checks": 0}}, "daily_checks"),
        ({"host": "http://whatsapp.example"}, "allow_http"),
        ({"extra": {"auth": "login"}, "login": "user", "password": ""}, "password"),
        ({"extra": {"auth": "login"}, "login": ""}, "login"),
    ],
)
def test_an_invalid_connection_is_rejected_by_field_before_any_request(
    tasks: Any, api: Sandbox, connect_api: Callable[..., None], *, fields: dict[str, Any], named: str, store: Any
) -> None:
    connect_api(**fields)

    with pytest.raises(AirflowFailException, match=named):
        tasks.check(numbers(1))

    assert api.requests.count() == 0
    assert store.rows("SELECT name FROM sqlite_master") == []


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_numbers, "RETRY_POLICY", RetryPolicy(first_backoff=timedelta(0)))


@pytest.mark.usefixtures("without_pauses")
@pytest.mark.parametrize("force", [False, True])
@on_both
def test_every_request_of_a_number_counts_against_the_budget(
    tasks: Any, api: Sandbox, store: Any, *, force: bool
) -> None:
    api.fail(Fault(on="check", kind="cut", times=2))

    summary = tasks.check(numbers(10), force_check=force)

    assert (summary["valid"], summary["budget_left"]) == (10, 970)
    assert api.asked_numbers == dict.fromkeys(numbers(10), 3)
    assert store.rows("SELECT spent FROM wacontacts_budget") == [(30,)]


@pytest.mark.usefixtures("without_pauses", "budget_of_30")
def test_a_connection_that_always_drops_does_not_exceed_the_budget(tasks: Any, api: Sandbox) -> None:
    api.fail(Fault(on="check", kind="cut", times=99))

    with pytest.raises(AirflowFailException, match=r"daily_checks \(\d+\) are spent"):
        tasks.check(numbers(20))

    assert sum(api.asked_numbers.values()) == 30


def test_a_missing_number_counts_against_the_budget_in_another_check(tasks: Any, api: Sandbox, behave: Any) -> None:
    behave(missing_share=1.0, missing_times=9)
    for run, left in (("one", 999), ("two", 998)):
        assert tasks.check(numbers(1), run_id=run)["budget_left"] == left
