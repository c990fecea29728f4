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


def test_the_contracts_headers_are_asked_for(client):
    del client.headers["Accept"]
    without_accept = [client.create().status_code, client.page("any").status_code]
    client.headers |= {"Accept": "application/vnd.v1+json", "Content-Type": "text/plain"}

    assert (without_accept, client.create().status_code) == ([406, 406], 415)


def test_an_unknown_cursor_is_404(client):
    assert error_of(client.page("never-made"))[::2] == (404, "There is no such cursor.")
