"""
No personal data and no secrets are logged or raised, with all loggers at DEBUG.

The server echoes the token, raw and quoted, in every place where real servers were observed to do so.
"""

import logging
import traceback
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import WaContactsError
from tests.clients.wire import DROP, SILENCE, Answer, chunked
from tests.hooks.green_api.api import (
    CONTACTS,
    HTML,
    ID_INSTANCE,
    JSON,
    NO_CONTACTS,
    NO_QUOTA,
    QUOTED,
    TOKEN,
    TOO_MANY,
    UNAUTHORIZED,
    answer,
    define,
    hook_of,
    page,
    path,
    refused,
    state,
)

SECRETS = (TOKEN, QUOTED, QUOTED.lower(), ID_INSTANCE, "waInstance", "Ivan", "Petrov", "11001234567", "79001234568")
LEAKY = f"{TOKEN} {path()} Ivan Petrov 11001234567@c.us".encode()
BODIES = {
    "contacts": [CONTACTS],
    "group without contactName": [answer([{"id": "79001234568-1479621234@g.us", "name": "Petrov", "type": "group"}])],
    "empty name": [answer([{"id": "11001234567@c.us", "name": "", "contactName": "Ivan", "type": "user"}])],
    "lid": [answer([{"id": "123456789012345@lid", "name": "Ivan", "type": "user"}])],
    "18 digits": [answer([{"id": "120363043968066561@g.us", "name": "Petrov", "type": "group"}])],
    "null@c.us": [answer([{"id": "null@c.us", "name": "Ivan", "type": "user"}])],
    "rtl and emoji": [answer([{"id": "11001234567@c.us", "name": "\u0645\u0631\u062d\u0628\u0627 \U0001f600 Ivan"}])],
    "nothing, then rows": [NO_CONTACTS, CONTACTS],
    "nothing for ever": [NO_CONTACTS] * 9,
    "an object": [answer({"code": 401, "description": f"Unauthorized {TOKEN}", "path": path()})],
    "another object": [answer({"status": False, "reason": f"Ivan {TOKEN}"})],
    "nothing at all": [Answer(200, b"", JSON)],
    "html": [page(200)],
    "a text": [Answer(200, LEAKY)],
    "rows that are none": [answer([TOKEN, path(), "11001234567@c.us"])],
    "a row that is none": [answer([{"id": "11001234567@c.us"}, f"Ivan {TOKEN}", {"name": "Petrov"}])],
    "401": [UNAUTHORIZED],
    "401 that echoes": [refused("Unauthorized", 401)],
    "403": [page(403)],
    "404": [refused(f"Cannot GET {path()}", 404)],
    "429 twice": [TOO_MANY, TOO_MANY, CONTACTS],
    "429 for ever": [Answer(429, LEAKY)] * 99,
    "400": [refused(f"Validation failed. Details: {TOKEN}")],
    "400 starting": [refused("instance in starting process try later")],
    "400 text": [Answer(400, LEAKY)],
    "466": [NO_QUOTA],
    "499": [refused("Client Closed Request", 499)] * 99,
    "500": [Answer(500, LEAKY)] * 99,
    "502 twice": [page(502), page(502), CONTACTS],
    "502 for ever": [page(502)] * 99,
    "a redirect": [Answer(302, LEAKY, {"location": f"https://198.51.100.1{path()}"})],
    "another redirect": [Answer(308, b"", HTML | {"location": path()})],
    "unknown state": [state("brandNew")],
    "state that leaks": [state(f"Ivan {TOKEN}")],
    "null state": [state(None)],
    "dropped": [DROP] * 99,
    "silent": [SILENCE] * 99,
    "cut off": [Answer(200, LEAKY * 9, cut=40)] * 99,
    "no end of chunks": [chunked(LEAKY, is_ended=False)] * 99,
    "packed wrongly": [Answer(200, LEAKY, {"content-encoding": "gzip"})] * 99,
    "headers that are none": [Answer(200, b"[]", {f"{QUOTED}\r\n  : \x00": TOKEN})] * 99,
    "no http": [Answer(99999999, LEAKY)] * 99,
}
CALLS = {
    "get_contacts": lambda hook: hook.get_contacts(group=False, count=3),
    "get_state": lambda hook: hook.get_state(),
    "get_wa_settings": lambda hook: hook.get_wa_settings(),
    "test_connection": lambda hook: hook.test_connection(),
    "run": lambda hook: hook.run("getSettings"),
}


def chain(error):
    """The errors that any printer of tracebacks could follow, hidden ones too."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def told(records):
    formatter = logging.Formatter("%(name)s %(message)s %(args)s")
    return "\n".join(formatter.format(record) + repr(vars(record)) for record in records)


@pytest.fixture
def everything(caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "requests", "airflow", "airflow_provider_wacontacts"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


@pytest.fixture
def hook_to(connect, wire, clock):
    """Make a hook that soon gives up."""

    def make(**fields):
        define(connect, wire, **fields)
        return hook_of(clock, policy=RetryPolicy(budget=timedelta(seconds=5)))

    return make


def shown_by(call, hook):
    """Return what comes of a call: its result, or its error with all that hangs on it."""
    try:
        return repr(call(hook)), None
    except WaContactsError as error:
        errors = list(chain(error))
        seen = "".join(traceback.format_exception(error)) + repr(errors) + repr([vars(one) for one in errors])
        return seen, error


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("answers", BODIES.values(), ids=BODIES.keys())
@pytest.mark.filterwarnings("ignore")
def test_no_response_reveals_a_secret(hook_to, wire, everything, call, answers):
    wire.will(*answers)

    shown, error = shown_by(call, hook_to(extra={"timeout": [5, 0.2]}))
    secrets = [secret for secret in SECRETS if secret in shown + told(everything.records)]
    assert (secrets, len(wire.asked) > 0) == ([], True)
    assert error is None or error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize("host", ["http://127.0.0.1:1", "https://7103.invalid"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_an_unreachable_host_reveals_no_secret(hook_to, everything, call, host):
    shown, _ = shown_by(call, hook_to(host=host, extra={"trust_env": False, "timeout": 0.5}))

    assert [secret for secret in SECRETS if secret in shown + told(everything.records)] == []


def test_no_attribute_of_a_hook_shows_the_token(hook, wire):
    wire.will(CONTACTS)
    hook.get_contacts()
    session = hook.get_conn()

    looked_at = [vars(session), hook, hook._instance, hook._endpoint]
    assert [secret for secret in (TOKEN, QUOTED) for one in looked_at if secret in repr(one)] == []
    assert (session.auth, session.headers.keys() & {"authorization"}) == (None, set())
