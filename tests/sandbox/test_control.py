"""The control routes."""

import pytest

BOBS_UUID = "f6c4e666-81ad-430e-aea5-1ba33e6f4c35"


def test_the_clock_is_read_set_and_moved(client):
    answers = [
        client.control("GET", "/clock"),
        client.control("POST", "/clock", {"now": "2022-09-20T00:00:00Z"}),
        client.control("POST", "/clock", {"advance_s": 86400.5}),
    ]

    assert [answer.json() for answer in answers] == [
        {"now": "2022-09-13T08:00:00.000000Z", "rate": 0.0},
        {"now": "2022-09-20T00:00:00.000000Z", "rate": 0.0},
        {"now": "2022-09-21T00:00:00.500000Z", "rate": 0.0},
    ]


def test_the_behaviour_is_changed_and_put_back(client, sandbox):
    changes = {"cursor_kind": "offset", "rate_limit": 10, "cursor_pages": None}
    changed = client.control("POST", "/behaviour", changes).json()
    kind = sandbox.behaviour.cursor_kind
    back = client.control("DELETE", "/behaviour").json()

    assert {name: changed[name] for name in changes} == changes
    assert (kind, back["cursor_kind"], sandbox.behaviour.cursor_kind) == ("offset", "keyset", "keyset")


def test_faults_are_queued_told_and_called_off(client):
    one = {"kind": "status", "status": 503, "times": 2}
    queued = client.control("POST", "/faults", one).json()
    both = client.control("POST", "/faults", [{"kind": "drop", "on": "page"}]).json()
    answer = client.create().status_code
    none = client.control("DELETE", "/faults").json()

    assert [(fault["kind"], fault["seen"]) for fault in both] == [("status", 0), ("drop", 0)]
    assert (len(queued), answer, none, client.control("GET", "/faults").json()) == (1, 503, [], [])


def test_a_contact_is_changed_now(client):
    (state,) = client.control("POST", "/contacts", {"id": 1, "details": {"current_savings": 110}}).json()
    (row,) = client.rows("2022-09-13T00:00:00Z", "2022-09-14T00:00:00Z")

    assert (state["updated_at"], state["uuid"]) == ("2022-09-13T08:00:00.000000Z", BOBS_UUID)
    assert (row["details"]["current_savings"], row["details"]["name"]) == (110, "bob")


def test_contacts_are_made_with_raw_values(client):
    items = [
        {"details": {"remark": {"$raw": '"\xff"'}}, "extra": {"urn": "x"}, "at": "2022-09-12T01:00:00Z"},
        {"id": 9, "uuid": "u-9", "at": "2022-09-12T02:00:00Z"},
    ]
    made = client.control("POST", "/contacts", items).json()
    body = client.page(client.cursor()).content

    assert [(state["id"], state["extra"]) for state in made] == [(2, {"urn": "x"}), (9, {})]
    assert made[0]["details"]["remark"] == {"$raw": '"\xff"'}
    assert b'"remark":"\xff"' in body
    assert b'"urn":"x"' in body


def test_a_contact_is_deleted_now(client):
    state = client.control("DELETE", "/contacts/1").json()

    assert (state["deleted"], state["updated_at"]) == (True, "2022-09-13T08:00:00.000000Z")
    assert client.ids() == []
    assert client.control("DELETE", "/contacts/2").status_code == 400


def test_the_truth_is_every_state_up_to_now(client, sandbox):
    before = client.control("GET", "/truth").json()
    sandbox.clock.set("2022-09-14T00:00:00Z")
    after = client.control("GET", "/truth").json()

    assert [(len(truth["states"]), truth["contacts"], truth["now"]) for truth in (before, after)] == [
        (1, 1, "2022-09-13T08:00:00.000000Z"),
        (2, 1, "2022-09-14T00:00:00.000000Z"),
    ]
    assert after["states"][0] == before["states"][0]
    assert after["states"][1]["details"]["current_savings"] == 120
    assert after["states"][1]["inserted_at"] == "2022-09-12T08:30:00.000000Z"
    assert after["states"][1]["updated_at"] == "2022-09-13T10:00:00.000000Z"


def test_requests_are_told_and_forgotten(client):
    client.ids(ordering="asc")
    others = ("schemas", "login", "check", "identity", "acknowledge", "contacts", "state", "wa_settings", "other")
    told = client.control("GET", "/requests").json()
    forgotten = client.control("DELETE", "/requests").json()

    assert told == {
        "create": 1,
        "page": 1,
        **dict.fromkeys(others, 0),
        "outcomes": {
            "create": {"200": 1},
            "page": {"200": 1},
            **{kind: {} for kind in others},
        },
        "asked": [{"from": "2022-09-12T00:00:00.000Z", "until": "2022-09-13T00:00:00.000Z", "ordering": "asc"}],
    }
    assert (forgotten["create"], forgotten["asked"]) == (0, [])


@pytest.mark.parametrize(
    ("world", "contacts"),
    [
        ({"name": "bob"}, 1),
        ({"seed": 4, "contacts": 12, "start": "2022-10-01T00:00:00Z", "days": 3}, 12),
        ({"events": [{"at": "2022-09-12T00:00:00Z", "id": 5, "details": {"name": "Kervandil"}}]}, 1),
    ],
)
def test_another_world_is_loaded(client, world, contacts):
    cursor = client.cursor()

    assert client.control("POST", "/world", world).json()["contacts"] == contacts
    assert client.page(cursor).status_code == 404
    assert client.control("GET", "").json()["contacts"] == contacts


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/clock", {"now": "2022-09-12T00:00:00"}, "without an offset"),
        ("/clock", {"advance": 1}, "advance"),
        ("/clock", {"advance_s": "x"}, ""),
        ("/behaviour", {"cursor_king": "offset"}, "cursor_king"),
        ("/behaviour", {"cursor_kind": "both"}, "cursor_kind"),
        ("/behaviour", {"page_size": 0}, "page_size"),
        ("/behaviour", [], ""),
        ("/faults", {"kind": "flood"}, "kind"),
        ("/faults", {"kind": "drop", "when": 1}, "when"),
        ("/faults", {}, "kind"),
        ("/contacts", {"details": {}, "name": "x"}, "name"),
        ("/world", {"name": "alice"}, "alice"),
        ("/world", {"events": [{"id": 1}]}, "at"),
    ],
)
def test_what_cannot_be_understood_changes_nothing(client, path, body, named):
    before = client.control("GET", "").json()
    answer = client.control("POST", path, body)

    assert answer.status_code == 400
    assert named in answer.json()["error"]
    assert client.control("GET", "").json() == before
