"""A user's identity: the newest, acknowledged or not."""

import pytest

USER = "16315551000"
HASH = "UKD6Y/5SqDU="


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


@pytest.mark.parametrize("wa_id", ["16315551002", "163155588", "+16315551000", "nobody"])
def test_who_is_not_on_whatsapp_has_no_identity(business, wa_id):
    answers = [business.identity(wa_id), business.acknowledge(HASH, wa_id)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["errors"] == [{"code": 1006, "title": "Resource not found", "details": "unknown contact"}]


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
