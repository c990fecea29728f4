"""Runs of a real Airflow, with PostgreSQL as the store."""

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.files import versions
from airflow_provider_wacontacts.records.windows import format_time

DAY = timedelta(days=1)
LEDGER = "SELECT {} FROM wacontacts_extraction WHERE dag_id = :dag AND task_id = 'to_store' ORDER BY finished_at"


def windows_of(summaries):
    return [(summary["window_start"], summary["window_end"]) for summary in summaries]


def three_days(runs):
    days = [runs.monday + number * DAY for number in range(3)]
    return [(format_time(day), format_time(day + DAY)) for day in days]


def test_the_run_of_a_day_syncs_that_day(runs):
    assert windows_of(runs.xcoms_of_first_pass) == three_days(runs)


def test_a_backfill_and_its_repetition_succeed(runs):
    assert set(runs.states["turn_contacts_daily"].values()) == {"success"}
    assert len(runs.states["turn_contacts_daily"]) == 3


def test_both_of_bobs_versions_are_in_history_and_the_newer_is_current(runs):
    history = runs.rows(
        "SELECT valid_from, valid_to, payload->'details'->>'current_savings' FROM wacontacts_history"
        " WHERE account = 'turn_default' AND contact_id = :bob ORDER BY valid_from",
        bob=runs.bob,
    )
    monday, tuesday = runs.monday + timedelta(hours=8, minutes=30), runs.monday + DAY + timedelta(hours=10)
    assert history == [(monday, tuesday, "100"), (tuesday, None, "120")]
    current = (
        "SELECT payload->'details'->>'current_savings' FROM wacontacts_current"
        " WHERE account = 'turn_default' AND contact_id = :bob"
    )
    assert runs.rows(current, bob=runs.bob) == [("120",)]


def test_repeated_syncs_return_fewer_contacts_and_add_no_versions(runs):
    ledger = runs.rows(LEDGER.format("row_count, new_versions"), dag="turn_contacts_daily")
    first, again = ledger[:3], ledger[3:]
    assert sum(rows for rows, _ in again) < sum(rows for rows, _ in first)
    assert [new for _, new in again] == [0, 0, 0]


def test_the_ledger_has_the_sync_lag_of_each_window_and_no_loss(runs):
    ledger = runs.rows(LEDGER.format("state, lateness_s, lossy"), dag="turn_contacts_daily")
    assert ledger[:3] == [("complete", 900.0, False)] * 3
    assert all(lateness > 900 and not lossy for _, lateness, lossy in ledger[3:])


def test_the_files_have_the_versions_of_the_same_days(runs):
    in_files = {(version.contact_id, version.updated_at) for version in versions(runs.files)}
    in_store = runs.rows(
        "SELECT contact_id, updated_at FROM wacontacts_version"
        " WHERE account = 'turn_default' AND updated_at >= :start AND updated_at < :end",
        start=runs.monday,
        end=runs.monday + 3 * DAY,
    )
    assert {row for row in in_files if row[1] >= runs.monday} == set(in_store)


def test_an_unsettled_window_is_deferred_and_synced_afterwards(runs):
    assert {"deferred", "success"} <= runs.settling_seen
    _, end = runs.settling_window
    (pulled,) = runs.rows("SELECT state, window_end, finished_at FROM wacontacts_extraction WHERE dag_id = 'settling'")
    assert pulled[:2] == ("complete", end)
    assert pulled[2] >= end + timedelta(seconds=30)


def test_a_long_rate_limit_is_deferred(runs):
    (run,) = runs.airflow.runs("limited")
    (task,) = runs.airflow.tasks("limited", run["dag_run_id"])
    assert (task["state"], task["trigger"]["classpath"]) == (
        "deferred",
        "airflow_provider_wacontacts.triggers.wait.WaitUntilTrigger",
    )


def test_the_asset_event_of_a_mapped_sync_carries_its_own_summary(runs):
    (run,) = runs.airflow.runs("turn_contacts_first_load")
    run_id = run["dag_run_id"]
    events = runs.airflow.asset_events("turn_contacts_first_load")
    pushed = [
        runs.airflow.xcom("turn_contacts_first_load", run_id, "to_store", map_index=index)
        for index in range(len(events))
    ]
    assert len(pushed) == 3
    assert {event["source_map_index"]: event["extra"] for event in events} == dict(enumerate(pushed))


def test_the_first_load_syncs_every_contact_in_slices_without_a_gap(runs):
    ledger = runs.rows(
        "SELECT window_start, window_end, row_count FROM wacontacts_extraction"
        " WHERE dag_id = 'turn_contacts_first_load' ORDER BY window_start"
    )
    assert [end for _, end, _ in ledger[:-1]] == [start for start, _, _ in ledger[1:]]
    assert sum(rows for _, _, rows in ledger) >= len(runs.sandbox.world)
    assert runs.rows("SELECT count(*) FROM wacontacts_current WHERE account = 'turn_default'") == [
        (len(runs.sandbox.world),)
    ]


def test_every_failing_case_fails(runs):
    (run,) = runs.airflow.runs("failures")
    tasks = runs.airflow.tasks("failures", run["dag_run_id"])
    assert {task["state"] for task in tasks} == {"failed"}
    assert len(tasks) == 14


@pytest.mark.parametrize("store", ["store_with_schema", "store_in_sqlite"])
def test_airflows_sql_operators_and_sensors_run_on_the_store(runs, store):
    (run,) = runs.airflow.runs("querying")
    states = {task["task_id"]: task["state"] for task in runs.airflow.tasks("querying", run["dag_run_id"])}
    assert {states[f"{task}_{store}"] for task in ("sync", "wait", "check", "count")} == {"success"}
    synced = runs.airflow.xcom("querying", run["dag_run_id"], f"sync_{store}")
    assert synced["rows"] > 0
    assert runs.airflow.xcom("querying", run["dag_run_id"], f"count_{store}") == synced["rows"]
