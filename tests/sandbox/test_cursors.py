"""How pages follow one another, and how they end."""

import pytest

WIDE = ("2022-09-12T00:00:00Z", "2022-09-14T00:00:00Z")


@pytest.mark.parametrize(
    ("last_page", "ending"),
    [
        ("missing", {}),
        ("null", {"paging": None}),
        ("empty", {"paging": {}}),
        ("next_null", {"paging": {"next": None}}),
        ("next_empty", {"paging": {"next": ""}}),
    ],
)
def test_the_last_page_ends_as_it_is_told_to(client, sandbox, last_page, ending):
    sandbox.change(last_page=last_page)
    answer = client.page(client.cursor()).json()
    del answer["data"]

    assert answer == ending


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


def test_a_cursor_may_be_good_for_one_reading(client, sandbox):
    sandbox.change(single_use_cursors=True)
    cursor = client.cursor()
    client.page(cursor)

    assert (client.page(cursor).status_code, client.ids()) == (400, [1])


def test_a_cursor_may_need_quoting(client, sandbox, line_of):
    sandbox.load(line_of(3))
    sandbox.change(cursor_needs_quoting=True, page_size=1)
    cursor = client.cursor()
    unquoted = client.send("GET", f"/v1/data/contacts/cursor/{cursor}", headers=client.headers)

    assert {"/", "+", "="} < set(cursor)
    assert (unquoted.status_code, client.ids()) == (404, [1, 2, 3])


def test_a_cursor_expires_by_the_sandboxs_clock(client, sandbox, line_of):
    sandbox.load(line_of(4), now="2022-09-13T00:00:00Z")
    sandbox.change(cursor_lifetime_s=3600, page_size=2)
    made = client.create().json()
    following = client.page(made["cursor"]).json()["paging"]["next"]
    sandbox.clock.set("2022-09-13T00:59:59.999Z")
    before = client.page(following).status_code
    sandbox.clock.set(made["expires_at"])
    after = client.page(following)

    assert (before, after.status_code) == (200, 400)
    assert after.json() == {
        "errors": [{"code": 400, "title": "Cursor has expired", "details": "Create a new cursor to go on."}]
    }


def test_an_export_may_expire_after_so_many_pages(client, sandbox, line_of):
    sandbox.load(line_of(6))
    sandbox.change(cursor_pages=2, page_size=2, expired_title="This CURSOR is expired, sorry")
    first = client.page(client.cursor()).json()["paging"]["next"]
    second = client.page(first).json()["paging"]["next"]
    third = client.page(second)

    assert (third.status_code, third.json()["errors"][0]["title"]) == (400, "This CURSOR is expired, sorry")


def test_a_new_cursor_goes_on_where_an_expired_one_stopped(client, sandbox, line_of):
    sandbox.load(line_of(6))
    sandbox.change(cursor_pages=1, page_size=2)
    first = client.page(client.cursor()).json()["data"]
    rest = client.page(client.cursor(first[-1]["updated_at"])).json()["data"]

    assert [row["id"] for row in first + rest] == [1, 2, 2, 3]


def test_a_created_cursor_may_be_201(client, sandbox):
    sandbox.change(create_status=201)

    assert client.create().status_code == 201


def test_the_clock_may_go_on_with_each_page(client, sandbox, line_of):
    sandbox.load(line_of(4), now="2022-09-13T00:00:00Z")
    sandbox.change(page_size=2, advance_per_page_s=90)
    client.ids()

    assert sandbox.clock.now().isoformat() == "2022-09-13T00:03:00+00:00"


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


def test_contacts_that_moved_are_in_the_window_of_then(client, sandbox, line_of):
    sandbox.load(line_of(6), now="2022-09-13T12:00:00Z")
    sandbox.change(page_size=2, moving="unserved", moves_per_page=4)
    client.ids()
    sandbox.change(moves_per_page=0)
    tuesday = client.rows("2022-09-13T00:00:00Z", "2022-09-14T00:00:00Z")

    assert [(row["id"], row["updated_at"], row["details"]["moves"]) for row in tuesday] == [
        (number, "2022-09-13T12:00:00.000Z", 1) for number in (3, 4, 5, 6)
    ]


def test_a_contact_updated_between_two_pages_comes_again_in_the_window_that_is_open(client, sandbox, line_of):
    sandbox.load(line_of(4), now="2022-09-13T12:00:00Z")
    sandbox.change(page_size=2)
    first = client.page(client.cursor(*WIDE)).json()
    sandbox.upsert(1, name="Wuxombe")
    second = client.page(first["paging"]["next"]).json()
    third = client.page(second["paging"]["next"]).json()

    assert [row["id"] for page in (first, second, third) for row in page["data"]] == [1, 2, 3, 4, 1]
    assert third["data"][0]["details"] == {"name": "Wuxombe"}


def test_moves_are_the_same_each_time(client, sandbox, line_of):
    def moved():
        sandbox.load(line_of(40), now="2022-09-13T12:00:00Z")
        sandbox.change(page_size=10, moves_per_page=3)
        client.ids()
        return [event.id for event in sandbox.truth()[40:]]

    first = moved()

    assert len(first) > 3
    assert moved() == first
