"""Connections to GREEN-API: their fields, errors of invalid ones, and the connection test."""

import re

import airflow
import pytest
from airflow.providers.common.compat.sdk import Connection, redact

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
from tests.clients.wire import DROP
from tests.hooks.green_api.api import (
    CONTACTS,
    ID_INSTANCE,
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
    paths,
    refused,
    state,
)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("", path()),
        ("/", path()),
        ("/v3", f"/v3{path()}"),
        ("/v3/", f"/v3{path()}"),
        ("/behind/a/gateway", f"/behind/a/gateway{path()}"),
    ],
)
def test_a_host_may_have_a_path(connect, wire, clock, given, asked):
    define(connect, wire, host=wire.url + given)
    wire.will(CONTACTS)

    hook_of(clock).get_contacts()
    assert paths(wire) == [("GET", asked)]


@pytest.mark.parametrize("login", ["1", "7103000000", "110100000012", " 110100000012 "])
def test_an_instances_id_may_have_any_length(connect, wire, clock, login):
    define(connect, wire, login=login)
    wire.will(CONTACTS)

    hook_of(clock).get_contacts()
    assert paths(wire) == [("GET", f"/waInstance{login.strip()}/getContacts/{QUOTED}")]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"host": None}, "host is empty"),
        ({"host": "https://7103.api.greenapi.com?a=b"}, "host is not a host name"),
        ({"host": f"https://somebody:{TOKEN}@7103.api.greenapi.com"}, "host is not a host name"),
        ({"host": "http://7103.api.greenapi.com"}, "host would get the token over unencrypted http://"),
        ({"host": f"https://7103.api.greenapi.com{path()}"}, "host contains more than the apiUrl"),
        ({"login": None}, "login is empty. Set it to the idInstance."),
        ({"login": "  "}, "login is empty. Set it to the idInstance."),
        ({"login": "waInstance1101"}, "login is not an idInstance, which has only digits."),
        ({"login": "1101/../1102"}, "login is not an idInstance, which has only digits."),
        ({"password": None}, "password is empty. Set it to the API token"),
        ({"password": "two words"}, "password has spaces"),
        ({"extra": {"timeout": 0}}, "extra 'timeout' is not a number of seconds above 0"),
    ],
)
def test_an_invalid_connection_is_refused_before_any_request(connect, wire, clock, fields, told):
    define(connect, wire, **fields)
    hook = hook_of(clock)

    for action in (hook.validate_connection, hook.get_contacts, hook.get_state, hook.get_wa_settings):
        with pytest.raises(ConfigError, match=rf"^Connection 'green_api_default': {re.escape(told)}") as caught:
            action()
        assert [secret for secret in (TOKEN, QUOTED) if secret in str(caught.value)] == []
    assert wire.asked == []


def test_check_sends_nothing(hook, wire):
    hook.validate_connection()

    assert wire.asked == []


def test_the_account_is_an_extra_or_the_connections_id(connect, wire):
    define(connect, wire, "green_api_1")
    assert GreenApiHook("green_api_1").account == "green_api_1"

    define(connect, wire, "green_api_1", extra={"account": "Line One"})
    assert GreenApiHook("green_api_1").account == "Line One"


def test_airflow_masks_the_token_raw_and_quoted(hook):
    hook.validate_connection()

    assert redact(f"GET {path()} with {TOKEN}") == f"GET {path().replace(QUOTED, '***')} with ***"


@pytest.mark.parametrize("name", ["authorized", "yellowCard", "suspended", "brandNew"])
def test_an_instance_in_any_other_state_passes_the_connection_test(hook, wire, name):
    wire.will(state(name))

    assert hook.test_connection() == (True, f"Connected to GREEN-API. The instance's state is {name}.")
    assert paths(wire) == [("GET", path("getStateInstance"))]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (state("notAuthorized"), "The instance is not authorized. Scan its QR code in GREEN-API's console."),
        (state("blocked"), "WhatsApp has banned the instance's account."),
        (state("starting"), "The instance is starting, which takes up to 5 minutes. Try again later."),
        (state("sleepMode"), "The instance's phone is switched off"),
        (state(None), "The instance is being created and has no state yet."),
        (answer(None), "The instance is being created and has no state yet."),
        (answer({"code": 401, "description": TOKEN}), "HTTP 200: The response has no stateInstance."),
        (UNAUTHORIZED, "HTTP 401: The server does not accept the token"),
        (page(403), "HTTP 403: The server denied access. The connection's host must be the instance's apiUrl"),
        (refused("Cannot GET " + path(), 404), "HTTP 404: The server does not know the path"),
        (refused("Instance is deleted"), "HTTP 400: The instance is deleted"),
        (NO_QUOTA, "HTTP 466: The quota of the plan is used up"),
        (TOO_MANY, r"HTTP 429, \d attempts: The server's rate limit is reached"),
        (page(502), r"HTTP 502, \d attempts: The server failed"),
        (DROP, r"\d attempts: The connection was dropped"),
    ],
)
def test_the_test_of_a_failing_connection_has_the_reason_within_ten_seconds(hook, wire, clock, said, told):
    wire.will(ever_after=said)

    works, message = hook.test_connection()
    named = r"green_api\.state\.get, connection 'green_api_default' \(127\.0\.0\.1:\d+\)(, |: )"
    assert (works, re.match(f"{named}({told})", message) is not None) == (False, True)
    assert clock.passed <= 10
    assert [secret for secret in (TOKEN, QUOTED, ID_INSTANCE, wire.url) if secret in message] == []


def test_the_test_of_an_undefined_connection_has_the_reason():
    works, message = GreenApiHook("nowhere").test_connection()

    assert (works, message.startswith("Connection 'nowhere' is not defined. Create it")) == (False, True)


@pytest.mark.skipif(
    airflow.__version__ < "3.3", reason="earlier ones test it in their server, by an environment variable"
)
def test_airflow_can_test_an_unsaved_connection(wire):
    wire.will(state("authorized"))
    fields = {"host": wire.url, "login": ID_INSTANCE, "password": TOKEN}

    assert Connection(conn_id="unsaved", conn_type="green_api", **fields).test_connection()[0] is True
