"""
The JSON of contacts: canonical form, lenient decoding, and repair of text that databases refuse.

A strict, fast decoder reads nearly all text. Text that it refuses (raw control characters, invalid UTF-8, ``NaN``) is
decoded leniently and repaired, so that a malformed row does not affect other rows.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

__all__ = [
    "UNDECODABLE",
    "canonical",
    "decode",
    "decode_leniently",
    "decoder_of",
    "encode",
    "has_repeated_keys",
    "read_object",
    "repair",
    "split_list",
    "split_object",
    "validate_utf8",
]

#: Errors of msgspec for text that it cannot decode.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
REPLACEMENT = "\ufffd"
#: Limits of PostgreSQL's numeric, and so of its jsonb: digits before and after the decimal point.
MAX_DIGITS = 131_072
MAX_DECIMALS = 16_383
#: Without an exponent, a decimal with fewer characters is within both limits.
SHORT_DECIMAL = 1_000
#: Recognizes decimals that are encoded as they are written.
ENCODED_DECIMAL = re.compile(r"-?(?:0\.[1-9]|[1-9][0-9]{0,99}\.)[0-9]{0,99}(?<!\.)").fullmatch
#: Nesting of arrays and objects in a record. A fixed limit, because the limits of Python versions differ.
MAX_LEVELS = 200
#: Longer integers become decimals: Python refuses to convert them to ``int``.
MAX_INT_DIGITS = 4_000
NOT_JSON = "not JSON"
BLANK = b" \t\n\r"
ESCAPED_NUL = b"\\u0000"
#: Bytes to decode at a time for validation, so that the text stays in the processor's cache.
UTF8_BYTES = 1 << 15
STRING = rb'"(?:[^"\\]++|\\.)*+"'
FLAT = rb'(?:[^"\[\]{}]++|' + STRING + rb")*+"
#: A list or an object without others in it, a string, a bracket, a comma, or an unmatched quote.
TOKEN = re.compile(rb"\[" + FLAT + rb"\]|\{" + FLAT + rb"\}|" + STRING + rb'|[\[\]{},"]', re.DOTALL)
LEVELS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
KEY = re.compile(rb"(" + STRING + rb")[ \t\n\r]*:", re.DOTALL)


def canonical(text: bytes | msgspec.Raw, look: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    """
    Return the form of a record that is hashed and stored: sorted keys, no spaces, no null values.

    Null values are removed at any depth, so a new custom field that is null changes no contact. Elements of arrays are
    kept. Numbers keep their value and digits, whatever their size.

    :param text: JSON as received, or after :func:`repair` and :func:`encode`.
    :param look: called with the decoded object, including null values.
    :raises ValueError: the text is not one JSON object, is nested too deeply, or has a number that databases cannot
        store.
    """
    try:
        record = decode(text)
        if type(record) is not dict:
            raise ValueError("not an object")
        if look is not None:
            look(record)
        return _SORTED.encode(_without_nulls(record))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decode(text: bytes | msgspec.Raw) -> Any:
    """
    Decode JSON. Numbers keep their value and digits, whatever their size.

    :raises ValueError: the text is not JSON, or nested too deeply for Python's decoder.
    """
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        return _load(bytes(text).decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return a decoder of a type. Decimals in fields of any type keep their digits; they can only be encoded."""
    return msgspec.json.Decoder(kind, float_hook=_encoded_decimal)


def decode_leniently(text: bytes) -> Any:
    """
    Decode JSON that the strict decoder refuses. Pass each row of the result through :func:`repair`.

    Each byte of invalid UTF-8 becomes a lone surrogate. Control characters inside strings are accepted. ``NaN``,
    ``Infinity`` and numbers that databases cannot store become markers, so that :func:`repair` refuses only their row.

    :raises ValueError: the text is not JSON even then, or nested too deeply for Python's decoder.
    """
    return _load(text.decode("utf-8", "surrogateescape"))


def validate_utf8(body: bytes) -> None:
    """
    Check that a body is UTF-8, with a quarter of the time and the memory of decoding it.

    :raises UnicodeDecodeError: the body is not UTF-8.
    """
    if body.isascii():
        return
    view, start = memoryview(body), 0
    while start < len(body):
        stop = start + UTF8_BYTES
        start += codecs.utf_8_decode(view[start:stop], "strict", stop >= len(body))[1]


def read_object(body: bytes) -> dict[str, Any]:
    """
    Decode a JSON object to read some of its keys, without storing it.

    Text that databases refuse becomes U+FFFD. Values that cannot be decoded become ``None``, without effect on other
    values, in up to three levels of objects and lists.

    :raises ValueError: the body is not a JSON object.
    """
    value = _decode_strictly(body)
    if type(value) is not dict:
        value = _salvage(body, levels=3)
    if type(value) is not dict:
        raise ValueError("not an object")
    return value


def _decode_strictly(body: bytes) -> Any:
    """Return ``None`` for a body that needs repair."""
    with suppress(*UNDECODABLE):
        return None if ESCAPED_NUL in body else msgspec.json.decode(body)
    return None


def _salvage(text: bytes, levels: int) -> Any:
    with suppress(ValueError, RecursionError):
        decoded = text.decode("utf-8", "surrogateescape")
        return repair(json.loads(decoded, strict=False, parse_float=_finite, parse_constant=lambda _: None))[0]
    if levels == 0:
        return None
    text = text.strip(BLANK)
    with suppress(ValueError):
        if text.startswith(b"{"):
            return {repair(name)[0]: _salvage(item, levels - 1) for name, item in split_object(text).items()}
        if text.startswith(b"["):
            return [_salvage(item, levels - 1) for item in split_list(text)]
    return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def split_list(body: bytes) -> Iterator[bytes]:
    """
    Yield the undecoded items of a JSON list. The items may be invalid: only quotes and brackets count.

    :raises ValueError: the body is not a list, or its quotes or brackets do not match.
    """
    return _split(body, b"[", b"]")


def split_object(body: bytes) -> dict[str, bytes]:
    """
    Return the undecoded values of a JSON object by key, see :func:`split_list`. The last of equal keys counts.

    :raises ValueError: the body is not an object, or its quotes or brackets do not match.
    """
    members: dict[str, bytes] = {}
    for item in _split(body, b"{", b"}"):
        key = KEY.match(item)
        if key is None:
            raise ValueError(NOT_JSON)
        members[_load(key[1].decode("utf-8", "surrogateescape"))] = item[key.end() :]
    return members


def has_repeated_keys(text: bytes) -> bool:
    """
    Return whether an object in a JSON text has repeated keys. Decoders keep only the last.

    :returns: ``True`` as well for a text that is not JSON.
    """
    # Nothing was lost, as in nearly all texts. Decoding without exact decimals saves a third of the time.
    with suppress(ValueError, ArithmeticError, RecursionError, msgspec.DecodeError):
        if _PLAIN.encode(msgspec.json.decode(text)) == text:
            return False
        if _PLAIN.encode(_DECODER.decode(text)) == text:
            return False
    keys = _Keys()
    try:
        json.loads(text.decode("utf-8", "surrogateescape"), strict=False, object_pairs_hook=keys, parse_int=str)
    except (ValueError, RecursionError):
        return True
    return keys.are_repeated


class _Keys:
    """Checks the keys of an object."""

    are_repeated = False

    def __call__(self, pairs: list[tuple[str, Any]]) -> None:
        self.are_repeated = self.are_repeated or len({key for key, _ in pairs}) < len(pairs)


class _UnstorableNumber:
    """Marker for ``NaN``, ``Infinity``, or a number that databases cannot store."""

    def __init__(self, text: str, reason: str) -> None:
        self._text = text
        self.reason = reason

    def __str__(self) -> str:
        return self._text


def repair(value: Any, levels: int = MAX_LEVELS) -> tuple[Any, bool]:
    """
    Replace NUL and lone surrogates in a decoded value with U+FFFD, including keys.

    :param levels: maximum nesting of arrays and objects.
    :returns: the value, and whether anything was replaced.
    :raises ValueError: the value has a number that databases cannot store, or is nested too deeply.
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
        return [item for item, _ in items], any(was_repaired for _, was_repaired in items)
    if type(value) is _UnstorableNumber:
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
    if len(text) < SHORT_DECIMAL and "e" not in text and "E" not in text:
        return Decimal(text)
    try:
        number = Decimal(text)
    except ArithmeticError:
        # The exponent is too large even for a decimal.
        raise ValueError("number out of range") from None
    exponent = number.as_tuple().exponent
    if number.adjusted() >= MAX_DIGITS or (isinstance(exponent, int) and -exponent > MAX_DECIMALS):
        raise ValueError("number out of range")
    return number


def _encoded_decimal(text: str) -> Decimal | msgspec.Raw:
    """Return a decimal, or its text if that is how it is encoded, which is twice as fast."""
    return msgspec.Raw(text) if ENCODED_DECIMAL(text) else _decimal(text)


def _decimal_or_marker(text: str) -> Decimal | _UnstorableNumber:
    try:
        return _decimal(text)
    except ValueError as error:
        return _UnstorableNumber(text, str(error))


def _integer(text: str) -> int | Decimal | _UnstorableNumber:
    return int(text) if len(text) <= MAX_INT_DIGITS else _decimal_or_marker(text)


def _constant(text: str) -> _UnstorableNumber:
    return _UnstorableNumber(text, "not a number")


def _load(text: str) -> Any:
    try:
        return json.loads(
            text, strict=False, parse_float=_decimal_or_marker, parse_int=_integer, parse_constant=_constant
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError:
        raise ValueError(NOT_JSON) from None


def _split(body: bytes, opening: bytes, closing: bytes) -> Iterator[bytes]:
    start = len(body) - len(body.lstrip(BLANK)) + 1
    if body[start - 1 : start] != opening:
        raise ValueError("not a list" if opening == b"[" else "not an object")
    level, items = 1, 0
    for token in TOKEN.finditer(body, start):
        text = token[0]
        if len(text) > 1:
            continue
        if text == b'"':
            break
        if level == 1 and text in {b",", closing}:
            item = body[start : token.start()].strip(BLANK)
            items, start = items + 1, token.end()
            if item:
                yield item
            elif text == b"," or items > 1:
                break
        level += LEVELS.get(text, 0)
        if level == 0:
            if text == closing and not body[start:].strip(BLANK):
                return
            break
    raise ValueError(NOT_JSON)


def _refuse(value: Any) -> NoReturn:
    raise ValueError(value.reason if type(value) is _UnstorableNumber else "not a number")


_DECODER = msgspec.json.Decoder(float_hook=_decimal)
_SORTED = msgspec.json.Encoder(order="sorted", decimal_format="number", enc_hook=_refuse)
_PLAIN = msgspec.json.Encoder(decimal_format="number", enc_hook=_refuse)
#: Encodes a value as JSON without spaces, without sorting the keys.
encode = _PLAIN.encode
