"""GREEN-API's operators: snapshots in the store and in files, and which are accepted as complete."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wacontacts.assets import prefix_asset, store_asset
from airflow_provider_wacontacts.exceptions import (
    ContractError,
    LandingError,
)
from airflow_provider_wacontacts.operators import green_api_contacts
from airflow_provider_wacontacts.pipelines import green_api_snapshot
from airflow_provider_wacontacts.sandbox import Sandbox
from airflow_provider_wacontacts.store import store as store_module
from tests.operators.green_api_cases import ANN, BEN, CAT, GROUP, MONDAY, Connect, Context, to_files, to_store
from tests.operators.outlets import outlet_events

DAY = timedelta(days=1)
HISTORY = "SELECT state, updated_at FROM wacontacts_version WHERE contact_id = '{}' ORDER BY updated_at"
LEDGER = "SELECT state, reason, row_count, gone, back FROM wacontacts_extraction ORDER BY extracted_at"

Query = Callable[[str], list[tuple[Any, ...]]]
Logged = Callable[[], str]


# What is landed


def test_a_missing_contact_is_gone_until_it_returns(green: Sandbox, run: Context, query: Query) -> None:
    summaries = []
    for day in range(4):
        green.clock.set(MONDAY + day * DAY)
        if day == 1:
            green.green_api.remove(GROUP)
            green.green_api.rename(ANN, name="Anna")
        if day == 3:
            green.green_api.put(GROUP, name="Choir")
            green.green_api.rename(ANN, name="Ann")
        summaries.append(to_store(shrink_guard=0.7).execute(run()))

    assert [(one["new_versions"], one["gone"], one["back"]) for one in summaries] == [
        (4, 0, 0),
        (2, 1, 0),
        (0, 0, 0),
        (2, 0, 1),
    ]
    assert query(HISTORY.format(GROUP)) == [
        ("present", "2026-11-02T00:00:00.000000Z"),
        ("gone", "2026-11-03T00:00:00.000000Z"),
        ("present", "2026-11-05T00:00:00.000000Z"),
    ]
    assert [state for state, _ in query(HISTORY.format(ANN))] == ["present"] * 3


def test_the_fields_of_a_summary(green: Sandbox, run: Context) -> None:
    summary = to_store(account="main").execute(run())

    assert len(summary.pop("extraction_id")) == 32
    assert summary == {
        "source": "green_api",
        "account": "main",
        "window_start": None,
        "window_end": None,
        "state": "complete",
        "pages": 1,
        "rows": 4,
        "new_versions": 4,
        "rejected": 0,
        "reject_reasons": {},
        "schema_drift": [],
        "bytes": len(green.green_api.write()),
        "lateness_s": None,
        "lossy": False,
        "gap_before": None,
        "uri": "x-wacontacts-store://wacontacts_store/green_api/main",
        "gone": 0,
        "back": 0,
        "reason": None,
    }
    assert json.loads(json.dumps(summary)) == summary


def test_files_are_laid_out_by_source_account_day_and_extraction(green: Sandbox, run: Context, tmp_path: Path) -> None:
    summary = to_files(tmp_path).execute(run())

    prefix = tmp_path / "green_api" / "green_api_default" / "2026-11-02" / summary["extraction_id"]
    assert (summary["uri"], summary["gone"], summary["back"], summary["reason"]) == (f"file://{prefix}", *[None] * 3)
    lines = gzip.decompress((prefix / "part-00000.jsonl.gz").read_bytes()).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [ANN, BEN, CAT, GROUP]


@pytest.mark.parametrize(
    ("given", "parameters", "rows"),
    [
        ({}, {}, 4),
        ({"group": True}, {"group": "true"}, 1),
        ({"group": False}, {"group": "false"}, 3),
        ({"count": 2}, {"count": "2"}, 2),
    ],
)
def test_group_and_count_are_sent(
    green: Sandbox, run: Context, *, operator: Any, given: Any, parameters: Any, rows: int
) -> None:
    assert operator(**given).execute(run())["rows"] == rows
    assert green.green_api.calls[-1].parameters == parameters


@pytest.mark.parametrize(
    ("told", "given", "reason", "said"),
    [
        ({"history_sync_progress": 99}, {}, "unsynchronised", "has not loaded its whole history"),
        ({}, {"count": 4}, "cut", "truncated by count"),
        ({"shown_share": 0.5}, {}, "shrunken", "much smaller than the last complete one"),
        ({"empty_answers": None}, {"empty_retries": 0, "on_empty": "accept"}, "empty", "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_incomplete_snapshot_marks_no_contacts_as_gone_and_logs_the_reason(
    green: Sandbox, run: Context, query: Query, *, logged: Logged, told: Any, given: Any, reason: str, said: str
) -> None:
    to_store().execute(run())
    green.clock.set(MONDAY + DAY)
    green.green_api.change(seed=3, **told)

    summary = to_store(**given).execute(run())

    assert (summary["state"], summary["reason"], summary["gone"]) == ("incomplete", reason, 0)
    assert query("SELECT count(*) FROM wacontacts_current WHERE state = 'present'") == [(4,)]
    warnings = [line for line in logged().splitlines() if "marks no contacts as gone" in line]
    assert warnings
    assert [line for line in warnings if said not in line] == []


def test_a_smaller_list_is_accepted_the_third_time(green: Sandbox, run: Context, query: Query) -> None:
    for day in range(4):
        green.clock.set(MONDAY + day * DAY)
        if day == 1:
            green.green_api.remove(ANN)
            green.green_api.remove(BEN)
        to_store().execute(run())

    assert query(LEDGER) == [
        ("complete", None, 4, 0, 0),
        ("incomplete", "shrunken", 2, 0, 0),
        ("incomplete", "shrunken", 2, 0, 0),
        ("complete", None, 2, 2, 0),
    ]


@pytest.mark.parametrize(
    "given", [{"accept_shrink": True}, {"shrink_guard": 0.5}, {"shrink_confirmations": 1}], ids=str
)
def test_a_smaller_list_is_accepted_immediately_if_configured(green: Sandbox, run: Context, given: Any) -> None:
    to_store().execute(run())
    green.clock.set(MONDAY + DAY)
    green.green_api.remove(ANN)
    green.green_api.remove(BEN)

    assert to_store(**given).execute(run())["gone"] == 2


def test_a_snapshot_older_than_the_loaded_one_is_refused_and_logged(
    green: Sandbox, run: Context, query: Query, logged: Logged
) -> None:
    now = datetime.now(UTC)
    green.clock.set(now)
    to_store().execute(run())
    green.clock.set(now - timedelta(minutes=30))
    green.green_api.put(ANN, name="Anna", at=MONDAY)

    summary = to_store().execute(run())

    assert (summary["state"], summary["reason"], summary["rows"]) == ("refused", "older", 0)
    assert query("SELECT count(*) FROM wacontacts_version") == [(4,)]
    assert "Snapshot discarded: a newer one is already loaded" in logged()


@pytest.mark.parametrize("wrong_by", [-DAY, 365 * DAY], ids=["behind", "ahead"])
def test_a_wrong_server_clock_fails_the_task_and_later_snapshots_are_loaded(
    green: Sandbox, run: Context, query: Query, wrong_by: timedelta
) -> None:
    now = datetime.now(UTC)
    green.clock.set(now)
    to_store().execute(run())
    green.clock.set(now + wrong_by)
    green.green_api.put(ANN, name="Anna", at=MONDAY)

    with pytest.raises(ContractError, match="Correct the clock"):
        to_store().execute(run())
    assert query("SELECT count(*) FROM wacontacts_version") == [(4,)]

    green.clock.set(now + timedelta(seconds=5))
    assert to_store().execute(run())["new_versions"] == 1


def test_a_stored_snapshot_from_the_future_fails_the_next_one(
    green: Sandbox, run: Context, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(green_api_snapshot, "MAX_CLOCK_DIFFERENCE", 400 * DAY)
        green.clock.set(datetime.now(UTC) + 365 * DAY)
        to_store().execute(run())
    green.clock.set(datetime.now(UTC))

    with pytest.raises(LandingError, match="in the future"):
        to_store().execute(run())
    assert query("SELECT state, error FROM wacontacts_extraction ORDER BY extraction_number") == [
        ("complete", None),
        ("failed", "LandingError"),
    ]


# Retries, templates, assets


def test_a_retry_after_a_store_error_loads_a_new_list(
    green: Sandbox, run: Context, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise LandingError("the store was lost")

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "batch_writer", lambda *_, **__: lost)
        with pytest.raises(LandingError, match="lost"):
            to_store().execute(run())
    assert query("SELECT count(*) FROM wacontacts_version") == [(0,)]
    green.clock.set(MONDAY + DAY)

    assert to_store().execute(run())["new_versions"] == 4
    assert query("SELECT state, resumes FROM wacontacts_extraction ORDER BY resumes") == [
        ("failed", 0),
        ("complete", 1),
    ]


def test_template_fields_are_as_documented(tmp_path: Path) -> None:
    assert set(to_store().template_fields) == {"green_api_conn_id", "store_conn_id", "account"}
    assert set(to_files(tmp_path).template_fields) == {"green_api_conn_id", "account", "path", "erased_conn_id"}


def test_the_account_is_the_argument_the_connections_or_its_id(
    green: Sandbox, connect: Connect, run: Context, query: Query
) -> None:
    behaviour = green.green_api.behaviour
    fields = {"host": green.url, "login": behaviour.id_instance, "password": behaviour.token}
    connect("other", conn_type="green_api", **fields, extra={"account": "shop"})
    for given in ({}, {"account": ""}, {"green_api_conn_id": "other"}, {"account": "mine"}):
        to_store(**given).execute(run())

    assert query("SELECT DISTINCT account FROM wacontacts_current ORDER BY 1") == [
        ("green_api_default",),
        ("mine",),
        ("shop",),
    ]


def test_every_outlets_event_carries_the_summary(green: Sandbox, run: Context, tmp_path: Path) -> None:
    outlets = [store_asset(source="green_api"), prefix_asset(str(tmp_path))]
    events = outlet_events()

    summary = to_store(outlets=outlets).execute(run(outlet_events=events))

    assert [events[outlet].extra for outlet in outlets] == [summary, summary]


def test_the_log_explains_every_reason() -> None:
    from airflow_provider_wacontacts.store import completeness

    names = ("EMPTY", "TRUNCATED", "UNSYNCHRONISED", "UNIDENTIFIED", "SHRUNKEN", "DIFFERENT")
    reasons = {getattr(completeness, name) for name in names}
    assert set(green_api_contacts.INCOMPLETE_REASONS) == reasons
