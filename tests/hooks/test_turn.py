"""Turn.io through a connection: requests, retries, errors and the connection test."""

import json
import logging
import re
import traceback
from datetime import UTC, datetime

import airflow
import pytest
import requests
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_wacontacts.clients.turn import ExportOptions
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    ConfigError,
    NotEnabledError,
    WaContactsError,
)
from airflow_provider_wacontacts.hooks.turn import TurnHook
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.sandbox import Sandbox, TurnBehaviour, seeded_world
from tests.clients.wire import DROP, Answer, Wire

MONDAY = Window(datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC))
CREATE = ("POST", "/v1/data/contacts/cursor")
CREATED = Answer(body=b'{"cursor": "an-example-cursor-1234", "expires_at": "2022-09-14T17:47:18.318218Z"}')
SCHEMAS = Answer(body=b'{"fields": [{"name": "name", "type": "STRING"}, {"name": "savings", "type": "NUMBER"}]}')
EMPTY = Answer(body=b'{"data": []}')
FIRST, SECOND = (
    "/v1/data/contacts/cursor/an-example-cursor-1234",
    "/v1/data/contacts/cursor/another-example-cursor-5678",
)


def page(*hours, following=None):
    """A page with a contact for each hour of Monday."""
    contacts = [
        {"id": hour, "uuid": f"bob-{hour}", "number_id": 1, "updated_at": f"2022-09-12T{hour:02}:00:00.000Z"}
        for hour in hours
    ]
    return Answer(body=json.dumps({"data": contacts, "paging": {"next": following}}).encode())


@pytest.fixture
def hook(connect, wire, clock):
    connect(conn_type="turn", host=wire.url, password="example-token")
    return TurnHook(clock=clock)


def read(hook, **options):
    return [head.contact_id for each in hook.read_pages(MONDAY, **options) for head in each.keys]


def paths(wire):
    return [(asked.method, asked.path) for asked in wire.asked]


def test_a_window_is_read_page_by_page(hook, wire):
    wire.will(CREATED, page(8, 9, following="another-example-cursor-5678"), page(10))

    assert read(hook) == ["bob-8", "bob-9", "bob-10"]
    assert paths(wire) == [CREATE, ("GET", FIRST), ("GET", SECOND)]
    assert json.loads(wire.asked[0].body) == {"from": "2022-09-12T00:00:00.000Z", "until": "2022-09-13T00:00:00.000Z"}
    assert {asked.headers["authorization"] for asked in wire.asked} == {"Bearer example-token"}
    assert {asked.headers["accept"] for asked in wire.asked} == {"application/vnd.v1+json"}
    assert wire.lines == 1


def test_pages_are_fetched_lazily(hook, wire):
    wire.will(CREATED, page(8, following="another-example-cursor-5678"), page(9))
    pages = hook.read_pages(MONDAY)
    assert wire.asked == []

    next(pages)
    assert paths(wire) == [CREATE, ("GET", FIRST)]


def test_given_options_are_sent(hook, wire):
    wire.will(CREATED, EMPTY)
    rules = {"details.surname": {"type": "hash"}}

    assert read(hook, ordering="asc", page_size=10, scrubbing_rules=rules) == []
    assert json.loads(wire.asked[0].body) == {
        "from": "2022-09-12T00:00:00.000Z",
        "until": "2022-09-13T00:00:00.000Z",
        "ordering": "asc",
        "page_size": 10,
        "scrubbing_rules": rules,
    }


def test_an_interrupted_read_resumes(hook, wire):
    wire.will(CREATED, EMPTY)
    read(hook, resume_from=datetime(2022, 9, 12, 9, tzinfo=UTC))

    assert json.loads(wire.asked[0].body)["from"] == "2022-09-12T08:59:59.999Z"


def test_a_cursor_can_be_created_separately(hook, wire):
    wire.will(Answer(body=b'{"cursor": "an/example+cursor="}'))

    assert hook.create_cursor(MONDAY, ExportOptions(ordering="desc")) == "an/example+cursor="
    assert json.loads(wire.asked[0].body)["ordering"] == "desc"
    assert paths(wire) == [CREATE]


def test_a_refused_cursor_is_an_error(hook, wire):
    wire.will(Answer(403))

    with pytest.raises(NotEnabledError):
        hook.create_cursor(MONDAY)


def test_schemas_are_the_possible_fields_of_contacts(hook, wire):
    wire.will(SCHEMAS)

    assert hook.get_schemas() == [{"name": "name", "type": "STRING"}, {"name": "savings", "type": "NUMBER"}]
    assert paths(wire) == [("GET", "/v1/contacts/schemas")]


@pytest.mark.parametrize("broken", [Answer(500), Answer(502), Answer(503), Answer(504), DROP, Answer(cut=1)])
def test_transient_failures_are_retried(hook, wire, clock, broken):
    wire.will(broken, CREATED, broken, broken, page(8))

    assert read(hook) == ["bob-8"]
    assert paths(wire) == [CREATE, CREATE, *[("GET", FIRST)] * 3]
    assert len(clock.sleeps) == 3


def test_a_replaced_token_is_reread_from_the_connection(hook, wire, connect):
    wire.will(CREATED, page(8, following="c2"))
    pages = hook.read_pages(MONDAY)
    next(pages)
    connect(conn_type="turn", host=wire.url, password="new-example-token")
    wire.will(Answer(401), page(9))

    assert [head.contact_id for head in next(pages).keys] == ["bob-9"]
    assert [asked.headers["authorization"] for asked in wire.asked[-2:]] == [
        "Bearer example-token",
        "Bearer new-example-token",
    ]


def test_a_token_that_is_rejected_twice_is_an_auth_error(hook, wire, connect):
    hook.run_flow(iter_nothing())
    connect(conn_type="turn", host=wire.url, password="new-example-token")
    wire.will(ever_after=Answer(401))

    with pytest.raises(AuthError) as caught:
        read(hook)
    assert (len(wire.asked), caught.value.attempts) == (2, 2)


def iter_nothing():
    return None
    yield


def test_a_token_for_another_host_is_not_sent_to_this_one(hook, wire, connect):
    hook.run_flow(iter_nothing())
    wire.will(ever_after=Answer(401))
    with Wire() as other:
        connect(conn_type="turn", host=other.url, password="others-example-token")
        with pytest.raises(AuthError):
            read(hook)

    assert [asked.headers["authorization"] for asked in wire.asked] == ["Bearer example-token"]
    assert other.asked == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"password": "t"}, "Connection 'turn_default': host is empty"),
        ({"host": "whatsapp.turn.io"}, "Connection 'turn_default': password is empty"),
        ({"host": "http://whatsapp.turn.io", "password": "t"}, "Connection 'turn_default': host would get the token"),
    ],
)
def test_an_incomplete_connection_is_refused_before_any_request(connect, fields, told):
    connect(conn_type="turn", **fields)

    with pytest.raises(ConfigError, match=told):
        TurnHook().get_schemas()


def test_the_account_is_an_extra_or_the_connections_id(connect):
    connect("line_1", conn_type="turn", host="whatsapp.turn.io")
    assert TurnHook("line_1").account == "line_1"

    connect("line_1", conn_type="turn", host="whatsapp.turn.io", extra={"account": "Line One"})
    assert TurnHook("line_1").account == "Line One"


def test_the_test_of_a_working_connection_succeeds(connect, wire):
    wire.will(SCHEMAS)
    connect(conn_type="turn", host=wire.url, password="example-token")

    assert TurnHook().test_connection() == (True, "Connected to Turn.io. Contacts have 2 fields.")
    assert paths(wire) == [("GET", "/v1/contacts/schemas")]


@pytest.mark.skipif(
    airflow.__version__ < "3.3", reason="earlier ones test it in their server, by an environment variable"
)
def test_airflow_can_test_an_unsaved_connection(wire):
    wire.will(SCHEMAS)
    unsaved = Connection(conn_id="unsaved", conn_type="turn", host=wire.url, password="example-token")

    assert TurnHook("unsaved").test_connection()[0] is False
    assert unsaved.test_connection() == (True, "Connected to Turn.io. Contacts have 2 fields.")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            Answer(401, b'{"errors": [{"title": "example-token is wrong"}]}'),
            "HTTP 401: The server does not accept the token",
        ),
        (Answer(404), "HTTP 404: The server does not know the path"),
        (Answer(503), "HTTP 503, [45] attempts: The server failed"),
        (Answer(429, headers={"retry-after": "6"}), "HTTP 429: The server's rate limit"),
        (DROP, "[45] attempts: The connection was dropped"),
    ],
)
def test_the_test_of_a_failing_connection_has_the_reason_within_ten_seconds(hook, wire, clock, answer, told):
    wire.will(ever_after=answer)

    works, message = hook.test_connection()

    named = rf"turn\.contacts\.schemas, connection 'turn_default' \({wire.url.removeprefix('http://')}\), "
    assert (works, re.match(named + told, message) is not None) == (False, True)
    assert clock.passed <= 10
    assert "example-token" not in message
    assert wire.url not in message


def test_the_test_of_an_undefined_connection_has_the_reason():
    works, message = TurnHook("nowhere").test_connection()

    assert (works, message.startswith("Connection 'nowhere' is not defined. Create it")) == (False, True)


def test_login_extras_and_netrc_add_no_headers(connect, wire, clock, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    extra = {"X-Api": "v", "account": "line 1", "timeout": 5, "app_secret": "example-pseudonym-secret"}
    connect(conn_type="turn", host=wire.url, login="somebody", password="example-token", extra=extra)
    wire.will(SCHEMAS)

    TurnHook(clock=clock).get_schemas()

    (asked,) = wire.asked
    assert asked.headers.keys() == {"host", "user-agent", "accept-encoding", "accept", "connection"} | {
        "authorization",
        "content-type",
    }
    assert asked.headers["authorization"] == "Bearer example-token"


def test_the_connections_proxy_is_used(connect, clock):
    with Wire() as proxy:
        extra = {"proxies": {"http": proxy.url}, "allow_http": True}
        connect(conn_type="turn", host="http://turn.example.org", password="example-token", extra=extra)
        proxy.will(SCHEMAS)

        assert len(TurnHook(clock=clock).get_schemas()) == 2
        assert paths(proxy) == [("GET", "http://turn.example.org/v1/contacts/schemas")]


def test_the_environments_proxy_is_used_unless_trust_env_is_off(connect, clock, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Wire() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        extra = {"allow_http": True}
        connect(conn_type="turn", host="http://turn.invalid", password="example-token", extra=extra)
        proxy.will(SCHEMAS)
        assert len(TurnHook(clock=clock).get_schemas()) == 2

        connect(conn_type="turn", host="http://turn.invalid", password="t", extra=extra | {"trust_env": False})
        with pytest.raises(ConfigError, match=r"\(turn\.invalid:80\): The host name is unknown"):
            TurnHook(clock=clock).get_schemas()
        assert len(proxy.asked) == 1


def test_a_hook_has_one_session(hook, wire):
    wire.will(SCHEMAS, SCHEMAS)
    session = hook.get_conn()

    hook.get_schemas()
    hook.get_schemas()
    assert isinstance(session, requests.Session)
    assert (hook.get_conn() is session, wire.lines) == (True, 1)
    assert session.auth is None
    assert "authorization" not in session.headers


SECRETS = ("example-token-5ec2e7", "an-example-cursor-1234", "whatsapp-name-in-a-body")
LEAKY = b'{"errors": [{"title": "example-token-5ec2e7 whatsapp-name-in-a-body", "details": "an-example-cursor-1234"}]}'


@pytest.mark.parametrize(
    "broken", [Answer(status, LEAKY) for status in (200, 302, 400, 401, 403, 404, 429, 503)] + [DROP]
)
def test_no_failure_reveals_a_secret_at_debug(connect, wire, clock, caplog, broken):
    caplog.set_level(logging.DEBUG)
    connect(conn_type="turn", host=wire.url, password=SECRETS[0])
    wire.will(CREATED, ever_after=broken)

    with pytest.raises(WaContactsError) as caught:
        read(TurnHook(clock=clock))
    shown = (
        "".join(traceback.format_exception(caught.value)) + caplog.text + repr([vars(one) for one in caplog.records])
    )
    assert [secret for secret in SECRETS if secret in shown] == []
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_window_is_complete_with_any_status_for_expired_cursors(connect, clock, status):
    behaviour = TurnBehaviour(page_size=10, expired_status=status, advance_per_page_s=49 * 3600)
    with Sandbox(seeded_world(contacts=25, days=1), now="2022-09-13T01:00:00Z", behaviour=behaviour) as sandbox:
        connect(conn_type="turn", host=sandbox.url, password=sandbox.token)
        assert len(set(read(TurnHook(clock=clock)))) == 25
        assert sandbox.requests.count("create") == 3
