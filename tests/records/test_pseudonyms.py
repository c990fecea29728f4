"""Pseudonyms replace fields: the same in every feed, and without a trace of the original value."""

import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymize
from airflow_provider_wacontacts.records.green_api import parse_snapshot
from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer
from airflow_provider_wacontacts.records.record import Reject, ids_in_rejects, row_hash
from airflow_provider_wacontacts.records.turn import parse_page, parse_record

KEY = b"example secret of 24 byte"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
BOB = {
    "id": 1,
    "uuid": "f6c4e666-81ad-430e-aea5-1ba33e6f4c35",
    "updated_at": "2022-09-12T08:30:00.000Z",
    "details": {"whatsapp_id": "44623456700", "name": "bob", "height": 1.80, "nothing": None},
}


def hashed(text, field="details.name"):
    """The pseudonym of a value that is not an identifier."""
    return "f1_" + hmac.new(KEY, f"1\0field {field}\0{text}".encode(), hashlib.sha256).hexdigest()


def joined(value, kind="wa_id", domain=""):
    """The pseudonym of an identifier."""
    return "p1_" + hmac.new(KEY, f"1\0{kind}\0{value}".encode(), hashlib.sha256).hexdigest() + domain


def pseudonyms(*fields):
    return Pseudonymizer(KEY, fields)


def page_of(*contacts):
    return parse_page(json.dumps({"data": contacts}).encode())


@pytest.mark.parametrize(
    ("spelling", "domain"),
    [
        ("44623456700", ""),
        ("+44623456700", ""),
        ("44623456700@c.us", "@c.us"),
        ("44623456700:1@s.whatsapp.net", "@c.us"),
        (44623456700, ""),
    ],
)
def test_every_spelling_of_a_whatsapp_id_has_one_pseudonym(spelling, domain):
    assert pseudonyms("id").value("id", spelling, ["id"]) == joined("44623456700") + domain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bob", hashed("bob", "id")),
        ("", hashed("", "id")),
        ("bob@example.org", hashed("bob@example.org", "id")),
        ("null@c.us", hashed("null@c.us", "id") + "@c.us"),
        ("79001234569-1479621234@g.us", joined("79001234569-1479621234", "group", "@g.us")),
        ("123456789012345@lid", joined("123456789012345", "lid", "@lid")),
        ("US.1349120865", joined("US.1349120865", "user_id", "@user_id")),
        (True, hashed("true", "id")),
        ([1, "b"], hashed('[1,"b"]', "id")),
        (None, None),
    ],
)
def test_the_pseudonym_of_an_identifier_field(value, expected):
    assert pseudonyms("id").value("id", value, ["id"]) == expected


@pytest.mark.parametrize("name", ["+44 (6234) 567-00", "44623456700", "44623456700@c.us", "٤٤٦٢٣٤٥٦٧٠٠"])
def test_a_name_that_looks_like_a_number_does_not_have_its_pseudonym(name):
    bob = page_of({**BOB, "details": {"name": name, "whatsapp_id": "44623456799"}})
    ann = parse_snapshot(json.dumps([{"id": "44623456700@c.us", "name": name, "contactName": name}]).encode())
    fields = ("details.name", "details.whatsapp_id", "id", "name", "contactName")

    (turn,) = bob.pseudonymized(pseudonyms(*fields)).records()[0]
    (green_api,) = ann.pseudonymized(pseudonyms(*fields)).records(NOW)
    chosen = json.loads(turn.payload)["details"]["name"]
    assert chosen == hashed(name)
    assert chosen.encode() not in green_api.payload
    assert green_api.wa_id == joined("44623456700")
    assert green_api.wa_id.encode() not in turn.payload


@given(st.text(), st.sampled_from(["name", "details.name", "contactName"]))
def test_equal_values_of_different_fields_have_different_pseudonyms(value, field):
    pseudonym = pseudonyms(field).value(field, value, ["id"])

    assert pseudonym == hashed(value, field)
    assert pseudonym != pseudonyms("other").value("other", value, ["id"])
    assert pseudonym != pseudonyms("id").value("id", value, ["id"])


def test_a_digit_of_another_script_is_not_part_of_an_id():
    assert pseudonyms("id").value("id", "\u0665\u06655511987654321", ["id"]) != joined("5511987654321")


def test_pseudonyms_are_in_a_turn_io_contact_before_its_id_and_hash_are_computed():
    page = page_of(BOB).pseudonymized(pseudonyms("uuid", "details.whatsapp_id", "details.name", "details.missing"))
    (records, rejects) = page.records()

    landed = json.loads(page.texts[0])
    assert landed == {
        **BOB,
        "uuid": hashed(BOB["uuid"], "uuid"),
        "details": {**BOB["details"], "whatsapp_id": joined("44623456700"), "name": hashed("bob")},
    }
    (record,) = records
    assert (record.contact_id, record.wa_id, rejects) == (hashed(BOB["uuid"], "uuid"), joined("44623456700"), [])
    assert record.row_hash == row_hash(record.payload)
    assert record == parse_record(page.texts[0])


def test_a_contact_that_cannot_be_stored_is_rejected_with_pseudonyms():
    body = b'{"data":[{"uuid":"a","updated_at":"2022-09-12T08:30:00Z","height":1e200000,"details":{"name":"bob"}},%s]}'
    page = parse_page(body % json.dumps(BOB).encode()).pseudonymized(pseudonyms("details.name"))

    (records, rejects) = page.records()
    assert [record.contact_id for record in records] == [BOB["uuid"]]
    assert len(rejects) == 1
    assert b'"bob"' not in rejects[0].body


def test_a_contact_of_green_api_joins_with_one_of_turn_io():
    snapshot = parse_snapshot(b'[{"id": "44623456700@c.us", "name": "Bob", "type": "user"}]')
    (record,) = snapshot.pseudonymized(pseudonyms("id", "name")).records(NOW)

    assert (record.contact_id, record.wa_id) == (joined("44623456700") + "@c.us", joined("44623456700"))
    assert json.loads(record.payload) == {"id": record.contact_id, "name": hashed("Bob", "name"), "type": "user"}


def test_the_pseudonym_of_a_group_shows_that_it_is_a_group():
    snapshot = parse_snapshot(b'[{"id": "79001234569-1479621234@g.us", "name": "My group", "type": "group"}]')
    (record,) = snapshot.pseudonymized(pseudonyms("id")).records(NOW)

    assert (record.contact_id.partition("@")[2], record.wa_id) == ("g.us", None)


def test_ids_of_rejects_are_known_after_pseudonymization():
    snapshot = parse_snapshot(b'[{"id": "1@g.us", "n": 1}, {"id": "44623456700@c.us", "n": NaN}]')

    assert snapshot.rejected_ids == {"44623456700@c.us"}
    assert snapshot.pseudonymized(pseudonyms("id")).rejected_ids >= {joined("44623456700") + "@c.us"}


def test_numbers_in_other_fields_keep_their_digits():
    text = b'{"id": 1, "details": {"big": 12345678901234567890.123456789, "name": "b"}}'

    landed = pseudonyms("details.name").apply(text, [])

    assert b"12345678901234567890.123456789" in landed


def test_a_field_of_a_reject_is_pseudonymized():
    seen = pseudonyms("details.name").apply_to_reject(Reject("no id", b'{"details": {"name": "bob", "age": 3}}'), [])

    assert seen == Reject("no id", json.dumps({"details": {"name": hashed("bob"), "age": 3}}).replace(" ", "").encode())


@pytest.mark.parametrize("details", ["bob", ["bob"], [{"name": "bob"}], '{"name": "bob"}', 7])
def test_a_value_in_place_of_the_expected_object_is_replaced_completely(details):
    landed = pseudonyms("details.name").apply(json.dumps({"id": 1, "details": details}).encode(), [])

    assert json.loads(landed) == {"id": 1, "details": pseudonyms("x").value("details", details)}


def test_a_field_inside_another_field_is_replaced_once():
    landed = pseudonyms("details.name", "details").apply(b'{"id": 1, "details": {"name": "bob"}}', [])

    assert json.loads(landed)["details"] == pseudonyms("x").value("details", {"name": "bob"})


@pytest.mark.parametrize("body", [b"bob, and nothing else", b'["bob"]', b'{"details": NaN}', b"\xff\xfebob"])
def test_a_reject_that_is_not_an_object_is_hashed_as_a_whole(body):
    seen = pseudonyms("details.name").apply_to_reject(Reject("not JSON", body), [])

    assert seen.reason == "not JSON (pseudonymized)"
    assert seen.body == b"f1_" + hmac.new(KEY, b"1\0field \0" + body, hashlib.sha256).hexdigest().encode()


def test_ids_in_a_hashed_reject_are_kept_as_pseudonyms():
    snapshot = parse_snapshot(b'[{"id": "1@g.us"}, {"id": "44623456700@c.us", "n": NaN}]')
    (reject,) = snapshot.pseudonymized(pseudonyms("id")).rejects

    assert ids_in_rejects([reject]) == {joined("44623456700") + "@c.us"}
    assert b"44623456700" not in reject.body


@pytest.mark.parametrize("fields", [[], "name", [""], [1], ["updated_at"], ["number_id"], ["type"]])
def test_invalid_fields_are_refused(fields):
    with pytest.raises(ConfigError, match="pseudonymize"):
        Pseudonymizer(KEY, fields)


@pytest.mark.parametrize("secret", [b"", b"a", b"fifteen bytes.."])
def test_a_secret_has_at_least_16_bytes(secret):
    with pytest.raises(ConfigError, match="shorter than 16 bytes"):
        Pseudonymizer(secret, ["name"])


@pytest.mark.parametrize("length", [16, 64, 65, 200])
def test_pseudonyms_are_hmacs_for_secrets_of_any_length(length):
    secret = bytes(range(length))
    expected = hmac.new(secret, b"1\0wa_id\x0046733000000", hashlib.sha256).hexdigest()
    assert pseudonymize(Identifier(Kind.WA_ID, "46733000000"), secret) == f"p1_{expected}"
