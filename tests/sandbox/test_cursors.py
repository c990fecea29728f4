"""How pages follow one another, and how they end."""

import pytest

WIDE = ("2022-09-12T00:00:00Z", "2022-09-14T00:00:00Z")


@pytest.mark.parametrize(("trailing", "sizes"), [(False, [2, 2]), (True, [2, 2, 0])])
def test_a_full_last_page_may_be_followed_by_an_empty_one(client, sandbox, line_of, trailing, sizes):
    sandbox.load(line_of(4))
    sandbox.change(page_size=2, trailing_empty_page=trailing)

    assert [len(page) for page in client.pages()] == sizes


def test_reading_a_cursor_twice_gives_the_same_page(client, sandbox, line_of):
    sandbox.load(line_of(4))
    sandbox.change(page_size=2)
    cursor = client.cursor()

    assert client.page(cursor).json()["data"] == client.page(cursor).json()["data"]


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


def test_a_new_cursor_goes_on_where_an_expired_one_stopped(client, sandbox, line_of):
    sandbox.load(line_of(6))
    sandbox.change(cursor_pages=1, page_size=2)
    first = client.page(client.cursor()).json()["data"]
    rest = client.page(client.cursor(first[-1]["updated_at"])).json()["data"]

    assert [row["id"] for row in first + rest] == [1, 2, 2, 3]


@pytest.mark.parametrize(("kind", "ids"), [("keyset", [1, 2, 3, 4, 5, 6]), ("offset", [1, 2, 4, 5])])
def test_offset_cursors_pass_over_as_many_contacts_as_left_before_them(client, sandbox, line_of, kind, ids):
    sandbox.load(line_of(6), now="2022-09-13T12:00:00Z")
    sandbox.change(page_size=2, cursor_kind=kind, moving="served", moves_per_page=1)

    assert client.ids() == ids


@pytest.mark.parametrize("kind", ["keyset", "offset"])
def test_contacts_that_leave_before_they_are_read_are_not_in_the_window(client, sandbox, line_of, kind):
    sandbox.load(line_of(6), now="2022-09-13T12:00:00Z")
    sandbox.change(page_size=2, cursor_kind=kind, moving="unserved", moves_per_page=4)

    assert client.ids() == [1, 2]


def test_a_contact_updated_between_two_pages_comes_again_in_the_window_that_is_open(client, sandbox, line_of):
    sandbox.load(line_of(4), now="2022-09-13T12:00:00Z")
    sandbox.change(page_size=2)
    first = client.page(client.cursor(*WIDE)).json()
    sandbox.upsert(1, name="Wuxombe")
    second = client.page(first["paging"]["next"]).json()
    third = client.page(second["paging"]["next"]).json()

    assert [row["id"] for page in (first, second, third) for row in page["data"]] == [1, 2, 3, 4, 1]
    assert third["data"][0]["details"] == {"name": "Wuxombe"}
