"""Phone numbers: every spelling is one number, and anything else is refused with a reason."""

import re
import sys
import unicodedata
from datetime import date
from decimal import Decimal

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType, ValidationResult

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import InvalidIdentifierError
from airflow_provider_wacontacts.identifiers.numbers import (
    REASONS,
    infer_region,
    read_international_number,
    read_number,
    read_sender,
    validate_region,
)
from airflow_provider_wacontacts.identifiers.reader import read_identifier

CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1)]
ZEROS = [sign for sign in CHARACTERS if unicodedata.decimal(sign, None) == 0]
SPACES = [sign for sign in CHARACTERS if sign.isspace() and len(f"a{sign}b".splitlines()) == 1]
MARKS = [*"\u200b\u200e\u200f\u202a\u202c\u2066\u2069\u2060\ufeff\xad"]
KINDS = [value for name, value in vars(PhoneNumberType).items() if name.isupper() and name != "UNKNOWN"]


def examples_of(region):
    numbers = (phonenumbers.example_number_for_type(region, kind) for kind in KINDS)
    return {
        phonenumbers.format_number(number, PhoneNumberFormat.E164): number
        for number in numbers
        # One number of Canada is dialed locally only.
        if number and phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    }


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
def test_the_documented_formats_are_read_with_an_indian_sender(text, translated):
    assert read_number(text, "IN").value == translated


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
def test_the_documented_request_is_read_with_an_american_sender(text, translated):
    assert read_number(text, "US").value == translated


def test_phonenumbers_has_more_than_a_thousand_examples():
    assert len(phonenumbers.SUPPORTED_REGIONS) > 200
    assert sum(len(examples_of(region)) for region in phonenumbers.SUPPORTED_REGIONS) > 1000


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_spelling_of_a_number_is_the_same_number(region):
    for e164, number in examples_of(region).items():
        found = {read_number(text, within).value for text, within in spellings(number, region)}
        assert found == {e164}


@pytest.mark.parametrize("code", sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS))
def test_numbers_without_a_region_are_read(code):
    number = phonenumbers.example_number_for_non_geo_entity(code)
    styles = (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966)
    written = [phonenumbers.format_number(number, style) for style in styles]

    assert {read_number(text, None).value for text in written} == {written[0]}


def example_numbers():
    return [phonenumbers.example_number(region) for region in sorted(phonenumbers.SUPPORTED_REGIONS)]


def test_a_number_is_read_with_any_script_space_and_direction_mark():
    assert len(ZEROS) > 60
    assert len(SPACES) > 15
    for number in example_numbers():
        written = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
        expected = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        translated = [
            *(re.sub("[0-9]", lambda digit, zero=zero: chr(ord(zero) + int(digit[0])), written) for zero in ZEROS),
            *(written.replace(" ", space) for space in SPACES),
            *(f"{mark}{written[:4]}{mark}{written[4:]}{mark}" for mark in MARKS),
        ]
        assert {read_number(text, None).value for text in translated} == {expected}


def test_all_readers_read_a_number_the_same_way():
    for number in example_numbers():
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        for style in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966):
            written = phonenumbers.format_number(number, style)
            assert read_number(written, None).value == read_sender(written) == e164
            assert read_identifier(written).key == e164[1:]
        assert read_sender(e164[1:]) == read_international_number(e164[1:]).value == e164
        assert read_identifier(e164[1:]).key == e164[1:]
        region = phonenumbers.region_code_for_number(number)
        national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        assert read_identifier(national, region).value == e164


@pytest.mark.parametrize(
    ("text", "region", "translated"),
    [
        (" +1 631 555 1002 ", None, "+16315551002"),
        ("+1 631 555 1002 ext. 5", None, "+16315551002"),
        ("+1 631 555 1002 x5", None, "+16315551002"),
        ("+16315551002,,5", None, "+16315551002"),
        ("tel:+1-631-555-1002;ext=5", None, "+16315551002"),
        ("tel:631-555-1002;phone-context=+1", "IN", "+16315551002"),
        ("001 631 555 1002", "IN", "+16315551002"),
        ("001 631 555 1002", None, "+16315551002"),
        ("\uff0b\uff11 \uff16\uff13\uff11 555 1002", None, "+16315551002"),
        ("081234567890", "ID", "+6281234567890"),
        ("62812345678", "ID", "+6262812345678"),
        ("+39 06 6982 1234", None, "+390669821234"),
        ("+44 (0) 20 7946 0958", None, "+442079460958"),
        ("030/1234567", "DE", "+49301234567"),
        ("whatsapp:+27821234567", None, "+27821234567"),
        ("https://wa.me/27821234567?text=hello", None, "+27821234567"),
        ("https://api.whatsapp.com/send?phone=27821234567&text=5", None, "+27821234567"),
        ("27821234567.0", "ZA", "+27821234567"),
        (27821234567.0, "ZA", "+27821234567"),
        (27821234567, "ZA", "+27821234567"),
        (Decimal("27821234567.00"), "ZA", "+27821234567"),
        ("27 82 123 4567.0", "ZA", "+27821234567"),
        ("+27 (82) 123-4567.00", None, "+27821234567"),
        ("01.23.45.67.00", "FR", "+33123456700"),
        ("20220912", "DK", "+4520220912"),
        ("(+27) 82 123 4567", None, "+27821234567"),
        ("'+27821234567", None, "+27821234567"),
        ("+1 800 FLOWERS", None, "+18003569377"),
        ("1-800-FLOWERS", "US", "+18003569377"),
        ("+4522222222", None, "+4522222222"),
        ("+6588888888", None, "+6588888888"),
    ],
)
def test_every_dialable_spelling_is_read(text, region, translated):
    assert read_number(text, region).value == translated


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        ("", "IN", "empty"),
        (" \u200e\t", "IN", "empty"),
        (None, "IN", "empty"),
        ("+", None, "not a number"),
        ("nobody", "US", "not a number"),
        ("+163155588", "US", "too short"),
        ("+911", None, "too short"),
        ("911", "US", "too short"),
        ("+16315551002345", None, "too long"),
        ("6" * 300, "US", "too long"),
        (10**40, "US", "too long"),
        ("+7 470 900 547 49", None, "wrong length for its country"),
        ("+999123456789", None, "unknown country code"),
        ("+08123456789", "ID", "unknown country code"),
        ("6315551002", None, "no country code"),
        ("tel:6315551002", None, "no country code"),
        ("27821234ba569", "ZA", "letters"),
        ("VNTRIP082A123B4570", "ZA", "letters"),
        ("082 123 4567 (home)", "ZA", "letters"),
        ("0821234567 or 0839876543", "ZA", "letters"),
        ("1-800-FLOWERS", "ZA", "letters"),
        ("2022-09-12", "ZA", "date"),
        ("12/09/2022", "ZA", "date"),
        ("12.9.2022", "ZA", "date"),
        ("2022-09-12T08:30:00.000Z", "ZA", "date"),
        ("09.12.22", "ZA", "date"),
        ("12/09/22", "ZA", "date"),
        ("22-09-12", "ZA", "date"),
        ("2022-09", "ZA", "date"),
        ("2022 09 12", "ZA", "date"),
        ("12 09 2022", "BR", "date"),
        (20220912, "ZA", "date"),
        ("12092022", "IN", "date"),
        ("192.168.10.25", "ZA", "IP address"),
        ("192.168.10.25:8080", "ZA", "IP address"),
        ("0000000000", "ZA", "one digit repeated"),
        ("+27000000000", None, "one digit repeated"),
        ("0821234577; 0839876543", "ZA", "two numbers"),
        ("0821234577, 0839876543", "ZA", "two numbers"),
        ("0821234577\n0839876543", "ZA", "two numbers"),
        ("0821234567/8", "ZA", "two numbers"),
        ("+27821234567 +27839876543", None, "two numbers"),
        ("5550100", "US", "no area code"),
        ("+441111", None, "no area code"),
        ("2.7821234567E+10", "ZA", "scientific notation"),
        ("2,78e10", "ZA", "scientific notation"),
        ("27821234567.5", "ZA", "not a whole number"),
        ("27 82 123 4567.5", "ZA", "not a whole number"),
        ("'27821234567.000", "ZA", "not a whole number"),
        ("27821234567+", "ZA", "not a number"),
        ("082+1234567", "ZA", "not a number"),
        (1.5, "ZA", "not a whole number"),
        (float("nan"), "ZA", "neither text nor a whole number"),
        (float("inf"), "ZA", "neither text nor a whole number"),
        (Decimal("sNaN"), "ZA", "neither text nor a whole number"),
        (Decimal("1E+999999"), "ZA", "too long"),
        (True, "ZA", "neither text nor a whole number"),
        (b"27821234567", "ZA", "neither text nor a whole number"),
    ],
)
def test_anything_else_is_refused_with_a_reason(text, region, reason):
    with pytest.raises(InvalidIdentifierError) as caught:
        read_number(text, region)
    assert (caught.value.reason, str(caught.value)) == (reason, reason)
    assert caught.value.reason in REASONS
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def outcome_of(value, region):
    try:
        return read_number(value, region).value
    except InvalidIdentifierError as error:
        return error.reason


REGIONS = st.sampled_from(["IN", "US", "DE", "ZA", "BR", None])
E164 = st.sampled_from([phonenumbers.format_number(number, PhoneNumberFormat.E164) for number in example_numbers()])


@given(
    st.text(max_size=30)
    | st.text("+0123456789 ()-./;,xeE", max_size=25)
    | st.floats()
    | st.integers()
    | st.decimals()
    | st.none(),
    REGIONS,
)
def test_any_value_is_read_or_refused(value, region):
    outcome = outcome_of(value, region)

    assert outcome in REASONS or re.fullmatch(r"\+[1-9][0-9]{4,14}", outcome)


@given(E164, st.integers(1, 8), st.sampled_from("abcdghijklmnopqrstuvwyzABZéд"), REGIONS)
def test_a_number_that_contains_a_letter_is_refused(e164, place, letter, region):
    assert outcome_of(e164[:place] + letter + e164[place:], region) in REASONS


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)), st.times(), REGIONS)
def test_a_date_is_refused(day, time, region):
    assert {outcome_of(text, region) for text in (f"{day}", f"{day:%d.%m.%Y}", f"{day} {time}")} == {"date"}


@given(st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str), REGIONS)
def test_an_ip_address_is_refused(text, region):
    assert outcome_of(text, region) in REASONS


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)).map(str) | st.ip_addresses(v=4).map(str))
@example("31.12.1999")
@example("49.15.123.200")
def test_dates_and_ip_addresses_are_not_identifiers(text):
    with pytest.raises(InvalidIdentifierError, match=r"date|IP address"):
        read_identifier(text)


@given(E164, E164, st.sampled_from([";", ",", "/", " / ", "\n", " or ", "|", " & ", "; "]), REGIONS)
def test_two_numbers_in_a_cell_are_refused(first, second, separator, region):
    assert outcome_of(f"{first}{separator}{second}", region) in {"two numbers", "letters"}


@given(E164, REGIONS)
def test_a_whole_float_is_read_like_the_integer(e164, region):
    digits = e164[1:]

    assert outcome_of(f"{digits}.0", region) == outcome_of(float(digits), region) == outcome_of(int(digits), region)
    assert read_identifier(f"{digits}.0").key == read_identifier(float(digits)).key == digits
    assert read_identifier(f"{e164[:3]} {e164[3:7]}-{e164[7:]}.0").key == digits


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("27820009999", "+27820009999"),
        ("+27820009999", "+27820009999"),
        (" 27820009999", "+27820009999"),
        ("+27 82 000 9999", "+27820009999"),
        ("tel:+27-82-000-9999", "+27820009999"),
        ("0027820009999", "+27820009999"),
        ("+27 82 000 9999 ext. 5", "+27820009999"),
        ("tel:0820009999;phone-context=+27", "+27820009999"),
        ("https://wa.me/27820009999", "+27820009999"),
        ("+1 800 FLOWERS", "+18003569377"),
        ("green_api:1101000001", "green_api:1101000001"),
        ("whatsapp_business_default", "whatsapp_business_default"),
        ("line 2", "line 2"),
    ],
)
def test_a_sender_has_one_name_in_every_spelling(sender, name):
    assert read_sender(sender) == name


@pytest.mark.parametrize(
    "sender", ["0820009999", "123", "+27820009999; +27820009998", "2.782E+10", "a\0b", "\ud800", 300 * "a"]
)
def test_a_sender_that_is_neither_a_number_nor_a_name_is_refused(sender):
    with pytest.raises(InvalidIdentifierError):
        read_sender(sender)


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
    with pytest.raises(ConfigError, match=r"is unknown\. Set it to the two letters of a country"):
        validate_region(region)


def test_a_number_given_as_a_region_is_not_shown():
    with pytest.raises(ConfigError, match=r"is unknown\. Set it to the two letters of a country") as raised:
        validate_region("+16315551002")
    assert "6315551002" not in str(raised.value)
