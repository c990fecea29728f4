"""
Phone numbers as the WhatsApp Business API client understands them.

Public source: "Phone Number Formats" of Meta's page on the contacts node
(https://developers.facebook.com/docs/whatsapp/on-premises/reference/contacts).
"""

from __future__ import annotations

import re

__all__ = ["calling_code", "is_too_long", "is_too_short", "read_sender", "translate", "user_id_of", "wa_id_of"]

_NOT_DIGITS = re.compile(r"\D+")
_CALLING_CODE = re.compile(r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{0,3}")
# How long a national number is, where the sandbox knows; elsewhere from 4 digits to what makes 15 with the code.
_NATIONAL_LENGTHS = {"1": (10, 10), "91": (10, 10)}
# What a number begins with in calls within the country, where it is not 0.
_TRUNK_PREFIXES = {"1": "1", "7": "8", "36": "06", "375": "80", "993": "8"} | dict.fromkeys(
    ("39", "52", "225", "229", "241", "242"), ""
)
_KEEPING_THE_NINTH_DIGIT = re.compile(r"1[1-9]|2[12478]")


def calling_code(digits: str) -> str:
    """Return the country's code at the beginning of an international number."""
    found = _CALLING_CODE.match(digits)
    return found[0] if found else ""


def read_sender(number: str) -> str:
    """
    Give the digits of the registered number.

    :raises ValueError: it is no international number with a plus sign.
    """
    digits = _NOT_DIGITS.sub("", number)
    if not number.startswith("+") or is_too_short(digits) or is_too_long(digits):
        raise ValueError("sender is an international number, which begins with +")
    return digits


def translate(text: str, code: str) -> str:
    """
    Read a number in any dialable format.

    Without a plus sign it is a national one, in any case. One prefix for calls within the country is
    dropped if what remains is as long as a national number, or if that length is not known.

    :param code: of the country of the registered number.
    :returns: digits with the country's code; nothing else where there is nothing else.
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
    """Give the business-scoped user ID of a number's user."""
    return f"US.{10**19 + int(digits)}"


def wa_id_of(digits: str) -> str:
    """
    Give the WhatsApp id that a number has, which in three countries is not the number.

    Brazil's lose the ninth digit outside of some areas, Mexico's have a 1 after the country's code, Argentina's a 9.
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
