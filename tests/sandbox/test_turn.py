"""The mock server of Turn.io: the documented behavior, and its variants."""

import hashlib
import json

import pytest

from airflow_provider_wacontacts.sandbox import Event, Raw, TurnBehaviour, World
from airflow_provider_wacontacts.sandbox.core.clock import read_time
from airflow_provider_wacontacts.sandbox.turn.contacts import Renderer
from airflow_provider_wacontacts.sandbox.turn.rate_limit import RateLimit

BOB = {
    "details": {
        "birthday": "1988-06-14T18:15:35.873852Z",
        "language": "eng",
        "location": None,
        "name": "bob",
        "opted_in": False,
        "opted_in_at": None,
        "surname": None,
        "whatsapp_id": "44623456700",
        "whatsapp_profile_name": "bob",
        "current_savings": 100,
    },
    "id": 1,
    "inserted_at": "2022-09-12T08:30:00.000Z",
    "number_id": 1,
    "updated_at": "2022-09-12T08:30:00.000Z",
    "uuid": "f6c4e666-81ad-430e-aea5-1ba33e6f4c35",
}
RICHER_BOB = {
    **BOB,
    "details": {**BOB["details"], "current_savings": 120},
    "updated_at": "2022-09-13T10:00:00.000Z",
}
MONDAY = ("2022-09-12T00:00:00.000Z", "2022-09-13T00:00:00.000Z")
TUESDAY = ("2022-09-13T00:00:00.000Z", "2022-09-14T00:00:00.000Z")
EDGES = ("2022-09-12T00:00:00Z", "2022-09-12T00:02:00Z")


def test_a_cursor_is_text_with_its_expiry_in_microseconds(client):
    answer = client.create(*MONDAY)

    assert answer.status_code == 200
    assert sorted(answer.json()) == ["cursor", "expires_at"]
    assert answer.json()["expires_at"] == "2022-09-15T08:00:00.000000Z"


def test_mondays_window_read_on_tuesday_morning_has_bob_at_100(client):
    assert client.page(client.cursor(*MONDAY)).json() == {"data": [BOB]}


def test_mondays_window_read_on_wednesday_is_empty(client, sandbox):
    sandbox.clock.set("2022-09-14T00:00:00Z")

    assert client.page(client.cursor(*MONDAY)).json() == {"data": []}


def test_tuesdays_window_read_on_wednesday_has_bob_at_120(client, sandbox):
    sandbox.clock.set("2022-09-14T00:00:00Z")

    assert client.page(client.cursor(*TUESDAY)).json() == {"data": [RICHER_BOB]}


def test_schemas_name_reserved_and_custom_fields(client):
    answer = client.send("GET", "/v1/contacts/schemas", headers=client.headers)

    fields = {field["name"]: field for field in answer.json()["fields"]}
    assert list(answer.json()) == ["fields"]
    assert [name for name, field in fields.items() if field["custom"]] == ["current_savings"]
    assert fields["opted_in"] == {
        "custom": False,
        "default": False,
        "display": "Opted in",
        "is_private": False,
        "name": "opted_in",
        "null": False,
        "type": "BOOLEAN",
    }


@pytest.mark.parametrize(
    ("inclusive", "ids"),
    [
        ({"from_inclusive": True, "until_inclusive": False}, [1, 2]),
        ({"from_inclusive": True, "until_inclusive": True}, [1, 2, 3]),
        ({"from_inclusive": False, "until_inclusive": False}, [2]),
        ({"from_inclusive": False, "until_inclusive": True}, [2, 3]),
    ],
)
def test_window_edges_are_inclusive_or_exclusive(client, sandbox, line_of, inclusive, ids):
    sandbox.load(line_of(4))
    sandbox.change(**inclusive)

    assert client.ids(*EDGES) == ids


@pytest.mark.parametrize(
    ("ordering", "ids"),
    [({"ordering": "asc"}, [2, 3, 1]), ({"ordering": "desc"}, [1, 3, 2])],
)
@pytest.mark.parametrize("page_size", [1, 3])
def test_ordering_is_by_time_then_id(client, sandbox, ordering, ids, page_size):
    sandbox.load(three_with_a_tie())

    assert client.ids(**ordering, page_size=page_size) == ids


def three_with_a_tie():
    early, late = read_time("2022-09-12T06:00:00Z"), read_time("2022-09-12T07:00:00Z")
    return World.from_events(Event(at=at, id=contact) for contact, at in ((1, late), (2, early), (3, early)))


@pytest.mark.parametrize(
    ("deleted", "rows"),
    [("absent", []), ("tombstone", [(1, "2022-09-13T08:00:00.000Z", None, True)])],
)
def test_a_deleted_contact_is_absent_or_a_tombstone(client, sandbox, deleted, rows):
    sandbox.change(deleted=deleted)
    sandbox.delete(1)
    found = client.rows("2022-09-12T00:00:00Z", "2022-09-14T00:00:00Z")

    assert [(row["id"], row["updated_at"], row["details"]["name"], row["is_deleted"]) for row in found] == rows


def test_a_cursor_may_need_quoting(client, sandbox, line_of):
    sandbox.load(line_of(3))
    sandbox.change(cursor_needs_quoting=True, page_size=1)
    cursor = client.cursor()
    unquoted = client.send("GET", f"/v1/data/contacts/cursor/{cursor}", headers=client.headers)

    assert {"/", "+", "="} < set(cursor)
    assert (unquoted.status_code, client.ids()) == (404, [1, 2, 3])


def test_a_cursor_expires_by_the_sandboxs_clock(client, sandbox, line_of):
    sandbox.load(line_of(4), now="2022-09-13T00:00:00Z")
    sandbox.change(page_size=2)
    made = client.create().json()
    following = client.page(made["cursor"]).json()["paging"]["next"]
    sandbox.clock.set("2022-09-14T23:59:59.999Z")
    before = client.page(following).status_code
    sandbox.clock.set(made["expires_at"])
    after = client.page(following)

    assert (before, after.status_code) == (200, 400)
    assert after.json() == {
        "errors": [{"code": 400, "title": "Cursor has expired", "details": "Create a new cursor to continue."}]
    }


@pytest.mark.parametrize(("kind", "ids"), [("keyset", [1, 2, 3, 4, 5, 6]), ("offset", [1, 2, 4, 5])])
def test_offset_cursors_skip_a_contact_for_each_that_left_before(client, sandbox, line_of, kind, ids):
    sandbox.load(line_of(6), now="2022-09-13T12:00:00Z")
    sandbox.change(page_size=2, cursor_kind=kind, moving="served", moves_per_page=1)

    assert client.ids() == ids


def test_scrubbing_hashes_and_replaces_existing_values():
    rules = {
        "details.name": {"type": "hash"},
        "details.whatsapp_id": {"type": "regex", "search": r"\d{6}$", "replace": "******"},
        "details.surname": {"type": "hash"},
        "details.visits": {"type": "hash"},
    }
    details = {"name": "Oxanthe", "whatsapp_id": "447700900001", "surname": None, "visits": 3}

    assert json.loads(written(details, rules=rules))["details"] == {
        "name": hashlib.sha256(b"Oxanthe").hexdigest(),
        "whatsapp_id": "447700******",
        "surname": None,
        "visits": hashlib.sha256(b"3").hexdigest(),
    }


def test_raw_values_are_sent_unchanged():
    line = written({"remark": Raw(b'"\xff"')}, {"updated_at": Raw(b"1e999")})

    assert line == (
        b'{"details":{"remark":"\xff"},"id":7,"inserted_at":"2022-09-12T08:30:00.123Z",'
        b'"number_id":1,"updated_at":1e999,"uuid":"u-7"}'
    )


def written(details, extra=None, rules=None):
    at = read_time("2022-09-12T08:30:00.123456Z")
    world = World.from_events([Event(at=at, id=7, uuid="u-7", details=details, extra=extra or {})])
    return Renderer(world).contact(next(iter(world)), TurnBehaviour(), rules)


def error_of(answer):
    assert list(answer.json()) == ["errors"]
    (error,) = answer.json()["errors"]
    assert error["code"] == answer.status_code
    return answer.status_code, error["title"], error["details"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}, {"Authorization": "Basic example-token"}])
@pytest.mark.parametrize("path", ["/v1/data/contacts/cursor/any", "/v1/contacts/schemas", "/v1/elsewhere"])
def test_every_path_needs_the_token(client, headers, path):
    answer = client.send("GET", path, headers={"Accept": "application/vnd.v1+json", **headers})

    assert error_of(answer) == (401, "Unauthorized", "The token is missing or not known.")


@pytest.mark.parametrize(("export", "status"), [("forbidden", 403), ("unavailable", 404)])
def test_an_account_without_the_export_gets_no_cursor(client, sandbox, export, status):
    sandbox.change(export=export)

    assert error_of(client.create())[0] == status


def test_open_cursors_are_limited(client, sandbox):
    sandbox.change(max_open_cursors=1)
    cursor = client.cursor()
    second = client.create()
    client.page(cursor)

    assert (error_of(second)[::2], client.create().status_code) == ((403, "Too many cursors are open at once."), 200)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"from": "2022-09-12T00:00:00Z"}',
        b'{"from": 1662940800, "until": 1663027200}',
        b'{"from": "2022-09-12", "until": "2022-09-13"}',
        b'{"from": "2022-09-13T00:00:00Z", "until": "2022-09-12T00:00:00Z"}',
    ],
)
def test_an_invalid_window_is_400(client, body):
    headers = {**client.headers, "Content-Type": "application/json"}
    answer = client.send("POST", "/v1/data/contacts/cursor", data=body, headers=headers)

    assert error_of(answer)[:2] == (400, "Bad Request")


@pytest.mark.parametrize(
    "options",
    [
        {"ordering": "up"},
        {"page_size": 0},
        {"page_size": 1001},
        {"page_size": "10"},
        {"scrubbing_rules": {"details.surname": {"type": "drop"}}},
        {"scrubbing_rules": {"surname": {"type": "hash"}}},
        {"scrubbing_rules": {"details.surname": {"type": "regex", "search": "(", "replace": ""}}},
        {"page_sise": 10},
    ],
)
def test_an_invalid_option_is_400(client, options):
    assert error_of(client.create(**options))[0] == 400


def test_the_contracts_headers_are_required(client):
    del client.headers["Accept"]
    without_accept = [client.create().status_code, client.page("any").status_code]
    client.headers |= {"Accept": "application/vnd.v1+json", "Content-Type": "text/plain"}

    assert (without_accept, client.create().status_code) == ([406, 406], 415)


def calls(behaviour, *moments):
    limit = RateLimit()
    return [limit.ask(behaviour, moment) for moment in moments]


def test_the_rate_limit_counts_calls_in_a_window_from_the_first():
    behaviour = TurnBehaviour(rate_limit=2)

    assert [grant.allowed for grant in calls(behaviour, 100, 105, 159.9, 160, 161, 162)] == [
        *(True, True, False),
        *(True, True, False),
    ]


@pytest.mark.parametrize(
    ("style", "retry_after", "reset"),
    [
        ("integer", {"Retry-After": "59"}, "1000000060"),
        ("fraction", {"Retry-After": "58.250"}, "1000000060.000"),
        ("date", {"Retry-After": "Sun, 09 Sep 2001 01:47:40 GMT"}, "1000000060"),
        ("missing", {}, "1000000060"),
    ],
)
def test_a_429_has_retry_after(style, retry_after, reset):
    behaviour = TurnBehaviour(rate_limit=1, retry_after=style)
    _, refused = calls(behaviour, 1_000_000_000, 1_000_000_001.75)

    assert refused.headers(behaviour, 1_000_000_001.75) == {
        "X-Ratelimit-Bucket": "general",
        "X-Ratelimit-Limit": "1",
        "X-Ratelimit-Remaining": "0",
        "X-Ratelimit-Reset": reset,
        **retry_after,
    }
