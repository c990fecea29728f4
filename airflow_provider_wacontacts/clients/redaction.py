"""Texts of a server, made fit for an error message."""

from __future__ import annotations

import re

import msgspec

__all__ = ["server_title"]

#: What errors of APIs are made of, and no name, number or token.
WORDS = frozenset(
    """
    a access account active all allowed already an and any api are at authentication authorization authorized bad be
    been body bucket call calls cannot client conflict contact contacts could credentials cursor data date deleted
    denied disabled does enabled endpoint entity error exceeded exist expired export failed field for forbidden format
    found gone has have hit in internal invalid is json key large later length limit limited login malformed many media
    message method missing must no not number of on only option or ordering page parameter parameters permission
    permitted plan please rate refused reached request requests required resource revoked rule rules scope scrubbing
    server service size small supported temporarily text the this time timeout to token too try unable unauthorized
    unavailable unknown unprocessable unsupported until user valid value version was window with wrong you your
    """.split()  # noqa: SIM905 - a hundred words read best as a text
)
_PLAIN = re.compile(r"[A-Za-z_ ,.:;()/-]{1,120}")


class _Error(msgspec.Struct):
    title: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error]


def server_title(body: bytes) -> str:
    """
    Take the title of the first error in a body such as ``{"errors": [{"code", "title", "details"}]}``.

    It is quoted only if every word of it is one that errors of APIs are made of: a server may echo a name, a number, a
    token or a cursor.

    :returns: at most 120 characters; empty where there is no title, or not one to be quoted.
    """
    try:
        errors = msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    title = errors[0].title.strip() if errors else ""
    words = re.findall("[a-z]+", title.lower())
    return title if _PLAIN.fullmatch(title) and WORDS.issuperset(words) else ""
