"""Records, which are versions of contacts from any system, and rejects, which are rows that cannot become records."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind
from airflow_provider_wacontacts.records.json import decode_leniently, repair

__all__ = ["MAX_REASONS", "Record", "Reject", "has_unidentified", "ids_in_rejects", "in_utc", "read_time", "row_hash"]

#: Number of the commonest reasons for rejects in errors, logs and summaries.
MAX_REASONS = 5


class Record(NamedTuple):
    """
    One version of a contact.

    :param contact_id: the system's own key, never empty.
    :param updated_at: timezone-aware, UTC, microseconds.
    :param row_hash: 16 bytes over ``payload``, see :func:`row_hash`.
    :param payload: canonical JSON, UTF-8, one object.
    :param wa_id: WhatsApp ID, digits; ``None`` if the system returned none, like ``lid`` and ``user_id``.
    :param repaired: whether text in it was replaced by U+FFFD.
    :param state: ``present`` or ``gone``.
    """

    contact_id: str
    updated_at: datetime
    row_hash: bytes
    payload: bytes
    wa_id: str | None = None
    repaired: bool = False
    state: str = "present"
    lid: str | None = None
    user_id: str | None = None

    @property
    def ids(self) -> IdsByKind:
        """The identifiers from the system, or their pseudonyms."""
        return IdsByKind(self.wa_id, self.lid, self.user_id)


def row_hash(payload: bytes) -> bytes:
    """Return 16 bytes of BLAKE2b over canonical JSON."""
    return blake2b(payload, digest_size=16).digest()


def read_time(value: object) -> datetime:
    """
    Read a record's time: an ISO 8601 string with any fraction. Without an offset it is UTC.

    :raises ValueError: the value is anything else, for example a year of five digits.
    """
    try:
        moment = msgspec.convert(msgspec.convert(value, str), datetime)
    except msgspec.ValidationError:
        raise ValueError("not a time") from None
    return in_utc(moment)


def in_utc(moment: datetime) -> datetime:
    """
    Convert a time to UTC. Naive times are UTC.

    :raises ValueError: it is before the year 1 or after the year 9999 in UTC.
    """
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("not a time") from None


#: A key ``"id"`` with a string value, at any depth. A regular expression, because a reject may be invalid JSON.
ID_MEMBER = re.compile(rb'"id"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")', re.DOTALL)


class Reject(NamedTuple):
    """
    A row that cannot be stored as a contact.

    :param reason: a few words, without data of the body.
    :param body: the row as received, or similar if it cannot be stored; personal data.
    """

    reason: str
    body: bytes


def ids_in_rejects(rejects: Iterable[Reject]) -> frozenset[str]:
    """
    Return the IDs in rejects: these contacts still exist at the source, although they cannot be stored.

    An ``id`` inside another object of a row counts as well, so the result may include IDs that are not contacts'.
    """
    return frozenset(contact_id for reject in rejects for contact_id in _ids(reject) if contact_id is not None)


def has_unidentified(rejects: Iterable[Reject]) -> bool:
    """Return whether a reject has no ID, or an unreadable one, so that it may be any contact."""
    return any(not any(ids) or None in ids for ids in map(_ids, rejects))


def _ids(reject: Reject) -> list[str | None]:
    """Return the IDs in a reject, ``None`` for each that is not valid JSON."""
    return [_read_id(match) for match in ID_MEMBER.findall(reject.body)]


def _read_id(text: bytes) -> str | None:
    try:
        contact_id: str = repair(decode_leniently(text))[0]
    except ValueError:
        return None
    return contact_id
