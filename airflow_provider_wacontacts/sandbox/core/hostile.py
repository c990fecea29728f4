"""Hostile bodies: true responses with content that breaks parsers, databases or logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

__all__ = ["HOSTILE", "make_hostile"]

DEEP = 20_000
FIRST_ROW = re.compile(rb"\[\s*\{")
TIME = re.compile(rb'("(?:updated_at|inserted_at|expires_after)"\s*:\s*)"[^"]*"')
NEXT = re.compile(rb'("(?:next|cursor)"\s*:\s*)(?:"[^"]*"|null)')


def _member(text: bytes) -> Callable[[bytes], bytes]:
    """Add a key to the first row, or to the first object if there is none."""

    def add(body: bytes) -> bytes:
        found = FIRST_ROW.search(body)
        at = found.end() if found else body.find(b"{") + 1
        comma = b"" if body[at : at + 1] == b"}" else b","
        return body[:at] + text + comma + body[at:] if at else b"{" + text + b"}"

    return add


def _value(value: bytes) -> Callable[[bytes], bytes]:
    return _member(b'"hostile":' + value)


def _time(moment: bytes) -> Callable[[bytes], bytes]:
    return lambda body: TIME.sub(rb'\1"' + moment + b'"', body, count=1)


def _cursor(cursor: bytes) -> Callable[[bytes], bytes]:
    return lambda body: NEXT.sub(lambda found: found[1] + cursor, body, count=1)


#: The modifications of the true body, by name.
HOSTILE: Mapping[str, Callable[[bytes], bytes]] = {
    "huge exponent": _value(b"1e99999999999999999999"),
    "tiny exponent": _value(b"1e-99999999999999999999"),
    "many digits": _value(b"9" * 100_000),
    "many decimals": _value(b"0." + b"9" * 100_000),
    "not a number": _value(b"NaN"),
    "infinity": _value(b"-Infinity"),
    "nested row": _value(b"[" * DEEP + b"]" * DEEP),
    "nested body": lambda _: b"[" * DEEP + b"]" * DEEP,
    "nul": _value(rb'"a\u0000b"'),
    "lone surrogate": _value(rb'"\ud800"'),
    "surrogate key": _member(rb'"\udfff":1'),
    "line feed": _value(b'"a\nb"'),
    "line separator": _value('"a\u2028b"'.encode()),
    "invalid utf-8": _value(b'"\xff\xfe"'),
    "repeated member": _member(b'"hostile":1,"hostile":2'),
    "year 1": _time(b"0001-01-01T00:00:00+02:00"),
    "year 9999": _time(b"9999-12-31T23:59:59-05:00"),
    "surrogate cursor": _cursor(rb'"\ud800"'),
    "huge cursor": _cursor(b'"' + b"c" * 1_000_000 + b'"'),
    "number as cursor": _cursor(b"1e400"),
    "byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "trailing text": lambda body: body + b"}",
}


def make_hostile(body: bytes, name: str) -> bytes:
    """
    Return a true body with hostile content.

    :raises LookupError: the name is unknown.
    """
    return HOSTILE[name](body)
