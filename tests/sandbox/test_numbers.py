"""Numbers as the WhatsApp Business API client reads them."""

import phonenumbers
import pytest

from airflow_provider_wacontacts.sandbox.whatsapp_business.numbers import (
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


def test_national_spellings_of_nearly_every_country_are_read():
    national = phonenumbers.PhoneNumberFormat.NATIONAL
    misread = {
        region
        for region, code, example in EXAMPLES
        if f"+{translate(phonenumbers.format_number(example, national), str(code))}"
        != phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    }

    assert misread == {"AR"}  # its mobiles have a 15 in the middle, which the contract does not tell of


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
