"""Nothing personal and nothing secret shows, with everything at DEBUG."""

import json
import logging
import traceback
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import (
    WaContactsError,
)
from tests.clients.wire import DROP, Answer
from tests.hooks.whatsapp_business.api import (
    check,
    granted,
)

SECRETS = ("example-token-5ec2e7", "example-password-77aa", "16315551000", "UKD6Y/5SqDU=", "whatsapp-name-in-a-body")
LEAKY = json.dumps(
    {"errors": [{"title": " ".join(SECRETS), "details": SECRETS[2]}], "contacts": [{"input": SECRETS[2]}, SECRETS[0]]}
).encode()
CALLS = {
    "check": check,
    "identity": lambda api: api.get_identity(SECRETS[2]),
    "acknowledge": lambda api: api.acknowledge_identity(SECRETS[2], SECRETS[3]),
}


@pytest.fixture(params=["logged in", "not yet"])
def login_that_leaks(request, connect, wire):
    fields = {"host": wire.url, "login": "user", "password": SECRETS[1]}
    connect("whatsapp_business_default", conn_type="whatsapp_business", **fields)
    wire.will(*[granted(SECRETS[0])] * (request.param == "logged in"))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(
    "broken", [Answer(status, LEAKY) for status in (200, 302, 400, 401, 403, 404, 409, 429, 503)] + [DROP]
)
@pytest.mark.usefixtures("login_that_leaks")
def test_no_failure_tells_a_secret_with_everything_at_debug(process, wire, caplog, call, broken):
    caplog.set_level(logging.DEBUG)
    wire.will(ever_after=broken)

    error = None
    try:
        (outcome,) = process.do(call, policy=RetryPolicy(budget=timedelta(seconds=3)))
    except WaContactsError as caught:
        error, outcome = caught, "".join(traceback.format_exception(caught))
    shown = repr(outcome) + caplog.text + repr([vars(one) for one in caplog.records])
    assert [secret for secret in SECRETS if secret in shown] == []
    assert error is None or error.__suppress_context__ or error.__context__ is None
