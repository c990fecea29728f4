"""A response of GREEN-API becomes a snapshot. A malformed contact does not affect the others."""

import json
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind
from airflow_provider_wacontacts.records.green_api import (
    GreenApiKeys,
    Snapshot,
    parse_record,
    parse_snapshot,
)
from airflow_provider_wacontacts.records.pages import Page
from airflow_provider_wacontacts.records.record import Record, Reject, has_unidentified, row_hash

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOUND = b'{"id":"11001234567@c.us"}'

CONTRACT = [
    {"id": "11001234567@c.us", "name": "Ivan Petrov", "contactName": "Ivan Petorov Work", "type": "user"},
    {
        "id": "79001234568@c.us",
        "name": "Lyusya Sidorova",
        "contactName": "Liusya Sidorova Sewing Circle",
        "type": "user",
    },
    {"id": "79001234569-1479621234@g.us", "name": "My group", "type": "group"},
]
#: From the vendor's Postman collection in Russian (green-api/green-api-postman-collection, MIT).
IN_RUSSIAN = [
    {"id": "11001234567@c.us", "name": "Иван Петров", "contactName": "Иван Петоров Работа", "type": "user"},
    {"id": "79001234568@c.us", "name": "Люся Сидорова", "contactName": "Люся Сидорова кружок шитья", "type": "user"},
    {"id": "79001234569-1479621234@g.us", "name": "Моя группа", "type": "group"},
]
WA_IDS = ["11001234567", "79001234568", None]


def records_of(body):
    return list(parse_snapshot(body).records(NOON))


def listed(*texts):
    return b"[" + b",".join(texts) + b"]"


def canonical_form(row):
    return json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def as_record(row, wa_id):
    payload = canonical_form(row)
    return Record(row["id"], NOON, row_hash(payload), payload, wa_id)


@pytest.mark.parametrize("rows", [CONTRACT, IN_RUSSIAN], ids=["contract", "postman"])
@pytest.mark.parametrize("look", [{}, {"indent": 4}, {"ensure_ascii": False, "indent": "\t"}], ids=str)
def test_published_examples_are_read_with_all_their_values(rows, look):
    body = json.dumps(rows, **look).encode()
    snapshot = parse_snapshot(body, NOON)

    assert list(snapshot.records(NOON)) == [as_record(row, wa_id) for row, wa_id in zip(rows, WA_IDS, strict=True)]
    assert (snapshot.rows, snapshot.rejects, snapshot.size, snapshot.date) == (3, [], len(body), NOON)
    assert [b"\n" in bytes(text) for text in snapshot.texts] == [False] * 3


def test_the_time_of_a_snapshot_is_converted_to_utc():
    (record,) = parse_snapshot(listed(SOUND)).records(NOON.astimezone(timezone(timedelta(hours=2))))

    assert (record.updated_at, record.updated_at.tzinfo) == (NOON, UTC)


def test_an_empty_list_is_a_snapshot_without_contacts():
    assert parse_snapshot(b"[]", NOON) == Snapshot([], frozenset(), [], 2, NOON)
    assert [parse_snapshot(body).rows for body in (b" [ ] ", b"[\n]")] == [0, 0]


@pytest.mark.parametrize(
    "row",
    [
        {"id": "79001234569-1479621234@g.us", "name": "My group", "type": "group"},
        {"id": "120363043968066561@g.us", "name": "", "contactName": "", "type": "group"},
        {"id": "11001234567@c.us", "name": "", "contactName": "", "type": "user"},
        {"id": "11001234567@c.us", "name": None, "type": "user"},
        {"id": "123456789012345@lid", "name": "Ivan", "type": "user"},
        {"id": "null@c.us", "name": "Ivan", "type": "user"},
        {"id": "11001234567@c.us", "name": "مرحبا بالعالم", "contactName": "שלום \u200f!", "type": "user"},
        {"id": "11001234567@c.us", "name": "👩‍👩‍👧‍👦 🇧🇷", "contactName": 'A "quoted" \\ name', "type": "user"},
        {"id": "11001234567@c.us", "type": "newsletter", "archive": False, "unread": 3, "labels": [{"id": 1.50}]},
    ],
    ids=lambda row: row["id"],
)
@pytest.mark.parametrize("is_ascii", [True, False])
def test_every_kind_of_contact_keeps_its_fields(row, is_ascii):
    (record,) = records_of(json.dumps([row], ensure_ascii=is_ascii).encode())

    assert json.loads(record.payload) == {name: value for name, value in row.items() if value is not None}
    assert (record.contact_id, record.repaired, record.state) == (row["id"], False, "present")


@pytest.mark.parametrize(
    ("contact", "ids"),
    [
        ({"id": "11001234567@c.us"}, ("11001234567", None, None)),
        ({"id": "11001234567:12@c.us"}, ("11001234567", None, None)),
        ({"id": "79001234569-1479621234@g.us"}, (None, None, None)),
        ({"id": "120363043968066561@g.us"}, (None, None, None)),
        ({"id": "123456789012345@lid"}, (None, "123456789012345@lid", None)),
        (
            {"id": "123456789012345@lid", "phoneNumber": "11001234567@c.us"},
            ("11001234567", "123456789012345@lid", None),
        ),
        ({"id": "123456789012345@lid", "phoneNumber": 11001234567}, ("11001234567", "123456789012345@lid", None)),
        ({"id": "123456789012345@lid", "phoneNumber": ""}, (None, "123456789012345@lid", None)),
        ({"id": "123456789012345@lid", "phoneNumber": 0}, (None, "123456789012345@lid", None)),
        ({"id": "123456789012345@lid", "phoneNumber": {"a": [1]}}, (None, "123456789012345@lid", None)),
        ({"id": "null@c.us"}, (None, None, None)),
        ({"id": "@c.us"}, (None, None, None)),
        ({"id": "0@c.us"}, (None, None, None)),
        ({"id": "١٢٣@c.us"}, (None, None, None)),
        ({"id": "11001234567@c.us@lid"}, (None, None, None)),
    ],
)
def test_the_ids_of_a_contact_are_sorted_by_kind(contact, ids):
    body = json.dumps([contact]).encode()
    (page,) = parse_snapshot(body).pages(NOON)

    assert [(record.wa_id, record.lid, record.user_id) for record in records_of(body)] == [ids]
    assert [keys.ids for keys in page.keys] == [ids]


def test_the_ids_of_a_contact_are_read_in_every_spelling_of_json():
    body = rb'[{"id":"123456789012345\u0040lid","phoneNumber":"1100\u00312\u00334567\u0040c.us"}]'
    expected = IdsByKind("11001234567", "123456789012345@lid", None)
    (page,) = parse_snapshot(body).pages(NOON)

    assert [record.ids for record in records_of(body)] == [keys.ids for keys in page.keys] == [expected]


def test_an_id_may_occur_twice():
    assert [record.contact_id for record in records_of(b'[{"id":"null@c.us","name":"a"},{"id":"null@c.us"}]')] == [
        "null@c.us",
        "null@c.us",
    ]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (b"null", "not an object"),
        (b'"text"', "not an object"),
        (b"[1,[2]]", "not an object"),
        (b"{}", "no id"),
        (b'{"id":null}', "no id"),
        (b'{"id":""}', "no id"),
        (b'{"id":7}', "no id"),
        (b'{"chatId":"11001234567@c.us"}', "no id"),
        (b'{"id":"a","n":NaN}', "not a number"),
        (b'{"id":"a","n":1e999999}', "number out of range"),
        (b'{"id":"a","n":' + b"[" * 300 + b"]" * 300 + b"}", "nested too deeply"),
        (b'{"id":"a","n":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"id":"a","n":1e99999999999999999999}', "number out of range"),
        (b'{"id":"b" "n":1}', "not JSON"),
        (b'{"id":"a"}{"id":"b"}', "not JSON"),
        (b'{"id":"b","name":"\\u00zz"}', "not JSON"),
        (b'{"id":"' + b"9" * 256 + b'"}', "the id is longer than 255 characters"),
    ],
)
def test_a_malformed_row_is_rejected_without_other_rows(odd, reason):
    snapshot = parse_snapshot(listed(SOUND, odd, SOUND))

    assert [record.contact_id for record in snapshot.records(NOON)] == ["11001234567@c.us"] * 2
    assert snapshot.rejects == [Reject(reason, odd)]


@pytest.mark.parametrize(
    "odd",
    [
        b'{"id":"a","name":"a\\u0000b"}',
        b'{"id":"a","name":"\x00"}',
        b'{"id":"a","name":"\\ud83d"}',
        b'{"id":"a","name":"\\ude00"}',
        b'{"id":"a","name":"\\ude00\\ud83d"}',
        b'{"id":"a","name":"\xff"}',
        b'{"id":"a","name":"\xed\xa0\x80"}',
        b'{"id":"a","more":[{"name":"\xff"}]}',
        b'{"id":"a","n\xff":"b"}',
    ],
)
def test_text_that_databases_refuse_is_repaired_and_flagged(odd):
    snapshot = parse_snapshot(listed(SOUND, odd, SOUND))
    records = list(snapshot.records(NOON))

    assert ([record.repaired for record in records], snapshot.rejects) == ([False, True, False], [])
    assert "\ufffd" in records[1].payload.decode()
    assert snapshot.repaired == {1}


NUMBERS = ["1" * 5_000, "1" * 130_000, "1" * 140_000, "-0.5e-16000", "1e-17000", "1E+131071", "1E+131072"]


@pytest.mark.parametrize("name", ['"sound"', '"\\u0000"'], ids=["valid", "to be repaired"])
@pytest.mark.parametrize("levels", [0, 195, 197, 198, 199, 200, 201, 205])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:4] + number[-6:])
def test_rows_at_every_limit_are_stored_or_rejected(name, levels, number):
    row = f'{{"id":"a","name":{name},"n":{"[" * levels}{number}{"]" * levels}}}'.encode()
    snapshot = parse_snapshot(listed(SOUND, row))

    assert len(list(snapshot.records(NOON))) + len(snapshot.rejects) == 2


def test_control_characters_in_a_name_are_accepted():
    records = records_of(listed(SOUND, b'{"id":"a","name":"a\tb\x01\n, ]} c"}', SOUND))

    assert [(json.loads(record.payload).get("name"), record.repaired) for record in records] == [
        (None, False),
        ("a\tb\x01\n, ]} c", False),
        (None, False),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html><body>[1,2]</body></html>",
        b'{"code":401,"description":"Unauthorized"}',
        b'{"status":false,"reason":"[]"}',
        b'"[]"',
        b"[",
        b'[{"id":"a"}',
        b'[{"id":"a"},',
        b'[{"id":"a"}]x',
        b'[{"id":"a"}][]',
        b'[{"id":"a"}}',
        b"]",
        b"[1,null]",
        b'["11001234567@c.us"]',
        b'[{"id":"a"},]',
        b'[{"id":"a"},,{"id":"b"}]',
        b'[{"id":"a"},{"id":"b","name":"c}]',
    ],
)
def test_a_body_that_is_not_a_list_of_objects_is_refused(body):
    with pytest.raises(ValueError, match=r"list|not JSON|nested too deeply"):
        parse_snapshot(body)


def test_a_list_of_objects_without_ids_is_all_rejects():
    snapshot = parse_snapshot(b'[{"chatId":"11001234567@c.us"}]')

    assert (snapshot.rows, [reject.reason for reject in snapshot.rejects]) == (0, ["no id"])


def test_ids_of_rejected_contacts_are_known():
    rows = [b'{"id":"a","n":NaN}', b'{"n":1e999999,"id" : "b\\u0000\\"@c.us"}', b'{"name":"x"}', b'"id"', b'{"id":7}']
    snapshot = parse_snapshot(listed(SOUND, *rows, b'{"id":"c","n":' + b"[" * 300 + b"]" * 300 + b"}"))

    assert (len(snapshot.rejects), snapshot.rejected_ids) == (6, {"a", 'b\ufffd"@c.us', "c"})
    assert parse_snapshot(listed(SOUND)).rejected_ids == frozenset()


def test_the_last_of_repeated_ids_counts():
    snapshot = parse_snapshot(listed(b'{"id":null,"name":"x","id":"a"}', b'{"id":"b","id":null}'))

    assert [record.contact_id for record in snapshot.records(NOON)] == ["a"]
    assert [keys.contact_id for page in snapshot.pages(NOON) for keys in page.keys] == ["a"]
    assert [reject.reason for reject in snapshot.rejects] == ["no id"]


def test_an_unreadable_id_may_be_any_contacts():
    snapshot = parse_snapshot(listed(SOUND, rb'{"id":"\x","sender":{"id":"a"}}'))

    assert (snapshot.rejected_ids, has_unidentified(snapshot.rejects)) == ({"a"}, True)


@pytest.mark.parametrize(
    ("row", "nameless"),
    [(b'{"id":"a","n":NaN}', False), (b'{"name":"x"}', True), (b'{"id":""}', True), (b'{"id":7}', True), (b"7", True)],
)
def test_a_reject_without_an_id_is_unidentified(row, nameless):
    assert has_unidentified(parse_snapshot(listed(SOUND, row)).rejects) is nameless


def test_the_repr_of_a_snapshot_has_no_personal_data():
    snapshot = parse_snapshot(listed(SOUND, b'{"name":"Ivan"}'))
    (page,) = snapshot.pages(NOON)

    assert [name for name in ("11001234567", "Ivan") if name in repr(snapshot) + repr(page)] == []


def test_pages_keep_the_contacts_and_their_order():
    rows = [b'{"id":"%d@c.us"}' % number for number in range(5)]
    rows[3] = b'{"id":"3@c.us","name":"\\u0000"}'
    snapshot = parse_snapshot(listed(*rows, b"null"))
    pages = list(snapshot.pages(NOON, rows=2))

    assert [page.keys for page in pages] == [
        [GreenApiKeys("0@c.us", NOON, IdsByKind()), GreenApiKeys("1@c.us", NOON, IdsByKind())],
        [GreenApiKeys("2@c.us", NOON, IdsByKind()), GreenApiKeys("3@c.us", NOON, IdsByKind())],
        [GreenApiKeys("4@c.us", NOON, IdsByKind())],
    ]
    assert [text for page in pages for text in page.texts] == snapshot.texts
    assert [page.repaired for page in pages] == [frozenset(), frozenset({1}), frozenset()]
    assert [page.rejects for page in pages] == [[Reject("not an object", b"null")], (), ()]
    assert [page.size for page in pages] == [snapshot.size, 0, 0]


def test_a_snapshot_without_contacts_is_one_page():
    assert list(parse_snapshot(b"[]").pages(NOON)) == [Page([], [], frozenset(), [], 2)]


@pytest.mark.parametrize("text", [b"[]", b"null", b"{}", b'{"id":""}', b'{"id":7}', b"{", b"", b'{"id":"a","n":NaN}'])
def test_anything_else_is_not_a_record(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_record(text, NOON)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
contacts_of_any_kind = st.lists(
    json_values
    | st.fixed_dictionaries({"id": st.text(st.characters(codec=None), min_size=1)}, optional={"name": json_values}),
    max_size=6,
)


@given(contacts_of_any_kind, st.sampled_from([None, 1]))
def test_every_row_of_any_response_is_rejected_or_can_be_read_back(rows, indent):
    body = json.dumps([*rows, {"id": "last"}], indent=indent).encode()
    snapshot = parse_snapshot(body)
    records = list(snapshot.records(NOON))

    assert len(records) + len(snapshot.rejects) == len(rows) + 1
    assert [b"\n" in bytes(text) or b"\0" in bytes(text) for text in snapshot.texts] == [False] * len(records)
    flags = [index in snapshot.repaired for index in range(len(records))]
    read_back = [
        parse_record(bytes(text), NOON, repaired=flag) for text, flag in zip(snapshot.texts, flags, strict=True)
    ]
    assert read_back == records


@given(contacts_of_any_kind)
def test_a_malformed_row_changes_no_other_row(rows):
    plain = parse_snapshot(json.dumps([*rows, {"id": "last"}]).encode())
    beside = parse_snapshot(json.dumps([*rows, {"id": "last"}])[:-1].encode() + b',{"id":"odd","name":"\\ud83d"}]')

    assert list(beside.records(NOON))[:-1] == list(plain.records(NOON))
    assert beside.rejects == plain.rejects


@pytest.mark.parametrize(
    ("odd", "limit"), [(b"", 3), (b',{"id":"odd","name":"\\ud83d"}', 4)], ids=["valid", "with a malformed row"]
)
def test_parsing_a_response_takes_a_small_multiple_of_its_size(odd, limit):
    contact = '{"id":"1%010d@c.us","name":"Name \U0001f600 %d","contactName":"Somebody %d","type":"user"}'
    tracemalloc.start()
    try:
        body = b"[" + b",".join((contact % ((number,) * 3)).encode() for number in range(40_000)) + odd + b"]"
        tracemalloc.reset_peak()
        snapshot = parse_snapshot(body)
        landed = sum(1 for _ in snapshot.records(NOON)) + sum(len(page.texts) for page in snapshot.pages(NOON))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert landed == 2 * (40_000 + bool(odd))
    assert peak < limit * len(body)
