"""JSON text that is sent as it is, and values that are hard to parse or hard to store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["MALFORMED", "Raw"]


@dataclass(frozen=True, slots=True)
class Raw:
    """
    JSON text that is sent as it is, also where no encoder would write it.

    The control API writes it as ``{"$raw": "<one character for each byte, Latin-1>"}``.
    """

    content: bytes


MALFORMED: Mapping[str, bytes] = MappingProxyType(
    {
        "nul": rb'"before\u0000after"',
        "high_surrogate": rb'"alone \ud83d here"',
        "low_surrogate": rb'"alone \ude00 here"',
        "reversed_surrogates": rb'"\ude00\ud83d"',
        "invalid_utf8": b'"bytes \xff\xfe here"',
        "cut_utf8": b'"cut \xe2\x82"',
        "encoded_surrogate": b'"bytes \xed\xa0\xbd here"',
        "huge_integer": b"9" * 400,
        "huge_float": b"1e999",
        "tiny_float": b"1e-999",
        "long_fraction": b"0." + b"1234567890" * 30,
        "beyond_int64": b"18446744073709551617",
        "long_text": b'"' + b"x" * 100_000 + b'"',
        "deep": b"[" * 200 + b"]" * 200,
        "looks_like_null": rb'"\\N"',
        "looks_like_sql": rb'"\\.\t\";--"',
    }
)
"""By kind. ``invalid_utf8``, ``cut_utf8`` and ``encoded_surrogate`` make the whole answer invalid UTF-8."""
