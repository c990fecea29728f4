"""Schema drift of the operators that write files: a sync is compared with the newest manifest of the account."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.assets import prefix_asset
from airflow_provider_wacontacts.operators.green_api import GreenApiContactsToObjectStorageOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from tests.operators.green_api_cases import Context
from tests.operators.outlets import outlet_events
from tests.operators.test_drift import DAY, MONDAY, PERSON, WEDNESDAY, renamed, week

__all__ = ["week"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "contacts"


@pytest.fixture
def write(week: Sandbox, context: Context, root: Path) -> Callable[..., dict[str, Any]]:
    def do(day: int, **given: Any) -> dict[str, Any]:
        week.clock.set(MONDAY + (day + 1) * DAY + timedelta(minutes=10))
        outlets = [prefix_asset(f"file://{root}", source="turn")]
        events = outlet_events()
        operator = TurnContactsToObjectStorageOperator(task_id="w", path=f"file://{root}", outlets=outlets, **given)
        run = context(MONDAY + day * DAY, MONDAY + (day + 1) * DAY, outlet_events=events)
        summary = operator.execute(run)
        assert events[outlets[0]].extra == summary
        return summary

    return do


def manifests(root: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(root.rglob("_manifest.json"))]


@pytest.mark.parametrize(("is_declared", "type_name"), [(True, "NUMBER"), (False, "number")])
def test_a_renamed_field_is_reported_on_that_day_once_and_is_in_its_manifest(
    week: Sandbox, write: Any, root: Path, logged: Callable[[], str], *, is_declared: bool, type_name: str
) -> None:
    if not is_declared:
        week.fail(Fault(on="schemas", kind="status", status=403, times=100))
    drift, lines = [], []
    for day in range(7):
        logged()
        drift.append(write(day)["schema_drift"])
        lines.append(logged())

    assert drift == [renamed(type_name) if day == WEDNESDAY else [] for day in range(7)]
    assert [day for day, text in enumerate(lines) if "Schema drift" in text] == [WEDNESDAY]
    assert [manifest["drift"] for manifest in manifests(root)] == drift
    kept = repr([drift, [manifest["fields"] for manifest in manifests(root)]])
    assert not [text for text in (PERSON, "bob", "name of data") if text in kept or text in lines[WEDNESDAY]]


def test_on_drift_fails_after_the_files_are_written(write: Any, root: Path) -> None:
    write(1, on_drift="fail")
    with pytest.raises(AirflowFailException, match=r"^SchemaDriftError: .*details\.savings is gone .*are loaded"):
        write(WEDNESDAY, on_drift="fail")

    assert [manifest["rows"] for manifest in manifests(root)] == [30, 30]
    assert write(WEDNESDAY, on_drift="fail")["schema_drift"] == []


def test_a_backfill_and_another_selection_are_no_drift(write: Any, root: Path) -> None:
    assert write(4)["schema_drift"] == []
    assert write(1)["schema_drift"] == []
    assert write(5, exclude_fields=["details.current_savings"])["schema_drift"] == []
    assert write(6)["schema_drift"] == []
    assert [bool(manifest["fields"]) for manifest in manifests(root)] == [False, True, True, True]


def test_manifests_that_cannot_be_read_are_a_warning(write: Any, root: Path, logged: Callable[[], str]) -> None:
    write(0)
    (manifest,) = root.rglob("_manifest.json")
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 99'))

    assert write(1)["rows"] == 30
    assert "Schema drift is unknown" in logged()


def test_a_snapshot_of_green_api_is_compared_with_the_one_before(green: Sandbox, context: Context, root: Path) -> None:
    def take() -> set[tuple[str, str]]:
        operator = GreenApiContactsToObjectStorageOperator(task_id="take", path=f"file://{root}")
        return {(c["field"], c["change_kind"]) for c in operator.execute(context(None, None))["schema_drift"]}

    for number in range(30):
        green.green_api.put(f"12015550{number + 200}@c.us", name="Ann")
    assert take() == set()
    green.clock.advance(60)
    rows = [{"id": row["id"], "title": row["name"], "type": 1} for row in green.green_api.rows()]
    green.fail(Fault(on="contacts", kind="body", body=json.dumps(rows)))
    assert {("name", "gone"), ("title", "new"), ("type", "retyped")} <= take()
