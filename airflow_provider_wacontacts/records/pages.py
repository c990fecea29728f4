"""Pages of contacts, and the lenient path for rows that a strict decoder refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind
from airflow_provider_wacontacts.records.json import decode_leniently, encode, repair
from airflow_provider_wacontacts.records.record import Reject

__all__ = ["ContactKeys", "Page", "RepairedRow", "Text", "repair_row"]

#: A contact's JSON on one line, as received or repaired.
Text: TypeAlias = bytes | msgspec.Raw


class ContactKeys(Protocol):
    """What is read of every contact, whatever happens to the rest of it."""

    @property
    def contact_id(self) -> str:
        """The system's own key, never empty."""

    @property
    def updated_at(self) -> datetime:
        """Timezone-aware, UTC, microseconds."""

    @property
    def ids(self) -> IdsByKind:
        """The identifiers that the system gave, or their pseudonyms."""


KeysT = TypeVar("KeysT", bound=ContactKeys)
ReadT = TypeVar("ReadT")


@dataclass(frozen=True, slots=True)
class Page(Generic[KeysT]):
    """
    Some contacts of a response, in the server's order.

    :param texts: JSON of each contact, one line each.
    :param keys: parallel to ``texts``.
    :param repaired: indices of the texts in which something was replaced by U+FFFD.
    :param rejects: rows that cannot be stored as contacts.
    :param size: bytes received.
    """

    texts: Sequence[Text] = field(repr=False)
    keys: Sequence[KeysT] = field(repr=False)
    repaired: frozenset[int]
    rejects: Sequence[Reject] = field(repr=False)
    size: int


class RepairedRow(NamedTuple, Generic[ReadT]):
    """
    A row that can be stored after all.

    :param text: its JSON, rewritten on one line.
    :param keys: what ``read_keys`` returned.
    :param was_repaired: text in it was replaced by U+FFFD.
    """

    text: bytes
    keys: ReadT
    was_repaired: bool


def repair_row(row: Any, read_keys: Callable[[Any], ReadT]) -> RepairedRow[ReadT] | Reject:
    """
    Repair one row, or reject it with the reason.

    :param row: the undecoded JSON of the row, or its leniently decoded value.
    :param read_keys: takes the repaired value; raises ``ValueError`` if it is not a contact.
    """
    try:
        value = decode_leniently(bytes(row)) if isinstance(row, bytes | msgspec.Raw) else row
        value, was_repaired = repair(value)
        return RepairedRow(encode(value), read_keys(value), was_repaired)
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:
        reason = str(error)
    return Reject(reason, _as_received(row))


def _as_received(row: Any) -> bytes:
    if isinstance(row, bytes | msgspec.Raw):
        return bytes(row)
    try:
        return json.dumps(row, default=str).encode()
    except RecursionError:
        return b""
