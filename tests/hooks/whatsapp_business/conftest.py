"""Connections to the WhatsApp Business API, and the two kinds of process that use them."""

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.hooks import whatsapp_business, whatsapp_business_shared
from tests.hooks.whatsapp_business.api import Triggerer, Worker, fixed, logging_in


@pytest.fixture(autouse=True)
def rate_limiters(monkeypatch):
    """Requests are not spaced."""
    for module in (whatsapp_business, whatsapp_business_shared):
        monkeypatch.setattr(module, "RATE_LIMITERS", RateLimiters(timedelta(0)))


@pytest.fixture(params=[Worker, Triggerer])
def process(request, clock):
    return request.param(clock)


@pytest.fixture
def by_login(connect, wire):
    logging_in(connect, wire)


@pytest.fixture
def by_token(connect, wire):
    fixed(connect, wire, "bearer")
