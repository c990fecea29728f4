"""Generated bodies: true documents of each feed, in which anything may be replaced, left out, repeated or damaged."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["DOCUMENTS", "PERSONAL", "Bodies"]

#: What no message may have in it.
PERSONAL = ("16315551000", "44623456700", "Quincy-Example", "lid-9471", "c3VyZ2VyeQ")
#: JSON, nearly JSON, and values on the edges of what Python and databases hold.
ODD = (
    b"null", b"true", b"false", b"tru", b"{}", b"[]", b"[[]]", b"0", b"-0", b"-1", b"1.5", b"1E+2", b"01", b"NaN",
    b"-Infinity", b"1e400", b"1e99999999999999999999", b"1e-99999999999999999999", b"1663000000", b"1e308",
    b"9007199254740993", b"18446744073709551616", b'""', b'" "', b'"0"', b'"valid"', b'"failed"', b'"authorized"',
    b'"not authorized"', b'"user_changed_number"', b'"user_changed_user_id"', b'"user_identity_changed"',
    b'"2022-09-12T08:30:00Z"', b'"0001-01-01T00:00:00+02:00"', b'"9999-12-31T23:59:59-05:00"', b'"10000-01-01"',
    b'"2022-02-30T00:00:00Z"', b"1013", b"1014", b"1016", b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u0000"', b'"a\nb"',
    b'"\x00"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xe2\x80\xa8"',
    b'"\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4\xd9\xa5\xd9\xa6\xd9\xa7\xd9\xa8"', b'"120650379300963@lid"',
    b'"US.13491208655302741918"', b'"27820001111:12@s.whatsapp.net"', b'"27820001111-1581234048@g.us"',
    b'{"a":1,"a":2}',
)  # fmt: skip
#: Rarer, as they take longer; the deepest are deeper than Python recurses.
LARGE = (
    b"9" * 5_000, b"-" + b"9" * 200_000, b"0." + b"9" * 20_000, b'"' + b"7" * 10_000 + b'"',
    b'"' + b"\xc3\xa9" * 70_000 + b'"', b"[" * 150 + b"]" * 150, b"[" * 300 + b"]" * 300,
    b"[" * 20_000 + b"]" * 20_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b"[" * 20_000,
)  # fmt: skip
NAMES = re.findall(
    r"\w+",
    """
    acknowledged cause chatId code contacts created_timestamp cursor data details error errors existsWhatsapp
    expires_after fields from from_user_id fromCache hash historySyncProgress id identity input invokeStatus message
    messages meta name new_wa_id next number_id paging phoneNumber previous_user_id stateInstance status system
    timestamp title token total type updated_at used user user_id users uuid version wa_id whatsapp_id
    """,
)

TURN_CONTACT = {
    "id": 9, "uuid": "cfcc5d7c", "number_id": 1, "inserted_at": "2022-09-01T08:00:00.000Z",
    "updated_at": "2022-09-12T08:30:00.000Z",
    "details": {"name": "Quincy-Example", "whatsapp_id": "16315551000", "opted_in": True, "score": 1.5, "tags": ["a"]},
}  # fmt: skip
GREEN_API_CONTACT = {"id": "16315551000@c.us", "name": "Quincy-Example", "contactName": "", "type": "user"}
HIDDEN_CONTACT = {"id": "120650379300963@lid", "phoneNumber": 16315551000, "name": "Quincy-Example", "type": "user"}
META = {"api_status": "stable", "version": "2.39.4"}
ERRORS = [{"code": 1013, "title": "User is not valid", "details": "16315551000"}]
RESULTS = [
    {"input": "+16315551000", "status": "valid", "wa_id": "16315551000"},
    {"input": "+44623456700", "status": "processing"},
    {"input": "+44623456700", "status": "valid", "user_id": "US.13491208655302741918"},
]


def _system(kind: str, **facts: str) -> dict[str, Any]:
    system = {"type": kind, "body": "Quincy-Example", **facts}
    return {"from": "16315551000", "id": "lid-9471", "timestamp": "1663000000", "type": "system", "system": system}


#: True documents of each feed.
DOCUMENTS: Mapping[str, Sequence[Any]] = {
    "turn": (
        *({"data": [TURN_CONTACT], "paging": {"next": following}} for following in ("example", *[None] * 10)),
        {"cursor": "example"},
        {"fields": [{"name": "opted_in", "type": "boolean", "custom": True}]},
        {"errors": [{"code": 1013, "title": "16315551000"}]},
    ),
    "green_api": (
        *([GREEN_API_CONTACT, HIDDEN_CONTACT],) * 10,
        {"stateInstance": "authorized", "historySyncProgress": "99%"},
        {"statusCode": 400, "message": "instance is starting or not authorized"},
    ),
    "check_whatsapp": (
        {"existsWhatsapp": True, "chatId": "16315551000@c.us", "fromCache": True},
        {"existsWhatsapp": True, "chatId": "120650379300963@lid", "phoneNumber": "16315551000", "fromCache": False},
        {"existsWhatsapp": False},
        {"message": "'chatId' is not allowed"},
        {"invokeStatus": {"method": "checkWhatsapp", "used": 100, "total": 100, "status": "QUOTE_ALLOWED"}},
    ),
    "whatsapp_business": (
        *({"contacts": RESULTS, "meta": META},) * 10,
        {"meta": META, "errors": ERRORS},
        {"users": [{"token": "lid-9471", "expires_after": "2022-09-19 08:30:00+00:00"}], "meta": META},
        {"contacts": {"hash": "c3VyZ2VyeQ", "created_timestamp": 1663000000000, "acknowledged": True}},
        {"meta": {"success": False, "http_code": 429, "developerMessage": "Rate limit exceeded"}},
    ),
    **dict.fromkeys(("callbacks", "receiver"), (
        {"contacts": RESULTS, "meta": META},
        {"messages": [_system("user_identity_changed", user="16315551000", identity="c3VyZ2VyeQ")]},
        {"messages": [_system("user_changed_number", new_wa_id="44623456700", user="16315551000")]},
        {"messages": [_system("user_changed_user_id", user_id="US.1A2B", previous_user_id="US.13491208655302741918")]},
        {"messages": [{"from": "16315551000", "type": "text"}], "contacts": RESULTS},
    )),
    "files": (
        *(TURN_CONTACT, GREEN_API_CONTACT, HIDDEN_CONTACT) * 3,
        {"reason": "no id", "body_base64": "c3VyZ2VyeQ=="},
        {"format_version": 1, "parts": [{"name": "part-00000.jsonl.gz", "rows": 1, "bytes": 1, "sha256": "0"}]},
    ),
}  # fmt: skip


class Bodies:
    """
    Generates bodies from a seed.

    :param documents: true ones.
    :ivar count: bodies so far.
    :ivar last: the last one.
    """

    def __init__(self, chance: random.Random, documents: Sequence[Any]) -> None:
        self.count = 0
        self.last = b""
        self._chance = chance
        self._documents = documents
        self._rate = 0.0

    def next(self) -> bytes:
        """Return another body."""
        chance = self._chance
        self.count += 1
        self._rate = chance.choice((0.0, 0.01, 0.02, 0.05, 0.2))
        body = self._value(chance.choice(self._documents))
        self.last = self._damaged(body) if chance.random() < 0.2 else body
        return self.last

    def _value(self, value: Any) -> bytes:
        if self._chance.random() < self._rate:
            return self._other(value)
        if type(value) is dict:
            return b"{" + b",".join(member for each in value.items() for member in self._members(*each)) + b"}"
        if type(value) is list:
            return b"[" + b",".join(item for each in value for item in self._items(each)) + b"]"
        return json.dumps(value).encode()

    def _members(self, name: str, value: Any) -> list[bytes]:
        members = [self._member(name, value)]
        while self._chance.random() < self._rate:
            members.append(self._member(self._chance.choice((name, *NAMES)), value))
        return members[self._chance.random() < self._rate / 2 :]

    def _member(self, name: str, value: Any) -> bytes:
        key = self._chance.choice(ODD) if self._chance.random() < self._rate / 20 else b'"%s"' % name.encode()
        return key + b":" + self._value(value)

    def _items(self, value: Any) -> list[bytes]:
        return [self._value(value) for _ in range(self._chance.choice((0, 1, 1, 1, 1, 1, 2, 3)))]

    def _other(self, value: Any) -> bytes:
        """Return anything in place of a value."""
        chance = self._chance
        kind = chance.random()
        if kind < 0.6:
            return chance.choice(ODD)
        if kind < 0.602:
            return chance.choice(LARGE)
        if kind < 0.8:
            return b'"%s"' % chance.choice(PERSONAL).encode()
        if kind < 0.9:
            return b"[" + self._value(value) + b"]"
        return b'{"%s":' % chance.choice(NAMES).encode() + self._value(value) + b"}"

    def _damaged(self, body: bytes) -> bytes:
        """Return a body in which bytes are other ones, missing, or repeated."""
        damaged, chance = bytearray(body), self._chance
        for _ in range(chance.choice((1, 1, 2, 5))):
            at, length = chance.randrange(len(damaged) + 1), chance.choice((0, 1, 1, 1, 8))
            damaged[at : at + length] = chance.choice(
                (b"", b'"', b"\\", b"}", b",", b"\x00", b"\xff", damaged[at : at + 9])
            )
        return bytes(damaged)
