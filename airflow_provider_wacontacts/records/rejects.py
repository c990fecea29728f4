"""Rejects: rows of a response that cannot be stored as contacts, quarantined with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from airflow_provider_wacontacts.records.json import decode_leniently, repair

__all__ = ["Reject", "has_unidentified", "ids_in_rejects"]

#: A member ``"id"`` with a string value, at any depth. A regular expression, because a reject may not be JSON.
ID_MEMBER = re.compile(rb'"id"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")', re.DOTALL)


class Reject(NamedTuple):
    """
    A row that cannot be stored as a contact.

    :param reason: a few words, without anything of the body in them.
    :param body: the row as received, or as nearly as it can be written; personal data.
    """

    reason: str
    body: bytes


def ids_in_rejects(rejects: Iterable[Reject]) -> frozenset[str]:
    """
    Return the ids in rejects: these contacts still exist at the source, although they cannot be stored.

    An ``id`` inside another object of a row counts too, so the result may hold ids of no contact.
    """
    found = (decode_leniently(match) for reject in rejects for match in ID_MEMBER.findall(reject.body))
    return frozenset(repair(contact_id)[0] for contact_id in found)


def has_unidentified(rejects: Iterable[Reject]) -> bool:
    """Tell whether a reject has no readable id, and may therefore be any contact."""
    return any(not any(ids_in_rejects([reject])) for reject in rejects)
