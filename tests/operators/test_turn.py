"""Turn.io operators: windows, targets, deferrals and errors."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_wacontacts.assets import prefix_asset, store_asset
from airflow_provider_wacontacts.exceptions import ConfigError, ContractError, LandingError, RateLimitedError
from airflow_provider_wacontacts.operators.turn import (
    TurnContactsToObjectStorageOperator,
    TurnContactsToSqlOperator,
)
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from airflow_provider_wacontacts.triggers.wait import WaitUntilTrigger
from tests.operators.outlets import outlet_events

MONDAY, TUESDAY, WEDNESDAY = (datetime(2022, 9, day, tzinfo=UTC) for day in (12, 13, 14))
BOB = "f6c4e666-81ad-430e-aea5-1ba33e6f4c35"
SAVINGS = "SELECT payload->'details'->>'current_savings' FROM {} ORDER BY updated_at"

Context = Callable[..., dict[str, Any]]
Query = Callable[[str], list[tuple[Any, ...]]]


def to_store(**arguments: Any) -> TurnContactsToSqlOperator:
    return TurnContactsToSqlOperator(task_id="pull", **arguments)


def to_files(path: Path, **arguments: Any) -> TurnContactsToObjectStorageOperator:
    return TurnContactsToObjectStorageOperator(task_id="pull", path=f"file://{path}", **arguments)


@pytest.mark.usefixtures("connections")
def test_both_of_bobs_versions_are_kept_and_the_newer_is_current(turn: Sandbox, context: Context, query: Query) -> None:
    for now, window in [
        ("2022-09-13T00:10:00Z", (MONDAY, TUESDAY)),
        ("2022-09-14T00:10:00Z", (TUESDAY, WEDNESDAY)),
        ("2022-09-14T00:20:00Z", (MONDAY, TUESDAY)),
    ]:
        turn.clock.set(now)
        to_store().execute(context(*window))

    assert query(SAVINGS.format("wacontacts_history")) == [(100,), (120,)]
    assert query(SAVINGS.format("wacontacts_current")) == [(120,)]


@pytest.mark.usefixtures("connections")
def test_the_fields_of_a_summary(context: Context) -> None:
    summary = to_store().execute(context(MONDAY, TUESDAY))

    assert len(summary.pop("extraction_id")) == 32
    assert summary == {
        "source": "turn",
        "account": "turn_default",
        "window_start": "2022-09-12T00:00:00.000000Z",
        "window_end": "2022-09-13T00:00:00.000000Z",
        "state": "complete",
        "pages": 1,
        "rows": 1,
        "new_versions": 1,
        "rejected": 0,
        "reject_reasons": {},
        "schema_drift": [],
        "bytes": 390,
        "lateness_s": 600.0,
        "lossy": False,
        "gap_before": None,
        "uri": "x-wacontacts-store://wacontacts_store/turn/turn_default",
    }
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.usefixtures("connections")
def test_files_are_laid_out_by_source_account_day_and_extraction(tmp_path: Path, context: Context) -> None:
    summary = to_files(tmp_path, account="main").execute(context(MONDAY, TUESDAY))

    prefix = tmp_path / "turn" / "main" / "2022-09-12" / summary["extraction_id"]
    assert summary["uri"] == f"file://{prefix}"
    assert sorted(file.name for file in prefix.iterdir()) == ["_manifest.json", "part-00000.jsonl.gz"]
    lines = gzip.decompress((prefix / "part-00000.jsonl.gz").read_bytes()).splitlines()
    assert [json.loads(line)["uuid"] for line in lines] == [BOB]


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_a_late_sync_to_files_is_lossy(tmp_path: Path, context: Context, turn: Sandbox, file_format: str) -> None:
    turn.clock.set("2022-09-13T01:00:01Z")

    summary = to_files(tmp_path, file_format=file_format).execute(context(MONDAY, TUESDAY))

    assert (summary["lossy"], summary["lateness_s"], summary["rows"]) == (True, 3601.0, 1)


@pytest.mark.usefixtures("connections")
def test_fail_on_lossy_and_fail_on_gap_fail_the_task_after_loading(
    tmp_path: Path, context: Context, turn: Sandbox, query: Query
) -> None:
    turn.clock.set("2022-09-13T01:00:01Z")
    with pytest.raises(AirflowFailException, match="more than 1:00:00 late, and fail_on_lossy"):
        to_store(fail_on_lossy=True).execute(context(MONDAY, TUESDAY))
    with pytest.raises(AirflowFailException, match="fail_on_lossy"):
        to_files(tmp_path, fail_on_lossy=True).execute(context(MONDAY, TUESDAY))
    assert len(query(SAVINGS.format("wacontacts_current"))) == 1
    turn.clock.set("2022-09-16T00:10:00Z")
    later = context(WEDNESDAY + timedelta(days=1), WEDNESDAY + timedelta(days=2))
    with pytest.raises(AirflowFailException, match=r"No sync covers 2022-09-13T00:00:00.* Run a backfill"):
        to_store(fail_on_gap=True, fail_on_lossy=True).execute(later)
    assert to_store(fail_on_lossy=True).execute(later)["gap_before"]


@pytest.mark.usefixtures("connections")
def test_the_lookback_is_requested_but_is_not_part_of_the_window(turn: Sandbox, context: Context, query: Query) -> None:
    turn.clock.set("2022-09-14T00:10:00Z")
    start = datetime(2022, 9, 13, 10, 5, tzinfo=UTC)

    summary = to_store(lookback=timedelta(minutes=10)).execute(context(start, WEDNESDAY))

    assert (summary["rows"], summary["window_start"]) == (1, "2022-09-13T10:05:00.000000Z")
    assert query("SELECT window_start FROM wacontacts_extraction") == [("2022-09-13T10:05:00.000000Z",)]


@pytest.mark.usefixtures("connections")
def test_explicit_times_take_precedence_over_the_interval(context: Context) -> None:
    pull = to_store(start="2022-09-12T00:00:00Z", end="2022-09-13T00:00:00+00:00")

    assert pull.execute(context(TUESDAY, WEDNESDAY))["window_start"] == "2022-09-12T00:00:00.000000Z"


@pytest.mark.usefixtures("connections")
def test_an_interval_of_pendulum_datetimes_is_synced(context: Context) -> None:
    interval = (pendulum.datetime(2022, 9, 12), pendulum.datetime(2022, 9, 13))

    assert to_store().execute(context(*interval))["rows"] == 1
    assert to_store(window_length=timedelta(days=1)).execute(context(None, interval[1]))["rows"] == 1


@pytest.mark.usefixtures("connections")
def test_a_manual_run_uses_window_length(context: Context) -> None:
    summary = to_store(window_length=timedelta(days=1)).execute(context(None, TUESDAY))

    assert (summary["window_start"], summary["rows"]) == ("2022-09-12T00:00:00.000000Z", 1)


@pytest.mark.parametrize("interval", [(TUESDAY, TUESDAY), (None, TUESDAY)])
@pytest.mark.usefixtures("connections")
def test_a_run_without_a_window_fails_without_a_request(turn: Sandbox, context: Context, interval: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"window_length, .*CronDataIntervalTimetable"):
        to_store().execute(context(*interval))

    assert turn.requests.count() == 0


@pytest.mark.usefixtures("connections")
def test_an_unsettled_window_is_deferred_without_a_request(turn: Sandbox, context: Context) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)

    with pytest.raises(TaskDeferred) as deferred:
        to_store(settle=timedelta(minutes=7)).execute(context(end - timedelta(days=1), end))

    assert isinstance(deferred.value.trigger, WaitUntilTrigger)
    assert (deferred.value.trigger.until, deferred.value.method_name) == (
        end + timedelta(minutes=7),
        "execute_after_wait",
    )
    assert (deferred.value.kwargs, turn.requests.count()) == (None, 0)


@pytest.mark.usefixtures("connections")
def test_a_window_that_ends_in_the_future_after_the_wait_fails_the_task(turn: Sandbox, context: Context) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)

    with pytest.raises(AirflowFailException, match="in the future"):
        to_store().execute_after_wait(context(end - timedelta(days=1), end), {"attempt": 1})

    assert turn.requests.count() == 0


@pytest.mark.usefixtures("connections")
def test_a_settled_window_is_synced_after_the_wait(context: Context) -> None:
    assert to_store().execute_after_wait(context(MONDAY, TUESDAY), {"until": "…", "attempt": 1})["rows"] == 1


@pytest.mark.parametrize("event", [None, {}, {"attempt": "1"}, {"attempt": 0}, "text"])
@pytest.mark.usefixtures("connections")
def test_an_unknown_event_fails(context: Context, event: Any) -> None:
    with pytest.raises(ValueError, match="attempt"):
        to_store().execute_after_wait(context(MONDAY, TUESDAY), event)


@pytest.mark.usefixtures("connections")
def test_a_long_retry_after_is_deferred_with_its_attempt(turn: Sandbox, context: Context) -> None:
    turn.fail(Fault(on="create", kind="rate_limited", headers={"retry-after": "3600"}))
    before = datetime.now(UTC)

    with pytest.raises(TaskDeferred) as deferred:
        to_store().execute(context(MONDAY, TUESDAY))

    trigger = deferred.value.trigger
    assert (trigger.attempt, trigger.until >= before + timedelta(hours=1)) == (2, True)
    assert to_store().execute_after_wait(context(MONDAY, TUESDAY), {"attempt": 2})["rows"] == 1


@pytest.mark.usefixtures("connections")
def test_the_task_fails_after_too_many_rate_limited_attempts(turn: Sandbox, context: Context) -> None:
    turn.fail(Fault(on="create", kind="rate_limited", headers={"retry-after": "3600"}))

    with pytest.raises(RateLimitedError):
        to_store().execute_after_wait(context(MONDAY, TUESDAY), {"attempt": 20})


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.usefixtures("connections")
def test_permanent_errors_fail_without_retries(turn: Sandbox, context: Context, status: int) -> None:
    turn.fail(*[Fault(on="create", kind="status", status=status)] * 2)

    with pytest.raises(AirflowFailException, match=f"HTTP {status}"):
        to_store().execute(context(MONDAY, TUESDAY))


@pytest.mark.usefixtures("connections")
def test_transient_errors_are_left_to_airflows_retries(turn: Sandbox, context: Context) -> None:
    turn.fail(Fault(on="create", kind="html"))

    with pytest.raises(ContractError):
        to_store().execute(context(MONDAY, TUESDAY))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"password": "example-token"}, "host"),
        ({"host": "https://turn.example"}, "password"),
        ({"host": "http://turn.example", "password": "example-token"}, "allow_http"),
    ],
)
def test_an_invalid_connection_is_rejected_by_field_before_any_request(
    connect: Callable[..., None], context: Context, store_path: Path, fields: dict[str, str], named: str
) -> None:
    connect("turn_default", conn_type="turn", **fields)
    connect("wacontacts_store", conn_type="sqlite", host=str(store_path))

    with pytest.raises(AirflowFailException, match=named):
        to_store().execute(context(MONDAY, TUESDAY))

    assert not store_path.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"lookback": timedelta(seconds=-1)}, "lookback"),
        ({"settle": timedelta(seconds=-1)}, "settle"),
        ({"late_after": timedelta(seconds=-1)}, "late_after"),
        ({"window_length": timedelta(0)}, "window_length"),
        ({"max_rejected": 1.1}, "max_rejected"),
        ({"ordering": "up"}, "ordering"),
        ({"page_size": 0}, "page_size"),
    ],
)
def test_an_invalid_argument_is_rejected_by_name_when_the_dag_is_parsed(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        to_store(**arguments)


def test_an_unknown_file_format_is_refused_when_the_dag_is_parsed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="file_format"):
        to_files(tmp_path, file_format="csv")


def test_template_fields_are_as_documented(tmp_path: Path) -> None:
    assert set(to_store().template_fields) == {"turn_conn_id", "store_conn_id", "account", "start", "end"}
    assert set(to_files(tmp_path).template_fields) == {
        *("turn_conn_id", "account", "start", "end", "path", "erased_conn_id")
    }


@pytest.mark.usefixtures("connections")
def test_every_outlets_event_carries_the_summary(tmp_path: Path, context: Context) -> None:
    outlets = [store_asset(source="turn"), prefix_asset(str(tmp_path))]
    events = outlet_events()

    summary = to_store(outlets=outlets).execute(context(MONDAY, TUESDAY, outlet_events=events))

    assert [events[outlet].extra for outlet in outlets] == [summary, summary]


@pytest.mark.usefixtures("connections")
def test_too_many_rejected_rows_fail_the_task_after_the_rest_is_loaded(
    turn: Sandbox, context: Context, query: Query
) -> None:
    turn.fail(reject_page())

    with pytest.raises(LandingError, match=r"max_rejected \(1\.00%\) allows: 1 neither uuid nor id\. The other"):
        to_store().execute(context(MONDAY, TUESDAY))

    assert query("SELECT state, row_count, rejected FROM wacontacts_extraction") == [("incomplete", 1, 1)]
    assert query("SELECT reason FROM wacontacts_reject") == [("neither uuid nor id",)]
    assert query("SELECT contact_id FROM wacontacts_current") == [("sound",)]


@pytest.mark.usefixtures("connections")
def test_rejected_rows_within_max_rejected_are_stored_as_rejects(
    turn: Sandbox, context: Context, query: Query, logged: Callable[[], str]
) -> None:
    turn.fail(reject_page())

    summary = to_store(max_rejected=0.5).execute(context(MONDAY, TUESDAY))

    assert (summary["state"], summary["rows"], summary["rejected"]) == ("complete", 1, 1)
    assert summary["reject_reasons"] == {"neither uuid nor id": 1}
    assert "Rejected rows: 1 neither uuid nor id" in logged()
    assert query("SELECT count(*) FROM wacontacts_reject") == [(1,)]


@pytest.mark.usefixtures("connections")
def test_the_documented_contact_with_the_year_20222_is_rejected(turn: Sandbox, context: Context) -> None:
    details = {"name": "bob", "whatsapp_id": "44623456700", "current_savings": 100}
    misprinted = {"id": 1, "updated_at": "20222-09-12T08:30:00.000Z", "details": details}
    turn.fail(Fault(on="page", kind="body", body=json.dumps({"data": [misprinted]})))

    with pytest.raises(LandingError, match=r"^1 of 1 rows were .*: 1 updated_at is not a time\. ") as raised:
        to_store().execute(context(MONDAY, TUESDAY))

    assert "bob" not in str(raised.value)


@pytest.mark.usefixtures("connections")
def test_too_many_rejected_rows_of_files_fail_the_task(turn: Sandbox, tmp_path: Path, context: Context) -> None:
    turn.fail(reject_page())

    with pytest.raises(LandingError, match=r"max_rejected \(1\.00%\) allows: 1 neither uuid nor id\. The other"):
        to_files(tmp_path).execute(context(MONDAY, TUESDAY))

    manifest = json.loads(next(tmp_path.rglob("_manifest.json")).read_text())
    assert (manifest["rows"], manifest["rejected"]) == (1, 1)


@pytest.mark.usefixtures("connections")
def test_a_token_of_another_number_fails_before_its_rows_are_loaded(
    turn: Sandbox, context: Context, query: Query
) -> None:
    to_store().execute(context(MONDAY, TUESDAY))
    turn.clock.set("2022-09-14T00:10:00Z")
    turn.change(number_id=2)

    with pytest.raises(AirflowFailException, match="has another token now"):
        to_store().execute(context(TUESDAY, WEDNESDAY))

    assert query(SAVINGS.format("wacontacts_version")) == [(100,)]


@pytest.mark.usefixtures("connections")
def test_an_empty_window_is_a_complete_extraction(context: Context, query: Query) -> None:
    summary = to_store().execute(context(MONDAY - timedelta(days=1), MONDAY))

    assert (summary["rows"], summary["state"]) == (0, "complete")
    assert query("SELECT state, row_count FROM wacontacts_extraction") == [("complete", 0)]


@pytest.mark.usefixtures("connections")
def test_gap_before_is_the_gap_between_windows(turn: Sandbox, context: Context) -> None:
    to_store().execute(context(MONDAY, TUESDAY))
    turn.clock.set("2022-09-15T00:10:00Z")

    summary = to_store().execute(context(WEDNESDAY, WEDNESDAY + timedelta(days=1)))

    assert summary["gap_before"] == "2022-09-13T00:00:00.000000Z/2022-09-14T00:00:00.000000Z"


def reject_page() -> Fault:
    """Answer one sound contact and one without a key."""
    body = '{"data":[{"uuid":"sound","updated_at":"2022-09-12T08:30:00Z"},{"updated_at":"2022-09-12T08:30:00Z"}]}'
    return Fault(on="page", kind="body", body=body)
