"""What is answered with an error, in Turn's shape."""

import pytest


def error_of(answer):
    assert list(answer.json()) == ["errors"]
    (error,) = answer.json()["errors"]
    assert error["code"] == answer.status_code
    return answer.status_code, error["title"], error["details"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}, {"Authorization": "Basic example-token"}])
@pytest.mark.parametrize("path", ["/v1/data/contacts/cursor/any", "/v1/contacts/schemas", "/v1/elsewhere"])
def test_nothing_is_answered_without_the_token(client, headers, path):
    answer = client.send("GET", path, headers={"Accept": "application/vnd.v1+json", **headers})

    assert error_of(answer) == (401, "Unauthorized", "The token is missing or not known.")


def test_a_token_ends_when_the_clock_says_so(client, sandbox):
    sandbox.change(token_expires_at="2022-09-14T00:00:00Z")
    before = client.create().status_code

    sandbox.clock.set("2022-09-14T00:00:00Z")

    assert (before, error_of(client.create())) == (200, (401, "Unauthorized", "The token has expired."))


def test_a_token_can_be_swapped(client, sandbox):
    sandbox.change(token="other-token", number_id=2)
    client.headers["Authorization"] = "Bearer other-token"

    assert [row["number_id"] for row in client.rows()] == [2]


@pytest.mark.parametrize(("export", "status"), [("forbidden", 403), ("unavailable", 404)])
def test_an_account_without_the_export_gets_no_cursor(client, sandbox, export, status):
    sandbox.change(export=export)

    assert error_of(client.create())[0] == status


def test_one_cursor_too_many_at_once_is_403_until_one_is_read_to_its_end(client, sandbox):
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
def test_a_window_that_cannot_be_read_is_400(client, body):
    headers = {**client.headers, "Content-Type": "application/json"}
    answer = client.send("POST", "/v1/data/contacts/cursor", data=body, headers=headers)

    assert error_of(answer)[:2] == (400, "Bad Request")


@pytest.mark.parametrize("text", ["2022-09-12T00:00:00Z", "2022-09-12T02:00:00+02:00", "2022-09-12 00:00:00.000000Z"])
def test_times_of_a_window_are_read_however_they_are_written(client, text):
    assert client.ids(text) == [1]


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
def test_an_option_that_is_none_is_400(client, options):
    assert error_of(client.create(**options))[0] == 400


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("page_size", "page_size_option", 10),
        ("scrubbing_rules", "scrubbing_option", {"details.name": {"type": "hash"}}),
        ("ordering", "ordering_option", "asc"),
    ],
)
def test_an_option_may_not_be_supported(client, sandbox, name, setting, value):
    sandbox.change(**{setting: "refuse"})

    assert error_of(client.create(**{name: value}))[::2] == (400, f"{name} is not supported here.")


def test_a_future_until_may_be_refused(client, sandbox):
    accepted = client.create(until="2022-09-13T08:00:00.001Z").status_code
    sandbox.change(future_until="refuse")
    at_now = client.create(until="2022-09-13T08:00:00.000Z").status_code
    refused = client.create(until="2022-09-13T08:00:00.001Z")

    assert (accepted, at_now, error_of(refused)[::2]) == (200, 200, (400, "until is in the future."))


def test_the_contracts_headers_are_asked_for(client):
    del client.headers["Accept"]
    without_accept = [client.create().status_code, client.page("any").status_code]
    client.headers |= {"Accept": "application/vnd.v1+json", "Content-Type": "text/plain"}

    assert (without_accept, client.create().status_code) == ([406, 406], 415)


def test_headers_do_not_matter_where_they_are_not_to(client, sandbox):
    sandbox.change(strict_headers=False)
    client.headers["Accept"] = "*/*"

    assert client.ids() == [1]


def test_an_unknown_cursor_is_404(client):
    assert error_of(client.page("never-made"))[::2] == (404, "There is no such cursor.")


def test_an_unknown_path_is_404(client):
    answer = client.send("GET", "/v1/contacts/44623456700/profile", headers=client.headers)

    assert error_of(answer)[0] == 404
