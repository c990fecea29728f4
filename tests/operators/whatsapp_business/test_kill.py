"""A stopped task sends no more requests, keeps received results, and releases all leases."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.pipelines.check_numbers import MAX_THREADS
from airflow_provider_wacontacts.pipelines.stop import Stopped
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from tests.operators.whatsapp_business.cases import numbers

CLAIMED = "SELECT count(*) FROM wacontacts_number WHERE leased_by = :check_id"
#: Far less than any wait that is cut short here, far more than it takes.
SOON_S = 90


@pytest.fixture
def kill(tasks: Any) -> Callable[..., None]:
    """Execute a task, and tell it to end when something is so."""

    def run(
        contacts: Any, when: Callable[[], bool], *, then: Callable[[], Any] = lambda: None, **arguments: Any
    ) -> None:
        operator = tasks.operator(contacts, **arguments)
        with ThreadPoolExecutor(1) as threads:
            running: Future[Any] = threads.submit(operator.execute, tasks.context())
            while not when():
                assert not running.done(), running.result()
                time.sleep(0.005)
            operator.on_kill()
            then()
            with pytest.raises(Stopped):
                running.result(timeout=SOON_S)

    return run


def own(store: Any) -> str:
    ((check_id,),) = store.rows("SELECT check_id FROM wacontacts_check WHERE run_id = 'run'")
    return str(check_id)


def test_a_stop_with_a_slow_server(tasks: Any, api: Sandbox, store: Any, kill: Callable[..., None]) -> None:
    api.fail(Fault(on="check", kind="delay", delay_s=0.3, every=1))
    requests = lambda: int(api.faults.to_json()[0]["seen"])
    before_the_end: list[int] = []

    kill(
        numbers(500),
        lambda: len(api.asked_numbers) >= 20,
        then=lambda: before_the_end.append(requests()),
        batch_size=10,
    )

    asked = api.asked_numbers
    assert requests() <= before_the_end[0] + MAX_THREADS, "no thread sent more than it had begun to"
    assert len(asked) < 500
    kept = store.rows("SELECT number FROM wacontacts_check_result WHERE status = 'valid'")
    assert {number for (number,) in kept} == set(asked)
    assert store.rows(CLAIMED, check_id=own(store)) == [(0,)]
    api.faults.clear()
    assert tasks.check(numbers(500), batch_size=100)["asked"] == 500
    assert max(api.asked_numbers.values()) == 1


def test_a_stop_before_a_retry(api: Sandbox, store: Any, kill: Callable[..., None]) -> None:
    api.fail(Fault(on="check", kind="status", status=503, headers={"retry-after": "100"}, every=1))

    kill(numbers(10), lambda: api.requests.count("check") >= 1)

    assert api.requests.count("check") == 1
    assert store.rows(CLAIMED, check_id=own(store)) == [(0,)]


def test_a_stop_while_numbers_are_leased_elsewhere(
    tasks: Any, api: Sandbox, store: Any, kill: Callable[..., None]
) -> None:
    tasks.check(numbers(5), run_id="before")
    store.do("UPDATE wacontacts_number SET status = NULL, checked_at = NULL, asked_at = NULL, leased_by = 'another'")
    until = (datetime.now(UTC) + timedelta(minutes=12)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    store.do(f"UPDATE wacontacts_number SET leased_until = '{until}'")
    asked = api.requests.count("check")

    kill(numbers(5), lambda: bool(store.rows("SELECT 1 FROM wacontacts_check WHERE run_id = 'run' AND filled_at > ''")))

    assert api.requests.count("check") == asked


def test_a_stop_while_numbers_are_read(api: Sandbox, store: Any, kill: Callable[..., None]) -> None:
    read: list[str] = []

    def endless() -> Any:
        while True:
            read.append(numbers(1)[0])
            yield read[-1]

    kill(endless(), lambda: len(read) > 100)

    assert api.requests.count() == 0


def test_a_stop_before_the_task_runs(tasks: Any) -> None:
    tasks.operator(numbers(1)).on_kill()
