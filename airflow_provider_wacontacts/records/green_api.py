"""
Contacts of GREEN-API: the response as a snapshot, and a contact as a record.

GREEN-API has no paging: one response holds all contacts of an account, possibly hundreds of thousands. The snapshot
keeps the response as received, with the position of each contact in it, and decodes a contact only when it is needed.

The fields are documented at https://green-api.com/en/docs/api/service/GetContacts/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind, ids_by_kind
from airflow_provider_wacontacts.records.canonical_forms import CanonicalForms
from airflow_provider_wacontacts.records.json import UNDECODABLE, canonical, split_list
from airflow_provider_wacontacts.records.pages import MAX_ID_LENGTH, Page, Text, repair_rows, validate_id
from airflow_provider_wacontacts.records.record import Record, Reject, ids_in_rejects, in_utc, row_hash

if TYPE_CHECKING:
    from airflow_provider_wacontacts.records.drift import FieldCounter
    from airflow_provider_wacontacts.records.fields import FieldSelection
    from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer

__all__ = ["NEEDED_FIELDS", "SOURCE", "GreenApiKeys", "Snapshot", "parse_record", "parse_snapshot"]

SOURCE = "green_api"
PAGE_ROWS = 5_000
#: The fields that identify a person: their pseudonyms join with pseudonyms of other feeds.
IDENTIFIER_FIELDS = frozenset({"id", "phoneNumber"})
#: The key field of contacts, which every selection keeps.
NEEDED_FIELDS = frozenset({"id"})
#: A contact with one of these is rewritten: an escaped NUL, or a line feed, which would end the line in a file.
NEEDS_REWRITE = re.compile(rb"\\u0000|\n")


class GreenApiKeys(NamedTuple):
    """
    The key and the identifiers of a GREEN-API contact.

    :param updated_at: time of the snapshot, because GREEN-API's contacts have no time.
    """

    contact_id: str
    updated_at: datetime
    ids: IdsByKind


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All contacts of an account at one moment, or as many as were requested. It may be empty.

    :param texts: JSON of each contact, one line each, in the server's order. The same ID may occur twice.
    :param repaired: indices of the texts in which something was replaced by U+FFFD.
    :param rejects: rows that cannot be stored as contacts.
    :param size: bytes received.
    :param date: ``Date`` of the response, timezone-aware; ``None`` if there was none.
    :param known_rejected_ids: IDs in rejects that a selection removed, or that pseudonyms replaced.
    """

    texts: Sequence[Text] = field(repr=False)
    repaired: frozenset[int] = field(repr=False)
    rejects: Sequence[Reject] = field(repr=False)
    size: int
    date: datetime | None
    known_rejected_ids: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def rows(self) -> int:
        """Number of contacts, without rejects."""
        return len(self.texts)

    @property
    def rejected_ids(self) -> frozenset[str]:
        """IDs of contacts that exist at the source but cannot be stored; see :func:`~.record.ids_in_rejects`."""
        return self.known_rejected_ids | ids_in_rejects(self.rejects)

    def selected(self, selection: FieldSelection) -> Snapshot:
        """Return the snapshot with the selected fields. Hashes are computed after that."""
        texts = [selection.apply(text) for text in self.texts]
        rejects = [selection.apply_to_reject(reject) for reject in self.rejects]
        return replace(self, texts=texts, rejects=rejects, known_rejected_ids=self.rejected_ids)

    def pseudonymized(self, pseudonymizer: Pseudonymizer) -> Snapshot:
        """Return the snapshot with pseudonyms. Ids and hashes are computed after that."""
        texts = [pseudonymizer.apply(text, IDENTIFIER_FIELDS) for text in self.texts]
        rejects = [pseudonymizer.apply_to_reject(reject, IDENTIFIER_FIELDS) for reject in self.rejects]
        ids = self.rejected_ids
        if "id" in pseudonymizer.fields:
            ids = frozenset(pseudonymizer.value("id", contact_id, IDENTIFIER_FIELDS) for contact_id in ids)
        return replace(self, texts=texts, rejects=rejects, known_rejected_ids=ids)

    def records(self, taken_at: datetime, fields: FieldCounter | None = None) -> Iterator[Record]:
        """
        Yield a record for each contact, in the server's order.

        :param taken_at: timezone-aware; becomes ``updated_at`` of all.
        :param fields: counts the fields of the contacts; restarted first.
        """
        if fields:
            fields.restart()
        canonical_form = CanonicalForms(fields)
        for index, text in enumerate(self.texts):
            yield parse_record(text, taken_at, repaired=index in self.repaired, canonical_form=canonical_form)

    def pages(self, taken_at: datetime, *, rows: int = PAGE_ROWS) -> Iterator[Page[GreenApiKeys]]:
        """
        Split the snapshot into pages, at least one. The first carries all rejects and the size of the response.

        :param taken_at: timezone-aware; becomes ``updated_at`` of all.
        :param rows: contacts per page, 1 and up.
        """
        taken_at = in_utc(taken_at)
        for start in range(0, max(self.rows, 1), rows):
            texts = self.texts[start : start + rows]
            yield Page(
                texts,
                [_keys(text, taken_at) for text in texts],
                frozenset(index - start for index in self.repaired if start <= index < start + rows),
                () if start else self.rejects,
                0 if start else self.size,
            )


def parse_snapshot(body: bytes, date: datetime | None = None) -> Snapshot:
    """
    Parse a response of ``getContacts``. A malformed row is repaired or rejected, without effect on other rows.

    :param date: ``Date`` of the response.
    :raises ValueError: the body is not a JSON list, or the list has rows but no object.
    """
    may_need_rewrite = NEEDS_REWRITE.search(body) is not None

    def is_sound(row: Text) -> bool:
        return _is_sound(row) and not (may_need_rewrite and NEEDS_REWRITE.search(row))

    texts, _, repaired, rejects = repair_rows(_rows(body), _read_id, is_sound)
    if rejects and not texts and not any(reject.body.startswith(b"{") for reject in rejects):
        raise ValueError("a list of something other than contacts")
    return Snapshot(texts, repaired, rejects, len(body), date)


def parse_record(
    text: Text, taken_at: datetime, *, repaired: bool = False, canonical_form: Callable[[Text], bytes] = canonical
) -> Record:
    """
    Convert a contact's text, from a snapshot or a file, to a record.

    :param taken_at: when the snapshot was taken, timezone-aware.
    :param canonical_form: returns the canonical form of the contact's text, like :func:`.canonical`.
    :raises ValueError: the text is not a contact of GREEN-API, or has no canonical form.
    """
    payload = canonical_form(text)
    try:
        keys = _keys(payload, in_utc(taken_at))
    except msgspec.DecodeError:
        keys = GreenApiKeys("", taken_at, IdsByKind())
    if not keys.contact_id:
        raise ValueError("no id")
    return Record(keys.contact_id, keys.updated_at, row_hash(payload), payload, repaired=repaired, **keys.ids._asdict())


class _Id(msgspec.Struct, gc=False):
    # The last of repeated keys counts; earlier ones may be null.
    id: str | None = None
    phone_number: msgspec.Raw = msgspec.field(name="phoneNumber", default=msgspec.Raw())


_RAW_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_FLAT = msgspec.json.Decoder(dict[str, str | None])
_ID = msgspec.json.Decoder(_Id)


def _keys(text: Text, taken_at: datetime) -> GreenApiKeys:
    decoded = _ID.decode(text)
    # The phone number of a contact with a LID as its ID.
    phone_number: Any = bytes(decoded.phone_number).strip(b'"').decode()
    if "\\" in phone_number:
        phone_number = msgspec.json.decode(decoded.phone_number)
    return GreenApiKeys(decoded.id or "", taken_at, ids_by_kind(decoded.id, phone_number))


def _rows(body: bytes) -> Iterable[Text]:
    """Return the rows of a list, undecoded."""
    try:
        return _RAW_ROWS.decode(body)
    except UNDECODABLE:
        return split_list(body)


def _is_sound(row: Text) -> bool:
    """Whether a row can be stored unchanged. Most rows are flat objects of strings, which are recognized fastest."""
    try:
        return 0 < len(_FLAT.decode(row).get("id") or "") <= MAX_ID_LENGTH
    except UNDECODABLE:
        pass
    try:
        canonical(row)
        return 0 < len(_ID.decode(row).id or "") <= MAX_ID_LENGTH
    except (ValueError, msgspec.DecodeError):
        return False


def _read_id(contact: Any) -> str:
    if type(contact) is not dict:
        raise ValueError("not an object")
    contact_id = contact.get("id")
    if type(contact_id) is not str or not contact_id:
        raise ValueError("no id")
    return validate_id(contact_id)
