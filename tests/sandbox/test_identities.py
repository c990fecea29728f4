"""A user's identity: the newest, acknowledged or not."""

import base64

import pytest

USER = "16315551000"
HASH = "UKD6Y/5SqDU="


def test_everybody_on_whatsapp_has_an_identity_of_their_own(business):
    identities = [business.identity(wa_id).json()["contacts"] for wa_id in ("16315551004", "16315551005")]

    assert identities[0]["hash"] != identities[1]["hash"]
    assert [len(base64.b64decode(identity["hash"])) for identity in identities] == [8, 8]
    assert [identity["acknowledged"] for identity in identities] == [True, True]


def test_a_changed_identity_is_new_and_not_acknowledged(business, whatsapp):
    changed = whatsapp.change_identity(USER)

    assert changed.hash != HASH
    assert business.identity().json()["contacts"] == {
        "hash": changed.hash,
        "created_timestamp": 1663056000000,
        "acknowledged": False,
    }


def test_the_newest_hash_acknowledges(business, whatsapp):
    changed = whatsapp.change_identity(USER)
    answer = business.acknowledge(changed.hash)

    assert (answer.status_code, business.identity().json()["contacts"]["acknowledged"]) == (200, True)
    assert business.acknowledge(changed.hash).status_code == 200


@pytest.mark.parametrize(("setting", "body"), [("null", b"null"), ("object", b"{}"), ("empty", b"")])
def test_a_success_has_a_body_or_none(business, whatsapp, setting, body):
    whatsapp.change(acknowledge_answer=setting)
    answer = business.acknowledge(HASH)

    assert (answer.status_code, answer.content) == (200, body)


@pytest.mark.parametrize(
    ("setting", "status", "told", "acknowledged"),
    [
        ("refuse", 400, [1009], False),
        ("not_found", 404, [1006], False),
        ("conflict", 409, [1009], False),
        ("ignore", 200, [], False),
        ("accept", 200, [], True),
    ],
)
def test_a_stale_hash_is_answered_in_many_ways(business, setting, status, told, acknowledged):
    whatsapp = business.sandbox.whatsapp
    whatsapp.change(stale_hash=setting)
    whatsapp.change_identity(USER)
    answer = business.acknowledge(HASH)
    codes = [error["code"] for error in (answer.json() or {}).get("errors", [])]

    assert (answer.status_code, codes) == (status, told)
    assert business.identity().json()["contacts"]["acknowledged"] is acknowledged


def test_values_may_be_text(business, whatsapp):
    whatsapp.change(acknowledged_as="text", created_as="text")
    old = business.identity().json()["contacts"]
    whatsapp.change_identity(USER)

    assert (old["acknowledged"], old["created_timestamp"]) == ("true", "1600132094000")
    assert business.identity().json()["contacts"]["acknowledged"] == "false"


@pytest.mark.parametrize("wa_id", ["16315551002", "163155588", "+16315551000", "nobody"])
def test_who_is_not_on_whatsapp_has_no_identity(business, wa_id):
    answers = [business.identity(wa_id), business.acknowledge(HASH, wa_id)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["errors"] == [{"code": 1006, "title": "Resource not found", "details": "unknown contact"}]


def test_everybody_has_an_identity_where_everybody_is_valid(business, whatsapp):
    whatsapp.change(version="v2.45.1")

    assert business.identity("16315551002").status_code == 200


@pytest.mark.parametrize(("body", "code"), [({}, 1008), ({"hash": None}, 1008), ({"hash": 5}, 1008), ([HASH], 1025)])
def test_acknowledging_needs_a_hash(business, body, code):
    answer = business.send("PUT", f"/v1/contacts/{USER}/identity", json=body, headers=business.headers)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


def test_only_who_is_on_whatsapp_can_change(whatsapp):
    with pytest.raises(LookupError):
        whatsapp.change_identity("16315551002")


def test_a_change_is_told_by_a_system_message(whatsapp):
    changed = whatsapp.change_identity(USER)
    (callback,) = whatsapp.callbacks.log

    assert callback.to_json()["body"] == {
        "messages": [
            {
                "from": USER,
                "id": "example-message-1",
                "system": {"identity": changed.hash, "type": "user_identity_changed", "user": USER},
                "timestamp": "1663056000",
                "type": "system",
            }
        ]
    }


def test_a_change_may_not_be_told(whatsapp):
    whatsapp.change(security_notifications=False)
    whatsapp.change_identity(USER)

    assert whatsapp.callbacks.log == []
