"""Webhook deliveries: the parts that concern contacts."""

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_wacontacts.clients.whatsapp_business_responses import Callback, ContactResult, parse_callback
from airflow_provider_wacontacts.exceptions import ContractError
from airflow_provider_wacontacts.records.identities import IdentityChange

CHANGE = {
    "from": "16315553601",
    "id": "ABGGFjFVU2AfAgo6V",
    "system": {"identity": "Rc/eg9RQ0JA=", "type": "user_identity_changed", "user": "16315553601"},
    "timestamp": "1602535356",
    "type": "system",
}
CHANGED = IdentityChange("16315553601", "Rc/eg9RQ0JA=", datetime(2020, 10, 12, 20, 42, 36, tzinfo=UTC))
PROFILE = {"profile": {"name": "Somebody"}, "wa_id": "16315551000"}


def read(**members):
    return parse_callback(json.dumps(members).encode())


def changed(**members):
    return CHANGE | {"system": CHANGE["system"] | members}


def test_results_are_read_like_in_responses():
    contacts = [
        {"wa_id": "16315551001", "input": "+1 631 555 1001", "status": "valid"},
        {"input": "6315551002", "status": "invalid"},
        {"input": "+163155588", "status": "failed"},
        {"input": "+16315551004", "status": "pending"},
    ]

    assert read(contacts=contacts, meta={"version": "v2.41.2"}) == Callback(
        [
            ContactResult("+1 631 555 1001", "valid", "16315551001"),
            ContactResult("6315551002", "invalid"),
            ContactResult("+163155588", "failed"),
            ContactResult("+16315551004", "pending", known=False),
        ],
        [],
        "v2.41.2",
    )


def test_profiles_of_messages_are_ignored():
    message = {"from": "16315551000", "id": "x", "text": {"body": "Hello"}, "timestamp": "1602535356", "type": "text"}

    assert read(contacts=[PROFILE], messages=[message]) == Callback([], [])


def test_a_potential_change_of_a_user_is_read():
    assert read(messages=[CHANGE]) == Callback([], [CHANGED])


def test_one_delivery_may_contain_all_kinds_of_events():
    result = {"input": "+16315551001", "status": "valid", "wa_id": "16315551001"}
    delivery = read(contacts=[PROFILE, result], messages=[CHANGE], statuses=[{"status": "read"}], errors=[{"code": 1}])

    assert delivery == Callback([ContactResult("+16315551001", "valid", "16315551001")], [CHANGED])


@pytest.mark.parametrize(
    "members",
    [
        {"messages": [{"from": "1631", "identity": {"acknowledged": False, "created_timestamp": 1, "hash": "x"}}]},
        {"statuses": [{"status": "failed", "errors": [{"code": 480, "title": "User potentially changed"}]}]},
        {"messages": [{"from": "16315551000", "system": {"type": "user_changed_number", "new_wa_id": "16315551000"}}]},
        {"messages": [{"system": {"type": "group_subject_changed"}}]},
        {"messages": None, "contacts": {}},
        {"messages": [None, 7, {"system": None}], "contacts": [None, PROFILE | {"status": "Busy"}, {"wa_id": "7"}]},
        {},
    ],
)
def test_events_that_do_not_concern_contacts_are_skipped(members):
    assert read(**members) == Callback([], [])


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("messages", changed(user=None) | {"from": None}),
        ("messages", changed(user="US.13491208655302741918") | {"from": ""}),
        ("messages", changed(identity="")),
        ("messages", changed(identity=7)),
        ("messages", changed(identity="x" * 5_000)),
        ("messages", {"from": "16315551000", "system": {"type": "user_changed_number", "new_wa_id": "1631"}}),
        ("messages", {"system": {"type": "user_changed_number", "new_wa_id": "16315551000"}}),
        ("messages", {"system": {"type": "user_changed_user_id", "user_id": "US.1"}}),
        ("contacts", {"input": 16315551000, "status": "valid", "wa_id": "16315551000"}),
        ("contacts", {"input": "+16315551000", "wa_id": "16315551000"}),
        ("contacts", {"status": "valid"}),
    ],
)
def test_entries_that_concern_contacts_and_cannot_be_read_are_returned(name, entry):
    others = {"messages": [CHANGE], "contacts": [PROFILE]}

    callback = read(**others | {name: [*others[name], entry]})

    assert callback.unreadable == {name: [entry]}
    assert (callback.results, callback.identities, callback.identifier_changes) == ([], [CHANGED], ())


def test_a_system_message_without_a_user_is_about_its_sender():
    assert read(messages=[changed(user=None)]).identities == [CHANGED]


@pytest.mark.parametrize("timestamp", [None, "soon", "", {}, "inf", 1e300])
def test_a_change_without_a_time_is_read(timestamp):
    (change,) = read(messages=[CHANGE | {"timestamp": timestamp}]).identities

    assert change == IdentityChange("16315553601", "Rc/eg9RQ0JA=", None)


def test_text_that_databases_refuse_is_replaced():
    body = b'{"contacts": [{"input": "1\\u0000\xff\\ud800", "status": "valid"}]}'

    assert parse_callback(body).results == [ContactResult("1\ufffd\ufffd\ufffd", "valid")]


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"[" * 100_000, b'{"a":1}}'])
def test_a_body_that_is_not_an_object_is_an_error_that_does_not_quote_it(body):
    with pytest.raises(ContractError, match=r"^whatsapp_business\.callback: The callback is not a JSON object"):
        parse_callback(body)


def test_the_repr_of_a_callback_has_no_personal_data():
    delivery = read(messages=[CHANGE], contacts=[{"input": "+16315551001", "status": "valid", "wa_id": "16315551001"}])

    assert "1631555" not in repr(delivery)
