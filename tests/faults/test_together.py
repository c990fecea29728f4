"""Six tasks in separate processes load into one store concurrently."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.records.windows import format_time
from airflow_provider_wacontacts.sandbox import Sandbox, TurnBehaviour

WINDOWS = [
    ["2022-09-12T00:00:00+00:00", "2022-09-13T00:00:00+00:00"],
    ["2022-09-12T00:00:00+00:00", "2022-09-12T01:00:00+00:00"],
    ["2022-09-12T01:00:00+00:00", "2022-09-13T00:00:00+00:00"],
]
CONTACTS = 600


@pytest.fixture
def operators(tmp_path_factory: pytest.TempPathFactory, workers: Any) -> Iterator[Any]:
    """Workers that pull by the operator."""
    program = type(workers)(tmp_path_factory.mktemp("operators"), "operators")
    yield program
    program.stop()


def test_six_concurrent_tasks_load_into_one_new_store(
    operators: Any,
    turn: Sandbox,
    crowd: Any,
    *,
    either_url: str,
    asking: Callable[[str, str], list[tuple[Any, ...]]],
    tmp_path: Path,
) -> None:
    world = crowd(CONTACTS)
    turn.load(world, now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=50))
    plan = {"gate": str(tmp_path / "gate"), "page_size": 20, "environment": connections(turn, either_url)}
    started = [
        operators.start(**plan, window=window, run_id=f"run {number}")
        for number, window in enumerate(window for window in WINDOWS for _ in range(2))
    ]
    (tmp_path / "gate").touch()
    outcomes = [worker.outcome() for worker in started]

    assert [outcome.get("summary", outcome).get("state") for outcome in outcomes] == ["complete"] * 6, outcomes
    assert [outcome["summary"]["rows"] for outcome in outcomes] == [CONTACTS, CONTACTS, 180, 180, 450, 450]
    assert sum(outcome["summary"]["new_versions"] for outcome in outcomes) == CONTACTS
    seen = ("2022-09-13T00:10:00.000000Z",) * 2
    for table in ("wacontacts_version", "wacontacts_current"):
        columns = "contact_id, updated_at, first_seen_at, last_seen_at"
        kept = [tuple(map(written, row)) for row in asking(either_url, f"SELECT {columns} FROM {table} ORDER BY 1")]
        assert kept == sorted((event.uuid, written(event.at), *seen) for event in world)
    query = "SELECT state, count(*) FROM wacontacts_extraction GROUP BY state"
    assert asking(either_url, query) == [("complete", 6)]


def written(value: Any) -> Any:
    return value if isinstance(value, str) else format_time(value)


def connections(turn: Sandbox, url: str) -> dict[str, str]:
    """Write the connections as the environment has them."""
    store = make_url(url)
    fields: dict[str, Any] = {"conn_type": "sqlite", "host": store.database}
    if store.host:
        fields = {"conn_type": "postgres", "host": store.host, "port": store.port, "login": store.username}
        fields |= {"schema": store.database}
    return {
        "AIRFLOW_CONN_TURN_DEFAULT": json.dumps({"conn_type": "turn", "host": turn.url, "password": turn.token}),
        "AIRFLOW_CONN_WACONTACTS_STORE": json.dumps(fields),
    }
