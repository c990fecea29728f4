"""One mock server of all three systems, connections, and what Airflow stores of a task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from airflow_provider_wacontacts.sandbox import Sandbox, World
from tests.faults.conftest import empty_store
from tests.leaks.capture import Capture, log_everything
from tests.leaks.setup import Setup
from tests.operators.whatsapp_business.conftest import impatient, threads_may_execute
from tests.triggers.conftest import hasty

__all__ = ["empty_store", "hasty", "impatient", "threads_may_execute"]


@pytest.fixture(scope="session")
def server() -> Iterator[Sandbox]:
    with Sandbox(World(), now="2022-09-13T00:10:00Z") as running:
        yield running


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare an Airflow connection."""

    def declare(conn_id: str, **fields: object) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return declare


@pytest.fixture
def sqlite(
    server: Sandbox, connect: Callable[..., None], tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Setup:
    """A setup with a store in a SQLite file."""
    return Setup(server, connect, tmp_path, f"sqlite:///{tmp_path}/store.db", empty_store, monkeypatch)


@pytest.fixture
def postgres_setup(sqlite: Setup, postgres_url: str) -> Setup:
    """A setup with a store in PostgreSQL, whose connection has a password."""
    sqlite.store = postgres_url
    return sqlite


@pytest.fixture
def capture(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Capture:
    """What is kept from now on, with logging at DEBUG."""
    for module in ("hooks.store", "operators.turn", "operators.green_api", "operators.whatsapp_business"):
        # Airflow sets logging up when it is imported.
        import_module(f"airflow_provider_wacontacts.{module}")
    return Capture(log_everything(monkeypatch), capfd)
