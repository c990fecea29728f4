"""The control routes of the WhatsApp Business API client."""

import pytest

QUICK, SLOW = "+16315551000", "+16315551001"
RESULT = {"contacts": [{"input": SLOW, "status": "valid", "wa_id": "16315551001"}]}


def test_the_behaviour_is_changed_and_put_back(business, whatsapp):
    changes = {"version": "v2.45.1", "wa_id_with": ["valid"], "rate_limit": 20, "callback_url": None}
    changed = business.control("POST", "/whatsapp/behaviour", changes).json()
    version = whatsapp.behaviour.version
    back = business.control("DELETE", "/whatsapp/behaviour").json()

    assert {name: changed[name] for name in changes} == changes
    assert (version, back["version"], whatsapp.behaviour.version) == ("v2.45.1", "v2.41.2", "v2.41.2")
    assert business.control("GET", "/whatsapp/behaviour").json() == back


def test_the_status_tells_how_far_a_ban_is(business, whatsapp):
    whatsapp.change(ban_ratio=1.0)
    business.check(QUICK, "6315551002")
    sent = business.control("POST", "/whatsapp/sent", {"count": 1}).json()
    status = business.control("GET", "").json()["whatsapp"]

    assert (sent["sent"], sent["real_checks"], sent["banned"]) == (1, 2, True)
    assert status == business.control("GET", "/whatsapp").json() == sent


def test_people_are_set_and_the_truth_about_them_is_told(business):
    people = [
        {"number": "+12015550101", "status": "invalid"},
        {"number": "+525500000000", "slow": True},
        {"number": "(201) 555-0102", "wa_id": "12015550199"},
    ]
    truth = [
        {"number": "+12015550101", "status": "invalid", "wa_id": None},
        {"number": "+525500000000", "status": "valid", "wa_id": "5215500000000"},
        {"number": "+12015550102", "status": "valid", "wa_id": "12015550199"},
    ]

    assert business.control("POST", "/whatsapp/people", people).json() == truth
    assert business.control("POST", "/whatsapp/people", people[0]).json() == truth[:1]
    assert business.control("POST", "/whatsapp/truth", [person["number"] for person in people]).json() == truth
    assert business.statuses("+12015550101", "+525500000000", "+12015550102") == ["invalid", "processing", "valid"]


def test_the_truth_is_what_a_check_finds_in_the_end(business, whatsapp):
    numbers = [f"+120155501{line:02d}" for line in range(100)] + ["+163155588", "+16315551001"]
    truth = business.control("POST", "/whatsapp/truth", numbers).json()
    before = dict(whatsapp.asked)
    found = business.entries(*numbers, blocking="wait")

    assert [(each["number"], each["status"], each["wa_id"]) for each in truth] == [
        (entry["input"], entry["status"], entry.get("wa_id")) for entry in found
    ]
    assert before == {}


def test_numbers_are_counted_and_counted_anew(business, whatsapp):
    business.check(QUICK, SLOW)
    business.check(SLOW)
    told = business.control("GET", "/whatsapp/numbers").json()
    anew = business.control("DELETE", "/whatsapp/numbers").json()
    business.check(QUICK)

    assert (told["asked"], told["checked"]) == ({QUICK: 1, SLOW: 2}, {QUICK: 1, SLOW: 1})
    assert [{name: call[name] for name in call if name != "at"} for call in told["calls"]] == [
        {"size": 2, "force_check": False, "blocking": "no_wait"},
        {"size": 1, "force_check": False, "blocking": "no_wait"},
    ]
    assert anew == {"asked": {}, "checked": {}, "calls": []}
    assert (whatsapp.asked, whatsapp.checked, len(whatsapp.calls)) == ({QUICK: 1}, {}, 1)


def test_faults_are_queued_for_its_requests(business):
    faults = [{"kind": "status", "on": "check", "status": 400, "code": 1031}, {"kind": "drop", "on": "acknowledge"}]
    business.control("POST", "/faults", faults)
    answers = [business.identity(), business.check(QUICK), business.check(QUICK)]

    assert [answer.status_code for answer in answers] == [200, 400, 200]
    assert answers[1].json()["errors"][0]["code"] == 1031
    assert [fault["on"] for fault in business.control("GET", "/faults").json()] == ["acknowledge"]


def test_tokens_are_ended(business):
    business.control("DELETE", "/whatsapp/tokens")

    assert business.check(QUICK).status_code == 401


def test_an_identity_is_changed(business):
    changed = business.control("POST", "/whatsapp/identities", {"wa_id": "16315551000"}).json()
    (callback,) = business.control("GET", "/whatsapp/callbacks").json()

    assert changed == {"hash": changed["hash"], "created": 1663056000000, "acknowledged": False}
    assert business.identity().json()["contacts"]["hash"] == changed["hash"]
    assert callback["body"]["messages"][0]["system"]["identity"] == changed["hash"]
    assert business.control("POST", "/whatsapp/identities", {"wa_id": "16315551002"}).status_code == 400


def test_checks_are_finished_and_callbacks_logged_and_forgotten(business):
    business.check(SLOW)
    made = business.control("POST", "/whatsapp/finish").json()
    incoming = business.control("POST", "/whatsapp/messages", {"from": "16315551000"}).json()
    own = business.control("POST", "/whatsapp/callbacks", {"statuses": []}).json()
    log = business.control("GET", "/whatsapp/callbacks").json()

    assert (made, own, incoming["messages"][0]["text"]) == ([RESULT], {"statuses": []}, {"body": "hello"})
    assert log == [{"url": None, "body": body, "outcomes": []} for body in (RESULT, incoming, own)]
    assert business.control("DELETE", "/whatsapp/callbacks").json() == []
    assert business.control("GET", "/whatsapp/callbacks").json() == []


def test_another_world_forgets_what_was_asked_told_and_given(business, whatsapp):
    token = business.login().json()["users"][0]["token"]
    whatsapp.put(QUICK, "invalid")
    business.check(QUICK, SLOW)
    whatsapp.change_identity("16315551004")
    whatsapp.change(ban_ratio=1.0)
    business.check(QUICK)
    business.control("POST", "/world", {"name": "bob"})
    status = business.control("GET", "/whatsapp").json()
    whatsapp.change(ban_ratio=None)

    assert (status["banned"], status["real_checks"], whatsapp.asked, whatsapp.callbacks.log) == (False, 0, {}, [])
    assert business.statuses(QUICK, SLOW) == ["valid", "processing"]
    assert business.identity("16315551004").json()["contacts"]["acknowledged"] is True
    business.headers = {"Authorization": f"Bearer {token}"}
    assert business.check(QUICK).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/whatsapp/behaviour", {"versoin": "v2.45.1"}, "versoin"),
        ("/whatsapp/behaviour", {"version": 2}, "version"),
        ("/whatsapp/behaviour", {"sender": "12015550100"}, "sender"),
        ("/whatsapp/behaviour", [], ""),
        ("/whatsapp/people", {"number": QUICK, "name": "x"}, "name"),
        ("/whatsapp/people", {"status": "valid"}, "number"),
        ("/whatsapp/people", {"number": 5}, "number"),
        ("/whatsapp/people", [{"number": QUICK, "status": "invalid"}, {"number": QUICK, "status": "gone"}], "status"),
        ("/whatsapp/truth", {"number": QUICK}, "list"),
        ("/whatsapp/truth", [5], ""),
        ("/whatsapp/sent", {"count": "1"}, "count"),
        ("/whatsapp/sent", {}, "count"),
        ("/whatsapp/identities", {}, "wa_id"),
        ("/whatsapp/messages", {"to": "1"}, "to"),
        ("/whatsapp/callbacks", [], "object"),
    ],
)
def test_what_cannot_be_understood_changes_nothing(business, path, body, named):
    before = business.control("GET", "").json()
    answer = business.control("POST", path, body)

    assert answer.status_code == 400
    assert named in answer.json()["error"]
    assert business.control("GET", "").json() == before
    assert business.statuses(QUICK) == ["valid"]
