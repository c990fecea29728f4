"""
The contacts in one answer of GREEN-API.

There is no paging: an answer holds everybody, hundreds of thousands perhaps. So it is kept as it came, with the place
of each contact's text in it, and a contact is decoded when it is its turn. What a strict decoder refuses, and what
databases would, is looked at contact by contact: it is repaired, or rejected alone.

The record is that of https://green-api.com/en/docs/api/service/GetContacts/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airflow_provider_wacontacts.identifiers.wa_ids import is_pseudonym
from airflow_provider_wacontacts.records.contacts import (
    Record,
    Reject,
    canonical,
    encode,
    in_utc,
    read_leniently,
    repair,
    row_hash,
)

if TYPE_CHECKING:
    from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer

__all__ = [
    "SOURCE",
    "Head",
    "Page",
    "Snapshot",
    "has_unidentified",
    "parse_snapshot",
    "record_of",
    "unkept_in",
    "wa_id_of",
]

SOURCE = "green_api"
PAGE_ROWS = 5_000
USERS = "@c.us"
#: What :func:`~.records.read_leniently` says of a text that is none by any reading.
NOT_JSON = "not JSON"
#: What keeps a text from landing as it is: an escaped NUL, and a line's end in a text that has to be one line.
ODD = re.compile(rb"\\u0000|\n")
#: A whole string, or one of the signs between values.
SIGN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
#: An id, at any depth.
ID = re.compile(rb'"id"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")', re.DOTALL)


class Head(NamedTuple):
    """
    What is read of a contact, whatever is done with the rest of it.

    :param updated_at: when the snapshot was taken: the system tells no time of its contacts.
    """

    contact_id: str
    updated_at: datetime
    wa_id: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """
    A stretch of a snapshot, in the shape in which pages are filed.

    :param texts: the landed text of each contact, one line each, in the server's order.
    :param heads: what is read of each, parallel to ``texts``.
    :param repaired: indices of the texts in which something was replaced.
    :param rejects: what cannot be a contact; all of the snapshot's are on its first page.
    :param size: bytes received; those of the whole answer are on its first page.
    """

    texts: Sequence[bytes | msgspec.Raw] = field(repr=False)
    heads: Sequence[Head] = field(repr=False)
    repaired: frozenset[int]
    rejects: Sequence[Reject] = field(repr=False)
    size: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All contacts of an account at one moment, or those that were asked for.

    An empty one is an answer too; what it means is for the caller to say.

    :param texts: the landed text of each contact, one line each, in the server's order. The same id may come twice.
    :param repaired: indices of the texts in which something was replaced.
    :param rejects: what cannot be a contact, complete.
    :param size: bytes received.
    :param date: the server's time of answering, aware; ``None`` where it told none.
    :param hidden: ids that were in rejects before pseudonyms were put into them.
    """

    texts: Sequence[bytes | msgspec.Raw] = field(repr=False)
    repaired: frozenset[int] = field(repr=False)
    rejects: Sequence[Reject] = field(repr=False)
    size: int
    date: datetime | None
    hidden: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def rows(self) -> int:
        """How many contacts it holds, rejects not counted."""
        return len(self.texts)

    @property
    def unkept(self) -> frozenset[str]:
        """Ids in the rejects: of contacts that are there, although they cannot be kept. Perhaps of others, too."""
        return self.hidden | unkept_in(self.rejects)

    def pseudonymized(self, pseudonyms: Pseudonymizer) -> Snapshot:
        """Return the snapshot as it is with pseudonyms: ids and hashes come after them."""
        texts = [pseudonyms.applied(text) for text in self.texts]
        rejects = [pseudonyms.apply_to_reject(reject) for reject in self.rejects]
        hidden = map(pseudonyms.of, self.unkept) if "id" in pseudonyms.fields else self.unkept
        return replace(self, texts=texts, rejects=rejects, hidden=frozenset(hidden))

    def records(self, taken_at: datetime) -> Iterator[Record]:
        """
        Bring one contact after the other into its canonical form, in the server's order.

        :param taken_at: aware; becomes ``updated_at`` of all.
        """
        for index, text in enumerate(self.texts):
            yield record_of(text, taken_at, repaired=index in self.repaired)

    def pages(self, taken_at: datetime, *, rows: int = PAGE_ROWS) -> Iterator[Page]:
        """
        Cut the snapshot into pages; a page without contacts is the only one.

        :param taken_at: aware; becomes ``updated_at`` of all.
        :param rows: contacts a page, 1 and up.
        """
        taken_at = in_utc(taken_at)
        for start in range(0, max(self.rows, 1), rows):
            texts = self.texts[start : start + rows]
            yield Page(
                texts,
                [_head(_HEAD.decode(text).id, taken_at) for text in texts],
                frozenset(index - start for index in self.repaired if start <= index < start + rows),
                () if start else self.rejects,
                0 if start else self.size,
            )


def parse_snapshot(body: bytes, date: datetime | None = None) -> Snapshot:
    """
    Read an answer.

    :param date: the server's time of answering.
    :raises ValueError: it is not JSON, not a list, or a list without a single object.
    """
    texts: list[bytes | msgspec.Raw] = []
    repaired: set[int] = set()
    rejects: list[Reject] = []
    is_odd = ODD.search(body) is not None
    for text in _split(body):
        if _is_sound(text) and not (is_odd and ODD.search(text)):
            texts.append(text)
            continue
        try:
            mended, was_repaired = _mend(text)
        except ValueError as error:
            rejects.append(Reject(str(error), bytes(text)))
            continue
        if was_repaired:
            repaired.add(len(texts))
        texts.append(mended)
    if any(reject.reason == NOT_JSON for reject in rejects):
        raise ValueError(NOT_JSON)
    if rejects and not texts and not any(reject.body.startswith(b"{") for reject in rejects):
        raise ValueError("a list of something else than contacts")
    return Snapshot(texts, frozenset(repaired), rejects, len(body), date)


def unkept_in(rejects: Iterable[Reject]) -> frozenset[str]:
    """Return the ids in rejects: of contacts that are there, although they cannot be kept. Perhaps of others, too."""
    found = (read_leniently(match) for reject in rejects for match in ID.findall(reject.body))
    return frozenset(repair(contact_id)[0] for contact_id in found)


def has_unidentified(rejects: Iterable[Reject]) -> bool:
    """Tell whether there is a reject in which no id can be read: of whichever contact."""
    return any(not any(unkept_in([reject])) for reject in rejects)


def record_of(text: bytes | msgspec.Raw, taken_at: datetime, *, repaired: bool = False) -> Record:
    """
    Make a record of a landed text, one that is read back from a file say.

    :param taken_at: when its snapshot was taken, aware.
    :raises ValueError: it is not a contact of GREEN-API, or has no canonical form.
    """
    payload = canonical(text)
    try:
        head = _head(_HEAD.decode(payload).id, in_utc(taken_at))
    except msgspec.DecodeError:
        head = None
    if head is None or not head.contact_id:
        raise ValueError("no id")
    return Record(*head[:2], row_hash(payload), payload, head.wa_id, repaired)


def wa_id_of(contact_id: str) -> str | None:
    """Return the digits of an id such as ``11001234567@c.us``; ``None`` for any other: a group's, or one that hides."""
    digits = contact_id.removesuffix(USERS)
    is_number = (digits.isascii() and digits.isdigit()) or is_pseudonym(digits)
    return digits if is_number and digits != contact_id else None


class _Id(msgspec.Struct, gc=False):
    id: str = ""


_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_FLAT = msgspec.json.Decoder(dict[str, str | None])
_HEAD = msgspec.json.Decoder(_Id)


def _head(contact_id: str, taken_at: datetime) -> Head:
    return Head(contact_id, taken_at, wa_id_of(contact_id))


def _split(body: bytes) -> Iterable[bytes | msgspec.Raw]:
    try:
        return _ROWS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _split_leniently(body)


def _split_leniently(body: bytes) -> Iterator[bytes]:
    """
    Cut a list at its commas, whatever the values between them are.

    :raises ValueError: it is no list, or one without an end.
    """
    depth = start = 0
    for sign in SIGN.finditer(body):
        match sign[0]:
            case b"[" | b"{":
                depth += 1
                if depth == 1:
                    start = _begin(body, sign)
            case b"," if depth == 1:
                yield body[start : sign.start()].strip()
                start = sign.end()
            case b"]" | b"}":
                depth -= 1
                if depth <= 0:
                    yield from _last(body, start, sign)
                    return
    raise ValueError("not a list of contacts")


def _begin(body: bytes, sign: re.Match[bytes]) -> int:
    if sign[0] != b"[" or body[: sign.start()].strip():
        raise ValueError("not a list of contacts")
    return sign.end()


def _last(body: bytes, start: int, sign: re.Match[bytes]) -> Iterator[bytes]:
    if sign[0] != b"]" or not start or body[sign.end() :].strip():
        raise ValueError("not a list of contacts")
    value = body[start : sign.start()].strip()
    if value or body[start - 1 : start] == b",":
        yield value


def _is_sound(text: bytes | msgspec.Raw) -> bool:
    """Whether a text is a contact as it stands. Nearly all are flat objects of texts, which is found out fastest."""
    try:
        return bool(_FLAT.decode(text).get("id"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        canonical(text)
        return bool(_HEAD.decode(text).id)
    except (ValueError, msgspec.DecodeError):
        return False


def _mend(text: bytes | msgspec.Raw) -> tuple[bytes, bool]:
    """
    Make a landed text of a contact that is none as it stands, and say whether anything in it was replaced.

    :raises ValueError: it cannot be a contact.
    """
    contact, was_repaired = repair(read_leniently(bytes(text)))
    if type(contact) is not dict:
        raise ValueError("not an object")
    if type(contact.get("id")) is not str or not contact["id"]:
        raise ValueError("no id")
    return encode(contact), was_repaired
