"""
Contacts of Turn.io: a page of an export, and a contact as a record.

msgspec decodes a page twice: into the JSON of each contact, and into the few fields that are read from every contact.
If msgspec or databases would refuse a page, it is decoded leniently instead, and each row is repaired or rejected.

The fields are documented in "Getting data from the Contacts API endpoint",
https://learn.turn.io/article/l8g9u42mpr-getting-data-from-the-contacts-api-endpoint
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind, ids_by_kind
from airflow_provider_wacontacts.records.json import (
    canonical,
    decode_leniently,
    split_list,
    split_object,
    validate_utf8,
)
from airflow_provider_wacontacts.records.pages import MAX_ID_LENGTH, Page, Text, repair_rows, validate_id
from airflow_provider_wacontacts.records.record import Record, Reject, in_utc, read_time, row_hash

if TYPE_CHECKING:
    from airflow_provider_wacontacts.records.fields import FieldSelection
    from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer

__all__ = ["NEEDED_FIELDS", "SOURCE", "TurnKeys", "TurnPage", "parse_page", "parse_record"]

SOURCE = "turn"
#: The fields that identify a person: their pseudonyms join with pseudonyms of other feeds.
IDENTIFIER_FIELDS = frozenset({"details.whatsapp_id"})
#: The key fields of contacts, which every selection keeps.
NEEDED_FIELDS = frozenset({"uuid", "id", "number_id", "updated_at"})
#: Cursors become part of a path, and servers limit the length of paths.
MAX_CURSOR_LENGTH = 8_000
#: A compiled pattern is twice as fast as ``in``.
ESCAPED_NUL = re.compile(rb"\\u0000")


class _Details(msgspec.Struct, gc=False):
    whatsapp_id: str | int | None = None


class TurnKeys(msgspec.Struct, gc=False):
    """
    The key and the identifiers of a Turn.io contact, decoded from its JSON.

    :param updated_at: timezone-aware, UTC, microseconds.
    :param number_id: ID of the WhatsApp number that the token belongs to.
    """

    updated_at: datetime
    uuid: str | None = None
    id: int | str | None = None
    number_id: int | str | None = None
    details: _Details | None = None

    @property
    def contact_id(self) -> str:
        """The contact's ``uuid``, or its ``id``; empty if it has neither."""
        if self.uuid:
            return self.uuid
        return "" if self.id is None else str(self.id)

    @property
    def ids(self) -> IdsByKind:
        """The identifiers in ``whatsapp_id``, which holds WhatsApp IDs, and business-scoped user IDs."""
        return ids_by_kind(self.details.whatsapp_id) if self.details else IdsByKind()


@dataclass(frozen=True, slots=True)
class TurnPage(Page[TurnKeys]):
    """
    One page of an export.

    :param next_cursor: cursor of the next page; ``None`` on the last.
    """

    next_cursor: str | None

    @property
    def number_ids(self) -> set[str]:
        """Turn.io's IDs of the account's WhatsApp numbers that the contacts belong to."""
        return {str(number_id) for number_id in {keys.number_id for keys in self.keys} if number_id is not None}

    def selected(self, selection: FieldSelection) -> TurnPage:
        """Return the page with the selected fields. WhatsApp IDs and hashes are computed after that."""
        return self._rewritten(selection.apply, selection.apply_to_reject)

    def pseudonymized(self, pseudonymizer: Pseudonymizer) -> TurnPage:
        """Return the page with pseudonyms. Contact IDs, WhatsApp IDs and hashes are computed after that."""
        return self._rewritten(
            lambda text: pseudonymizer.apply(text, IDENTIFIER_FIELDS),
            lambda reject: pseudonymizer.apply_to_reject(reject, IDENTIFIER_FIELDS),
        )

    def _rewritten(self, rewrite: Callable[[Text], bytes], rewrite_reject: Callable[[Reject], Reject]) -> TurnPage:
        texts: list[bytes] = []
        keys: list[TurnKeys] = []
        repaired: set[int] = set()
        rejects = [rewrite_reject(reject) for reject in self.rejects]
        for index, text in enumerate(self.texts):
            try:
                rewritten = rewrite(text)
                row_keys = _keys_of(rewritten)
            except ValueError as error:
                # For example, a number that databases cannot store.
                rejects.append(rewrite_reject(Reject(str(error), bytes(text))))
                continue
            if index in self.repaired:
                repaired.add(len(texts))
            texts.append(rewritten)
            keys.append(row_keys)
        return replace(self, texts=texts, keys=keys, repaired=frozenset(repaired), rejects=rejects)

    def records(self, canonical_form: Callable[[Text], bytes] = canonical) -> tuple[list[Record], list[Reject]]:
        """
        Return a record for each contact, and all rejects: contacts without a canonical form become rejects here.

        :param canonical_form: returns the canonical form of a contact's text, like :func:`.canonical`.
        """
        records, rejects = [], list(self.rejects)
        for index, (text, keys) in enumerate(zip(self.texts, self.keys, strict=True)):
            try:
                records.append(_record(canonical_form(text), keys, repaired=index in self.repaired))
            except ValueError as error:
                rejects.append(Reject(str(error), bytes(text)))
        return records, rejects


def parse_record(text: bytes, *, repaired: bool = False) -> Record:
    """
    Convert a contact's text, for example from a file, to a record.

    :raises ValueError: the text is not a contact of Turn.io, or has no canonical form.
    """
    return _record(canonical(text), _keys_of(text), repaired=repaired)


def parse_page(body: bytes) -> TurnPage:
    """
    Parse a page. A malformed row is repaired or rejected, without effect on other rows.

    :raises ValueError: the body is not a JSON object with a list of contacts.
    """
    try:
        return _parse_strictly(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _parse_leniently(body)


class _PageTexts(msgspec.Struct):
    data: list[msgspec.Raw]
    paging: Any = None


class _PageKeys(msgspec.Struct):
    data: list[TurnKeys]


_PAGE_TEXTS = msgspec.json.Decoder(_PageTexts)
_PAGE_KEYS = msgspec.json.Decoder(_PageKeys)
_KEYS = msgspec.json.Decoder(TurnKeys)


def _parse_strictly(body: bytes) -> TurnPage:
    """
    Parse a page if all its contacts can be stored unchanged.

    :raises ValueError: a contact cannot be stored unchanged. Errors of msgspec are ValueErrors as well.
    """
    if b"\n" in body or (b"\\" in body and ESCAPED_NUL.search(body)):
        raise ValueError("needs repair")
    validate_utf8(body)
    page = _PAGE_TEXTS.decode(body)
    keys = _PAGE_KEYS.decode(body).data
    for row_keys in keys:
        if row_keys.updated_at.tzinfo is not UTC or not row_keys.uuid or len(row_keys.uuid) > MAX_ID_LENGTH:
            _normalize(row_keys)
    return TurnPage(page.data, keys, frozenset(), (), len(body), _next_cursor(page.paging))


def _keys_of(text: bytes) -> TurnKeys:
    try:
        keys = _KEYS.decode(text)
        _normalize(keys)
    except (msgspec.DecodeError, ValueError, RecursionError):
        keys = _read_keys(decode_leniently(text))
    return keys


def _normalize(keys: TurnKeys) -> None:
    if not validate_id(keys.contact_id):
        raise ValueError("neither uuid nor id")
    keys.updated_at = in_utc(keys.updated_at)


def _parse_leniently(body: bytes) -> TurnPage:
    members = split_object(body)
    if not members.get("data", b"").lstrip().startswith(b"["):
        raise ValueError("not an object with a list of contacts under data")
    rows = repair_rows(split_list(members["data"]), _read_keys)
    keys = [row_keys for row_keys in rows.keys if row_keys is not None]
    paging = decode_leniently(members.get("paging", b"null"))
    return TurnPage(rows.texts, keys, rows.repaired, rows.rejects, len(body), _next_cursor(paging))


def _read_keys(contact: Any) -> TurnKeys:
    if type(contact) is not dict:
        raise ValueError("not an object")
    uuid, contact_id, number_id = (contact.get(name) for name in ("uuid", "id", "number_id"))
    if not (type(uuid) is str and uuid):
        uuid = None
        if type(contact_id) not in (int, str) or contact_id == "":
            raise ValueError("neither uuid nor id")
    validate_id(uuid or str(contact_id))
    details = contact.get("details")
    wa_id = details.get("whatsapp_id") if type(details) is dict else None
    return TurnKeys(
        updated_at=_updated_at(contact),
        uuid=uuid,
        id=contact_id if type(contact_id) in (int, str) else None,
        number_id=number_id if type(number_id) in (int, str) else None,
        details=_Details(wa_id if type(wa_id) in (int, str) else None),
    )


def _updated_at(contact: dict[str, Any]) -> datetime:
    try:
        return read_time(contact.get("updated_at"))
    except ValueError:
        raise ValueError("updated_at is not a time") from None


def _record(payload: bytes, keys: TurnKeys, *, repaired: bool) -> Record:
    ids = keys.ids
    return Record(
        keys.contact_id,
        keys.updated_at,
        row_hash(payload),
        payload,
        wa_id=ids.wa_id,
        lid=ids.lid,
        user_id=ids.user_id,
        repaired=repaired,
    )


def _next_cursor(paging: object) -> str | None:
    if not paging:
        return None
    if type(paging) is not dict:
        raise ValueError("paging is not an object")
    cursor = paging.get("next")
    if cursor is None:
        return None
    if type(cursor) is not str:
        raise ValueError("paging.next is not a string")
    if len(cursor) > MAX_CURSOR_LENGTH or any("\ud800" <= character <= "\udfff" for character in cursor):
        raise ValueError("paging.next cannot be sent back")
    return cursor or None
