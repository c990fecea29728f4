"""The stand-in, written by others from the same documents, and the hook understand each other."""

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import (
    RateLimitedError,
)
from airflow_provider_wacontacts.sandbox.server import Sandbox
from tests.hooks.whatsapp_business.api import (
    DAY,
    VALID,
    check,
    fixed,
)


@pytest.mark.parametrize("auth", ["login", "bearer", "d360"])
def test_the_mock_server_is_checked(connect, process, auth):
    with Sandbox() as sandbox:
        kind = sandbox.whatsapp.behaviour
        secret = {"login": kind.password, "bearer": kind.token, "d360": kind.api_key}[auth]
        fixed(connect, sandbox, auth, secret, login=kind.username)
        answer, identity = process.do(check, lambda api: api.get_identity("16315551000"))

        assert (answer.results, answer.missing, answer.client_version) == (VALID, [], kind.version)
        assert identity.hash


@pytest.mark.parametrize("rate_answer", ["errors", "empty", "dialog360"])
def test_a_stand_ins_rate_limit_is_kept(connect, process, clock, rate_answer):
    with Sandbox() as sandbox:
        fixed(connect, sandbox, "bearer", sandbox.whatsapp.behaviour.token)
        sandbox.whatsapp.change(rate_limit=0.001, rate_burst=1, rate_answer=rate_answer)
        with pytest.raises(RateLimitedError):
            process.do(check, check, policy=RetryPolicy(budget=timedelta(seconds=5)))


def test_a_stand_ins_token_expires(connect, process):
    with Sandbox() as sandbox:
        kind = sandbox.whatsapp.behaviour
        fixed(connect, sandbox, "login", kind.password, login=kind.username)

        first, _, second = process.do(check, process.meanwhile(lambda: sandbox.clock.advance(8 * DAY)), check)
        assert first.results == second.results == VALID
