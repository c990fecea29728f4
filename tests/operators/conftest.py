"""A Turn.io and a store for operators, through real connections and a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.sandbox import Sandbox, bob
from tests.operators.green_api_cases import green, logged, operator, run
from tests.operators.identity_cases import business

__all__ = ["business", "green", "logged", "operator", "run"]


@pytest.fixture
def turn() -> Iterator[Sandbox]:
    with Sandbox(bob(), now="2022-09-13T00:10:00Z") as sandbox:
        yield sandbox


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare an Airflow connection."""

    def declare(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return declare


@pytest.fixture
def connections(turn: Sandbox, connect: Callable[..., None], store_path: Path) -> None:
    connect("turn_default", conn_type="turn", host=turn.url, password=turn.token)
    connect("wacontacts_store", conn_type="sqlite", host=str(store_path))


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def query(store_path: Path) -> Callable[[str], list[tuple[Any, ...]]]:
    def run(sql: str) -> list[tuple[Any, ...]]:
        with create_engine(f"sqlite:///{store_path}").connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    return run


@pytest.fixture
def context() -> Callable[..., dict[str, Any]]:
    """Make what Airflow hands to a task, as far as an operator may look at it."""

    def make(start: datetime | None, end: datetime | None, **more: Any) -> dict[str, Any]:
        ti = SimpleNamespace(dag_id="contacts", run_id="run", task_id="pull", map_index=-1)
        interval = {"data_interval_start": start, "data_interval_end": end} if start else {}
        return {"ti": ti, "dag_run": SimpleNamespace(run_after=end), "outlet_events": {}, **interval, **more}

    return make


@pytest.fixture
def set_store_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Set the clock of the workers, as the store knows it."""
    from airflow_provider_wacontacts.hooks import store as hooks

    open_store = hooks.open_store

    def set_clock(now: datetime) -> None:
        def opened(conn_id: str) -> Any:
            store = open_store(conn_id)
            store.context.clock = lambda: now
            return store

        monkeypatch.setattr(hooks, "open_store", opened)

    return set_clock
