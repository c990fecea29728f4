"""
Checks of numbers: the versions of ``checkWhatsapp`` since 2023.

Public source: CheckWhatsapp (https://green-api.com/en/docs/api/service/CheckWhatsapp).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from airflow_provider_wacontacts.sandbox.green_api.behaviour import GreenApiBehaviour
from airflow_provider_wacontacts.sandbox.green_api.errors import GreenApiError

__all__ = ["CheckedNumber", "NumberChecks"]

_LENGTHS = range(11, 17)
_USERS = ("@c.us", "@lid")


@dataclass(frozen=True, slots=True)
class CheckedNumber:
    """
    The state of a number at WhatsApp.

    :param lid: digits of the linked ID.
    :param hidden: responses do not have the number.
    :param fails: a check exceeds the server's time limit.
    """

    exists: bool
    lid: str
    hidden: bool = False
    fails: bool = False


class NumberChecks:
    """
    The instance's numbers and checks.

    :ivar asked: how often each number was checked, by ``+`` and its digits.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._numbers: dict[str, CheckedNumber] = {}

    def put(self, digits: str, number: CheckedNumber) -> None:
        """Set the state of a number."""
        self._numbers[digits] = number

    def find(self, digits: str, behaviour: GreenApiBehaviour) -> CheckedNumber:
        """Return the state of a number: as set, or computed from ``seed`` and its digits."""
        if digits in self._numbers:
            return self._numbers[digits]
        draw = hashlib.blake2b(f"{behaviour.seed}:{digits}".encode(), digest_size=16).digest()
        lid = 10**14 + int.from_bytes(draw[4:10]) % (9 * 10**14)
        return CheckedNumber(int.from_bytes(draw[:4]) / 2**32 < behaviour.on_whatsapp, str(lid))

    def check(self, body: bytes, behaviour: GreenApiBehaviour) -> dict[str, Any]:
        """
        Check the number of a request, and return the response's body.

        :raises GreenApiError: the request is invalid, or the check fails.
        """
        digits, force = _read(body, behaviour)
        from_cache = not force and f"+{digits}" in self.asked
        self.asked[f"+{digits}"] += 1
        number = self.find(digits, behaviour)
        if number.fails:
            raise GreenApiError(400, "check phone number timeout limit exceeded")
        return _content(digits, number, behaviour, from_cache=from_cache)


def _content(digits: str, number: CheckedNumber, behaviour: GreenApiBehaviour, *, from_cache: bool) -> dict[str, Any]:
    exists, form = number.exists, behaviour.check_form
    if form == "2023":
        return {"existsWhatsapp": exists}
    if form == "2025":
        return {"existsWhatsapp": exists, "chatId": f"{digits}@c.us" if exists else ""}
    return {
        "existsWhatsapp": exists,
        "chatId": f"{number.lid}@lid" if exists else "",
        "username": "",
        "phoneNumber": f"{digits}@c.us" if exists and not number.hidden else "",
        "fromCache": from_cache,
    }


def _read(body: bytes, behaviour: GreenApiBehaviour) -> tuple[str, bool]:
    """Return the digits, and whether the cache is bypassed."""
    try:
        content = json.loads(body)
    except ValueError as error:
        raise GreenApiError(400, f"Unexpected token in JSON at position {getattr(error, 'pos', 0)}") from None
    keys = {"phoneNumber"} if behaviour.check_form == "2023" else {"chatId", "phoneNumber", "force"}
    if not isinstance(content, dict) or not content:
        raise _invalid("'value' must have at least 1 key")
    if unknown := sorted(content.keys() - keys):
        raise _invalid(f"'{unknown[0]}' is not allowed")
    if {"chatId", "phoneNumber"} <= content.keys():
        raise _invalid("'value' contains a conflict between exclusive peers [chatId, phoneNumber]")
    if not {"chatId", "phoneNumber"} & content.keys():
        raise _invalid("'value' must contain at least one of [chatId, phoneNumber]")
    force = content.get("force", False)
    if not isinstance(force, bool):
        raise _invalid("'force' must be a boolean")
    return (_chat_id(content["chatId"]) if "chatId" in content else _phone_number(content["phoneNumber"])), force


def _chat_id(value: object) -> str:
    digits = str(value)
    for domain in _USERS:
        digits = digits.removesuffix(domain)
    if not (digits.isascii() and digits.isdecimal()):
        raise _invalid("'chatId' must be one of the next formats: 'phone_number@c.us' or 'chat_id@lid'")
    return digits


def _phone_number(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid("'phoneNumber' must contain only digits")
    if len(str(value)) not in _LENGTHS:
        raise GreenApiError(400, "bad phone number, valid from 11 to 16 digits")
    return str(value)


def _invalid(details: str) -> GreenApiError:
    return GreenApiError(400, f"Validation failed. Details: {details}")
