"""Checks and waits over a real socket, with a real SQLite store and real connections."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.hooks import whatsapp_business_shared
from airflow_provider_wacontacts.pipelines import wait_for_results
from airflow_provider_wacontacts.sandbox import Sandbox, World
from airflow_provider_wacontacts.triggers import wait
from tests.triggers.waiting import SLOW, Place

__all__ = ["api", "connect_api", "declare", "hasty", "place", "sandbox"]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(), now=datetime.now(UTC)) as running:
        yield running


@pytest.fixture
def api(sandbox: Sandbox) -> Sandbox:
    """A client that has never been asked; it answers ``processing`` once, and then what is true."""
    sandbox.load(World(), now=datetime.now(UTC).replace(microsecond=0), whatsapp=SLOW)
    return sandbox


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare an Airflow connection."""
    return lambda conn_id, **fields: monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


@pytest.fixture
def connect_api(api: Sandbox, declare: Callable[..., None]) -> Callable[..., None]:
    """Declare the client's connection, with other extras or fields."""

    def connect(*, extra: dict[str, Any] | None = None, **fields: Any) -> None:
        own = {"conn_type": "whatsapp_business", "host": api.url, "password": api.whatsapp.behaviour.token}
        extras = {"auth": "bearer", "sender": api.whatsapp.behaviour.sender} | (extra or {})
        declare("whatsapp_business_default", **own | fields, extra=extras)

    return connect


@pytest.fixture
def place(
    api: Sandbox, connect_api: Callable[..., None], declare: Callable[..., None], tmp_path: Any, sqlite_url: str
) -> Place:
    connect_api()
    declare("wacontacts_store", conn_type="sqlite", host=str(tmp_path / "store.db"))
    return Place(api, sqlite_url)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> list[timedelta | None]:
    """Pause for a moment only, and fire at once; gives what servers asked for."""
    monkeypatch.setattr(wait, "MIN_DEFERRAL", timedelta(0))
    asked: list[timedelta | None] = []

    def pause(attempt: int, chance: float, retry_after: timedelta | None = None) -> timedelta:
        asked.append(retry_after)
        return timedelta(milliseconds=10)

    monkeypatch.setattr(wait_for_results, "next_pause", pause)
    monkeypatch.setattr(whatsapp_business_shared, "next_pause", lambda attempt, chance, asked: asked or pause(1, 0.0))
    return asked
