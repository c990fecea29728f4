"""Schema drift, in the store and in files: a renamed field is reported on the day of the change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.assets import prefix_asset, store_asset
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
from airflow_provider_wacontacts.sandbox import Event, Fault, Sandbox, World
from tests.operators.green_api_cases import Connect, Context, to_files, to_store
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
def root(tmp_path: Path) -> Path:
    return tmp_path / "contacts"


@pytest.fixture(params=["store", "files"])
def target(request: pytest.FixtureRequest) -> str:
    """Where contacts are written. Files are compared with the newest manifest of the account."""
    return str(request.param)


@pytest.fixture
def sync(week: Sandbox, context: Context, target: str, root: Path) -> Callable[..., dict[str, Any]]:
    def do(day: int, **given: Any) -> dict[str, Any]:
        week.clock.set(MONDAY + (day + 1) * DAY + timedelta(minutes=10))
        if target == "store":
            outlet = store_asset(source="turn")
            operator: Any = TurnContactsToSqlOperator(task_id="sync", outlets=[outlet], **given)
        else:
            path = f"file://{root}"
            outlet = prefix_asset(path, source="turn")
            operator = TurnContactsToObjectStorageOperator(task_id="sync", path=path, outlets=[outlet], **given)
        events = outlet_events()
        run = context(MONDAY + day * DAY, MONDAY + (day + 1) * DAY, outlet_events=events)
        summary = operator.execute(run)
        assert events[outlet].extra == summary
        return dict(summary)

    return do


def manifests(root: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(root.rglob("_manifest.json"))]


@pytest.fixture
def loaded(target: str, root: Path, query: Any) -> Callable[[], list[int]]:
    """Return how many contacts each extraction has loaded."""

    def counts() -> list[int]:
        if target == "files":
            return [manifest["rows"] for manifest in manifests(root)]
        return [row[0] for row in query("SELECT row_count FROM wacontacts_extraction ORDER BY extracted_at")]

    return counts


@pytest.fixture
def kept_drift(target: str, root: Path, query: Any) -> Callable[[list[object], str], str]:
    """Expect the drift where it is kept, and return all that is kept of fields."""

    def in_store(_: list[object], type_name: str) -> str:
        columns = ("field", "change_kind", "type_before", "type_after", "share")
        stored = query(f"SELECT {', '.join(columns)} FROM wacontacts_field_change ORDER BY field")
        assert [dict(zip(columns, row, strict=True)) for row in stored] == renamed(type_name)
        assert query("SELECT DISTINCT source, account, detected_at FROM wacontacts_field_change") == [
            ("turn", "turn_default", "2022-09-15T00:10:00.000000Z")
        ]
        return repr([query("SELECT * FROM wacontacts_field"), query("SELECT * FROM wacontacts_field_change")])

    def in_manifests(drift: list[object], _: str) -> str:
        assert [manifest["drift"] for manifest in manifests(root)] == drift
        return repr([(manifest["drift"], manifest["fields"]) for manifest in manifests(root)])

    return in_store if target == "store" else in_manifests


@pytest.mark.parametrize(("is_declared", "type_name"), [(True, "NUMBER"), (False, "number")])
def test_a_renamed_field_is_reported_once_in_summary_log_and_store_or_files(
    week: Sandbox, sync: Any, kept_drift: Any, logged: Callable[[], str], *, is_declared: bool, type_name: str
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
    kept = kept_drift(drift, type_name)
    assert not [text for text in (PERSON, "bob", "name of data") if text in kept or text in lines[WEDNESDAY]]


@pytest.mark.parametrize("target", ["store"])
def test_status_shows_drift(
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


def test_on_drift_warns_after_loading(sync: Any, loaded: Any, logged: Callable[[], str]) -> None:
    sync(1, on_drift="warn")
    sync(WEDNESDAY, on_drift="warn")
    assert any("warning" in line.lower() and "Schema drift" in line for line in logged().splitlines())
    assert loaded() == [30, 30]


def test_on_drift_fails_after_loading(sync: Any, loaded: Any) -> None:
    sync(1, on_drift="fail")
    with pytest.raises(AirflowFailException, match=r"^SchemaDriftError: .*details\.savings is gone .*are loaded"):
        sync(WEDNESDAY, on_drift="fail")
    assert loaded() == [30, 30]
    assert sync(WEDNESDAY, on_drift="fail")["schema_drift"] == []


def test_a_backfill_and_another_selection_are_not_drift(sync: Any, target: str, root: Path) -> None:
    # Of earlier days the mock server declares other fields, which files alone do not look at.
    earlier = 1 if target == "files" else 3
    assert sync(4)["schema_drift"] == []
    assert sync(earlier)["schema_drift"] == []
    assert sync(5, exclude_fields=["details.current_savings"])["schema_drift"] == []
    assert sync(6)["schema_drift"] == []
    if target == "files":
        assert [bool(manifest["fields"]) for manifest in manifests(root)] == [False, True, True, True]


@pytest.mark.parametrize("target", ["files"])
def test_unreadable_manifests_are_logged_as_a_warning(sync: Any, root: Path, logged: Callable[[], str]) -> None:
    sync(0)
    (manifest,) = root.rglob("_manifest.json")
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 99'))

    assert sync(1)["rows"] == 30
    assert "Schema drift is unknown" in logged()


def test_a_snapshot_of_green_api_is_compared_with_the_previous_one(
    green: Sandbox, context: Context, target: str, root: Path
) -> None:
    def take() -> set[tuple[str, str]]:
        operator = to_store() if target == "store" else to_files(root)
        return {(c["field"], c["change_kind"]) for c in operator.execute(context(None, None))["schema_drift"]}

    for number in range(30):
        green.green_api.put(f"12015550{number + 200}@c.us", name="Ann")
    assert take() == set()
    green.clock.advance(60)
    rows = [{"id": row["id"], "title": row["name"], "type": 1} for row in green.green_api.rows()]
    green.fail(Fault(on="contacts", kind="body", body=json.dumps(rows)))
    assert {("name", "gone"), ("title", "new"), ("type", "retyped")} <= take()
