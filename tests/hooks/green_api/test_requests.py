"""Requests to GREEN-API, and retries."""

import pytest

from airflow_provider_wacontacts.clients.green_api import WaSettings
from airflow_provider_wacontacts.exceptions import (
    ConfigError,
)
from tests.clients.wire import DROP, Answer, Wire
from tests.hooks.green_api.api import (
    CONTACTS,
    ID_INSTANCE,
    IVAN,
    NO_CONTACTS,
    QUOTED,
    TOO_MANY,
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


def test_each_method_has_its_path(hook, wire):
    wire.will(CONTACTS, state("authorized"), answer({"stateInstance": "authorized", "historySyncProgress": 90}))

    assert ids(hook.get_contacts()) == [IVAN["id"]]
    assert hook.get_state() == "authorized"
    assert hook.get_wa_settings() == WaSettings("authorized", 90)
    assert paths(wire) == [("GET", path(method)) for method in ("getContacts", "getStateInstance", "getWaSettings")]
    assert (wire.lines, {asked.body for asked in wire.asked}) == (1, {b""})


def test_login_extras_and_netrc_add_no_headers(connect, wire, clock, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    define(connect, wire, extra={"X-Api": "v", "account": "line 1", "timeout": 5})
    wire.will(Answer(200, b"[]", {"set-cookie": "sticky=yes"}), NO_CONTACTS)
    hook = hook_of(clock)

    hook.get_contacts()
    hook.get_contacts()
    names = {"host", "user-agent", "accept-encoding", "accept"}
    assert [asked.headers.keys() - {"connection"} for asked in wire.asked] == [names] * 2


@pytest.mark.parametrize("broken", [TOO_MANY, page(502), refused("Client Closed Request", 499), DROP])
def test_transient_failures_are_retried_with_growing_pauses(hook, wire, clock, broken):
    wire.will(broken, broken, CONTACTS)

    assert ids(hook.get_contacts()) == [IVAN["id"]]
    assert len(wire.asked) == 3
    assert clock.passed >= 3


def test_no_retry_within_a_second_of_a_429(hook, wire, clock):
    wire.will(TOO_MANY, CONTACTS)
    hook.get_contacts()

    assert (clock.passed >= 1, len(wire.asked)) == (True, 2)


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


def test_run_sends_a_given_body(connect, wire, clock):
    define(connect, wire)
    hook_of(clock, method="POST").run("checkWhatsapp", json={"chatId": "11001234567@c.us"})

    assert paths(wire) == [("POST", f"/waInstance{ID_INSTANCE}/checkWhatsapp/{QUOTED}")]
    assert wire.asked[0].body == b'{"chatId":"11001234567@c.us"}'


@pytest.mark.parametrize("endpoint", [None, ""])
def test_run_needs_a_method(hook, wire, endpoint):
    with pytest.raises(ConfigError, match="Set it to a method"):
        hook.run(endpoint)
    assert wire.asked == []
