"""
Contacts as they are kept, whichever system they came from.

A record's *landed text* is the JSON the system sent, with what no database takes replaced by U+FFFD. Its canonical form
is that text with sorted keys, no blanks and no null members; the hash is over the canonical form, so a custom field
that appears as null on everybody changes nobody.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NamedTuple, NoReturn

import msgspec

__all__ = [
    "Record",
    "Reject",
    "canonical",
    "encode",
    "in_utc",
    "read_leniently",
    "read_time",
    "repair",
    "row_hash",
]

REPLACEMENT = "\ufffd"
#: What PostgreSQL's numeric, and so its jsonb, can hold: digits before the decimal point, and after it.
MAX_DIGITS = 131_072
MAX_DECIMALS = 16_383
#: Levels of arrays and objects in a record. A limit of our own: the interpreters' differ, and so would what lands.
MAX_LEVELS = 200
#: Longer integers are kept as text by the decoder, because Python refuses to convert them.
MAX_INT_DIGITS = 4_000


class Record(NamedTuple):
    """
    One state of a contact.

    :param contact_id: the system's own key, never empty.
    :param updated_at: aware, UTC, microseconds.
    :param row_hash: 16 bytes over ``payload``, see :func:`row_hash`.
    :param payload: canonical JSON, UTF-8, one object.
    :param wa_id: WhatsApp id, digits; ``None`` where the system gave none.
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


class Reject(NamedTuple):
    """
    Something in an answer that cannot be kept as a contact.

    :param reason: a few words, without anything of the body in them.
    :param body: what came, as bytes; personal.
    """

    reason: str
    body: bytes


def canonical(landed: bytes | msgspec.Raw) -> bytes:
    """
    Bring a record's landed text into the one form that is hashed and stored.

    Numbers keep their value and digits, whatever their size. The members of an object are sorted by key and those that
    are null are left out, at any depth; elements of arrays stay.

    :raises ValueError: not one JSON object, nested too deeply, or a number that no database holds.
    """
    try:
        try:
            record = _DECODER.decode(landed)
        except msgspec.DecodeError:
            record = _load(bytes(landed).decode())
        if type(record) is not dict:
            raise ValueError("not an object")
        return _SORTED.encode(_without_nulls(record))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def row_hash(payload: bytes) -> bytes:
    """Return 16 bytes of BLAKE2b over canonical JSON."""
    return blake2b(payload, digest_size=16).digest()


def read_leniently(text: bytes) -> Any:
    """
    Decode JSON that a strict decoder refuses, for :func:`repair` to go over.

    Each byte of invalid UTF-8 becomes a lone surrogate; control characters inside strings are let through. ``NaN``,
    ``Infinity`` and numbers that no database holds are kept as marks, so that only the record with them is refused.

    :raises ValueError: not JSON by any reading.
    """
    return _load(text.decode("utf-8", "surrogateescape"))


def read_time(value: object) -> datetime:
    """
    Read a record's time: ISO 8601 with any fraction; one without an offset is UTC.

    :raises ValueError: anything else, years of five digits among them.
    """
    try:
        moment = msgspec.convert(msgspec.convert(value, str), datetime)
    except msgspec.ValidationError:
        raise ValueError("not a time") from None
    return in_utc(moment)


def in_utc(moment: datetime) -> datetime:
    """Move a time to UTC; a naive one is taken to be there already."""
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def encode(value: Any) -> bytes:
    """Write JSON without blanks, members in the order they have."""
    return _PLAIN.encode(value)


class _NotANumber:
    """Stands where the text held ``NaN``, ``Infinity``, or a number that no database holds."""

    def __init__(self, text: str, reason: str) -> None:
        self._text = text
        self.reason = reason

    def __str__(self) -> str:
        return self._text


def repair(value: Any, levels: int = MAX_LEVELS) -> tuple[Any, bool]:
    """
    Replace what databases refuse in a decoded value.

    :param levels: how deep arrays and objects may be nested.
    :returns: the value, and whether anything was replaced.
    :raises ValueError: it holds ``NaN`` or ``Infinity``, or is nested too deeply.
    """
    if levels < 0:
        raise ValueError("nested too deeply")
    if type(value) is str:
        fixed = "".join(REPLACEMENT if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in value)
        return fixed, fixed != value
    if type(value) is dict:
        pairs = [(repair(key), repair(item, levels - 1)) for key, item in value.items()]
        return {k: v for (k, _), (v, _) in pairs}, any(a or b for (_, a), (_, b) in pairs)
    if type(value) is list:
        items = [repair(item, levels - 1) for item in value]
        return [item for item, _ in items], any(touched for _, touched in items)
    if type(value) is _NotANumber:
        raise ValueError(value.reason)
    return value, False


def _without_nulls(value: Any, levels: int = MAX_LEVELS) -> Any:
    if levels < 0:
        raise ValueError("nested too deeply")
    if type(value) is dict:
        return {
            key: _without_nulls(item, levels - 1) if type(item) is dict or type(item) is list else item
            for key, item in value.items()
            if item is not None
        }
    if type(value) is list:
        return [_without_nulls(item, levels - 1) for item in value]
    return value


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    if number.adjusted() >= MAX_DIGITS or (isinstance(exponent, int) and -exponent > MAX_DECIMALS):
        raise ValueError("number out of range")
    return number


def _fraction(text: str) -> Decimal | _NotANumber:
    """Read a fraction; one that no database holds is a mark, so that only the record that holds it is refused."""
    try:
        return _decimal(text)
    except ValueError as error:
        return _NotANumber(text, str(error))


def _integer(text: str) -> int | Decimal | _NotANumber:
    return int(text) if len(text) <= MAX_INT_DIGITS else _fraction(text)


def _constant(text: str) -> _NotANumber:
    return _NotANumber(text, "not a number")


def _load(text: str) -> Any:
    try:
        return json.loads(text, strict=False, parse_float=_fraction, parse_int=_integer, parse_constant=_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None


def _unknown(value: Any) -> NoReturn:
    raise ValueError(value.reason if type(value) is _NotANumber else "not a number")


_DECODER = msgspec.json.Decoder(float_hook=_decimal)
_SORTED = msgspec.json.Encoder(order="sorted", decimal_format="number", enc_hook=_unknown)
_PLAIN = msgspec.json.Encoder(decimal_format="number", enc_hook=_unknown)
