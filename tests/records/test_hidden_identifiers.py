"""Identifiers that decoders do not return, because their field is repeated."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.hidden_identifiers import HiddenIdentifiers

VALUES = st.sampled_from(["null", "7", '"46733000000"', '{"a":[1]}'])
OTHERS = st.tuples(st.sampled_from(["name", "notes", "updated_at"]), VALUES)


def pairs(names, values):
    return st.lists(st.tuples(st.sampled_from(names), values) | OTHERS, max_size=5)


def as_object(members):
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members) + "}"


DETAILS = pairs(["whatsapp_id"], VALUES).map(as_object)
CONTACTS = st.tuples(pairs(["id", "uuid", "phoneNumber"], VALUES), st.lists(DETAILS, max_size=2)).map(
    lambda parts: as_object([*parts[0], *(("details", details) for details in parts[1])])
)


def replaced(text):
    """Collect the identifiers that a decoder replaces by a later one."""
    lost = []

    def read(members):
        for place, (name, value) in enumerate(members):
            if name in [later for later, _ in members[place + 1 :]]:
                inner = value.get("whatsapp_id") if name == "details" else value
                lost.extend([] if inner is None or name in ("name", "notes", "updated_at") else [inner])
        return dict(members)

    json.loads(text, object_pairs_hook=read)
    return lost


@given(st.lists(CONTACTS, max_size=4))
def test_contacts_are_found_whose_identifiers_are_replaced_by_later_ones(texts):
    hidden = HiddenIdentifiers().rows([text.encode() for text in texts])
    assert hidden >= {index for index, text in enumerate(texts) if replaced(text)}


@given(st.lists(st.dictionaries(st.text(max_size=5) | st.sampled_from(["id", "uuid"]), st.text() | st.none())))
def test_contacts_without_repeated_fields_hide_nothing(contacts):
    assert not HiddenIdentifiers().rows([json.dumps(contact).encode() for contact in contacts])


@pytest.mark.parametrize(
    ("text", "is_hidden"),
    [
        (b'{"uuid":"one","\\u0075uid":"two"}', True),
        (b'{"details":{"whatsapp_id":"1"},"details":{}}', True),
        (b'{"details":{"whatsapp_id":"1"},"details":null}', True),
        (b'{"details":[1],"id":1,"id":2}', True),
        (b'{"details":[1],"id":1}', False),
        (b'{"name":"Bob","name":"Robert","id":1}', False),
        (b"not JSON", True),
    ],
)
def test_fields_that_identify_a_person_count(text, is_hidden):
    rows = [b'{"id":1}', text, b'{"uuid":"two","id":"2","details":{"whatsapp_id":"1"}}']
    assert HiddenIdentifiers().rows(rows) == ({1} if is_hidden else set())
