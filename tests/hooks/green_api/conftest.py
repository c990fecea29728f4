"""A connection to an instance of GREEN-API, and turns that nobody has taken yet."""

import pytest

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
from airflow_provider_wacontacts.hooks import green_api
from tests.hooks.green_api.api import define, hook_of


@pytest.fixture(autouse=True)
def turns(monkeypatch):
    """Those of the process would be counted by another clock with each test."""
    fresh = RateLimiter(green_api.TURN)
    monkeypatch.setattr(green_api, "TURNS", fresh)
    return fresh


@pytest.fixture
def hook(connect, wire, clock):
    define(connect, wire)
    return hook_of(clock)
