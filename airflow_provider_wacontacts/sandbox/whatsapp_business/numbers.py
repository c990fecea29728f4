"""
Parse phone numbers like the WhatsApp Business API client.

Public source: "Phone Number Formats" of Meta's page on the contacts node
(https://developers.facebook.com/docs/whatsapp/on-premises/reference/contacts).
"""

from __future__ import annotations

import re

__all__ = ["calling_code", "is_too_long", "is_too_short", "read_sender", "translate", "user_id_of", "wa_id_of"]

_NOT_DIGITS = re.compile(r"\D+")
_CALLING_CODE = re.compile(r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{0,3}")
# Known lengths of national numbers. In other countries, 4 digits to a total of 15 with the country code.
_NATIONAL_LENGTHS = {"1": (10, 10), "91": (10, 10)}
# Prefixes of national calls other than 0.
_TRUNK_PREFIXES = {"1": "1", "7": "8", "36": "06", "375": "80", "993": "8"} | dict.fromkeys(
    ("39", "52", "225", "229", "241", "242"), ""
)
_KEEPING_THE_NINTH_DIGIT = re.compile(r"1[1-9]|2[12478]")


def calling_code(digits: str) -> str:
    """Return the country code of an international number."""
    found = _CALLING_CODE.match(digits)
    return found[0] if found else ""


def read_sender(number: str) -> str:
    """
    Return the digits of the registered number.

    :raises ValueError: it is not an international number with a plus sign.
    """
    digits = _NOT_DIGITS.sub("", number)
    if not number.startswith("+") or is_too_short(digits) or is_too_long(digits):
        raise ValueError("sender is an international number, which begins with +")
    return digits


def translate(text: str, code: str) -> str:
    """
    Read a number in any dialable format.

    Without a plus sign it is always a national number. A prefix of national calls is removed if the rest has the length
    of a national number, or if that length is unknown.

    :param code: country code of the registered number.
    :returns: digits with country code; only the country code if there are no other digits.
    """
    text = text.strip().removeprefix("tel:")
    digits = _NOT_DIGITS.sub("", text.partition(";")[0])
    if text.startswith("+"):
        return digits
    prefix = _TRUNK_PREFIXES.get(code, "0")
    rest = digits.removeprefix(prefix)
    _, longest = _NATIONAL_LENGTHS.get(code, (0, len(rest)))
    return code + (rest if len(rest) == longest else digits)


def is_too_short(digits: str) -> bool:
    """Return whether an international number lacks digits."""
    code = calling_code(digits)
    return len(digits) - len(code) < _NATIONAL_LENGTHS.get(code, (4, 0))[0]


def is_too_long(digits: str) -> bool:
    """Return whether an international number has too many digits."""
    code = calling_code(digits)
    return len(digits) - len(code) > _NATIONAL_LENGTHS.get(code, (0, 15 - len(code)))[1]


def user_id_of(digits: str) -> str:
    """Return the business-scoped user ID of a number's user."""
    return f"US.{10**19 + int(digits)}"


def wa_id_of(digits: str) -> str:
    """
    Return the WhatsApp ID of a number, which differs from the number in three countries.

    Brazil's IDs lack the ninth digit except in some areas, Mexico's have a 1 after the country code, Argentina's a 9.
    """
    rest = digits[2:]
    match digits[:2]:
        case "55" if len(rest) == 11 and rest[2] == "9" and not _KEEPING_THE_NINTH_DIGIT.match(rest):
            return f"55{rest[:2]}{rest[3:]}"
        case "52" if len(rest) == 10:
            return f"521{rest}"
        case "54" if len(rest) == 10:
            return f"549{rest}"
    return digits
