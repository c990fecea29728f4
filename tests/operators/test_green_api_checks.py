"""Checks of numbers with GREEN-API: the same pipeline, store and budget, with another client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.clients import green_api_checks
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.clients.retry import Clock, RetryPolicy
from airflow_provider_wacontacts.exceptions import TransientError
from airflow_provider_wacontacts.hooks import green_api
from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
from airflow_provider_wacontacts.operators.green_api import (
    GreenApiCheckContactsOperator,
    GreenApiRevalidateContactsOperator,
)
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.sandbox import (
    ContactList,
    Fault,
    GreenApiBehaviour,
    Sandbox,
    WhatsAppBehaviour,
    World,
)

Query = Callable[[str], list[tuple[Any, ...]]]
SENDER = "green_api:1101000001"
ROWS = "SELECT number, status, wa_id, from_store FROM wacontacts_check_result ORDER BY ordinal"
SPENT = "SELECT sum(spent) FROM wacontacts_budget"
MONTH_END = datetime(2026, 11, 30, 12, tzinfo=UTC)


def numbers(count: int) -> list[str]:
    return [f"+1201555{number:04}" for number in range(100, 100 + count)]


@pytest.fixture
def api(connect: Callable[..., None], store_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """An instance where all numbers are on WhatsApp, without a rate limit, and the connections."""
    monkeypatch.setattr(green_api, "CHECK_RATE_LIMITERS", RateLimiters(timedelta(0)))
    monkeypatch.setattr(green_api, "RETRY_POLICY", RetryPolicy(budget=timedelta(0)))
    behaviour = GreenApiBehaviour(on_whatsapp=1.0)
    now = datetime.now(UTC).replace(microsecond=0)
    with Sandbox(World(), now=now, green_api=behaviour, contact_list=ContactList()) as sandbox:
        connect_api(sandbox, connect)
        connect("wacontacts_store", conn_type="sqlite", host=str(store_path))
        yield sandbox


def connect_api(api: Sandbox, connect: Callable[..., None], **extra: Any) -> None:
    behaviour = api.green_api.behaviour
    fields = {"login": behaviour.id_instance, "password": behaviour.token, "extra": extra}
    connect("green_api_default", conn_type="green_api", host=api.url, **fields)


def check(contacts: list[Any], *, run_id: str = "run", **arguments: Any) -> dict[str, Any]:
    operator = GreenApiCheckContactsOperator(task_id="check", contacts=contacts, **arguments)
    return operator.execute(context(run_id))


def context(run_id: str, task_id: str = "check") -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="dag", run_id=run_id, task_id=task_id, map_index=-1)
    return {"ti": ti, "dag_run": SimpleNamespace(run_after=datetime.now(UTC)), "outlet_events": {}}


def test_every_input_has_a_row_and_is_counted_in_the_summary(api: Sandbox, query: Query) -> None:
    there, hidden, invalid, failed = numbers(4)
    api.green_api.put_number(hidden, lid="100000000000009", hidden=True)
    api.green_api.put_number(invalid, exists=False)
    api.green_api.put_number(failed, fails=True)

    summary = check([there, hidden, invalid, failed, "no number", there])

    assert query(ROWS) == [
        (there, "valid", there[1:], 0),
        (hidden, "valid", None, 0),
        (invalid, "invalid", None, 0),
        (failed, "failed", None, 0),
        (None, "rejected", None, 0),
        (there, "valid", there[1:], 0),
    ]
    assert query(f"SELECT lid FROM wacontacts_number WHERE number = '{hidden}'") == [("100000000000009@lid",)]
    counts = {"given": 6, "asked": 4, "valid": 2, "invalid": 1, "failed": 1, "rejected": 1, "duplicates": 1}
    assert summary.items() >= {**counts, "sender": SENDER, "state": "resolved", "budget_left": 996}.items()
    assert summary["status_is_reliable"] is True


@pytest.mark.parametrize("form", ["2023", "2025", "2026"])
def test_every_form_of_the_method_is_accepted(api: Sandbox, query: Query, form: str) -> None:
    api.green_api.change(check_form=form)

    assert check(numbers(3))["valid"] == 3
    assert query(SPENT) == [(3,)]


def test_fresh_results_are_reused_and_never_shared_with_another_sender(
    api: Sandbox, query: Query, connect: Callable[..., None]
) -> None:
    check(numbers(2))
    again = check(numbers(3), run_id="later")
    api.green_api.change(id_instance="1101000002")
    connect_api(api, connect)
    other = check(numbers(1), run_id="other")

    assert (again["asked"], again["from_store"], other["asked"], other["from_store"]) == (1, 2, 1, 0)
    assert query("SELECT DISTINCT sender FROM wacontacts_number ORDER BY 1") == [(SENDER,), ("green_api:1101000002",)]


def test_a_result_from_the_cache_does_not_change_checked_at(api: Sandbox, query: Query) -> None:
    checked_at = "SELECT checked_at FROM wacontacts_number"
    check(numbers(1))
    first = query(checked_at)
    api.clock.advance(60)
    check(numbers(1), run_id="cached", fresh_for=timedelta(0))
    cached = query(checked_at)
    check(numbers(1), run_id="forced", force_check=True)

    assert cached == first < query(checked_at)


def test_past_the_monthly_budget_the_task_waits_for_the_next_month(
    api: Sandbox, query: Query, connect: Callable[..., None], set_store_clock: Callable[[datetime], None]
) -> None:
    connect_api(api, connect, daily_checks=10, monthly_checks=12)
    set_store_clock(MONTH_END - timedelta(days=1))
    assert check(numbers(10), run_id="yesterday")["budget_left"] == 0
    set_store_clock(MONTH_END)

    with pytest.raises(TaskDeferred) as deferred:
        check(numbers(20)[10:], on_budget="defer")

    assert deferred.value.trigger.until == datetime(2026, 12, 1, tzinfo=UTC)
    assert query(SPENT) == [(12,)]
    with pytest.raises(AirflowFailException, match=r"monthly_checks \(12\) are spent for this month. .* 2026-12-01"):
        check(numbers(20)[10:], run_id="another")


def test_the_next_month_continues_with_the_remaining_numbers(
    api: Sandbox, query: Query, connect: Callable[..., None], set_store_clock: Callable[[datetime], None]
) -> None:
    connect_api(api, connect, monthly_checks=6)
    set_store_clock(MONTH_END.replace(day=2))
    with pytest.raises(TaskDeferred):
        check(numbers(10), on_budget="defer")
    set_store_clock(MONTH_END.replace(month=12, day=1))

    summary = check(numbers(10), on_budget="defer")

    assert summary.items() >= {"given": 10, "asked": 10, "valid": 10, "state": "resolved"}.items()
    assert api.green_api.asked_numbers == dict.fromkeys(numbers(10), 1)
    assert query("SELECT spent FROM wacontacts_budget ORDER BY day") == [(6,), (4,)]


def test_stale_numbers_are_rechecked_oldest_first(api: Sandbox, query: Query, connect: Callable[..., None]) -> None:
    first, second, invalid, fresh = numbers(4)
    api.green_api.put_number(invalid, exists=False)
    now = api.clock.now()
    for days, given in ((9, [second, invalid]), (12, [first]), (2, [fresh])):
        api.clock.set(now - timedelta(days=days))
        check(given, run_id=f"{days} days ago")
    api.clock.set(now)
    connect_api(api, connect, daily_checks=5)

    operator = GreenApiRevalidateContactsOperator(task_id="revalidate", force_check=True)
    summary = operator.execute(context("today", "revalidate"))

    rows = query(ROWS.replace("ORDER", f"WHERE check_id = '{summary['check_id']}' ORDER"))
    assert [number for number, *_ in rows] == [first, second]
    assert summary.items() >= {"asked": 1, "not_asked": 1, "budget_left": 0}.items()


def test_a_dry_run_counts_the_numbers_of_the_check_and_changes_nothing(
    api: Sandbox, query: Query, store_path: Path
) -> None:
    fresh, leased, out, *new = numbers(6)
    check([fresh, leased], run_id="before")
    with create_engine(f"sqlite:///{store_path}").begin() as connection:
        sql = "UPDATE wacontacts_number SET leased_until = :far, checked_at = :past WHERE number = :number"
        times = {"far": "2999-01-01T00:00:00.000000Z", "past": "2020-01-01T00:00:00.000000Z"}
        connection.execute(text(sql), {"number": leased, **times})
    given = [fresh, leased, {"number": out, "opted_in": False}, *new, new[0], "no number"]
    tables = ("wacontacts_number", "wacontacts_check", "wacontacts_budget")
    before = [query(f"SELECT * FROM {table}") for table in tables]

    preview = check(given, run_id="dry", dry_run=True)

    counts = {"given": 8, "duplicates": 1, "rejected": 1, "not_asked": 1, "fresh": 1, "leased": 1, "to_ask": 3}
    assert preview == {"sender": SENDER, **counts, "budget_left": 998, "budget_after": 995}
    assert before == [query(f"SELECT * FROM {table}") for table in tables]
    with create_engine(f"sqlite:///{store_path}").begin() as connection:
        connection.execute(text("UPDATE wacontacts_number SET leased_until = NULL"))
    summary = check(given, run_id="real")
    assert summary.items() >= {"asked": 4, "from_store": 1, "duplicates": 1, "rejected": 1, "not_asked": 1}.items()
    revalidate = GreenApiRevalidateContactsOperator(task_id="revalidate", stale_after=timedelta(0), dry_run=True)
    assert revalidate.execute(context("dry"))["to_ask"] == 5


@pytest.mark.parametrize(("version", "from_store"), [("v2.41.2", 1), ("v2.45.1", 0)])
def test_reliable_results_of_another_sender_are_reused_if_enabled(
    api: Sandbox, query: Query, connect: Callable[..., None], version: str, from_store: int
) -> None:
    known, new = numbers(2)
    business = WhatsAppBehaviour(on_whatsapp=1.0, processing_share=0.0, version=version)
    api.load(World(), now=api.clock.now(), whatsapp=business)
    extra = {"auth": "bearer", "sender": business.sender}
    own = {"conn_type": "whatsapp_business", "host": api.url, "password": business.token}
    connect("whatsapp_business_default", **own, extra=extra)
    WhatsAppCheckContactsOperator(task_id="check", contacts=[known]).execute(context("first"))

    summary = check([known, new, known], reuse_across_senders=True)

    counts = {"asked": 2 - from_store, "from_store": from_store, "duplicates": 1, "valid": 2}
    assert summary.items() >= counts.items()
    assert summary["status_is_reliable"] is True
    rows = query("SELECT from_sender FROM wacontacts_check_result ORDER BY check_id, ordinal")
    assert sorted(rows, key=str) == sorted([(business.sender if from_store else None,)] * 2 + [(None,)] * 2, key=str)
    assert query(f"SELECT count(*) FROM wacontacts_number WHERE sender = '{SENDER}' AND status IS NULL") == [
        (from_store,)
    ]


@pytest.mark.parametrize("on_budget", ["fail", "partial"])
def test_a_used_up_quota_keeps_the_results_so_far(api: Sandbox, query: Query, on_budget: str) -> None:
    api.green_api.change(check_quota=3)

    if on_budget == "fail":
        with pytest.raises(AirflowFailException, match=r"(?i)the quota of GREEN-API's plan is used up until"):
            check(numbers(10), on_budget=on_budget)
    else:
        assert check(numbers(10), on_budget=on_budget).items() >= {"valid": 3, "not_asked": 7}.items()
    assert query("SELECT count(*) FROM wacontacts_number WHERE status = 'valid'") == [(3,)]
    assert query("SELECT count(*) FROM wacontacts_number WHERE leased_until IS NOT NULL") == [(0,)]


def test_a_retry_requests_no_number_twice(api: Sandbox) -> None:
    api.fail(Fault(on="whatsapp", kind="status", status=400, message="instance is starting or not authorized", skip=2))
    with pytest.raises(TransientError, match=r"(?i)scan its QR code"):
        check(numbers(5))

    assert check(numbers(5))["valid"] == 5
    assert api.green_api.asked_numbers == dict.fromkeys(numbers(5), 1)


@pytest.mark.parametrize("name", ["daily_checks", "monthly_checks"])
def test_an_invalid_budget_is_rejected_before_any_request(
    api: Sandbox, connect: Callable[..., None], name: str
) -> None:
    connect_api(api, connect, **{name: 0})

    with pytest.raises(AirflowFailException, match=f"'{name}' must be a whole number"):
        check(numbers(1))
    assert api.green_api.calls == []


def test_at_most_ten_checks_a_second_are_sent(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    interval = timedelta(seconds=1 / green_api_checks.CHECKS_A_SECOND)
    monkeypatch.setattr(green_api, "CHECK_RATE_LIMITERS", RateLimiters(interval))
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    hook = GreenApiHook(clock=Clock(sleep=sleep, monotonic=lambda: now[0]))
    for number in numbers(101):
        hook.check_whatsapp(number)
    assert 10.0 <= now[0] <= 10.5

    limiter = RateLimiters(interval)["instance"]
    for _ in range(10_000):
        limiter.acquire(hook._clock)
    assert 1_000 <= now[0] - 10.5 <= 1_050
