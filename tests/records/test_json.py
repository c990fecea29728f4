"""The canonical form, its hash, and the repair of text that databases refuse."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.json import (
    canonical,
    decode_leniently,
    encode,
    has_repeated_keys,
    read_object,
    repair,
)
from airflow_provider_wacontacts.records.record import read_time, row_hash

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=6)


def without_nulls(value: Any) -> Any:
    """Remove nulls, in plain Python."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@given(objects)
def test_the_canonical_form_keeps_everything_except_nulls(record: dict[str, Any]) -> None:
    assert json.loads(canonical(json.dumps(record).encode())) == without_nulls(record)


@given(objects, st.randoms())
def test_the_canonical_form_ignores_order_spaces_and_escapes(record: dict[str, Any], random: Any) -> None:
    members = list(record.items())
    random.shuffle(members)
    pretty = json.dumps(dict(members), indent=2, ensure_ascii=False).encode()

    assert canonical(pretty) == canonical(json.dumps(record).encode())


@given(objects)
def test_the_canonical_form_is_idempotent(record: dict[str, Any]) -> None:
    once = canonical(json.dumps(record).encode())

    assert canonical(once) == once


def test_a_new_null_field_does_not_change_the_canonical_form() -> None:
    before = b'{"uuid": "u", "details": {"name": "bob"}}'
    after = b'{"details": {"shoe_size": null, "name": "bob"}, "uuid": "u", "extra": null}'

    assert canonical(before) == canonical(after) == b'{"details":{"name":"bob"},"uuid":"u"}'


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("9" * 5000, "9" * 5000),
        ("1.10", "1.10"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("1e400", "1E+400"),
        ("-7", "-7"),
    ],
)
def test_numbers_of_any_size_keep_their_digits(number: str, kept: str) -> None:
    assert canonical(f'{{"n":{number}}}'.encode()) == f'{{"n":{kept}}}'.encode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[1]", "not an object"),
        (b'{"n":NaN}', "not a number"),
        (b'{"n":1e200000}', "number out of range"),
        (b'{"n":1e-20000}', "number out of range"),
        (b'{"n":' + b"9" * 140_000 + b"}", "number out of range"),
        (b'{"n":' * 3000 + b"1" + b"}" * 3000, "nested too deeply"),
        (b'{"n":', "not JSON"),
    ],
)
def test_numbers_that_databases_cannot_store_have_no_canonical_form(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        canonical(text)


def test_the_hash_is_sixteen_bytes_and_follows_the_payload() -> None:
    assert (len(row_hash(b"{}")), row_hash(b"{}") == row_hash(b"{}"), row_hash(b"{}") == row_hash(b'{"a":1}')) == (
        16,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("text", "landed"),
    [
        (b'{"name":"a\\u0000b"}', '{"name":"a\ufffdb"}'),
        (b'{"name":"\\ud800"}', '{"name":"\ufffd"}'),
        (b'{"name":"x\\udfffy"}', '{"name":"x\ufffdy"}'),
        (b'{"name":"\xff\xfe"}', '{"name":"\ufffd\ufffd"}'),
        (b'{"na\\u0000me":["\xc3"]}', '{"na\ufffdme":["\ufffd"]}'),
    ],
)
def test_text_that_databases_refuse_is_replaced_and_flagged(text: bytes, landed: str) -> None:
    value, was_repaired = repair(decode_leniently(text))

    assert (encode(value).decode(), was_repaired) == (landed, True)


def test_an_escaped_surrogate_pair_is_not_repaired() -> None:
    assert repair(decode_leniently(b'{"name":"\\ud83d\\ude00"}')) == ({"name": "\U0001f600"}, False)


@given(objects)
def test_valid_text_is_not_repaired(record: dict[str, Any]) -> None:
    value, was_repaired = repair(decode_leniently(json.dumps(record).encode()))

    assert (without_decimals(value), was_repaired) == (record, False)


def without_decimals(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_decimals(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_decimals(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2022-09-12T08:30:00Z", 0),
        ("2022-09-12T08:30:00.5Z", 500_000),
        ("2022-09-12T08:30:00.123456Z", 123_456),
        ("2022-09-12T10:30:00+02:00", 0),
        ("2022-09-12T08:30:00", 0),
        ("2022-09-12 08:30:00.000Z", 0),
    ],
)
def test_a_time_may_have_any_fraction_of_a_second(text: str, micros: int) -> None:
    assert read_time(text) == datetime(2022, 9, 12, 8, 30, 0, micros, tzinfo=UTC)


@pytest.mark.parametrize("value", ["20222-09-12T08:30:00.000Z", "", None, 1663000000, "12 September 2022"])
def test_anything_else_is_not_a_time(value: object) -> None:
    with pytest.raises(ValueError, match=r"^not a time$"):
        read_time(value)


@given(objects, st.sampled_from([b"NaN", b"1e99999999999999999999", b"[" * 2000 + b"]" * 2000, b"tru"]))
def test_a_value_that_cannot_be_decoded_does_not_affect_others(record: dict[str, Any], odd: bytes) -> None:
    text = json.dumps(record).encode()
    rows = b'[%s, {"odd": %s, "record": %s}]' % (text, odd, text)

    assert read_object(b' {"rows": %s}\n' % rows) == {"rows": [record, {"odd": None, "record": record}]}


@pytest.mark.parametrize(
    "text", [b'{"a":1,"a":1}', b'{"a":[{"b":1,"\\u0062":2}]}', b'{"a":1,"n":[1e5,1e5,1e5,1e5,1e5,1e5],"a":1}']
)
def test_repeated_keys_are_found_despite_escapes_and_longer_numbers(text: bytes) -> None:
    assert has_repeated_keys(text)


@pytest.mark.parametrize(
    "text", [b'{"a":{"a":1.10}}', b'{"a":1e5}', b'[{"a":"\\u0061"},{"a":-0.0}]', b'{"a": "\xc3\xbc"}']
)
def test_equal_names_in_different_objects_are_not_repeated(text: bytes) -> None:
    assert not has_repeated_keys(text)
