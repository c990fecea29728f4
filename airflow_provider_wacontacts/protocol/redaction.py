"""Texts of a server, made fit for an error message."""

from __future__ import annotations

import re

import msgspec

__all__ = ["server_title"]

LONGEST = 120
_WORD = re.compile(r"\b[A-Za-z][a-z']{0,23}\b|\b[A-Z]{2,8}\b|[ ,.:;()]")


class _Error(msgspec.Struct):
    title: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error]


def server_title(body: bytes) -> str:
    """
    Take the title of the first error in a body such as ``{"errors": [{"code", "title", "details"}]}``.

    Only plain words are kept: whatever has a digit, a sign or an odd mixture of letters in it could be a number, a
    token or a cursor.

    :returns: at most 120 characters; empty where there is no title.
    """
    try:
        errors = msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    words = "".join(_WORD.findall(errors[0].title)) if errors else ""
    return " ".join(words.split())[:LONGEST]
