"""Other spellings of numbers in Brazil, Mexico and Argentina."""

import phonenumbers
import pytest

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.variants import variants


def of(digits):
    return {variant.value for variant in variants(Identifier(Kind.WA_ID, digits))}


@pytest.mark.parametrize(
    ("one", "other"),
    [("5511987654321", "551187654321"), ("5215512345678", "525512345678"), ("5491123456789", "541123456789")],
)
def test_each_spelling_is_a_variant_of_the_other(one, other):
    assert of(one) == {other}
    assert of(other) == {one}
    assert variants(Identifier(Kind.NUMBER, f"+{one}")) == variants(Identifier(Kind.WA_ID, one))


@pytest.mark.parametrize("digits", ["551132654321", "5511932654321", "44623456700", "5511", "55119876543210"])
def test_landlines_and_numbers_of_other_countries_have_no_variants(digits):
    assert of(digits) - {"551132654321"} == set()


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS - {"BR", "MX", "AR"}))
def test_no_example_of_another_country_has_a_variant(region):
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if number:
        assert of(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]) == set()


def test_identifiers_of_other_kinds_have_no_variants():
    assert variants(Identifier(Kind.LID, "5511987654321@lid")) == set()
