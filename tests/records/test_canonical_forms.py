"""The canonical forms of a series of contacts equal those of each contact alone, with any fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.canonical_forms import FIRST_CONTACTS, CanonicalForms
from airflow_provider_wacontacts.records.drift import FieldCounter
from airflow_provider_wacontacts.records.json import canonical

names = st.sampled_from(["uuid", "details", "name", "Zoë", "\N{SUNFLOWER}", "\uffff", "a b", "", 'a"b', "a\\b", "\x01"])
numbers = st.integers() | st.sampled_from([10**30, 1.5, -0.0, 1e300])
values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3) | numbers,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)
contacts = st.dictionaries(names, values, max_size=6)
DECIMALS = (
    "1.10",
    "1.0",
    "-12.50",
    "-0.5",
    "-0.0",
    "0.0000001",
    "1.5E3",
    "0.10e2",
    "0.1000000000000000055511151231257827",
)
NUMBERS = (*DECIMALS, "1e400", "1e-7", "-0", "9" * 5000, "1" + "0" * 29, "1" * 101 + ".5", "0." + "1" * 2000)
ODD = (b"[1]", b'{"n":NaN}', b'{"n":1e200000}', b'{"n":', b'{"n":1}x', b'{"n":' * 300 + b"1" + b"}" * 300, b"null")


def form(canonical_form: Any, text: bytes) -> bytes | str:
    try:
        return canonical_form(text)
    except ValueError as error:
        return str(error)


def with_nulls(contacts: list[dict[str, Any]]) -> list[bytes]:
    """Add the fields of the other contacts as null, like sources that write null for missing values."""
    fields: dict[str, Any] = dict.fromkeys(name for one in contacts for name in one)
    return [json.dumps({**fields, **one}).encode() for one in contacts]


def taught(*usual: bytes, counter: FieldCounter | None = None) -> CanonicalForms:
    forms = CanonicalForms(counter)
    for number in range(FIRST_CONTACTS):
        form(forms, usual[number % len(usual)])
    return forms


@settings(max_examples=40)
@given(st.lists(contacts, min_size=1, max_size=3), st.lists(contacts, max_size=5), st.randoms())
def test_forms_equal_those_of_each_contact_alone(
    usual: list[dict[str, Any]], others: list[dict[str, Any]], random: Any
) -> None:
    mixed = [{name: random.choice(usual).get(name, value) for name, value in one.items()} for one in usual + others]
    forms = taught(*with_nulls(usual))
    for one in usual + others + mixed:
        text = json.dumps(one, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
        assert form(forms, text) == form(canonical, text)


@pytest.mark.parametrize("text", [*ODD, *(f'{{"n":{number}}}'.encode() for number in NUMBERS)])
@pytest.mark.parametrize("usual", [b'{"n":1,"m":null}', b'{"n":1.5}', b'{"n":"x","n2":{"a":null}}', b'{"n":null}'])
def test_numbers_keep_their_digits_and_errors_their_reasons(usual: bytes, text: bytes) -> None:
    assert form(taught(usual), text) == form(canonical, text)


def test_the_last_of_repeated_keys_counts() -> None:
    forms = taught(b'{"n":"x","d":{"a":"x"}}')
    for text in (b'{"n":"x","n":null}', b'{"n":null,"n":"x"}', b'{"d":{"a":"x"},"d":{}}', b'{"n":1,"n":"x"}'):
        assert forms(text) == canonical(text)


@settings(max_examples=40)
@given(st.lists(contacts, min_size=1, max_size=3), st.lists(contacts, max_size=5))
def test_fields_are_counted_as_in_each_contact_alone(usual: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    counter, plain = FieldCounter(), FieldCounter()
    texts = with_nulls(usual)
    forms = taught(*texts, counter=counter)
    for one in others * 20:
        forms(json.dumps(one).encode())
    for number in range(FIRST_CONTACTS):
        plain.add(json.loads(texts[number % len(texts)]))
    for one in others * 20:
        plain.add(one)
    assert counter.observed() == plain.observed()


def test_new_names_do_not_increase_memory() -> None:
    forms = CanonicalForms()
    for number in range(20 * FIRST_CONTACTS):
        text = f'{{"uuid":"u","details":{{"n{number}":"x"}}}}'.encode()
        assert forms(text) == canonical(text)
    assert forms._limit is None
    assert forms._fields == {}


def test_no_struct_is_created_if_fields_without_a_value_are_omitted() -> None:
    """A struct would take up to four times as long."""
    sparse = [json.dumps({"uuid": "u", "details": {f"n{number}": "x"}}).encode() for number in range(40)]
    assert taught(*sparse)._struct is None
    dense = with_nulls([{"uuid": "u", f"n{number}": "x"} for number in range(40)])
    assert taught(*dense)._struct is not None


def test_many_new_names_in_few_contacts_are_not_kept() -> None:
    forms = taught(*[b'{"uuid":"u"}'] * 2)
    for number in range(FIRST_CONTACTS):
        forms(b'{"uuid":"u"}')
        forms(b'{"uuid":"u",%s}' % b",".join(b'"n%d":1' % (10 * number + place) for place in range(10)))
    assert (forms._limit, forms._fields) == (None, {})
