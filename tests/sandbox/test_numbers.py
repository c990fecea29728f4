"""Numbers as the WhatsApp Business API client reads them."""

import phonenumbers
import pytest

from airflow_provider_wacontacts.sandbox.numbers import (
    calling_code,
    is_too_long,
    is_too_short,
    read_sender,
    translate,
    wa_id_of,
)

EXAMPLES = [
    (region, code, example)
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
    for region in regions
    if (example := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
]


@pytest.mark.parametrize(
    ("given", "translated"),
    [
        ("+1-631-555-1002", "16315551002"),
        ("6315551002", "916315551002"),
        ("1-631-555-1002", "9116315551002"),
        ("+1 (516) 283-7151", "15162837151"),
        ("+54 9 11 5612-1008", "5491156121008"),
    ],
)
def test_the_contracts_table_holds_for_an_indian_sender(given, translated):
    assert translate(given, "91") == translated


@pytest.mark.parametrize(
    ("given", "code", "translated"),
    [
        ("16315551000", "1", "16315551000"),
        ("1-631-555-1005", "1", "16315551005"),
        ("06315551002", "91", "916315551002"),
        ("07700 900123", "44", "447700900123"),
        ("tel:+1-631-555-1000;ext=5", "1", "16315551000"),
        (" +16315551000\n", "91", "16315551000"),
        ("nobody", "44", "44"),
        ("", "1", "1"),
    ],
)
def test_a_number_without_a_plus_sign_is_a_national_one(given, code, translated):
    assert translate(given, code) == translated


def test_the_code_of_every_country_is_told_from_a_number():
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.keys()

    assert [code for code in codes if calling_code(f"{code}5550100") != str(code)] == []


def test_national_spellings_of_nearly_every_country_are_read():
    national = phonenumbers.PhoneNumberFormat.NATIONAL
    misread = {
        region
        for region, code, example in EXAMPLES
        if f"+{translate(phonenumbers.format_number(example, national), str(code))}"
        != phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    }

    assert misread == {"AR"}  # its mobiles have a 15 in the middle, which the contract does not tell of


def test_no_example_of_a_country_is_too_short_or_too_long():
    numbers = [f"{code}{phonenumbers.national_significant_number(example)}" for _, code, example in EXAMPLES]

    assert [number for number in numbers if is_too_short(number) or is_too_long(number)] == []


@pytest.mark.parametrize(
    ("digits", "too_short", "too_long"),
    [
        ("163155588", True, False),
        ("16315551002", False, False),
        ("163155510021", False, True),
        ("9116315551002", False, True),
        ("44", True, False),
        ("4477009001234567", False, True),
        ("", True, False),
    ],
)
def test_what_has_too_few_or_too_many_digits_is_no_number(digits, too_short, too_long):
    assert (is_too_short(digits), is_too_long(digits)) == (too_short, too_long)


@pytest.mark.parametrize(
    ("digits", "wa_id"),
    [
        ("5582900000000", "558200000000"),
        ("558200000000", "558200000000"),
        ("5511900000000", "5511900000000"),
        ("5528900000000", "5528900000000"),
        ("5582300000000", "5582300000000"),
        ("525500000000", "5215500000000"),
        ("5215500000000", "5215500000000"),
        ("541100000000", "5491100000000"),
        ("5491156121008", "5491156121008"),
        ("16315551000", "16315551000"),
    ],
)
def test_a_wa_id_differs_from_its_number_in_three_countries(digits, wa_id):
    assert wa_id_of(digits) == wa_id


@pytest.mark.parametrize("sender", ["12015550100", "+1201", "+12015550100000000", "", "+"])
def test_a_sender_is_an_international_number(sender):
    with pytest.raises(ValueError, match=r"begins with \+"):
        read_sender(sender)
