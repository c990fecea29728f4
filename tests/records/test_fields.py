"""Selective fields: the remaining fields of contacts and rejects of any form."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.fields import FieldSelection
from airflow_provider_wacontacts.records.green_api import parse_snapshot
from airflow_provider_wacontacts.records.record import Reject, ids_in_rejects, row_hash
from airflow_provider_wacontacts.records.turn import NEEDED_FIELDS, parse_page, parse_record

BOB = {
    "id": 1,
    "uuid": "f6c4e666-81ad-430e-aea5-1ba33e6f4c35",
    "number_id": 1,
    "inserted_at": "2022-09-12T08:30:00.000Z",
    "updated_at": "2022-09-12T08:30:00.000Z",
    "details": {"whatsapp_id": "44623456700", "name": "bob", "current_savings": 100, "location": None},
}
KEYS = {name: BOB[name] for name in NEEDED_FIELDS}
NAMES = st.sampled_from(["id", "details", "name", "a", "b"])
VALUES = st.recursive(
    st.none() | st.integers() | st.just("secret"), lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)
)
PATHS = st.lists(st.lists(NAMES.filter(lambda name: name != "id"), min_size=1, max_size=3).map(".".join), min_size=1)


def including(*fields):
    return FieldSelection(fields, None, needed=NEEDED_FIELDS)


def excluding(*fields):
    return FieldSelection(None, fields, needed=NEEDED_FIELDS)


def selected(selection, contact):
    return json.loads(selection.apply(json.dumps(contact).encode()))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (excluding("details"), {**KEYS, "inserted_at": BOB["inserted_at"]}),
        (excluding("inserted_at", "details.name", "details.whatsapp_id", "details.location", "details.none"), {
            **KEYS, "details": {"current_savings": 100},
        }),
        (including("details.name", "details.location"), {**KEYS, "details": {"name": "bob", "location": None}}),
        (including("details.name", "details"), {**KEYS, "details": BOB["details"]}),
        (including("uuid"), KEYS),
    ],
)  # fmt: skip
def test_selected_fields_of_a_contact(selection, expected):
    assert selected(selection, BOB) == expected


@pytest.mark.parametrize("value", ["bob", ["bob"], [{"name": "bob"}], 7])
def test_a_value_in_place_of_an_object_is_left_out_completely(value):
    contact = {**BOB, "details": value}
    assert "details" not in selected(excluding("details.name"), contact)
    assert "details" not in selected(including("details.current_savings"), contact)


@given(st.dictionaries(NAMES, VALUES), PATHS)
def test_exactly_the_selected_values_remain(contact, fields):
    paths = {tuple(field.split(".")) for field in fields}
    included = {(path, value) for path, value in leaves(contact) if path[0] in NEEDED_FIELDS or starts(path, paths)}
    rest = {(path, value) for path, value in leaves(contact) if not starts(path, paths)}
    in_place_of_object = {(path, value) for path, value in rest if value != "null" and is_inside(path, paths)}

    assert leaves(selected(including(*fields), contact)) == included
    assert leaves(selected(excluding(*fields), contact)) == rest - in_place_of_object
    for selection, left in ((including(*fields), included), (excluding(*fields), rest - in_place_of_object)):
        assert all(selection.keeps(*path) for path, _ in left)


def starts(path, fields):
    """Return whether a path is one of the fields, or inside one."""
    return any(path[: len(field)] == field for field in fields)


def is_inside(path, fields):
    """Return whether one of the fields is inside the value at a path."""
    return any(field[: len(path)] == path != field for field in fields)


def leaves(value, path=()):
    """Return every value that is not an object, by its path."""
    if isinstance(value, dict):
        return set().union(*(leaves(inner, (*path, name)) for name, inner in value.items()))
    return {(path, json.dumps(value))}


def test_fields_are_left_out_before_the_whatsapp_id_and_the_hash_are_computed():
    page = parse_page(json.dumps({"data": [BOB]}).encode()).selected(excluding("details.whatsapp_id", "inserted_at"))
    ((record,), rejects) = page.records()
    assert (record.contact_id, record.wa_id, rejects) == (BOB["uuid"], None, [])
    assert record.row_hash == row_hash(record.payload)
    assert record == parse_record(page.texts[0])


def test_numbers_keep_their_digits():
    text = b'{"id":1,"big":12345678901234567890.123456789,"name":"b"}'
    assert excluding("name").apply(text) == b'{"id":1,"big":12345678901234567890.123456789}'


@pytest.mark.parametrize(
    "body", [b'bob, "id": "7"', b'[{"id": "7", "name": "bob"}]', b'{"id": "7", "name": "bob", "n": NaN}']
)
def test_the_ids_of_a_reject_that_is_not_an_object_remain(body):
    reject = excluding("name").apply_to_reject(Reject("not JSON", body))
    assert reject == Reject("not JSON (fields left out)", b'{"id":"7"}')


def test_a_field_is_left_out_of_rejects_and_of_contacts_that_become_rejects():
    unstorable = b'{"uuid":"a","updated_at":"2022-09-12T08:30:00Z","n":1e200000,"details":{"name":"bob"}}'
    timeless = b'{"id":7,"details":{"name":"bob"}}'
    page = parse_page(b'{"data":[%s,%s]}' % (unstorable, timeless)).selected(excluding("details.name"))
    records, rejects = page.records()
    assert (records, len(rejects)) == ([], 2)
    assert not any(b"bob" in reject.body for reject in rejects)


def test_ids_of_rejects_are_known_after_a_selection():
    selection = FieldSelection(["name"], None, needed={"id"})
    snapshot = parse_snapshot(b'[{"id":"1@g.us"},{"id":"2@g.us","more":{"id":"3@g.us"},"n":NaN},{"name":7}]').selected(
        selection
    )
    assert snapshot.rejected_ids == {"2@g.us", "3@g.us"}
    assert ids_in_rejects(snapshot.rejects) == {"2@g.us", "3@g.us"}
    assert [record.payload for record in snapshot.records(datetime(2026, 11, 1, tzinfo=UTC))] == [b'{"id":"1@g.us"}']


def test_fields_that_no_contact_had_are_known():
    selection = excluding("details.nmae", "details.name", "inserted")
    selection.apply(json.dumps(BOB).encode())
    assert selection.unmatched == {"details.nmae", "inserted"}
