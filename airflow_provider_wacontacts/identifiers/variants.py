"""Alternative spellings of numbers in countries that have changed their mobile numbers."""

from __future__ import annotations

import re

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind

__all__ = ["variants"]

#: Patterns before and after the optional digit of WhatsApp IDs, and the digit.
PLANS = (
    # Brazil: mobile numbers got a ninth digit.
    (re.compile(r"(55[1-9][0-9])9?([6-9][0-9]{7})"), "9"),
    # Mexico and Argentina: mobile numbers had a prefix in calls from abroad.
    (re.compile(r"(52)1?([1-9][0-9]{9})"), "1"),
    (re.compile(r"(54)9?([1-9][0-9]{9})"), "9"),
)


def variants(identifier: Identifier) -> set[Identifier]:
    """
    Return the other spelling of a number or WhatsApp ID of Brazil, Mexico or Argentina, as a WhatsApp ID.

    It usually belongs to the same person, but not always: users must decide.
    """
    if identifier.kind not in {Kind.NUMBER, Kind.WA_ID}:
        return set()
    return {
        Identifier(Kind.WA_ID, spelling)
        for pattern, digit in PLANS
        if (found := pattern.fullmatch(identifier.key))
        for spelling in (found[1] + found[2], found[1] + digit + found[2])
        if spelling != identifier.key
    }
