"""A page of contacts becomes records. A malformed contact does not affect the others."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.record import Record, Reject, row_hash
from airflow_provider_wacontacts.records.turn import parse_page, parse_record

BOB = {
    "details": {
        "birthday": "1988-06-14T18:15:35.873852Z",
        "language": "eng",
        "location": None,
        "name": "bob",
        "opted_in": False,
        "opted_in_at": None,
        "surname": None,
        "whatsapp_id": "44623456700",
        "whatsapp_profile_name": "bob",
        "current_savings": 100,
    },
    "id": 1,
    "inserted_at": "2022-09-12T08:30:00.000Z",
    "number_id": 1,
    "updated_at": "2022-09-12T08:30:00.000Z",
    "uuid": "f6c4e666-81ad-430e-aea5-1ba33e6f4c35",
}
SOUND = b'{"uuid":"sound","updated_at":"2022-09-12T08:30:00Z"}'


def page(*contacts: bytes, ending: bytes = b"") -> bytes:
    return b'{"data":[' + b",".join(contacts) + b"]" + ending + b"}"


def test_the_documented_contact_keeps_its_fields() -> None:
    parsed = parse_page(json.dumps({"data": [BOB]}).encode())
    records, rejects = parsed.records()
    payload = (
        b'{"details":{"birthday":"1988-06-14T18:15:35.873852Z","current_savings":100,"language":"eng","name":"bob",'
        b'"opted_in":false,"whatsapp_id":"44623456700","whatsapp_profile_name":"bob"},"id":1,'
        b'"inserted_at":"2022-09-12T08:30:00.000Z","number_id":1,"updated_at":"2022-09-12T08:30:00.000Z",'
        b'"uuid":"f6c4e666-81ad-430e-aea5-1ba33e6f4c35"}'
    )

    assert records == [
        Record(
            contact_id="f6c4e666-81ad-430e-aea5-1ba33e6f4c35",
            updated_at=datetime(2022, 9, 12, 8, 30, tzinfo=UTC),
            row_hash=row_hash(payload),
            payload=payload,
            wa_id="44623456700",
        )
    ]
    assert (rejects, parsed.keys[0].number_id, parsed.next_cursor) == ([], 1, None)


@pytest.mark.parametrize(
    ("ending", "next_cursor"),
    [
        (b"", None),
        (b',"paging":null', None),
        (b',"paging":{}', None),
        (b',"paging":{"next":null}', None),
        (b',"paging":{"next":""}', None),
        (b',"paging":{"next":"abc"}', "abc"),
    ],
)
@pytest.mark.parametrize("contacts", [(), (SOUND,), (SOUND, b'{"uuid":"odd"}')])
def test_every_form_of_the_next_cursor_is_read(
    ending: bytes, next_cursor: str | None, contacts: tuple[bytes, ...]
) -> None:
    assert parse_page(page(*contacts, ending=ending)).next_cursor == next_cursor


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b'{"data":{}}',
        b'{"rows":[]}',
        b'{"data":[],"paging":[1]}',
        b'{"data":[],"paging":{"next":7}}',
    ],
)
def test_a_body_that_is_not_a_page_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_page(body)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (b"null", "not an object"),
        (b'"text"', "not an object"),
        (b'{"updated_at":"2022-09-12T08:30:00Z"}', "neither uuid nor id"),
        (b'{"uuid":"","id":true,"updated_at":"2022-09-12T08:30:00Z"}', "neither uuid nor id"),
        (b'{"uuid":"u"}', "updated_at is not a time"),
        (b'{"uuid":"u","updated_at":"20222-09-12T08:30:00.000Z"}', "updated_at is not a time"),
        (b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z","n":NaN}', "not a number"),
        (b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z","n":1e999999}', "number out of range"),
        (b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z","n":' + b"[" * 700 + b"]" * 700 + b"}", "nested too deeply"),
    ],
)
def test_a_malformed_contact_is_rejected_without_other_contacts(odd: bytes, reason: str) -> None:
    records, rejects = parse_page(page(SOUND, odd, SOUND)).records()

    assert [record.contact_id for record in records] == ["sound", "sound"]
    assert [reject.reason for reject in rejects] == [reason]


@pytest.mark.parametrize(
    "odd",
    [
        b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z","name":"a\\u0000b"}',
        b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z","name":"\\ud800"}',
        b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z","name":"\xff"}',
        b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z","name":"\xed\xa0\x80"}',
    ],
)
def test_text_that_databases_refuse_is_repaired_and_flagged(odd: bytes) -> None:
    parsed = parse_page(page(SOUND, odd))
    records, rejects = parsed.records()

    assert ([record.repaired for record in records], rejects) == ([False, True], [])
    assert "\ufffd" in records[1].payload.decode()
    assert parsed.repaired == {1}


@pytest.mark.parametrize(
    ("contact", "contact_id", "wa_id"),
    [
        ({"uuid": "u", "id": 7}, "u", None),
        ({"uuid": None, "id": 7}, "7", None),
        ({"uuid": "", "id": "x7"}, "x7", None),
        ({"uuid": "u", "details": {"whatsapp_id": "16315551000:12@s.whatsapp.net"}}, "u", "16315551000"),
        ({"uuid": "u", "details": {"whatsapp_id": "+1 (631) 555-1000"}}, "u", None),
        ({"uuid": "u", "details": {"whatsapp_id": "US.13491208655302741918"}}, "u", None),
        ({"uuid": "u", "details": {"whatsapp_id": 16315551000}}, "u", "16315551000"),
        ({"uuid": "u", "details": None}, "u", None),
        ({"uuid": "u", "details": "text"}, "u", None),
        ({"uuid": "u", "number_id": [1]}, "u", None),
    ],
)
def test_ids_are_read_with_any_other_fields(contact: dict[str, Any], contact_id: str, wa_id: str | None) -> None:
    body = page(json.dumps({"updated_at": "2022-09-12T08:30:00Z", **contact}).encode())

    assert [(record.contact_id, record.wa_id) for record in parse_page(body).records()[0]] == [(contact_id, wa_id)]


def test_contacts_of_an_indented_page_are_one_line_each() -> None:
    parsed = parse_page(json.dumps({"data": [BOB, BOB]}, indent=2).encode())

    assert [b"\n" in bytes(text) for text in parsed.texts] == [False, False]
    assert parsed.records() == parse_page(json.dumps({"data": [BOB, BOB]}).encode()).records()


def test_three_hundred_custom_fields_and_unknown_keys_are_kept() -> None:
    contact = {**BOB, "urn": "x", "details": {f"field_{n}": n for n in range(300)}}

    payload = json.loads(parse_page(json.dumps({"data": [contact]}).encode()).records()[0][0].payload)

    assert payload == contact


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
contacts_of_any_kind = st.lists(
    json_values
    | st.fixed_dictionaries(
        {"uuid": st.text(min_size=1), "updated_at": st.just("2022-09-12T08:30:00Z")}, optional={"details": json_values}
    ),
    max_size=6,
)


@given(contacts_of_any_kind)
def test_every_contact_of_any_page_is_rejected_or_can_be_read_back(contacts: list[Any]) -> None:
    parsed = parse_page(json.dumps({"data": contacts}).encode())
    records, rejects = parsed.records()

    assert len(records) + len(rejects) == len(contacts)
    landed = [text for text in parsed.texts if _has_canonical_form(text)]
    flags = [index in parsed.repaired for index, text in enumerate(parsed.texts) if _has_canonical_form(text)]
    assert [parse_record(bytes(text), repaired=flag) for text, flag in zip(landed, flags, strict=True)] == records


def _has_canonical_form(text: Any) -> bool:
    try:
        parse_record(bytes(text))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("levels", "landed"), [(198, 2), (220, 1), (900, 1)])
def test_nesting_has_the_same_limit_in_all_decoders(levels: int, landed: int) -> None:
    deep = b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z","n":' + b"[" * levels + b"]" * levels + b"}"

    assert len(parse_page(page(SOUND, deep)).records()[0]) == landed
    assert len(parse_page(page(SOUND, deep, b"null")).records()[0]) == landed


ODD_VALUES = {
    "an enormous exponent": (b'"n":1e99999999999999999999', "number out of range"),
    "a tiny exponent": (b'"n":-1e-99999999999999999999', "number out of range"),
    "an enormous integer": (b'"n":' + b"9" * 200_000, "number out of range"),
    "before the year 1": (b'"updated_at":"0001-01-01T00:00:00+02:00"', "updated_at is not a time"),
    "after the year 9999": (b'"updated_at":"9999-12-31T23:59:59-05:00"', "updated_at is not a time"),
    "deep": (b'"n":' + b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "no JSON": (b'"n":tru', "not JSON"),
    "no comma": (b'"n":1 "m":2', "not JSON"),
    "a long uuid": (b'"uuid":"' + b"u" * 256 + b'"', "the id is longer than 255 characters"),
    "a long id": (b'"uuid":null,"id":' + b"9" * 3_999, "the id is longer than 255 characters"),
    "an enormous id": (b'"uuid":null,"id":' + b"9" * 5_000, "neither uuid nor id"),
}


@pytest.mark.parametrize(("odd", "reason"), ODD_VALUES.values(), ids=ODD_VALUES.keys())
def test_an_odd_value_rejects_only_its_contact(odd: bytes, reason: str) -> None:
    contact = b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z",' + odd + b"}"
    records, rejects = parse_page(page(SOUND, contact, SOUND, ending=b',"paging":{"next":"c"}')).records()

    assert [record.contact_id for record in records] == ["sound", "sound"]
    assert rejects == [Reject(reason, contact)]


@pytest.mark.parametrize("cursor", ['"\\ud800"', '"a\\udfffb"', f'"{"c" * 8_001}"'])
def test_a_page_with_a_cursor_that_fits_in_no_path_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match=r"^paging\.next cannot be sent back$"):
        parse_page(page(SOUND, ending=f',"paging":{{"next":{cursor}}}'.encode()))


def test_a_number_that_databases_cannot_store_rejects_only_its_contact() -> None:
    contact = b'{"uuid":"u","updated_at":"2022-09-12T08:30:00Z","details":1e200000}'
    parsed = parse_page(page(contact, json.dumps(BOB).encode()))
    records, rejects = parsed.records()

    assert [record.contact_id for record in records] == [BOB["uuid"]]
    assert [(reject.reason, b"1e200000" in reject.body) for reject in rejects] == [("number out of range", True)]
