"""A record: one version of a contact, whichever system it came from."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple

import msgspec

__all__ = ["Record", "in_utc", "read_time", "row_hash"]


class Record(NamedTuple):
    """
    One version of a contact.

    :param contact_id: the system's own key, never empty.
    :param updated_at: timezone-aware, UTC, microseconds.
    :param row_hash: 16 bytes over ``payload``, see :func:`row_hash`.
    :param payload: canonical JSON, UTF-8, one object.
    :param wa_id: WhatsApp id, digits; ``None`` if the system gave none.
    :param repaired: text in it was replaced by U+FFFD.
    :param state: ``present`` or ``gone``.
    """

    contact_id: str
    updated_at: datetime
    row_hash: bytes
    payload: bytes
    wa_id: str | None = None
    repaired: bool = False
    state: str = "present"


def row_hash(payload: bytes) -> bytes:
    """Return 16 bytes of BLAKE2b over canonical JSON."""
    return blake2b(payload, digest_size=16).digest()


def read_time(value: object) -> datetime:
    """
    Read a record's time: an ISO 8601 string with any fraction; without an offset it is UTC.

    :raises ValueError: anything else, including years of five digits.
    """
    try:
        moment = msgspec.convert(msgspec.convert(value, str), datetime)
    except msgspec.ValidationError:
        raise ValueError("not a time") from None
    return in_utc(moment)


def in_utc(moment: datetime) -> datetime:
    """Convert a time to UTC; a naive one is UTC already."""
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)
