"""The contacts node through a connection, in a worker and on an event loop: what is sent, and what comes of it."""

import asyncio
import base64
import json
import logging
import sys
import threading
import traceback
import types
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.exceptions import (
    AuthError,
    ConfigError,
    ContractError,
    NetworkError,
    NotEnabledError,
    RateLimitedError,
    RejectedError,
    ServerError,
    WaContactsError,
)
from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
from airflow_provider_wacontacts.protocol.flows import Response
from airflow_provider_wacontacts.protocol.whatsapp_business import ContactResult, Identity
from airflow_provider_wacontacts.sandbox.server import Sandbox
from airflow_provider_wacontacts.transport.aio import AsyncClock
from airflow_provider_wacontacts.transport.policy import RetryPolicy
from tests.hooks.test_forms import STAND_INS
from tests.transport.wire import DROP, SILENCE, Answer, Wire

LOGIN = ("POST", "/v1/users/login")
CHECK = ("POST", "/v1/contacts")
IDENTITY = "/v1/contacts/16315551000/identity"
NUMBER = "+16315551000"
DENIED = Answer(401, b'{"errors": [{"code": 1005, "title": "Access denied", "details": "Invalid credentials."}]}')
KNOWN = Answer(
    body=b'{"contacts": {"hash": "UKD6Y/5SqDU=", "created_timestamp": 1600132094000, "acknowledged": false}}'
)
VALID = {NUMBER: ContactResult(NUMBER, "valid", "16315551000")}
DAY = 86_400


def granted(token="example-token", expires_after="2022-09-21 12:00:00+00:00"):
    return Answer(body=json.dumps({"users": [{"token": token, "expires_after": expires_after}]}).encode())


def checked(*numbers):
    entries = [{"input": number, "status": "valid", "wa_id": number.strip("+")} for number in numbers or [NUMBER]]
    return Answer(body=json.dumps({"contacts": entries, "meta": {"version": "v2.41.2"}}).encode())


def failed(status, code, **headers):
    return Answer(status, json.dumps({"errors": [{"code": code, "title": "Some title"}]}).encode(), headers)


def check(api, *numbers, **options):
    return api.check_contacts(list(numbers) or [NUMBER], **options)


class Worker:
    """Does one thing after another with a hook."""

    def __init__(self, clock):
        self.clock = clock

    def do(self, *things, policy=None):
        hook = WhatsAppBusinessHook(policy=policy, clock=self.clock)
        return [thing(hook) for thing in things]


class Triggerer:
    """Does the same on an event loop."""

    def __init__(self, clock):
        self.clock = AsyncClock(sleep=self.sleep, monotonic=clock.monotonic, now=clock.now)
        self.stopped = clock

    async def sleep(self, seconds):
        self.stopped.sleep(seconds)

    def do(self, *things, policy=None):
        async def all_of_them():
            async with WhatsAppBusinessHook(policy=policy).open_async(clock=self.clock) as contacts:
                return [await thing(contacts) for thing in things]

        return asyncio.run(all_of_them())


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


def fixed(connect, wire, auth, password="example-token", **fields):
    extra = {"auth": auth} | fields.pop("extra", {})
    fields = {"host": wire.url, "password": password, "extra": extra} | fields
    connect("whatsapp_business_default", conn_type="whatsapp_business", **fields)


def paths(wire):
    return [(asked.method, asked.path) for asked in wire.asked]


def sent(wire, header="authorization"):
    return [asked.headers.get(header) for asked in wire.asked]


def test_a_login_is_exchanged_for_a_token_that_the_checks_carry(by_login, process, wire):
    wire.will(granted(), checked(), checked(NUMBER, "+1 631 555 1001"))

    first, second = process.do(
        check, lambda api: check(api, "+1 631 555 1001", NUMBER, blocking="wait", force_check=True)
    )

    assert (first.results, first.client_version) == (VALID, "v2.41.2")
    assert list(second.results) == ["+1 631 555 1001", NUMBER]
    assert paths(wire) == [LOGIN, CHECK, CHECK]
    basic = base64.b64encode(b"user:pass word").decode()
    assert sent(wire) == [f"Basic {basic}", "Bearer example-token", "Bearer example-token"]
    assert wire.asked[0].body == b""
    assert json.loads(wire.asked[2].body) == {
        "blocking": "wait",
        "contacts": ["+1 631 555 1001", NUMBER],
        "force_check": True,
    }
    assert wire.lines == 1


def test_identities_are_looked_at_and_acknowledged(by_token, process, wire):
    wire.will(KNOWN, Answer(body=b"null"))

    found, done = process.do(
        lambda api: api.get_identity("16315551000"), lambda api: api.acknowledge_identity("16315551000", "UKD6Y/5SqDU=")
    )

    assert (found.hash, found.acknowledged, done) == ("UKD6Y/5SqDU=", False, None)
    assert isinstance(found, Identity)
    assert paths(wire) == [("GET", IDENTITY), ("PUT", IDENTITY)]
    assert wire.asked[1].body == b'{"hash":"UKD6Y/5SqDU="}'


@pytest.mark.parametrize(
    ("auth", "header"),
    [("bearer", {"authorization": "Bearer example-token"}), ("d360", {"d360-api-key": "example-token"})],
)
def test_a_token_or_a_key_is_sent_without_a_login(connect, process, wire, auth, header):
    fixed(connect, wire, auth, login="ignored")
    wire.will(checked())

    process.do(check)
    (asked,) = wire.asked
    assert (asked.method, asked.path) == CHECK
    assert {name: asked.headers[name] for name in ("authorization", "d360-api-key") if name in asked.headers} == header


def test_nothing_but_what_is_meant_is_sent(connect, process, wire, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    fixed(connect, wire, "bearer", extra={"sender": "+919876543210", "X-Api": "v", "daily_checks": 5})
    wire.will(Answer(checked().status, checked().body, {"set-cookie": "sticky=yes"}), checked())

    process.do(check, check)
    names = {"host", "user-agent", "accept-encoding", "accept", "authorization", "content-type", "content-length"}
    assert [asked.headers.keys() - {"connection"} for asked in wire.asked] == [names] * 2
    assert {agent.split("/")[0] for agent in sent(wire, "user-agent")} == {"airflow-provider-wacontacts"}


def test_a_token_that_is_not_accepted_is_replaced_by_one_new_login(by_login, process, wire):
    wire.will(granted("old"), checked(), DENIED, granted("new"), checked())

    process.do(check, check)
    assert paths(wire) == [LOGIN, CHECK, CHECK, LOGIN, CHECK]
    assert sent(wire)[1:] == ["Bearer old", "Bearer old", sent(wire)[0], "Bearer new"]


def test_a_new_token_that_is_not_accepted_either_is_the_end(by_login, process, wire):
    wire.will(granted("old"), DENIED, granted("new"), DENIED)

    with pytest.raises(AuthError) as caught:
        process.do(check)
    assert paths(wire) == [LOGIN, CHECK, LOGIN, CHECK]
    assert (caught.value.operation, caught.value.attempts) == ("whatsapp_business.contacts.check", 2)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (DENIED, r"^whatsapp_business\.login, HTTP 401: access denied"),
        (failed(400, 1024), r"^whatsapp_business\.login, HTTP 400: the password has to be changed"),
        (failed(500, 1024), r"^whatsapp_business\.login, HTTP 400: the password has to be changed"),
    ],
)
def test_a_login_that_is_not_accepted_is_the_end(by_login, process, wire, answer, told):
    wire.will(answer)

    with pytest.raises(AuthError, match=told):
        process.do(check)
    assert paths(wire) == [LOGIN]


def test_a_login_waits_for_a_server_as_any_request_does(by_login, process, wire, clock):
    wire.will(Answer(503, b""), failed(400, 1011), granted(), checked())

    process.do(check)
    assert paths(wire) == [LOGIN, LOGIN, LOGIN, CHECK]
    assert len(clock.sleeps) == 2


@pytest.mark.parametrize(
    "expires_after", ["2022-09-21 12:00:00+00:00", "2022-09-21T12:00:00.000Z", "2022-09-21T12:00:00+00:00"]
)
def test_a_token_is_renewed_before_it_expires(by_login, process, wire, clock, expires_after):
    def passing(seconds):
        clock.passed += seconds
        return clock.passed

    async def passing_async(seconds):
        return passing(seconds)

    def wait(seconds):
        return lambda api: (passing if isinstance(process, Worker) else passing_async)(seconds)

    wire.will(granted("old", expires_after), checked(), checked(), granted("new"), checked())

    process.do(check, wait(7 * DAY - 301), check, wait(1), check)
    assert paths(wire) == [LOGIN, CHECK, CHECK, LOGIN, CHECK]


def test_threads_that_share_a_hook_share_a_login(by_login, wire, clock):
    wire.will(granted("old"), ever_after=checked())
    hook = WhatsAppBusinessHook(clock=clock)
    hook.check()
    gate = threading.Barrier(4)

    def begin(_):
        gate.wait()
        return check(hook)

    with ThreadPoolExecutor(4) as pool:
        assert [answer.results for answer in pool.map(begin, range(4))] == [VALID] * 4
    assert sorted(paths(wire)) == [CHECK] * 4 + [LOGIN]


def test_tasks_that_share_a_client_share_a_login(by_login, wire, clock):
    wire.will(granted("old"), ever_after=checked())

    async def together():
        async with WhatsAppBusinessHook().open_async() as contacts:
            return await asyncio.gather(*(check(contacts) for _ in range(20)))

    assert [answer.results for answer in asyncio.run(together())] == [VALID] * 20
    assert sorted(paths(wire)) == [CHECK] * 20 + [LOGIN]


def test_a_token_that_was_replaced_is_read_from_the_connection_once_more(by_token, process, connect, wire):
    wire.will(checked(), DENIED, checked())

    async def change_async(api):
        fixed(connect, wire, "bearer", "new-example-token")

    def change(api):
        fixed(connect, wire, "bearer", "new-example-token")

    process.do(check, change if isinstance(process, Worker) else change_async, check)
    assert sent(wire) == ["Bearer example-token", "Bearer example-token", "Bearer new-example-token"]


def test_a_token_that_is_still_the_same_is_not_sent_again(by_token, process, wire):
    wire.will(ever_after=DENIED)

    with pytest.raises(AuthError, match=r"^whatsapp_business\.contacts\.check, HTTP 401: access denied"):
        process.do(check)
    assert paths(wire) == [CHECK]


def test_a_token_for_another_host_is_not_sent_to_this_one(by_token, process, connect, wire):
    with Wire() as other:

        async def change_async(api):
            fixed(connect, other, "bearer", "others-example-token")

        def change(api):
            fixed(connect, other, "bearer", "others-example-token")

        wire.will(checked(), DENIED)
        with pytest.raises(AuthError):
            process.do(check, change if isinstance(process, Worker) else change_async, check)
        assert (set(sent(wire)), other.asked) == ({"Bearer example-token"}, [])


DIALOG_360 = Answer(400, b'{"meta": {"success": false, "httpCode": 400, "developerMessage": "Rate limit exceeded"}}')


@pytest.mark.parametrize(
    "broken",
    [
        Answer(429, b""),
        Answer(503, b""),
        Answer(502, b"<html>Bad gateway</html>"),
        DIALOG_360,
        failed(400, 1015),
        failed(400, 1016),
        failed(404, 1011),
        failed(500, 1014),
        DROP,
        Answer(cut=1),
    ],
)
def test_what_can_change_is_waited_for(by_token, process, wire, clock, broken):
    wire.will(broken, broken, checked())

    assert process.do(check)[0].results == VALID
    assert (paths(wire), len(clock.sleeps)) == ([CHECK] * 3, 2)


def test_a_rate_limit_is_waited_for_as_it_says(by_token, process, wire, clock):
    wire.will(Answer(429, b"", {"retry-after": "7"}), Answer(400, DIALOG_360.body, {"retry-after": "9"}), checked())

    process.do(check)
    assert clock.sleeps == [7, 9]


def test_a_rate_limit_that_is_too_long_is_for_the_caller(by_token, process, wire, clock):
    wire.will(Answer(429, b"", {"retry-after": "121"}))

    with pytest.raises(RateLimitedError) as caught:
        process.do(check)
    assert (caught.value.retry_after, clock.sleeps, len(wire.asked)) == (timedelta(seconds=121), [], 1)


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (Answer(502, b"<html>"), ServerError),
        (DIALOG_360, RateLimitedError),
        (DROP, NetworkError),
        (SILENCE, NetworkError),
    ],
)
@pytest.mark.usefixtures("by_token_impatiently")
def test_what_does_not_change_is_given_up_within_the_budget(process, wire, clock, broken, kind):
    wire.will(ever_after=broken)

    with pytest.raises(kind, match=r"^whatsapp_business\.contacts\.check, "):
        process.do(check, policy=RetryPolicy(budget=timedelta(seconds=5)))
    assert clock.passed <= 5
    assert len(wire.asked) > 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failed(500, 1031), NotEnabledError),
        (failed(403, 1031), NotEnabledError),
        (failed(500, 1005), AuthError),
        (failed(400, 1009), RejectedError),
        (Answer(403, b"Invalid WhatsApp Token"), NotEnabledError),
        (Answer(404, b"<html>"), NotEnabledError),
        (Answer(302, b"", {"location": "https://198.51.100.1/"}), RejectedError),
        (Answer(200, b"<html>"), ContractError),
        (Answer(200, b""), ContractError),
    ],
)
@pytest.mark.usefixtures("by_token")
def test_what_trying_again_cannot_help_fails_at_once(process, wire, clock, answer, kind):
    wire.will(ever_after=answer)

    with pytest.raises(kind) as caught:
        process.do(check)
    assert (len(wire.asked), clock.sleeps, caught.value.attempts) == (1, [], 1)


WRONG = {
    "no host": ({"host": ""}, "host is empty"),
    "http": ({"host": "http://waba.example.org"}, "host would get the token over unencrypted http"),
    "no password": ({"login": "user"}, "password is empty; it holds the user's password"),
    "no login": ({"password": "t"}, "login is empty; it holds the user's name, unless extra 'auth' is bearer or d360"),
    "a colon": ({"login": "a:b", "password": "t"}, "login has a colon"),
    "no token": ({"extra": {"auth": "bearer"}}, "password is empty; it holds the API token"),
    "no key": ({"extra": {"auth": "D360"}}, "password is empty; it holds the API token"),
    "another way": ({"password": "t", "extra": {"auth": "oauth"}}, "extra 'auth' is none of login, bearer and d360"),
    "Turn.io": (
        {"host": "whatsapp.turn.io", "login": "user", "password": "t"},
        "extra 'auth' is login, which at Turn.io",
    ),
    "no checks": ({"extra": {"auth": "bearer", "daily_checks": 0}, "password": "t"}, "'daily_checks' is not a whole"),
    "half a check": ({"extra": {"auth": "bearer", "daily_checks": 0.5}, "password": "t"}, "'daily_checks' is not a"),
    "odd timeout": ({"extra": {"auth": "bearer", "timeout": "soon"}, "password": "t"}, "'timeout' is not a number"),
}


@pytest.mark.parametrize(("fields", "told"), WRONG.values(), ids=WRONG.keys())
def test_a_connection_that_cannot_be_is_refused_before_anything_is_sent(connect, process, fields, told):
    fields = {"host": "waba.example.org"} | fields
    connect("whatsapp_business_default", conn_type="whatsapp_business", **fields)

    with pytest.raises(ConfigError, match=f"connection 'whatsapp_business_default': .*{told}"):
        process.do(check)


def test_a_connection_that_is_not_there_is_refused(process):
    with pytest.raises(ConfigError, match="connection 'whatsapp_business_default' is not defined"):
        process.do(check)


def test_whoever_checks_the_connection_first_sends_nothing(by_login, wire):
    WhatsAppBusinessHook().check()
    assert wire.asked == []


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, ("whatsapp_business_default", 1000, None)),
        ({"sender": "+91 98765 43210", "daily_checks": "250"}, ("+91 98765 43210", 250, "IN")),
        ({"sender": " ", "daily_checks": ""}, ("whatsapp_business_default", 1000, None)),
        ({"sender": "+12015550100", "daily_checks": 1}, ("+12015550100", 1, "US")),
    ],
)
def test_the_sender_its_budget_and_its_region_are_the_connections(connect, extra, expected):
    connect("whatsapp_business_default", conn_type="whatsapp_business", host="h", login="u", password="p", extra=extra)
    hook = WhatsAppBusinessHook()

    async def told():
        async with hook.open_async() as contacts:
            return contacts.sender, contacts.daily_checks

    assert (hook.sender, hook.daily_checks, hook.region) == expected
    assert hook.account == hook.sender
    assert asyncio.run(told()) == expected[:2]


@pytest.mark.parametrize(("verify", "warned"), [(False, True), ("false", True), (True, False), (None, False)])
def test_certificates_that_are_not_verified_are_warned_of_once(connect, process, caplog, verify, warned):
    extra = {"auth": "bearer", "verify": verify}
    connect("whatsapp_business_default", conn_type="whatsapp_business", host="127.0.0.1:9", password="t", extra=extra)

    with pytest.raises(NetworkError):
        process.do(check, policy=RetryPolicy(budget=timedelta(0)))
    texts = [record.getMessage() for record in caplog.records if "certificates are not verified" in record.msg]
    assert [text.split(": ")[0] for text in texts] == ["connection 'whatsapp_business_default'"] * warned


def test_the_connections_proxy_is_used(connect, process):
    with Wire() as proxy:
        extra = {"auth": "bearer", "proxies": {"http": proxy.url}, "allow_http": True}
        connect("whatsapp_business_default", conn_type="x", host="http://waba.example.org", password="t", extra=extra)
        proxy.will(checked())

        assert process.do(check)[0].results == VALID
        assert paths(proxy) == [("POST", "http://waba.example.org/v1/contacts")]


def test_a_path_before_the_apis_own_is_kept(connect, process, wire):
    fixed(connect, wire, "bearer", host=f"{wire.url}/gateway/")
    wire.will(checked())

    process.do(check)
    assert paths(wire) == [("POST", "/gateway/v1/contacts")]


@pytest.mark.parametrize("answer", [Answer(body=b'{"contacts": []}'), failed(400, 1009)])
def test_a_working_connection_says_so_and_asks_about_nobody(by_login, wire, answer):
    wire.will(granted(), answer)

    assert WhatsAppBusinessHook().test_connection() == (True, "the WhatsApp Business API answered")
    assert paths(wire) == [LOGIN, CHECK]
    assert json.loads(wire.asked[1].body)["contacts"] == []


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([DENIED], "whatsapp_business.login, HTTP 401: access denied"),
        ([granted(), Answer(404)], "whatsapp_business.contacts.check, HTTP 404: not found"),
        ([granted(), Answer(200, b"<html>")], "whatsapp_business.contacts.check, HTTP 200: not JSON"),
        ([], "whatsapp_business.login, HTTP 503, "),
    ],
)
def test_a_connection_that_does_not_work_says_why_and_soon(by_login, wire, clock, answers, told):
    wire.will(*answers, ever_after=Answer(503))

    works, message = WhatsAppBusinessHook(clock=clock).test_connection()
    assert (works, message.startswith(told)) == (False, True)
    assert clock.passed <= 10
    assert wire.url not in message


def test_run_goes_through_the_same_credentials(by_login, wire):
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
        "auth": ("StringField", "login"),
        "sender": ("StringField", None),
        "daily_checks": ("IntegerField", 1000),
        "timeout": ("IntegerField", 60),
        "verify": ("StringField", "true"),
        "allow_http": ("BooleanField", False),
    }
    assert WhatsAppBusinessHook.get_ui_field_behaviour()["relabeling"]["password"] == "Password, token or key"
    assert {"get_connection_form_widgets", "get_ui_field_behaviour"} <= vars(WhatsAppBusinessHook).keys()


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


@pytest.mark.parametrize("auth", ["login", "bearer", "d360"])
def test_a_stand_in_is_spoken_to(connect, process, auth):
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

        def advance(api):
            sandbox.clock.advance(8 * DAY)

        async def advance_async(api):
            advance(api)

        later = advance if isinstance(process, Worker) else advance_async
        first, _, second = process.do(check, later, check)
        assert first.results == second.results == VALID
