"""
The rows of a Turn.io contacts page.

A page of a few thousand contacts is decoded twice by msgspec and never by Python: once into the text of each contact,
once into the few members that anybody reads. What that decoder refuses, and what databases would, takes the slow way:
the page is decoded leniently, and each contact is repaired, or rejected alone.

The record is that of "Getting data from the Contacts API endpoint",
https://learn.turn.io/article/l8g9u42mpr-getting-data-from-the-contacts-api-endpoint
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_wacontacts.identifiers.wa_ids import wa_id_digits
from airflow_provider_wacontacts.records.contacts import (
    Record,
    Reject,
    canonical,
    encode,
    in_utc,
    read_leniently,
    read_time,
    repair,
    row_hash,
)

if TYPE_CHECKING:
    from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer

__all__ = ["SOURCE", "Head", "Page", "parse_page", "record_of"]

SOURCE = "turn"
#: A compiled pattern finds it in half the time that ``in`` takes.
NUL = re.compile(rb"\\u0000")


class _Details(msgspec.Struct, gc=False):
    whatsapp_id: str | None = None


class Head(msgspec.Struct, gc=False):
    """
    What is read of a contact, whatever is done with the rest of it.

    :param updated_at: aware, UTC, microseconds.
    :param number_id: the line the token belongs to.
    """

    updated_at: datetime
    uuid: str | None = None
    id: int | str | None = None
    number_id: int | str | None = None
    details: _Details | None = None

    @property
    def contact_id(self) -> str:
        """The contact's ``uuid``, else its ``id``; empty where it has neither."""
        if self.uuid:
            return self.uuid
        return "" if self.id is None else str(self.id)

    @property
    def wa_id(self) -> str | None:
        """WhatsApp id, digits."""
        return wa_id_digits(self.details.whatsapp_id) if self.details else None


@dataclass(frozen=True, slots=True)
class Page:
    """
    One page of an export.

    :param texts: the landed text of each contact, one line each, in the server's order.
    :param heads: what is read of each, parallel to ``texts``.
    :param repaired: indices of the texts in which something was replaced.
    :param rejects: what cannot be a contact.
    :param size: bytes received.
    :param next_cursor: of the page that follows; ``None`` on the last.
    """

    texts: Sequence[bytes | msgspec.Raw]
    heads: Sequence[Head]
    repaired: frozenset[int]
    rejects: Sequence[Reject]
    size: int
    next_cursor: str | None

    def pseudonymized(self, pseudonyms: Pseudonymizer) -> Page:
        """Return the page as it is with pseudonyms: contact ids, WhatsApp ids and hashes come after them."""
        texts: list[bytes] = []
        heads: list[Head] = []
        repaired: set[int] = set()
        rejects = [pseudonyms.apply_to_reject(reject) for reject in self.rejects]
        for index, text in enumerate(self.texts):
            try:
                landed = pseudonyms.applied(text)
                head = _head_of(read_leniently(landed))
            except ValueError as error:
                # A number that no database holds, say.
                rejects.append(pseudonyms.apply_to_reject(Reject(str(error), bytes(text))))
                continue
            if index in self.repaired:
                repaired.add(len(texts))
            texts.append(landed)
            heads.append(head)
        return replace(self, texts=texts, heads=heads, repaired=frozenset(repaired), rejects=rejects)

    def records(self) -> tuple[list[Record], list[Reject]]:
        """Bring every contact into its canonical form, beside what turned out to have none."""
        records, rejects = [], list(self.rejects)
        for index, (text, head) in enumerate(zip(self.texts, self.heads, strict=True)):
            try:
                records.append(_record(text, head, repaired=index in self.repaired))
            except ValueError as error:
                rejects.append(Reject(str(error), bytes(text)))
        return records, rejects


def record_of(text: bytes, *, repaired: bool = False) -> Record:
    """
    Read a landed text back, from a file say.

    :raises ValueError: it is not a contact of Turn.io, or has no canonical form.
    """
    try:
        head = _HEAD.decode(text)
        _check(head)
    except (msgspec.DecodeError, RecursionError, _OddPageError):
        head = _head_of(read_leniently(text))
    return _record(text, head, repaired=repaired)


def parse_page(body: bytes) -> Page:
    """
    Read a page.

    :raises ValueError: it is not JSON, or not an object with a list of contacts.
    """
    try:
        return _parse_fast(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _OddPageError):
        return _parse_slowly(body)


class _OddPageError(Exception):
    """The page holds a contact that has to be looked at alone."""


class _Texts(msgspec.Struct):
    data: list[msgspec.Raw]
    paging: Any = None


class _Heads(msgspec.Struct):
    data: list[Head]


_TEXTS = msgspec.json.Decoder(_Texts)
_HEADS = msgspec.json.Decoder(_Heads)
_HEAD = msgspec.json.Decoder(Head)


def _parse_fast(body: bytes) -> Page:
    if NUL.search(body) or b"\n" in body:
        raise _OddPageError
    if not body.isascii():
        body.decode()
    page = _TEXTS.decode(body)
    heads = _HEADS.decode(body).data
    for head in heads:
        if head.updated_at.tzinfo is not UTC or not head.uuid:
            _check(head)
    return Page(page.data, heads, frozenset(), (), len(body), _next_cursor(page.paging))


def _check(head: Head) -> None:
    if not head.contact_id:
        raise _OddPageError
    head.updated_at = in_utc(head.updated_at)


def _parse_slowly(body: bytes) -> Page:
    page = read_leniently(body)
    if type(page) is not dict or type(page.get("data")) is not list:
        raise ValueError("not an object with a list of contacts under data")
    texts: list[bytes] = []
    heads: list[Head] = []
    repaired: set[int] = set()
    rejects: list[Reject] = []
    for contact in page["data"]:
        try:
            mended, was_repaired = repair(contact)
            heads.append(_head_of(mended))
        except (ValueError, RecursionError) as error:
            rejects.append(Reject(_reason(error), _as_received(contact)))
            continue
        if was_repaired:
            repaired.add(len(texts))
        texts.append(encode(mended))
    return Page(texts, heads, frozenset(repaired), rejects, len(body), _next_cursor(page.get("paging")))


def _head_of(contact: object) -> Head:
    if type(contact) is not dict:
        raise ValueError("not an object")
    uuid, number, line = (contact.get(name) for name in ("uuid", "id", "number_id"))
    if not (type(uuid) is str and uuid):
        uuid = None
        if type(number) not in (int, str) or number == "":
            raise ValueError("neither uuid nor id")
    details = contact.get("details")
    wa_id = details.get("whatsapp_id") if type(details) is dict else None
    return Head(
        updated_at=_updated_at(contact),
        uuid=uuid,
        id=number if type(number) in (int, str) else None,
        number_id=line if type(line) in (int, str) else None,
        details=_Details(wa_id if type(wa_id) is str else None),
    )


def _updated_at(contact: dict[str, Any]) -> datetime:
    try:
        return read_time(contact.get("updated_at"))
    except ValueError:
        raise ValueError("updated_at is not a time") from None


def _record(text: bytes | msgspec.Raw, head: Head, *, repaired: bool) -> Record:
    payload = canonical(text)
    return Record(head.contact_id, head.updated_at, row_hash(payload), payload, head.wa_id, repaired)


def _next_cursor(paging: object) -> str | None:
    if not paging:
        return None
    if type(paging) is not dict:
        raise ValueError("paging is not an object")
    cursor = paging.get("next")
    if cursor is None or type(cursor) is str:
        return cursor or None
    raise ValueError("paging.next is not a text")


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _as_received(contact: object) -> bytes:
    """Write what was rejected as nearly as it can be: for a person who looks into it."""
    try:
        return json.dumps(contact, default=str).encode()
    except RecursionError:
        return b""
