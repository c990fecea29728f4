"""Schema drift of accounts: a field that is renamed in the middle of a week is reported on that day, everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator
from airflow_provider_wacontacts.sandbox import Event, Fault, Sandbox, World
from tests.operators.green_api_cases import Connect, Context, to_store
from tests.operators.outlets import outlet_events

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WEDNESDAY = 2
PERSON = "447700900001"
RENAMED = [
    {"field": "details.savings", "change_kind": "gone", "type_before": "{}", "type_after": None, "share": 1.0},
    {"field": "details.current_savings", "change_kind": "new", "type_before": None, "type_after": "{}", "share": 1.0},
]


@pytest.fixture
def week(connect: Connect, store_path: Path) -> Iterator[Sandbox]:
    """Thirty contacts, each updated every day of a week; on Wednesday a custom field is renamed."""
    events = [
        Event(MONDAY + day * DAY + timedelta(hours=8, minutes=number), number, details(day))
        for day in range(7)
        for number in range(1, 31)
    ]
    with Sandbox(World.from_events(events), now=MONDAY + DAY) as sandbox:
        connect("turn_default", conn_type="turn", host=sandbox.url, password=sandbox.token)
        connect("wacontacts_store", conn_type="sqlite", host=str(store_path))
        yield sandbox


def details(day: int) -> dict[str, object]:
    savings = "current_savings" if day >= WEDNESDAY else "savings"
    return {"name": "bob", "whatsapp_id": PERSON, savings: 100 + day, PERSON: "a name of data"}


def renamed(type_name: str) -> list[dict[str, Any]]:
    rows = [{name: type_name if value == "{}" else value for name, value in row.items()} for row in RENAMED]
    return sorted(rows, key=lambda row: row["field"])


@pytest.fixture
def sync(week: Sandbox, context: Context) -> Callable[..., dict[str, Any]]:
    def do(day: int, **given: Any) -> dict[str, Any]:
        week.clock.set(MONDAY + (day + 1) * DAY + timedelta(minutes=10))
        outlets = [store_asset(source="turn")]
        events = outlet_events()
        operator = TurnContactsToSqlOperator(task_id="sync", outlets=outlets, **given)
        run = context(MONDAY + day * DAY, MONDAY + (day + 1) * DAY, outlet_events=events)
        summary = operator.execute(run)
        assert events[outlets[0]].extra == summary
        return summary

    return do


@pytest.mark.parametrize(("is_declared", "type_name"), [(True, "NUMBER"), (False, "number")])
def test_a_renamed_field_is_reported_on_that_day_once_in_all_places(
    week: Sandbox, sync: Any, query: Any, logged: Callable[[], str], *, is_declared: bool, type_name: str
) -> None:
    if not is_declared:
        week.fail(Fault(on="schemas", kind="status", status=403, times=100))
    drift, lines = [], []
    for day in range(7):
        logged()
        drift.append(sync(day)["schema_drift"])
        lines.append(logged())

    assert drift == [renamed(type_name) if day == WEDNESDAY else [] for day in range(7)]
    assert [day for day, text in enumerate(lines) if "Schema drift" in text] == [WEDNESDAY]
    assert f"details.current_savings is new ({type_name}, 100% of contacts)" in lines[WEDNESDAY]
    columns = ("field", "change_kind", "type_before", "type_after", "share")
    stored = query(f"SELECT {', '.join(columns)} FROM wacontacts_field_change ORDER BY field")
    assert [dict(zip(columns, row, strict=True)) for row in stored] == renamed(type_name)
    assert query("SELECT DISTINCT source, account, detected_at FROM wacontacts_field_change") == [
        ("turn", "turn_default", "2022-09-15T00:10:00.000000Z")
    ]
    kept = repr([drift, query("SELECT * FROM wacontacts_field"), query("SELECT * FROM wacontacts_field_change")])
    assert not [text for text in (PERSON, "bob", "name of data") if text in kept or text in lines[WEDNESDAY]]


def test_status_shows_it(
    sync: Any, store_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORE_URL", f"sqlite:///{store_path}")
    for day in (1, 2):
        sync(day)
    monkeypatch.setattr("airflow_provider_wacontacts.pipelines.store_status.DRIFT_SHOWN", timedelta(days=10_000))
    capsys.readouterr()

    assert cli.main(["store", "status", "--url-env", "STORE_URL", "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)["field_changes"]
    assert {(change["field"], change["change_kind"], change["account"]) for change in changes} == {
        ("details.savings", "gone", "turn_default"),
        ("details.current_savings", "new", "turn_default"),
    }
    assert cli.main(["store", "status", "--url-env", "STORE_URL"]) == 0
    assert (
        "details.savings          gone    NUMBER       -           100%      2022-09-15 00:10"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("on_drift", ["warn", "fail"])
def test_on_drift_warns_or_fails_after_loading(sync: Any, query: Any, logged: Callable[[], str], on_drift: str) -> None:
    sync(1, on_drift=on_drift)
    if on_drift == "warn":
        sync(WEDNESDAY, on_drift=on_drift)
        assert any("warning" in line.lower() and "Schema drift" in line for line in logged().splitlines())
    else:
        with pytest.raises(AirflowFailException, match=r"^SchemaDriftError: .*details\.savings is gone .*are loaded"):
            sync(WEDNESDAY, on_drift=on_drift)
        assert sync(WEDNESDAY, on_drift=on_drift)["schema_drift"] == []
    assert query("SELECT count(*) FROM wacontacts_version WHERE payload LIKE '%current_savings%'") == [(30,)]


def test_a_backfill_and_another_selection_are_no_drift(sync: Any) -> None:
    assert sync(4)["schema_drift"] == []
    assert sync(3)["schema_drift"] == []
    assert sync(5, exclude_fields=["details.current_savings"])["schema_drift"] == []
    assert sync(6)["schema_drift"] == []


def test_a_field_of_green_api_is_reported_with_the_snapshot(green: Sandbox, context: Context) -> None:
    for number in range(30):
        green.green_api.put(f"12015550{number + 200}@c.us", name="Ann")

    def take() -> list[tuple[str, str]]:
        drift = to_store().execute(context(None, None))["schema_drift"]
        return [(change["field"], change["change_kind"]) for change in drift]

    assert take() == []
    green.clock.advance(60)
    rows = [{"id": row["id"], "title": row["name"], "type": 1} for row in green.green_api.rows()]
    green.fail(Fault(on="contacts", kind="body", body=json.dumps(rows)))
    drift = take()
    assert {("name", "gone"), ("title", "new"), ("type", "retyped")} <= set(drift)
