"""Connections to the WhatsApp Business API, and the two kinds of process that use them."""

import pytest

from tests.hooks.whatsapp_business.api import Triggerer, Worker, fixed


@pytest.fixture(params=[Worker, Triggerer])
def process(request, clock):
    return request.param(clock)


@pytest.fixture
def by_login(connect, wire):
    connect(
        "whatsapp_business_default", conn_type="whatsapp_business", host=wire.url, login="user", password="pass word"
    )


@pytest.fixture
def by_token(connect, wire):
    fixed(connect, wire, "bearer")


@pytest.fixture
def by_token_impatiently(connect, wire):
    fixed(connect, wire, "bearer", extra={"timeout": 0.05})
