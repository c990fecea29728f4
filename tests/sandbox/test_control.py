"""The control routes."""

import pytest

BOBS_UUID = "f6c4e666-81ad-430e-aea5-1ba33e6f4c35"
QUICK, SLOW = "+16315551000", "+16315551001"
ANNA = "447700900123@c.us"
RESULT = {"contacts": [{"input": SLOW, "status": "valid", "wa_id": "16315551001"}]}
EIGHT = "2022-09-13T08:00:00.000000Z"


def test_the_clock_is_read_set_and_advanced(client):
    answers = [
        client.control("GET", "/clock"),
        client.control("POST", "/clock", {"now": "2022-09-20T00:00:00Z"}),
        client.control("POST", "/clock", {"advance_s": 86400.5}),
    ]

    assert [answer.json() for answer in answers] == [
        {"now": EIGHT, "rate": 0.0},
        {"now": "2022-09-20T00:00:00.000000Z", "rate": 0.0},
        {"now": "2022-09-21T00:00:00.500000Z", "rate": 0.0},
    ]


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("/behaviour", {"cursor_kind": "offset", "rate_limit": 10, "cursor_pages": None}),
        ("/whatsapp/behaviour", {"version": "v2.45.1", "wa_id_with": ["valid"], "callback_url": None}),
        ("/green_api/behaviour", {"state": None, "rate_limit": 1.0, "empty_answers": None}),
    ],
)
def test_a_behaviour_is_changed_and_restored(client, path, changes):
    first = client.control("GET", path).json()
    changed = client.control("POST", path, changes).json()

    assert changed == {**first, **changes}
    assert client.control("DELETE", path).json() == client.control("GET", path).json() == first


def test_faults_are_added_and_removed(client):
    client.control("POST", "/faults", {"kind": "status", "status": 503, "times": 2})
    client.control("POST", "/faults", [{"kind": "drop", "on": "page"}])
    pending = client.control("GET", "/faults").json()
    status = client.create().status_code
    client.control("DELETE", "/faults")

    assert ([fault["kind"] for fault in pending], status) == (["status", "drop"], 503)
    assert client.control("GET", "/faults").json() == []


def test_contacts_are_changed_added_and_deleted(client):
    changed = client.control("POST", "/contacts", {"id": 1, "details": {"current_savings": 110}}).json()
    added = client.control(
        "POST",
        "/contacts",
        [{"details": {"remark": {"$raw": '"\xff"'}}, "extra": {"urn": "x"}, "at": "2022-09-12T01:00:00Z"}],
    ).json()
    body = client.page(client.cursor()).content
    deleted = client.control("DELETE", "/contacts/1").json()

    assert (changed["at"], changed["uuid"], changed["details"]["name"]) == (EIGHT, BOBS_UUID, "bob")
    assert [(state["id"], state["extra"]) for state in added] == [(2, {"urn": "x"})]
    assert added[0]["details"]["remark"] == {"$raw": '"\xff"'}
    assert b'"remark":"\xff"' in body
    assert (deleted["deleted"], deleted["at"]) == (True, EIGHT)


def test_the_truth_has_every_version_up_to_now(client, sandbox):
    before = client.control("GET", "/truth").json()
    sandbox.clock.set("2022-09-14T00:00:00Z")
    after = client.control("GET", "/truth").json()

    assert [(state["at"], state["details"]["current_savings"]) for state in after] == [
        ("2022-09-12T08:30:00.000000Z", 100),
        ("2022-09-13T10:00:00.000000Z", 120),
    ]
    assert before == after[:1]


def test_requests_are_counted_and_reset(client):
    client.ids(ordering="asc")
    counts = client.control("GET", "/requests").json()
    client.control("DELETE", "/requests")

    assert (counts["create"], counts["page"], counts["check"]) == (1, 1, 0)
    assert (counts["outcomes"]["page"], counts["asked"][0]["ordering"]) == ({"200": 1}, "asc")
    assert client.control("GET", "/requests").json()["create"] == 0


@pytest.mark.parametrize(
    ("world", "contacts", "rows"),
    [
        ({"name": "bob"}, 1, 3),
        ({"seed": 4, "contacts": 12, "start": "2022-09-01T00:00:00Z", "days": 3}, 12, 12),
        ({"events": [{"at": "2022-09-12T00:00:00Z", "id": 5, "details": {"name": "Kervandil"}}]}, 1, 3),
    ],
)
def test_another_world_resets_all_three_systems(client, sandbox, world, contacts, rows):
    cursor = client.cursor()
    sandbox.whatsapp.check([QUICK])
    sandbox.green_api.write()
    client.control("POST", "/world", world)
    status = client.control("GET", "").json()

    assert client.page(cursor).status_code == 404
    assert (status["contacts"], status["green_api"]["used_quota"], status["whatsapp"]["real_checks"]) == (
        contacts,
        0,
        0,
    )
    assert abs(status["green_api"]["contacts"] - rows) <= 3


def test_numbers_are_set_counted_and_known(business, whatsapp):
    people = [{"number": "+12015550101", "status": "invalid"}, {"number": "+525500000000", "slow": True}]
    truth = [
        {"number": "+12015550101", "status": "invalid", "wa_id": None},
        {"number": "+525500000000", "status": "valid", "wa_id": "5215500000000"},
    ]
    assert business.control("POST", "/whatsapp/people", people).json() == truth
    assert business.control("POST", "/whatsapp/truth", {"number": "+12015550101"}).json() == truth[0]
    assert business.statuses("+12015550101", "+525500000000") == ["invalid", "processing"]

    counts = business.control("GET", "/whatsapp/numbers").json()
    business.control("DELETE", "/whatsapp/numbers")

    assert (counts["asked"], counts["checked"]) == (dict.fromkeys((each["number"] for each in people), 1),) * 2
    assert {**counts["calls"][0], "at": 0} == {"at": 0, "size": 2, "force_check": False, "blocking": "no_wait"}
    assert (whatsapp.asked, whatsapp.checked, whatsapp.calls) == ({}, {}, [])


def test_the_status_has_the_counts_that_lead_to_a_ban(business, whatsapp):
    whatsapp.change(ban_ratio=1.0)
    business.check(QUICK, "6315551002")
    business.control("POST", "/whatsapp/sent", {"count": 1})
    status = business.control("GET", "/whatsapp").json()

    assert (status["sent"], status["real_checks"], status["banned"]) == (1, 2, True)


def test_checks_identities_messages_and_tokens(business):
    business.check(SLOW)
    finished = business.control("POST", "/whatsapp/finish").json()
    identity = business.control("POST", "/whatsapp/identities", {"wa_id": "16315551000"}).json()
    message = business.control("POST", "/whatsapp/messages", {"wa_id": "16315551000", "text": "hi"}).json()
    own = business.control("POST", "/whatsapp/callbacks", {"statuses": []}).json()
    log = [callback["body"] for callback in business.control("GET", "/whatsapp/callbacks").json()]
    business.control("DELETE", "/whatsapp/callbacks")
    business.control("DELETE", "/whatsapp/tokens")

    assert (finished, own, message["messages"][0]["text"]) == ([RESULT], {"statuses": []}, {"body": "hi"})
    assert (log[0], log[1]["messages"][0]["system"]["identity"], log[2:]) == (RESULT, identity["hash"], [message, own])
    assert business.control("GET", "/whatsapp/callbacks").json() == []
    assert business.check(QUICK).status_code == 401


def test_rows_of_the_list_are_set_renamed_and_removed(instance):
    item = {"chat_id": ANNA, "name": {"$raw": '"\xff"'}, "at": "2022-09-13T07:00:00Z"}
    states = [
        instance.control("POST", "/green_api/contacts", item).json(),
        instance.control("POST", "/green_api/names", {"chat_id": ANNA, "contact_name": "Quillimar"}).json(),
    ]
    row = instance.control("GET", "/green_api/rows").json()[-1]
    states += instance.control("POST", "/green_api/gone", [{"chat_id": ANNA}]).json()

    assert row == {"id": ANNA, "name": {"$raw": '"\xff"'}, "contactName": "Quillimar", "type": "user"}
    assert (states[0]["at"], states[-1]) == (
        "2022-09-13T07:00:00.000000Z",
        {"at": EIGHT, "id": ANNA, "contact": None},
    )
    assert instance.control("GET", "/green_api/truth").json()[3:] == states


def test_the_list_is_replaced_and_its_requests_are_logged(instance):
    arguments = {"seed": 1, "contacts": 40, "start": "2022-09-01T00:00:00Z", "days": 0}
    instance.control("POST", "/green_api/list", arguments)
    sizes = [instance.control("GET", "/green_api").json()["contacts"]]
    instance.control("POST", "/green_api/list", {"name": "example"})
    instance.rows(count=1)
    (call,) = instance.control("GET", "/green_api/calls").json()
    instance.control("DELETE", "/green_api/calls")

    assert (sizes, {**call, "at": 0}) == (
        [40],
        {"at": 0, "kind": "contacts", "outcome": "200", "parameters": {"count": "1"}, "authorization": False},
    )
    assert instance.control("GET", "/green_api/calls").json() == []


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/clock", {"now": "2022-09-12T00:00:00"}, "without an offset"),
        ("/clock", {"advance": 1}, "advance"),
        ("/clock", {"advance_s": "x"}, "advance_s"),
        ("/behaviour", {"cursor_king": "offset"}, "cursor_king"),
        ("/behaviour", {"cursor_kind": "both"}, "cursor_kind"),
        ("/behaviour", "offset", ""),
        ("/faults", {"kind": "drop", "when": 1}, "when"),
        ("/faults", {}, "kind"),
        ("/contacts", {"details": {}, "name": "x"}, "name"),
        ("/world", {"name": "alice"}, "alice"),
        ("/world", {"events": [{"id": 1}]}, "at"),
        ("/whatsapp/behaviour", {"sender": "12015550100"}, "sender"),
        ("/whatsapp/people", {"status": "valid"}, "number"),
        ("/whatsapp/people", {"number": QUICK, "status": "gone"}, "gone"),
        ("/whatsapp/sent", {"count": "1"}, "count"),
        ("/whatsapp/callbacks", 7, ""),
        ("/green_api/contacts", {"chat_id": 7}, "chat_id"),
        ("/green_api/contacts", {"chat_id": ANNA, "at": "noon"}, "noon"),
        ("/green_api/names", {"chat_id": ANNA, "name": "x"}, ANNA),
        ("/green_api/gone", {"chat_id": ANNA}, ANNA),
    ],
)
def test_an_invalid_body_changes_nothing(client, path, body, named):
    before = client.control("GET", "").json()
    answer = client.control("POST", path, body)

    assert (answer.status_code, named in answer.json()["error"]) == (400, True)
    assert client.control("GET", "").json() == before
