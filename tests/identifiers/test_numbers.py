"""Phone numbers: every spelling is one number, and what cannot be one says why."""

import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.numbers import (
    NotANumberError,
    Number,
    infer_region,
    normalize,
    validate_region,
)

REASONS = {
    "not a number",
    "too short",
    "too long",
    "not as long as numbers of its country are",
    "unknown country code",
    "no region for a number without +",
}
KINDS = [value for name, value in vars(PhoneNumberType).items() if name.isupper() and name != "UNKNOWN"]


def examples_of(region):
    numbers = (phonenumbers.example_number_for_type(region, kind) for kind in KINDS)
    return {phonenumbers.format_number(number, PhoneNumberFormat.E164): number for number in numbers if number}


def spellings(number, region):
    for style in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966):
        yield phonenumbers.format_number(number, style), None
    yield phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL), region


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("+1-631-555-1002", "+16315551002"),
        ("6315551002", "+916315551002"),
        ("1-631-555-1002", "+9116315551002"),
        ("+1 (516) 283-7151", "+15162837151"),
        ("+54 9 11 5612-1008", "+5491156121008"),
    ],
)
def test_the_contracts_table_of_formats_under_an_indian_sender(text, translated):
    assert normalize(text, "IN") == Number(translated)


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("16315551000", "+16315551000"),
        ("+1 631 555 1001", "+16315551001"),
        ("6315551002", "+16315551002"),
        ("+1 (631) 555-1004", "+16315551004"),
        ("1-631-555-1005", "+16315551005"),
    ],
)
def test_the_contracts_request_under_an_american_sender(text, translated):
    assert normalize(text, "US") == Number(translated)


def test_the_examples_of_phonenumbers_are_many():
    assert len(phonenumbers.SUPPORTED_REGIONS) > 200
    assert sum(len(examples_of(region)) for region in phonenumbers.SUPPORTED_REGIONS) > 1000


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_spelling_of_a_number_is_the_same_number(region):
    for e164, number in examples_of(region).items():
        found = {normalize(text, within) for text, within in spellings(number, region)}
        assert found == {Number(e164)}


@pytest.mark.parametrize("code", sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS))
def test_numbers_of_no_region_are_numbers(code):
    number = phonenumbers.example_number_for_non_geo_entity(code)
    styles = (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966)
    written = [phonenumbers.format_number(number, style) for style in styles]

    assert {normalize(text, None).e164 for text in written} == {written[0]}


@pytest.mark.parametrize(
    ("text", "region", "translated"),
    [
        (" +1 631 555 1002 ", None, "+16315551002"),
        ("+1 631 555 1002 ext. 5", None, "+16315551002"),
        ("tel:631-555-1002;phone-context=+1", "IN", "+16315551002"),
        ("001 631 555 1002", "IN", "+16315551002"),
        ("\uff0b\uff11 \uff16\uff13\uff11 555 1002", None, "+16315551002"),
        ("081234567890", "ID", "+6281234567890"),
        ("62812345678", "ID", "+6262812345678"),
        ("+39 06 6982 1234", None, "+390669821234"),
    ],
)
def test_every_dialable_spelling_is_parsed(text, region, translated):
    assert normalize(text, region) == Number(translated)


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        ("", "IN", "not a number"),
        ("+", None, "not a number"),
        ("nobody", "US", "not a number"),
        ("+163155588", "US", "too short"),
        ("+911", None, "too short"),
        ("911", "US", "too short"),
        ("+16315551002345", None, "too long"),
        ("6" * 300, "US", "too long"),
        ("+7 470 900 547 49", None, "not as long as numbers of its country are"),
        ("+999123456789", None, "unknown country code"),
        ("+08123456789", "ID", "unknown country code"),
        ("6315551002", None, "no region for a number without +"),
        ("tel:6315551002", None, "no region for a number without +"),
    ],
)
def test_anything_else_is_refused_with_a_reason(text, region, reason):
    with pytest.raises(NotANumberError) as caught:
        normalize(text, region)
    assert (caught.value.reason, str(caught.value)) == (reason, reason)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text(max_size=30) | st.text("+0123456789 ()-", max_size=20), st.sampled_from(["IN", "US", "DE", None]))
def test_any_text_is_a_number_or_is_rejected(text, region):
    try:
        outcome = normalize(text, region).e164
    except NotANumberError as error:
        outcome = error.reason

    assert outcome in REASONS or re.fullmatch(r"\+[1-9][0-9]{2,19}", outcome)


@pytest.mark.parametrize(
    ("sender", "region"),
    [
        ("+91 98765 43210", "IN"),
        ("+1 631 555 1000", "US"),
        ("+15062345678", "CA"),
        ("+441534456789", "JE"),
        ("+1 999 999 9999", "US"),
        ("+80012345678", None),
        ("919876500000", None),
        ("whatsapp_business_default", None),
        ("", None),
    ],
)
def test_the_region_of_a_sender_is_that_of_its_number(sender, region):
    assert infer_region(sender) == region


@pytest.mark.parametrize("region", ["IN", "in", " In "])
def test_a_region_is_two_letters(region):
    assert validate_region(region) == "IN"


@pytest.mark.parametrize("region", ["", "ZZ", "001", "India", "UK", 5, ["IN"]])
def test_an_unknown_region_is_refused(region):
    with pytest.raises(ConfigError, match="is not known; it is two letters"):
        validate_region(region)


def test_a_number_given_as_a_region_is_not_shown():
    with pytest.raises(ConfigError, match="is not known; it is two letters") as raised:
        validate_region("+16315551002")
    assert "6315551002" not in str(raised.value)
