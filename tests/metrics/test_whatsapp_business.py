"""Metrics of checks and of waiting for their results: requests, results and budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_wacontacts.hooks.metrics import STATUSES
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor
from tests.operators.whatsapp_business.cases import numbers
from tests.operators.whatsapp_business.conftest import Tasks
from tests.triggers.waiting import event_of

BUDGET = "whatsapp_business.budget_left.whatsapp_business_default"

Told = Callable[[], dict[str, Any]]
Behave = Callable[..., None]


def asked(**figures: int) -> dict[str, int]:
    return counted("asked", *STATUSES, **figures)


def counted(*names: str, **figures: int) -> dict[str, int]:
    return {f"whatsapp_business.{name}": figures.get(name, 0) for name in names}


def given(**figures: int) -> dict[str, int]:
    return counted("given", "duplicates", "rejected", "not_asked", "from_store", **figures)


def sensor(check_id: str, **arguments: Any) -> WhatsAppContactsSensor:
    return WhatsAppContactsSensor(task_id="wait", check_id=check_id, poke_interval=0.01, **arguments)


@pytest.fixture
def waiting_for(told: Told, tasks: Tasks, behave: Behave) -> str:
    """A check of three numbers that has no answers yet, all of it told; gives its id."""
    behave(processing_share=1.0, processing_answers=1, resolved_by="asking")
    check_id: str = tasks.check(numbers(3))["check_id"]
    assert told() == asked(asked=3, processing=3) | given(given=3) | {BUDGET: [997.0]}
    return check_id


def test_a_check_is_measured_by_requests_and_by_results(told: Told, tasks: Tasks, behave: Behave) -> None:
    behave(on_whatsapp=0.5)
    summary = tasks.check([*numbers(20), numbers(1)[0], "no number"])

    known = {"valid": summary["valid"], "invalid": summary["invalid"]}
    assert min(known.values()) > 0
    assert told() == asked(asked=20, **known) | given(given=22, duplicates=1, rejected=1) | {BUDGET: [980.0]}


def test_reused_results_are_measured_apart_from_requests(told: Told, tasks: Tasks) -> None:
    for run_id in ("first", "second"):
        tasks.check(numbers(2), run_id=run_id)

    assert told() == asked(asked=2, valid=2) | given(given=4, from_store=2) | {BUDGET: [998.0, 998.0]}


def test_batches_are_measured_in_total(told: Told, tasks: Tasks) -> None:
    tasks.check(numbers(25), batch_size=10)

    assert told() == asked(asked=25, valid=25) | given(given=25) | {BUDGET: [975.0]}


def test_a_spent_budget_is_measured_although_the_task_fails(
    told: Told, tasks: Tasks, connect_api: Callable[..., None]
) -> None:
    connect_api(extra={"daily_checks": 2})

    with pytest.raises(AirflowFailException):
        tasks.check(numbers(3))

    assert told() == asked(asked=2, valid=2) | {BUDGET: [0.0]}


def test_numbers_past_the_budget_are_measured(told: Told, tasks: Tasks, connect_api: Callable[..., None]) -> None:
    connect_api(extra={"daily_checks": 2})

    tasks.check(numbers(3), on_budget="partial")

    assert told() == asked(asked=2, valid=2) | given(given=3, not_asked=1) | {BUDGET: [0.0, 0.0]}


@pytest.mark.usefixtures("sleepless")
def test_a_retried_request_counts_its_numbers_once(told: Told, tasks: Tasks, api: Sandbox) -> None:
    api.fail(Fault(on="check", kind="rate_limited", delay_s=0.05), Fault(on="check", kind="status", status=500))

    tasks.check(numbers(2))

    figures = told()
    waits = figures["whatsapp_business.rate_limit_waits"]
    assert (figures["whatsapp_business.retries"], figures["whatsapp_business.asked"], len(waits)) == (2, 2, 1)


def test_poking_is_measured_as_polling(told: Told, waiting_for: str) -> None:
    sensor(waiting_for).execute({"ti": SimpleNamespace()})

    assert told() == {
        **counted("asked_again", *STATUSES, asked_again=3, valid=3),
        **counted("resolved", resolved=1),
        BUDGET: [997.0],
    }


@pytest.mark.usefixtures("hasty")
def test_polls_are_measured_by_the_triggerer_and_the_end_by_the_task(told: Told, waiting_for: str) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        sensor(waiting_for, deferrable=True).execute({})
    event = asyncio.run(event_of(deferred.value.trigger))
    meanwhile = told()
    sensor(waiting_for, deferrable=True).execute_complete({}, event)

    assert meanwhile == counted("asked_again", *STATUSES, asked_again=3, valid=3)
    assert told() == counted("resolved", resolved=1) | {BUDGET: [997.0]}


@pytest.mark.usefixtures("hasty")
def test_a_rate_limit_in_the_triggerer_is_measured_with_its_pause(told: Told, waiting_for: str, api: Sandbox) -> None:
    api.fail(Fault(on="check", kind="rate_limited", headers={"retry-after": "0.25"}))
    with pytest.raises(TaskDeferred) as deferred:
        sensor(waiting_for, deferrable=True).execute({})
    asyncio.run(event_of(deferred.value.trigger))

    figures = told()
    assert figures["whatsapp_business.rate_limit_waits"] == [pytest.approx(250.0)]
    assert (figures["whatsapp_business.retries"], figures["whatsapp_business.asked_again"]) == (1, 3)


@pytest.mark.usefixtures("impatient")
def test_a_rate_limit_while_poking_is_measured_with_its_pause(told: Told, waiting_for: str, api: Sandbox) -> None:
    api.fail(Fault(on="check", kind="rate_limited", headers={"retry-after": "900"}))

    assert not sensor(waiting_for).poke({"ti": SimpleNamespace()})

    assert told()["whatsapp_business.rate_limit_waits"] == [900_000.0]


def test_a_reached_deadline_is_measured(told: Told, waiting_for: str, behave: Behave) -> None:
    behave(resolved_by="never")
    assert not sensor(waiting_for).poke({"ti": SimpleNamespace()})
    with pytest.raises(AirflowSensorTimeout):
        sensor(waiting_for, deadline="2022-01-01T00:00:00Z").execute({"ti": SimpleNamespace()})

    figures = told()
    assert figures["whatsapp_business.expired"] == 1
    assert figures["whatsapp_business.asked_again"] == figures["whatsapp_business.processing"] > 0
    assert "whatsapp_business.resolved" not in figures
