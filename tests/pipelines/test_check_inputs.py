"""Rows of numbers, as users' databases have them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.pipelines.check_inputs import parse_inputs
from airflow_provider_wacontacts.store.checks.model import CheckInput

NUMBER = "+12125550000"
UNCLEAR = "opted_in is neither true nor false"
NEITHER = "neither text nor a whole number"


def read(*rows: Any, region: str | None = "US") -> list[CheckInput]:
    return list(parse_inputs(rows, region))


def test_a_number_may_be_alone_or_in_a_mapping_with_a_contact_key() -> None:
    assert read(NUMBER, {"number": "212 555 0000", "contact_key": 7, "opted_in": True, "city": "Elsewhere"}) == [
        CheckInput(NUMBER, NUMBER),
        CheckInput("212 555 0000", NUMBER, "7", opted_in=True),
    ]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (2125550000, NUMBER),
        (2125550000.0, NUMBER),
        (Decimal(2125550000), NUMBER),
        (Decimal("2125550000.00"), NUMBER),
        (Decimal("2.12555E+9"), NUMBER),
        (12125550000, NUMBER),
    ],
)
def test_a_whole_number_of_any_type_is_read_as_its_digits(value: Any, number: str) -> None:
    """A float's point and nought would make another number of it, and somebody else's."""
    expected = CheckInput(str(int(value)), number)

    assert read(value) == [expected]
    assert read({"number": value}) == [expected]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *((value, NEITHER) for value in (float("nan"), Decimal("sNaN"), float("inf"), True, b"+1212555")),
        *((value, "not a whole number") for value in (2125550000.5, Decimal("21255500.5"))),
        (-2125550000, "not a number"),
    ],
)
def test_values_of_other_types_are_rejected(value: Any, reason: str) -> None:
    assert read({"number": value}) == [CheckInput(str(value), None, reason=reason)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("call me", "not a number"),
        ("12", "too short"),
        ("+1212555000011111", "too long"),
        ("+999 212 555 0000", "unknown country code"),
    ],
)
def test_an_invalid_number_has_a_reason(text: str, reason: str) -> None:
    assert read(text) == [CheckInput(text, None, reason=reason)]


def test_null_is_rejected_as_empty() -> None:
    assert read(None, {"number": None, "contact_key": "a"}) == [
        CheckInput("", None, reason="empty"),
        CheckInput("", None, "a", reason="empty"),
    ]


def test_without_a_region_a_number_needs_a_plus_sign() -> None:
    assert read("212 555 0000", NUMBER, region=None) == [
        CheckInput("212 555 0000", None, reason="no country code"),
        CheckInput(NUMBER, NUMBER),
    ]


@pytest.mark.parametrize("word", [True, 1, 1.0, Decimal(1), "true", "T", " yes ", "y", "1", "on"])
def test_opted_in_values(word: Any) -> None:
    assert read({"number": NUMBER, "opted_in": word}) == [CheckInput(NUMBER, NUMBER, opted_in=True)]


@pytest.mark.parametrize("word", [False, 0, 0.0, Decimal(0), "false", "F", " no ", "n", "0", "off"])
def test_opted_out_values(word: Any) -> None:
    assert read({"number": NUMBER, "opted_in": word}) == [CheckInput(NUMBER, NUMBER, opted_in=False)]


@pytest.mark.parametrize("row", [{"number": NUMBER}, {"number": NUMBER, "opted_in": None}])
def test_opted_in_may_be_null(row: Any) -> None:
    assert read(row) == [CheckInput(NUMBER, NUMBER, opted_in=None)]


@pytest.mark.parametrize("word", ["", "maybe", "2", 2, b"\x00", [], "nein"])
def test_an_unclear_opted_in_rejects_the_row(word: Any) -> None:
    assert read({"number": NUMBER, "opted_in": word, "contact_key": "a"}) == [
        CheckInput(NUMBER, None, "a", reason=UNCLEAR)
    ]


def test_text_that_databases_refuse_is_repaired() -> None:
    assert read({"number": f"{NUMBER}\0", "contact_key": "a\0\ud800"}) == [
        CheckInput(f"{NUMBER}\ufffd", NUMBER, "a\ufffd\ufffd")
    ]


@pytest.mark.parametrize("row", [[NUMBER], object(), {"phone": NUMBER}, (NUMBER,)])
def test_a_row_of_another_type_is_an_error_that_does_not_quote_it(row: Any) -> None:
    with pytest.raises(ConfigError, match=r"^contacts: ") as raised:
        read(row)

    assert NUMBER not in str(raised.value)


def test_rows_are_read_lazily() -> None:
    def rows() -> Any:
        yield NUMBER
        raise AssertionError("read too far")

    assert next(parse_inputs(rows(), None)) == CheckInput(NUMBER, NUMBER)
