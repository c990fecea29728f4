"""What is sent to GREEN-API, and what comes of each way in which it answers."""

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.green_api import WaSettings
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    ConfigError,
    ContractError,
    NetworkError,
    NotEnabledError,
    RateLimitedError,
    RejectedError,
    ServerError,
    TransientError,
)
from tests.clients.wire import DROP, SILENCE, Answer, Wire
from tests.hooks.green_api.api import (
    CONTACTS,
    ID_INSTANCE,
    IVAN,
    JSON,
    NO_QUOTA,
    NO_SUPPRESSIONS,
    QUOTED,
    TOO_MANY,
    UNAUTHORIZED,
    answer,
    define,
    hook_of,
    ids,
    page,
    path,
    paths,
    refused,
    state,
)


def test_each_method_is_asked_for_by_its_path(hook, wire):
    wire.will(CONTACTS, state("authorized"), answer({"stateInstance": "authorized", "historySyncProgress": 90}))

    assert ids(hook.get_contacts()) == [IVAN["id"]]
    assert hook.get_state() == "authorized"
    assert hook.get_wa_settings() == WaSettings("authorized", 90)
    assert paths(wire) == [("GET", path(method)) for method in ("getContacts", "getStateInstance", "getWaSettings")]
    assert (wire.lines, {asked.body for asked in wire.asked}) == (1, {b""})


def test_contacts_are_narrowed_when_it_is_asked_for(hook, wire):
    wire.will(ever_after=NO_SUPPRESSIONS)
    hook.get_contacts(group=True)
    hook.get_contacts(group=False, count=7)

    assert paths(wire) == [("GET", f"{path()}?group=true"), ("GET", f"{path()}?group=false&count=7")]


@pytest.mark.parametrize("count", [0, -5])
def test_an_invalid_count_fails_before_a_request(hook, wire, count):
    with pytest.raises(ConfigError, match=f"count is {count}. It must be a whole number, 1 or more."):
        hook.get_contacts(count=count)
    assert wire.asked == []


def test_neither_login_nor_extras_nor_a_netrc_become_headers(connect, wire, clock, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    define(connect, wire, extra={"X-Api": "v", "account": "line 1", "timeout": 5})
    wire.will(Answer(200, b"[]", {"set-cookie": "sticky=yes"}), NO_SUPPRESSIONS)
    hook = hook_of(clock)

    hook.get_contacts()
    hook.get_contacts()
    names = {"host", "user-agent", "accept-encoding", "accept"}
    assert [asked.headers.keys() - {"connection"} for asked in wire.asked] == [names] * 2


def test_an_empty_list_is_asked_for_once_and_handed_over(hook, wire):
    wire.will(NO_SUPPRESSIONS, CONTACTS)

    assert (hook.get_contacts().rows, len(wire.asked)) == (0, 1)
    assert hook.get_contacts().rows == 1


@pytest.mark.parametrize(
    "broken",
    [
        TOO_MANY,
        page(502),
        Answer(500),
        Answer(503, b"", JSON),
        Answer(504),
        refused("Client Closed Request", 499),
        DROP,
        Answer(200, b"[]", cut=1),
    ],
    ids=["429", "502", "500", "503", "504", "499", "dropped", "cut off"],
)
def test_transient_failures_are_retried_with_growing_pauses(hook, wire, clock, broken):
    wire.will(broken, broken, CONTACTS)

    assert ids(hook.get_contacts()) == [IVAN["id"]]
    assert len(wire.asked) == 3
    assert clock.passed >= 3


def test_no_retry_within_a_second_of_a_429(hook, wire, clock):
    wire.will(TOO_MANY, CONTACTS)
    hook.get_contacts()

    assert (clock.passed >= 1, len(wire.asked)) == (True, 2)


def test_a_429_that_says_when_is_waited_for_as_it_says(hook, wire, clock):
    wire.will(Answer(429, b"", {"retry-after": "7"}), CONTACTS)
    hook.get_contacts()

    assert clock.sleeps == [pytest.approx(7.35, abs=0.35)]


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (TOO_MANY, RateLimitedError),
        (page(502), ServerError),
        (refused("x", 499), ServerError),
        (DROP, NetworkError),
        (SILENCE, NetworkError),
    ],
    ids=["429", "502", "499", "dropped", "silent"],
)
def test_lasting_failures_end_within_the_budget(connect, wire, clock, broken, kind):
    define(connect, wire, extra={"timeout": 0.05})
    wire.will(ever_after=broken)

    with pytest.raises(kind, match=r"^green_api\.contacts\.get, "):
        hook_of(clock, policy=RetryPolicy(budget=timedelta(seconds=10))).get_contacts()
    assert (clock.passed <= 12, len(wire.asked) > 2) == (True, True)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (UNAUTHORIZED, AuthError),
        (page(403), NotEnabledError),
        (refused("Cannot GET " + path(), 404), NotEnabledError),
        (refused("instance in starting process try later"), TransientError),
        (refused("instance is starting or not authorized"), TransientError),
        (refused("instance account not authorized"), NotEnabledError),
        (refused("Instance account is expired. Renew your instance from personal area"), NotEnabledError),
        (refused("Instance is deleted"), NotEnabledError),
        (refused("Validation failed. Details: 'count' must be a number"), RejectedError),
        (NO_QUOTA, NotEnabledError),
        (Answer(302, b"", {"location": "https://198.51.100.1/"}), RejectedError),
        (Answer(307, b"", {"location": "/elsewhere"}), RejectedError),
        (answer({"code": 401, "description": "Unauthorized"}), ContractError),
        (answer({"status": False, "reason": "x"}), ContractError),
        (Answer(200, b"", JSON), ContractError),
        (Answer(204, b""), ContractError),
        (page(200), ContractError),
        (answer(None), ContractError),
        (answer(["11001234567@c.us"]), ContractError),
    ],
)
def test_permanent_failures_are_not_retried(hook, wire, clock, said, kind):
    wire.will(ever_after=said)

    with pytest.raises(kind, match=rf"^green_api\.contacts\.get, .*, HTTP {said.status}: ") as caught:
        hook.get_contacts()
    assert type(caught.value) is kind
    assert (len(wire.asked), clock.sleeps, caught.value.attempts) == (1, [], 1)


def test_the_connections_proxy_is_used(connect, clock):
    with Wire() as proxy:
        extra = {"proxies": {"http": proxy.url}, "allow_http": True}
        define(connect, proxy, host="http://7103.example.org", extra=extra)
        proxy.will(CONTACTS)

        assert hook_of(clock).get_contacts().rows == 1
        assert paths(proxy) == [("GET", f"http://7103.example.org{path()}")]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"endpoint": "getSettings"}, path("getSettings")),
        ({"endpoint": "/getSettings/"}, path("getSettings")),
        ({"endpoint": "getChats", "data": {"count": 5}}, f"{path('getChats')}?count=5"),
        ({"endpoint": "getChats?count=5"}, f"{path('getChats')}?count=5"),
    ],
)
def test_run_calls_any_method_of_the_instance(hook, wire, given, sent):
    assert hook.run(**given).body == b"{}"
    assert paths(wire) == [("GET", sent)]


def test_run_sends_a_body_where_it_is_given_one(connect, wire, clock):
    define(connect, wire)
    hook_of(clock, method="POST").run("checkWhatsapp", json={"chatId": "11001234567@c.us"})

    assert paths(wire) == [("POST", f"/waInstance{ID_INSTANCE}/checkWhatsapp/{QUOTED}")]
    assert wire.asked[0].body == b'{"chatId":"11001234567@c.us"}'


@pytest.mark.parametrize("endpoint", [None, ""])
def test_run_needs_a_method(hook, wire, endpoint):
    with pytest.raises(ConfigError, match="Set it to a method"):
        hook.run(endpoint)
    assert wire.asked == []
