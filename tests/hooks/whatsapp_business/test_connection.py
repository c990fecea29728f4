"""Connections to the WhatsApp Business API: fields, errors, form and connection test."""

import asyncio
import json
import re
import sys
import types
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    NetworkError,
)
from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
from airflow_provider_wacontacts.hooks.whatsapp_business_shared import AsyncWhatsAppNumberClient
from tests.clients.wire import Answer
from tests.hooks.test_forms import STAND_INS
from tests.hooks.whatsapp_business.api import (
    CHECK,
    DENIED,
    LOGIN,
    check,
    failed,
    granted,
    paths,
)

WRONG = {
    "no host": ({"host": ""}, "host is empty"),
    "the Cloud API": ({"host": "https://graph.facebook.com/v20.0"}, "host is Meta's Cloud API, which cannot check"),
    "http": ({"host": "http://waba.example.org"}, "host would get the token over unencrypted http"),
    "no password": ({"login": "user"}, "password is empty. Set it to the user's password."),
    "no login": ({"password": "t"}, "login is empty. Set it to the user name, or set extra 'auth' to bearer or d360."),
    "a colon": ({"login": "a:b", "password": "t"}, "login has a colon"),
    "no token": ({"extra": {"auth": "bearer"}}, "password is empty. Set it to the API token"),
    "no key": ({"extra": {"auth": "D360"}}, "password is empty. Set it to the API token"),
    "another way": ({"password": "t", "extra": {"auth": "oauth"}}, "extra 'auth' must be login, bearer or d360."),
    "Turn.io": (
        {"host": "whatsapp.turn.io", "login": "user", "password": "t"},
        "extra 'auth' is login, which at Turn.io",
    ),
    "no checks": (
        {"extra": {"auth": "bearer", "daily_checks": 0}, "password": "t"},
        "'daily_checks' must be a",
    ),
    "half a check": (
        {"extra": {"auth": "bearer", "daily_checks": 0.5}, "password": "t"},
        "'daily_checks' must be a",
    ),
    "odd timeout": ({"extra": {"auth": "bearer", "timeout": "soon"}, "password": "t"}, "'timeout' is not a number"),
}


@pytest.mark.parametrize(("fields", "told"), WRONG.values(), ids=WRONG.keys())
def test_an_invalid_connection_is_refused_before_any_request(connect, process, fields, told):
    fields = {"host": "waba.example.org"} | fields
    connect("whatsapp_business_default", conn_type="whatsapp_business", **fields)

    with pytest.raises(ConfigError, match=f"Connection 'whatsapp_business_default': .*{told}"):
        process.do(check)


def test_an_undefined_connection_is_a_config_error(process):
    with pytest.raises(ConfigError, match="Connection 'whatsapp_business_default' is not defined"):
        process.do(check)


def test_check_sends_nothing(by_login, wire):
    WhatsAppBusinessHook().validate_connection()
    assert wire.asked == []


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, ("whatsapp_business_default", 1000, None)),
        ({"sender": "+91 98765 43210", "daily_checks": "250"}, ("+919876543210", 250, "IN")),
        ({"sender": " ", "daily_checks": ""}, ("whatsapp_business_default", 1000, None)),
        ({"sender": "+12015550100", "daily_checks": 1}, ("+12015550100", 1, "US")),
    ],
)
def test_the_connection_sets_the_sender_its_budget_and_its_region(connect, extra, expected):
    connect("whatsapp_business_default", conn_type="whatsapp_business", host="h", login="u", password="p", extra=extra)
    hook = WhatsAppBusinessHook()

    async def told():
        async with AsyncWhatsAppNumberClient("whatsapp_business_default") as contacts:
            return contacts.budget

    assert (hook.sender, hook.budget.daily_checks, hook.region) == expected
    assert hook.account == hook.sender
    assert asyncio.run(told()) == hook.budget


@pytest.mark.parametrize(("verify", "warned"), [(False, True), ("false", True), (True, False), (None, False)])
def test_disabled_verification_of_certificates_is_logged_once(connect, process, caplog, verify, warned):
    extra = {"auth": "bearer", "verify": verify}
    connect("whatsapp_business_default", conn_type="whatsapp_business", host="127.0.0.1:9", password="t", extra=extra)

    with pytest.raises(NetworkError):
        process.do(check, policy=RetryPolicy(budget=timedelta(0)))
    texts = [record.getMessage() for record in caplog.records if "does not verify certificates" in record.msg]
    assert [text.split(" does")[0] for text in texts] == ["Connection 'whatsapp_business_default'"] * warned


@pytest.mark.parametrize("answer", [Answer(body=b'{"contacts": []}'), failed(400, 1009)])
def test_the_connection_test_checks_no_numbers(by_login, wire, answer):
    wire.will(granted(), answer)

    assert WhatsAppBusinessHook().test_connection() == (True, "Connected to the WhatsApp Business API.")
    assert paths(wire) == [LOGIN, CHECK]
    assert json.loads(wire.asked[1].body)["contacts"] == []


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([DENIED], r"whatsapp_business\.login, .*, HTTP 401: The server denied access"),
        (
            [granted(), Answer(404)],
            r"whatsapp_business\.contacts\.check, .*, HTTP 404: The server does not",
        ),
        (
            [granted(), Answer(200, b"<html>")],
            r"whatsapp_business\.contacts\.check, .*, HTTP 200: The response is not",
        ),
        ([], r"whatsapp_business\.login, .*, HTTP 503, "),
    ],
)
def test_the_test_of_a_failing_connection_has_the_reason_within_ten_seconds(by_login, wire, clock, answers, told):
    wire.will(*answers, ever_after=Answer(503))

    works, message = WhatsAppBusinessHook(clock=clock).test_connection()
    assert (works, re.match(told, message) is not None) == (False, True)
    assert clock.passed <= 10
    assert wire.url not in message


def test_run_sends_the_same_credentials(by_login, wire):
    wire.will(granted(), Answer(200, b"whole"))

    assert WhatsAppBusinessHook().run("v1/health") == Response(200, {"content-length": "5"}, b"whole")
    assert paths(wire) == [LOGIN, ("GET", "/v1/health")]


def test_the_form_is_the_same_before_3_2(monkeypatch):
    for name, members in STAND_INS.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)

    widgets = WhatsAppBusinessHook.get_connection_form_widgets()
    assert {name: (kind, options["default"]) for name, (kind, _, options) in widgets.items()} == {
        "auth": ("SelectField", "login"),
        "sender": ("StringField", None),
        "daily_checks": ("IntegerField", 1000),
        "timeout": ("IntegerField", 60),
        "wait_timeout": ("IntegerField", 600),
        "verify": ("StringField", "true"),
        "allow_http": ("BooleanField", False),
        "webhook_secret": ("PasswordField", None),
        "webhook_path": ("PasswordField", None),
        "webhook_header": ("StringField", None),
        "webhook_algorithm": ("SelectField", "sha256"),
    }
    assert WhatsAppBusinessHook.get_ui_field_behaviour()["relabeling"]["password"] == "Password, token or key"
    assert {"get_connection_form_widgets", "get_ui_field_behaviour"} <= vars(WhatsAppBusinessHook).keys()
