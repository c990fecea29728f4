"""Received rows are kept if an attempt fails, and the next attempt resumes from there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wacontacts.pipelines.stop import Stopped
from airflow_provider_wacontacts.sandbox import Event, Fault, Sandbox, TurnBehaviour, World

#: Files are written anew by each attempt.
pytestmark = pytest.mark.parametrize("task", ["store"], indirect=True)
FOREVER: dict[str, Any] = {"every": 1}
MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
BOB, LAST = 1, 6
ATTEMPTS = "SELECT state, error, row_count FROM wacontacts_extraction ORDER BY extraction_number"


def world(*, bob_changed_at: datetime | None = None) -> World:
    """Six contacts of Monday, two a page; Bob is on the first page, until he changes again on Tuesday."""
    events = [Event(MONDAY + timedelta(hours=n), n, details={"name": f"state {n}"}) for n in range(BOB, LAST + 1)]
    if bob_changed_at:
        events.append(Event(bob_changed_at, BOB, details={"name": "another state"}))
    return World.from_events(events)


@pytest.fixture(autouse=True)
def six_contacts(turn: Sandbox) -> None:
    """Turn.io has six contacts on three pages."""
    turn.load(world(), now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=2))


def change_bob(turn: Sandbox) -> None:
    """Let Bob change, so that Monday's window does not hold him any more."""
    turn.load(
        world(bob_changed_at=MONDAY + timedelta(hours=25)),
        now="2022-09-13T02:00:00Z",
        behaviour=TurnBehaviour(page_size=2),
    )


ENDS = {
    "503 for good": Fault(kind="status", on="page", status=503, skip=1, **FOREVER),
    "connections are dropped for good": Fault(kind="drop", on="page", skip=1, **FOREVER),
    "not JSON": Fault(kind="html", on="page", skip=1),
    "a cursor that came before": Fault(kind="repeat_cursor", on="page"),
    "rate limit of a week": Fault(kind="rate_limited", on="page", delay_s=7 * 86_400, skip=1, **FOREVER),
    "401": Fault(kind="status", on="page", status=401, skip=1, **FOREVER),
}


@pytest.mark.parametrize("end", ENDS)
def test_received_rows_are_kept_if_the_attempt_fails_or_defers(task: Any, turn: Sandbox, end: str) -> None:
    turn.fail(ENDS[end])
    with pytest.raises((Exception, TaskDeferred)):
        task.run()
    kept = task.landed()
    assert len(kept) == 2, "the first page"

    turn.faults.clear()
    change_bob(turn)
    summary = task.run()

    assert (summary["state"], len(task.landed()), set(kept) <= set(task.landed())) == ("complete", LAST, True)
    assert turn.requests.asked[-1]["from"] == "2022-09-12T01:59:59.999Z", "resumed behind the first page"


@pytest.mark.parametrize(
    ("end", "state", "error"),
    [
        ("503 for good", "failed", "ServerError"),
        ("not JSON", "failed", "ContractError"),
        ("401", "failed", "AuthError"),
        ("rate limit of a week", "running", None),
    ],
)
def test_the_ledger_names_the_error_unless_the_task_is_deferred(
    task: Any, turn: Sandbox, end: str, state: str, error: str | None
) -> None:
    turn.fail(ENDS[end])
    with pytest.raises((Exception, TaskDeferred)):
        task.run()
    assert task.ask(ATTEMPTS) == [(state, error, 2)]

    turn.faults.clear()
    task.run()
    after = "failed" if state == "failed" else "abandoned"
    assert task.ask(ATTEMPTS) == [(after, error, 2), ("complete", None, 5)]


def test_rows_are_committed_before_a_long_pause(task: Any, turn: Sandbox) -> None:
    seen: list[int] = []
    sleep = task.pause.slept.append
    task.pause.slept = Watched(lambda seconds: (sleep, seen.append(len(task.landed()))))  # type: ignore[assignment]
    turn.fail(Fault(kind="rate_limited", on="page", delay_s=60, skip=1))

    task.run()

    assert seen == [2]


class Watched(list[float]):
    """Pauses that are looked at."""

    def __init__(self, look: Callable[[float], Any]) -> None:
        super().__init__()
        self._look = look

    def append(self, seconds: float) -> None:
        self._look(seconds)
        super().append(seconds)


def test_sigterm_during_a_request_keeps_the_received_rows(task: Any, turn: Sandbox, until: Any) -> None:
    turn.fail(Fault(kind="delay", on="page", delay_s=30, skip=1))
    operator = task.operator()

    def terminate() -> None:
        until(lambda: not turn.faults.to_json())  # the second page is requested
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    try:
        threading.Thread(target=terminate).start()
        with pytest.raises(Stopped):
            operator.execute(task.context())
    finally:
        signal.signal(signal.SIGTERM, before)

    assert task.ask(ATTEMPTS) == [("failed", "Stopped", 2)]


def test_a_server_time_in_the_future_is_not_used(task: Any, turn: Sandbox) -> None:
    now = datetime.now(UTC)
    turn.load(world(), now=now + timedelta(days=365), behaviour=TurnBehaviour())

    task.run()

    ((extracted_at,),) = task.ask("SELECT extracted_at FROM wacontacts_extraction")
    assert now <= datetime.fromisoformat(extracted_at) <= now + timedelta(minutes=5)
