"""``blocking="wait"`` with a slow client: each number is checked once, and charged once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_wacontacts.exceptions import NetworkError
from airflow_provider_wacontacts.hooks import number_clients
from airflow_provider_wacontacts.pipelines import wait_for_results
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from airflow_provider_wacontacts.triggers import wait as wait_trigger
from tests.operators.whatsapp_business.cases import numbers
from tests.operators.whatsapp_business.conftest import Tasks

SPENT = "SELECT spent FROM wacontacts_budget"
#: What a client takes, and what the worker waits for, if a minute is a twentieth of a second.
THREE_MINUTES, MINUTE = 0.15, timedelta(seconds=0.05)


@pytest.fixture
def slow(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A client that responds to a request with ``wait`` long after the worker has given up."""
    monkeypatch.setattr(number_clients, "MAX_WAIT", MINUTE)
    monkeypatch.setattr(wait_trigger, "MIN_DEFERRAL", MINUTE)
    monkeypatch.setattr(wait_for_results, "next_pause", lambda *_: timedelta(seconds=0.05))
    api.whatsapp.change(
        processing_share=1.0, processing_time="real", processing_s=THREE_MINUTES, wait_s=10.0, resolved_by="asking"
    )
    return api


async def event_of(trigger: Any) -> Any:
    (event,) = [event async for event in trigger.run()]
    return event.payload


def wait(tasks: Tasks, given: list[str], **arguments: Any) -> tuple[TaskDeferred, dict[str, Any]]:
    """Check numbers, and resume the task as the triggerer does."""
    with pytest.raises(TaskDeferred) as deferred:
        tasks.check(given, blocking="wait", **arguments)
    event = asyncio.run(event_of(deferred.value.trigger))
    operator = tasks.operator(given, blocking="wait", **arguments)
    return deferred.value, getattr(operator, deferred.value.method_name)(tasks.context(), event)


def test_each_number_is_checked_once_and_charged_once(tasks: Tasks, slow: Sandbox, store: Any) -> None:
    deferred, summary = wait(tasks, numbers(100), batch_size=50)

    assert slow.whatsapp.checked == dict.fromkeys(numbers(100), 1)
    assert store.rows(SPENT) == [(100,)]
    assert summary.items() >= {"state": "resolved", "asked": 100, "valid": 100, "processing": 0}.items()
    assert [call.blocking for call in slow.whatsapp.calls].count("wait") == 1
    assert "number" not in str(deferred.trigger.serialize()[1].keys())


def test_the_wait_ends_after_wait_timeout(tasks: Tasks, slow: Sandbox, connect_api: Any, store: Any) -> None:
    connect_api(extra={"wait_timeout": 1})
    slow.whatsapp.change(resolved_by="never")

    _, summary = wait(tasks, numbers(2))

    assert summary.items() >= {"state": "expired", "processing": 2}.items()
    assert store.rows(SPENT) == [(2,)]


def test_a_forced_wait_is_not_forced_again(tasks: Tasks, slow: Sandbox) -> None:
    wait(tasks, numbers(2), force_check=True)

    assert [(call.blocking, call.force_check) for call in slow.whatsapp.calls[:2]] == [
        ("wait", True),
        ("no_wait", False),
    ]
    assert slow.whatsapp.checked == dict.fromkeys(numbers(2), 1)


def test_a_fast_client_needs_no_deferral(tasks: Tasks, api: Sandbox) -> None:
    summary = tasks.check(numbers(3), blocking="wait")

    assert summary.items() >= {"valid": 3, "state": "resolved"}.items()
    assert [call.blocking for call in api.whatsapp.calls] == ["wait"]


def test_an_error_in_the_triggerer_fails_the_task(tasks: Tasks) -> None:
    operator = tasks.operator(numbers(1), blocking="wait")

    with pytest.raises(AirflowFailException, match="AuthError: the token"):
        operator.execute_after_results(tasks.context(), {"error": "AuthError", "message": "the token"})


def test_an_invalid_wait_timeout_fails_the_task(tasks: Tasks, connect_api: Any) -> None:
    connect_api(extra={"wait_timeout": "soon"})

    with pytest.raises(AirflowFailException, match="wait_timeout"):
        tasks.check(numbers(1), blocking="wait")


CUT_OFF = [*(Fault(kind="html", status=status) for status in (502, 503, 504)), Fault(kind="drop"), Fault(kind="cut")]


@pytest.mark.parametrize("fault", CUT_OFF, ids=lambda fault: f"{fault.kind} {fault.status}")
def test_a_wait_that_a_proxy_interrupts_is_not_repeated(tasks: Tasks, api: Sandbox, store: Any, fault: Fault) -> None:
    api.faults.add(replace(fault, on="check"))

    summary = tasks.check(numbers(2), blocking="wait")

    assert summary.items() >= {"valid": 2, "asked": 2, "state": "resolved"}.items()
    assert [call.blocking for call in api.whatsapp.calls][-1:] == ["no_wait"]
    assert (api.whatsapp.checked, store.rows(SPENT)) == (dict.fromkeys(numbers(2), 1), [(2,)])


def test_an_interrupted_forced_wait_is_forced_again_without_waiting(tasks: Tasks, api: Sandbox, store: Any) -> None:
    api.faults.add(Fault(kind="drop", on="check"))

    tasks.check(numbers(2), blocking="wait", force_check=True)

    assert [(call.blocking, call.force_check) for call in api.whatsapp.calls] == [("no_wait", True)]
    assert store.rows(SPENT) == [(4,)]


def test_a_wait_counts_although_the_login_fails_after_it(tasks: Tasks, api: Sandbox, store: Any) -> None:
    api.faults.add(Fault(kind="cut", on="check"))
    api.faults.add(Fault(kind="status", status=401, on="check", times=9))

    with pytest.raises(AirflowFailException, match="AuthError"):
        tasks.check(numbers(2), blocking="wait")

    assert (api.whatsapp.checked, store.rows(SPENT)) == (dict.fromkeys(numbers(2), 1), [(2,)])


def test_unsent_numbers_do_not_count_against_the_budget(
    tasks: Tasks, connect_api: Any, store: Any, impatient: None, logged: Any
) -> None:
    connect_api(host="http://127.0.0.1:9")

    with pytest.raises(NetworkError):
        tasks.check(numbers(2))

    assert store.rows(SPENT) == [(0,)]
    assert "counts against the budget" not in logged()


def test_a_client_that_drops_connections_is_polled_in_the_triggerer(tasks: Tasks, slow: Sandbox, store: Any) -> None:
    slow.faults.add(Fault(kind="drop", on="check", times=2))

    _, summary = wait(tasks, numbers(2))

    assert summary.items() >= {"state": "resolved", "asked": 2, "valid": 2}.items()
    assert (slow.whatsapp.checked, store.rows(SPENT)) == (dict.fromkeys(numbers(2), 1), [(2,)])
