"""Connections to the WhatsApp Business API, and the two kinds of process that use them."""

import pytest

from tests.hooks.whatsapp_business.api import Triggerer, Worker, fixed, logging_in


@pytest.fixture(params=[Worker, Triggerer])
def process(request, clock):
    return request.param(clock)


@pytest.fixture
def by_login(connect, wire):
    logging_in(connect, wire)


@pytest.fixture
def by_token(connect, wire):
    fixed(connect, wire, "bearer")


@pytest.fixture
def by_token_impatiently(connect, wire):
    fixed(connect, wire, "bearer", extra={"timeout": 0.05})
