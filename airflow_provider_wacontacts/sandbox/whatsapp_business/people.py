"""
States of numbers at WhatsApp: the contract's examples, numbers with a set state, and a rule for all others.

The rule depends only on the number and the behaviour, so it needs no list, and two sandboxes agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from airflow_provider_wacontacts.sandbox.whatsapp_business.behaviour import WhatsAppBehaviour
from airflow_provider_wacontacts.sandbox.whatsapp_business.numbers import is_too_long, is_too_short, wa_id_of

__all__ = ["People", "Person"]

_CONTRACT = (
    "16315551000", "16315551001", "16315551002", "16315551004", "16315551005", "15162837151", "5491156121008",
)  # fmt: skip
_NOT_ON_WHATSAPP = ("16315551002", "916315551002")


@dataclass(frozen=True, slots=True)
class Person:
    """
    The state of a number at WhatsApp.

    :param wa_id: digits.
    :param status: result of a check.
    :param failures: number of checks that fail before one succeeds; None for all.
    :param slow: whether its checks are slow.
    :param missing: the number has no entry in some responses.
    """

    wa_id: str
    status: Literal["valid", "invalid", "failed"]
    failures: int | None = 0
    slow: bool = False
    missing: bool = False


class People:
    """The states of all numbers, on WhatsApp or not."""

    def __init__(self) -> None:
        self._set: dict[str, Person] = {}
        self._followed: dict[str, Person] = {}
        self._behaviour: WhatsAppBehaviour | None = None

    def find(self, digits: str, behaviour: WhatsAppBehaviour) -> Person:
        """Return the state of an international number."""
        person = self._set.get(digits)
        if person is not None:
            return person
        if behaviour is not self._behaviour:
            self._behaviour = behaviour
            self._followed.clear()
        person = self._followed.get(digits)
        if person is None:
            person = self._followed[digits] = _follow(digits, behaviour)
        return person

    def put(self, digits: str, person: Person) -> None:
        """Set the state of a number, and of its WhatsApp ID as a number."""
        self._set[digits] = self._set[person.wa_id] = person


def _follow(digits: str, behaviour: WhatsAppBehaviour) -> Person:
    if is_too_short(digits):
        return Person(digits, "failed", failures=None)
    wa_id = wa_id_of(digits)
    if is_too_long(digits) or digits in _NOT_ON_WHATSAPP:
        return Person(wa_id, "invalid")
    if digits in _CONTRACT:
        return Person(wa_id, "valid", slow=digits == "16315551001")
    shares = _shares(f"{behaviour.seed}:{wa_id}")
    person = Person(
        wa_id,
        "valid" if next(shares) < behaviour.on_whatsapp else "invalid",
        slow=next(shares) < behaviour.processing_share,
        missing=next(shares) < behaviour.missing_share,
    )
    return replace(person, failures=1) if next(shares) < behaviour.failing_share else person


def _shares(text: str) -> Iterator[float]:
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return (int.from_bytes(digest[at : at + 4]) / 2**32 for at in range(0, 16, 4))
