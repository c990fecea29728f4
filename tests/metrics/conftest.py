"""Operators that run in this process, next to a StatsD server that Airflow's own client sends to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_wacontacts.clients.retry import Clock
from airflow_provider_wacontacts.hooks import feed
from tests.operators.conftest import connect, connections, context, green, query, run, store_path, turn
from tests.operators.whatsapp_business.conftest import api, behave, connect_api, impatient, sandbox, store, tasks
from tests.statsd import StatsdServer, configure_stats
from tests.triggers.conftest import hasty

__all__ = ["api", "behave", "connect", "connect_api", "connections", "context", "green", "hasty", "impatient", "query"]
__all__ += ["run", "sandbox", "store", "store_path", "tasks", "turn"]


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    """A server, and an Airflow that is told to send to it."""
    with StatsdServer() as server:
        for name, value in server.settings.items():
            monkeypatch.setenv(name, value)
        again = configure_stats(monkeypatch)
        yield server
        for name in server.settings:
            monkeypatch.delenv(name)
        again()


@pytest.fixture
def told(statsd: StatsdServer) -> Callable[[], dict[str, Any]]:
    """Give the sums of counters, and the values of all else, that have arrived since it was asked last."""
    return statsd.told


@pytest.fixture
def sleepless(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sleep through no pause between two tries; gives how long they were, in seconds."""
    slept: list[float] = []
    monkeypatch.setattr(feed, "SYSTEM_CLOCK", Clock(sleep=slept.append))
    return slept
