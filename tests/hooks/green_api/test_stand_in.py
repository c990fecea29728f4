"""The stand-in, written by others from the same documents, and the hook understand each other."""

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.green_api import WaSettings
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    ContractError,
    NotEnabledError,
    RateLimitedError,
    RejectedError,
    TransientError,
)
from airflow_provider_wacontacts.sandbox import GreenApiBehaviour, Sandbox
from tests.hooks.green_api.api import NOON, define, hook_of, ids

EXAMPLE = ["11001234567@c.us", "79001234568@c.us", "79001234569-1479621234@g.us"]


@pytest.fixture
def stand_in(connect, clock):
    """Start a stand-in, and return it with a hook that leads to it."""
    running = []

    def start(password=None, **behaviour):
        kind = GreenApiBehaviour(**behaviour)
        running.append(Sandbox(green_api=kind).start())
        host = running[-1].url + kind.base_path
        define(connect, running[-1], host=host, login=kind.id_instance, password=password or kind.token)
        return running[-1], hook_of(clock, policy=RetryPolicy(budget=timedelta(seconds=5)))

    yield start
    for sandbox in running:
        sandbox.stop()


@pytest.mark.parametrize(
    "behaviour",
    [
        {},
        {"base_path": "/v3", "id_instance": "110100000012"},
        {"token": "a-token/with+signs%2F"},
        {"compressed": True, "extra_keys": True, "no_contact_name": "null"},
        {"malformed_share": 1.0},
    ],
    ids=str,
)
def test_all_contacts_are_read(stand_in, behaviour):
    _, hook = stand_in(**behaviour)

    assert ids(hook.get_contacts()) == EXAMPLE
    assert ids(hook.get_contacts(group=True)) == EXAMPLE[2:]
    assert ids(hook.get_contacts(group=False, count=1)) == EXAMPLE[1:2]
    assert hook.get_wa_settings() == WaSettings("authorized", 100)
    assert hook.test_connection()[0] is True


def test_invalid_rows_do_not_affect_others(stand_in):
    _, hook = stand_in(odd_rows=("null", '{"name":"x"}', "[]"))
    snapshot = hook.get_contacts()

    assert ids(snapshot) == EXAMPLE
    assert [reject.reason for reject in snapshot.rejects] == ["not an object", "no id", "not an object"]


def test_a_snapshot_has_the_stand_ins_time(stand_in):
    sandbox, hook = stand_in()

    assert abs(hook.get_contacts().date - sandbox.clock.now()) < timedelta(seconds=5)


def test_an_empty_list_is_accepted(stand_in):
    _, hook = stand_in(empty_answers=1)

    assert [len(list(hook.get_contacts().records(NOON))) for _ in range(2)] == [0, 3]


@pytest.mark.parametrize("error_form", ["full", "message", "text"])
@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        ({"state": "starting"}, TransientError),
        ({"state": "notAuthorized"}, (TransientError, NotEnabledError)),
        ({"refusal": "Instance is deleted"}, NotEnabledError),
        ({"refusal": "Instance account is expired. Renew your instance from personal area"}, NotEnabledError),
        ({"refusal": "bad request data"}, RejectedError),
        ({"monthly_quota": 0}, NotEnabledError),
    ],
    ids=str,
)
def test_refusals_have_their_classes(stand_in, behaviour, kind, error_form):
    _, hook = stand_in(error_form=error_form, **behaviour)

    with pytest.raises(kind):
        hook.get_contacts()


@pytest.mark.parametrize(("unauthorized_as", "kind"), [("empty", AuthError), ("success", ContractError)])
def test_a_wrong_token_is_an_error_whatever_its_status(stand_in, unauthorized_as, kind):
    _, hook = stand_in("another-example-token", unauthorized_as=unauthorized_as)

    with pytest.raises(kind):
        hook.get_contacts()


def test_a_wrong_instance_is_an_error(stand_in, connect, clock):
    sandbox, _ = stand_in()
    define(connect, sandbox, login="1")

    with pytest.raises(NotEnabledError, match="HTTP 403"):
        hook_of(clock).get_contacts()


@pytest.mark.parametrize("null_state", ["field", "body"])
def test_an_instance_that_is_being_created_has_no_state(stand_in, null_state):
    _, hook = stand_in(state=None, null_state=null_state)

    assert (hook.get_state(), hook.get_wa_settings().state) == ("", "")


@pytest.mark.parametrize("retry_after", ["missing", "integer"])
def test_a_rate_limit_is_kept(stand_in, retry_after):
    _, hook = stand_in(rate_limit=0.001, retry_after=retry_after)
    hook.get_contacts()

    with pytest.raises(RateLimitedError):
        hook.get_contacts()
