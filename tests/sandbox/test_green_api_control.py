"""The control routes of the GREEN-API account."""

import pytest

USER = "447700900123@c.us"
ROW = {"id": USER, "name": "Zorblatt", "type": "user"}


def test_the_behaviour_is_changed_and_put_back(instance, account):
    changes = {"state": None, "rate_limit": 1.0, "empty_answers": None}
    changed = instance.control("POST", "/green_api/behaviour", changes).json()
    state = account.behaviour.state
    back = instance.control("DELETE", "/green_api/behaviour").json()

    assert {name: changed[name] for name in changes} == changes
    assert (state, back["state"], account.behaviour.state) == (None, "authorized", "authorized")
    assert instance.control("GET", "/green_api/behaviour").json() == back


def test_the_status_tells_contacts_and_quota(instance):
    instance.rows()
    status = instance.control("GET", "").json()["green_api"]

    assert (status["contacts"], status["used_quota"]) == (3, 1)
    assert status == instance.control("GET", "/green_api").json()


def test_contacts_are_put_renamed_and_removed(instance, account):
    at = "2022-09-13T07:00:00Z"
    put = instance.control("POST", "/green_api/contacts", {"id": USER, "name": "Zorblatt", "at": at}).json()
    named = instance.control("POST", "/green_api/names", {"id": USER, "contact_name": "Quillimar"}).json()
    row = account.rows()[-1]
    gone = instance.control("POST", "/green_api/gone", [{"id": USER}]).json()

    assert put == [{"at": "2022-09-13T07:00:00.000000Z", "id": USER, "row": ROW}]
    assert (named[0]["row"], row) == ({**ROW, "contactName": "Quillimar"},) * 2
    assert gone == [{"at": "2022-09-13T08:00:00.000000Z", "id": USER, "row": None}]
    assert instance.control("GET", "/green_api/truth").json()[3:] == [*put, *named, *gone]
    assert len(instance.control("GET", "/green_api/rows").json()) == 3


def test_values_may_be_raw(instance):
    item = {"id": USER, "name": {"$raw": '"\xff"'}, "extra": {"urn": {"$raw": "1e9"}}, "type": "group"}
    (state,) = instance.control("POST", "/green_api/contacts", item).json()

    assert state["row"] == {"id": USER, "name": {"$raw": '"\xff"'}, "type": "group", "urn": {"$raw": "1e9"}}
    assert instance.contacts().content.endswith(b',{"id":"447700900123@c.us","name":"\xff","type":"group","urn":1e9}]')


def test_another_list_is_loaded(instance):
    arguments = {"seed": 1, "contacts": 40, "start": "2022-09-01T00:00:00Z", "days": 0, "changing_share": 0.1}
    seeded = instance.control("POST", "/green_api/list", arguments).json()["contacts"]
    example = instance.control("POST", "/green_api/list", {"name": "example"}).json()["contacts"]

    assert (seeded, example) == (40, 3)


def test_another_world_brings_its_list_and_forgets_calls_and_quota(instance, account):
    instance.rows()
    sizes = [
        instance.control("POST", "/world", world).json()["green_api"]["contacts"]
        for world in ({"seed": 1, "contacts": 40, "start": "2022-09-01T00:00:00Z", "days": 1}, {"name": "bob"})
    ]

    assert (sizes[0] > 30, sizes[1], account.calls, account.used_quota) == (True, 3, [], 0)


def test_calls_are_told_and_forgotten(instance):
    instance.rows(count=1)
    told = instance.control("GET", "/green_api/calls").json()
    none = instance.control("DELETE", "/green_api/calls").json()

    assert [{key: value for key, value in call.items() if key != "at"} for call in told] == [
        {"kind": "contacts", "outcome": "200", "parameters": {"count": "1"}, "authorization": False}
    ]
    assert none == instance.control("GET", "/green_api/calls").json() == []


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/behaviour", {"stat": "authorized"}, "stat"),
        ("/behaviour", {"rate_limit": "1"}, "rate_limit"),
        ("/behaviour", {"base_path": "v3"}, "base_path"),
        ("/behaviour", [], ""),
        ("/contacts", {"name": "x"}, "id"),
        ("/contacts", {"id": 7}, "id"),
        ("/contacts", {"id": USER, "contactName": "x"}, "contactName"),
        ("/contacts", [{"id": USER}, {"id": USER, "name": 7}], "name"),
        ("/contacts", {"id": USER, "at": "noon"}, ""),
        ("/names", {"id": USER, "name": "x"}, USER),
        ("/names", {"id": USER, "type": "group"}, "type"),
        ("/gone", [{"id": "11001234567@c.us"}, {"id": USER}], USER),
        ("/list", {"name": "bob"}, "bob"),
        ("/list", {"size": 5}, "size"),
    ],
)
def test_what_cannot_be_understood_changes_nothing(instance, path, body, named):
    before = instance.control("GET", "/green_api").json()
    answer = instance.control("POST", f"/green_api{path}", body)

    assert answer.status_code == 400
    assert named in answer.json()["error"]
    assert instance.control("GET", "/green_api").json() == before
