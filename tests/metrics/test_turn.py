"""Metrics of a window of Turn.io: each is sent once, even if the task fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wacontacts.exceptions import ContractError, LandingError
from airflow_provider_wacontacts.operators.turn import (
    TurnContactsToObjectStorageOperator,
    TurnContactsToSqlOperator,
)
from airflow_provider_wacontacts.pipelines import turn_load
from airflow_provider_wacontacts.sandbox import Fault, Sandbox, TurnBehaviour, World, seeded_world

MONDAY, TUESDAY, WEDNESDAY = (datetime(2022, 9, day, tzinfo=UTC) for day in (12, 13, 14))
BOB = {"turn.pages": 1, "turn.rows": 1, "turn.rejected": 0}
IN_TIME = {"turn.lateness": [600_000.0], "turn.lossy": 0, "turn.gaps": 0}
ODD = '{"data":[{"uuid":"sound","updated_at":"2022-09-12T08:30:00Z"},{"updated_at":"2022-09-12T08:30:00Z"}]}'

Context = Callable[..., dict[str, Any]]
Told = Callable[[], dict[str, Any]]
Query = Callable[[str], list[tuple[Any, ...]]]

pytestmark = pytest.mark.usefixtures("connections")


def to_store(**arguments: Any) -> TurnContactsToSqlOperator:
    return TurnContactsToSqlOperator(task_id="pull", **arguments)


def to_files(path: Path, **arguments: Any) -> TurnContactsToObjectStorageOperator:
    return TurnContactsToObjectStorageOperator(task_id="pull", path=f"file://{path}", **arguments)


def test_a_window_is_measured_in_full(told: Told, context: Context) -> None:
    to_store().execute(context(MONDAY, TUESDAY))

    assert told() == BOB | IN_TIME | {"turn.new_versions": 1}


def test_files_have_no_count_of_new_versions(told: Told, context: Context, tmp_path: Path) -> None:
    to_files(tmp_path).execute(context(MONDAY, TUESDAY))

    assert told() == BOB | IN_TIME


def test_a_repeated_sync_counts_rows_but_no_new_versions(told: Told, context: Context) -> None:
    for _ in range(2):
        to_store().execute(context(MONDAY, TUESDAY))

    figures = told()
    assert (figures["turn.rows"], figures["turn.new_versions"], figures["turn.lateness"]) == (2, 1, [600_000.0] * 2)


def test_a_late_window_after_a_gap_is_counted(told: Told, context: Context, turn: Sandbox) -> None:
    to_store().execute(context(MONDAY, TUESDAY))
    turn.clock.set("2022-09-15T02:00:00Z")

    to_store().execute(context(WEDNESDAY, WEDNESDAY + timedelta(days=1)))

    figures = told()
    assert figures["turn.lateness"] == [600_000.0, 7_200_000.0]
    assert (figures["turn.lossy"], figures["turn.gaps"]) == (1, 1)


def test_each_attempt_is_measured_by_what_it_committed(
    told: Told, context: Context, turn: Sandbox, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_load, "BATCH_ROWS", 1)
    people = World.from_events(seeded_world(7, contacts=30, start=MONDAY, days=1))
    turn.load(people, now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=10))
    turn.fail(Fault(on="page", kind="html", skip=1))

    with pytest.raises(ContractError):
        to_store().execute(context(MONDAY, TUESDAY))
    tries = [told()]
    to_store().execute(context(MONDAY, TUESDAY))
    tries.append(told())

    ledger = query("SELECT pages, row_count, new_versions FROM wacontacts_extraction ORDER BY started_at")
    assert ledger[0] == (1, 10, 10)
    assert [tuple(one[f"turn.{name}"] for name in ("pages", "rows", "new_versions")) for one in tries] == ledger
    assert query("SELECT count(*) FROM wacontacts_version") == [(sum(new for *_, new in ledger),)]


@pytest.mark.parametrize("kind", ["store", "files"])
def test_rejected_rows_are_measured_although_the_task_fails(
    told: Told, context: Context, turn: Sandbox, tmp_path: Path, kind: str
) -> None:
    turn.fail(Fault(on="page", kind="body", body=ODD))

    with pytest.raises(LandingError):
        (to_store() if kind == "store" else to_files(tmp_path)).execute(context(MONDAY, TUESDAY))

    figures = told()
    assert (figures["turn.rows"], figures["turn.rejected"]) == (1, 1)


def test_retries_and_rate_limits_are_measured(
    told: Told, context: Context, turn: Sandbox, sleepless: list[float]
) -> None:
    turn.fail(
        Fault(on="create", kind="rate_limited", headers={"retry-after": "90"}),
        Fault(on="create", kind="status", status=502),
        Fault(on="page", kind="drop"),
    )

    to_store().execute(context(MONDAY, TUESDAY))

    figures = told()
    assert (figures["turn.retries"], figures["turn.rate_limit_waits"]) == (3, [pytest.approx(94_500.0, abs=4_500.0)])
    assert (len(sleepless), sleepless[0]) == (3, pytest.approx(94.5, abs=4.5))


def test_a_deferred_wait_is_measured_when_it_starts(told: Told, context: Context, turn: Sandbox) -> None:
    turn.fail(Fault(on="create", kind="rate_limited", headers={"retry-after": "3600"}))

    with pytest.raises(TaskDeferred):
        to_store().execute(context(MONDAY, TUESDAY))

    assert told() == {"turn.rate_limit_waits": [3_600_000.0]}
