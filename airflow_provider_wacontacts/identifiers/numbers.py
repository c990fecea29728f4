"""
Phone numbers: any dialable spelling as E.164.

The rules are those of phonenumbers, Google's library. A number without a plus sign belongs to the region of the sender.
Whether a number is on WhatsApp is not decided here.
"""

from __future__ import annotations

from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, ValidationResult

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["NotANumberError", "Number", "infer_region", "normalize", "validate_region"]

PLUS_SIGNS = "+\uff0b"
NO_REGION = "no region for a number without +"

_REASONS = {
    NumberParseException.INVALID_COUNTRY_CODE: "unknown country code",
    NumberParseException.NOT_A_NUMBER: "not a number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "too short",
    NumberParseException.TOO_SHORT_NSN: "too short",
    NumberParseException.TOO_LONG: "too long",
}
_IMPOSSIBLE = {
    ValidationResult.INVALID_COUNTRY_CODE: "unknown country code",
    ValidationResult.TOO_SHORT: "too short",
    ValidationResult.TOO_LONG: "too long",
    ValidationResult.INVALID_LENGTH: "not as long as numbers of its country are",
}


class NotANumberError(ValueError):
    """
    The text cannot be a phone number. The message does not contain it.

    :param reason: a few words, for example ``too short``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Number(NamedTuple):
    """
    A number that can be dialed.

    :param e164: ``+``, country code and national number, digits only; an extension is not part of it.
    """

    e164: str


def normalize(text: str, region: str | None) -> Number:
    """
    Parse a number in any dialable spelling: E.164, international, national, RFC 3966.

    A number without a plus sign belongs to the region, or is dialed from there: ``6315551002`` in India becomes
    ``+916315551002``, and ``00`` before a country code replaces the plus sign.

    :param region: two letters, upper case, for example ``IN``; ``None`` if unknown.
    :raises NotANumberError: no number of any country could look like this.
    """
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        reason = _REASONS[error.error_type]
        if region is None and error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
            reason = reason if any(sign in text for sign in PLUS_SIGNS) else NO_REGION
        raise NotANumberError(reason) from None
    if not phonenumbers.is_possible_number(number):
        raise NotANumberError(_IMPOSSIBLE[phonenumbers.is_possible_number_with_reason(number)])
    return Number(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def infer_region(sender: str) -> str | None:
    """
    Return the region of a registered number.

    :param sender: with its plus sign; anything else has no region.
    :returns: two letters, or ``None`` for a number without a region, for example ``+800…``. If the number does not show
        which of several regions of a country code it belongs to, the main region.
    """
    try:
        number = phonenumbers.parse(sender, None)
    except NumberParseException:
        return None
    code = number.country_code or 0
    region = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(code)
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


def validate_region(region: str) -> str:
    """
    Make sure that phonenumbers knows a region.

    :param region: two letters of ISO 3166, in upper or lower case.
    :returns: in upper case.
    :raises ConfigError: it does not.
    """
    normalized = region.strip().upper() if isinstance(region, str) else ""
    if normalized not in phonenumbers.SUPPORTED_REGIONS:
        shown = f"region {region!r}" if normalized.isalpha() else "a region without letters"
        raise ConfigError(f"{shown} is not known; it is two letters, such as IN or US")
    return normalized
