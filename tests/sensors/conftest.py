"""Checks and waits over a real socket."""

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from tests.sensors.cases import FIRST_LOOKS, IS_AIRFLOW_2
from tests.triggers.conftest import api, connect_api, declare, hasty, place, sandbox

__all__ = ["api", "connect_api", "declare", "hasty", "place", "sandbox"]


@pytest.fixture(autouse=True)
def airflow_2_knows_who_looked_first(monkeypatch):
    if IS_AIRFLOW_2:
        told = "airflow.sensors.base._orig_start_date"
        monkeypatch.setattr(told, lambda dag_id, task_id, run_id, map_index, try_number: FIRST_LOOKS[run_id])


@pytest.fixture
def impatient(monkeypatch):
    """Send every request once."""
    monkeypatch.setattr("airflow_provider_wacontacts.hooks.feed.DEFAULT_POLICY", RetryPolicy(budget=timedelta(0)))
