"""A connection to an instance of GREEN-API, and new rate limiters."""

import pytest

from airflow_provider_wacontacts.clients.green_api import REQUEST_INTERVAL
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.hooks import green_api
from tests.hooks.green_api.api import define, hook_of


@pytest.fixture(autouse=True)
def rate_limiters(monkeypatch):
    """Those of the process would mix the clocks of several tests."""
    fresh = RateLimiters(REQUEST_INTERVAL)
    monkeypatch.setattr(green_api, "RATE_LIMITERS", fresh)
    return fresh


@pytest.fixture
def hook(connect, wire, clock):
    define(connect, wire)
    return hook_of(clock)
