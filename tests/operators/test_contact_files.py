"""The operator that loads files into the store: arguments, summary, and what it skips."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import create_engine

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
from airflow_provider_wacontacts.sandbox import Sandbox, TurnBehaviour, bob
from tests.operators.green_api_cases import ANN, BEN, MONDAY, Connect, Context, to_files, to_store
from tests.operators.outlets import outlet_events

DAY = timedelta(days=1)
NOTHING = {
    "prefixes": 0,
    "known": 0,
    "refused": 0,
    "rows": 0,
    "new_versions": 0,
    "rejected": 0,
    "gone": 0,
    "back": 0,
}

Query = Callable[[str], list[tuple[Any, ...]]]
Dump = Callable[..., Mapping[str, Any]]


def land(path: Path, **arguments: Any) -> ContactFilesToSqlOperator:
    return ContactFilesToSqlOperator(task_id="land", path=f"file://{path}", **arguments)


@pytest.fixture
def anew(connect: Connect, tmp_path: Path, dump_store: Dump) -> Callable[[str], Mapping[str, Any]]:
    """Another store, by the connection ``anew``; read what it promises of an account."""
    connect("anew", conn_type="sqlite", host=str(tmp_path / "anew.db"))
    return lambda account: dump_store(create_engine(f"sqlite:///{tmp_path}/anew.db"), account)


@pytest.fixture
def days(green: Sandbox, run: Context, tmp_path: Path) -> Path:
    """Four days of an account in store and files: Ann goes and comes back, Ben is renamed."""
    files = tmp_path / "files"
    for day in range(4):
        green.clock.set(MONDAY + day * DAY)
        if day == 1:
            green.green_api.remove(ANN)
            green.green_api.rename(BEN, name="Benjamin")
        if day == 3:
            green.green_api.put(ANN, name="Ann")
        for operator in (to_store(shrink_guard=0.7), to_files(files)):
            operator.execute(run())
    return files


def test_a_store_loaded_from_files_equals_one_synced_directly(
    days: Path, anew: Any, run: Context, dump_store: Dump, store_path: Path
) -> None:
    summary = land(days, store_conn_id="anew", shrink_guard=0.7).execute(run())

    assert summary == NOTHING | {"prefixes": 4, "rows": 14, "new_versions": 7, "gone": 1, "back": 1}
    assert json.loads(json.dumps(summary)) == summary
    direct = dump_store(create_engine(f"sqlite:///{store_path}"), "green_api_default")
    assert anew("green_api_default") == direct
    assert len(direct["version"]) == 7


def test_loading_files_again_changes_nothing(days: Path, anew: Any, run: Context) -> None:
    task = land(days, store_conn_id="anew", shrink_guard=0.7)
    task.execute(run())
    before = anew("green_api_default")

    assert task.execute(run()) == NOTHING | {"prefixes": 4, "known": 4}
    assert anew("green_api_default") == before


def test_the_next_run_loads_only_new_extractions(
    days: Path, green: Sandbox, anew: Any, run: Context, *, logged: Callable[[], str]
) -> None:
    land(days, store_conn_id="anew", shrink_guard=0.7).execute(run())
    green.clock.set(MONDAY + 4 * DAY)
    green.green_api.rename(BEN, name="Ben")
    to_files(days).execute(run())

    summary = land(days, store_conn_id="anew", shrink_guard=0.7).execute(run())

    assert summary == NOTHING | {"prefixes": 5, "known": 4, "rows": 4, "new_versions": 1}
    assert "Loaded 1 of 5 extractions: 4 rows, 1 new versions, 0 rejected, 0 gone, 0 returned; 0 refused" in logged()


def test_snapshots_older_than_a_loaded_one_are_refused(days: Path, run: Context) -> None:
    """The store has seen all of these days already, from elsewhere."""
    summary = land(days).execute(run())

    assert (summary["prefixes"], summary["known"], summary["refused"]) == (4, 0, 3)
    assert (summary["new_versions"], summary["gone"], summary["back"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("given", "gone"),
    [
        ({}, 0),
        ({"shrink_guard": 0.75}, 1),
        ({"shrink_confirmations": 2}, 1),
        ({"accept_shrink": True}, 1),
    ],
    ids=str,
)
def test_the_arguments_of_the_shrink_guard_apply(days: Path, anew: Any, run: Context, *, given: Any, gone: int) -> None:
    assert land(days, store_conn_id="anew", **given).execute(run())["gone"] == gone


def test_source_and_account_select_the_extractions(
    days: Path, green: Sandbox, anew: Any, run: Context, *, connect: Connect, context: Context
) -> None:
    green.load(bob(), now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour())
    connect("turn_default", conn_type="turn", host=green.url, password=green.token)
    monday = (datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC))
    for operator in (
        TurnContactsToObjectStorageOperator(task_id="pull", path=f"file://{days}", account="helpline"),
        TurnContactsToSqlOperator(task_id="pull", account="helpline"),
    ):
        operator.execute(context(*monday))

    of_turn = land(days, store_conn_id="anew", source="turn").execute(run())
    of_nobody = land(days, store_conn_id="anew", account="nobody").execute(run())
    of_all = land(days, store_conn_id="anew", source="", account="").execute(run())

    assert of_turn == NOTHING | {"prefixes": 1, "rows": 1, "new_versions": 1}
    assert of_nobody == NOTHING
    assert (of_all["prefixes"], of_all["known"], of_all["rows"]) == (5, 1, 14)
    assert len(anew("helpline")["version"]) == 1


def test_a_corrupt_part_is_retried_and_earlier_extractions_stay_loaded(
    days: Path, anew: Any, run: Context, tmp_path: Path
) -> None:
    *_, newest = sorted(days.rglob("part-00000.jsonl.gz"), key=lambda part: part.parent.parent.name)
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-1])
    task = land(days, store_conn_id="anew", shrink_guard=0.7)

    with pytest.raises(LandingError, match="does not match its manifest"):
        task.execute(run())
    newest.write_bytes(whole)

    assert task.execute(run()) == NOTHING | {"prefixes": 4, "known": 3, "rows": 4, "new_versions": 1, "back": 1}


def test_a_folder_without_a_manifest_is_skipped(days: Path, anew: Any, run: Context) -> None:
    next(days.rglob("_manifest.json")).unlink()

    assert land(days, store_conn_id="anew").execute(run())["prefixes"] == 3


def test_an_empty_path_loads_nothing(green: Sandbox, run: Context, tmp_path: Path) -> None:
    assert land(tmp_path / "nowhere").execute(run()) == NOTHING


def test_every_outlets_event_carries_the_summary(days: Path, anew: Any, run: Context) -> None:
    outlet = store_asset("anew")
    events = outlet_events()

    summary = land(days, store_conn_id="anew", outlets=[outlet]).execute(run(outlet_events=events))

    assert events[outlet].extra == summary


def test_template_fields_are_as_documented(tmp_path: Path) -> None:
    assert set(land(tmp_path).template_fields) == {"path", "store_conn_id", "source", "account"}


@pytest.mark.parametrize(
    "arguments", [{"shrink_guard": -0.1}, {"shrink_guard": 1.1}, {"shrink_confirmations": 0}], ids=str
)
def test_an_invalid_argument_is_rejected_by_name_when_the_dag_is_parsed(
    tmp_path: Path, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        land(tmp_path, **arguments)


def test_an_invalid_store_connection_fails_without_retries(connect: Connect, run: Context, tmp_path: Path) -> None:
    connect("wacontacts_store", conn_type="mysql", host="db.example")

    with pytest.raises(AirflowFailException, match="wacontacts_store"):
        land(tmp_path).execute(run())


@pytest.mark.parametrize("given", [{"source": "green-api"}, {"account": ".."}], ids=str)
def test_an_invalid_source_or_account_fails_without_retries(
    green: Sandbox, run: Context, tmp_path: Path, given: Any
) -> None:
    with pytest.raises(AirflowFailException):
        land(tmp_path, **given).execute(run())
