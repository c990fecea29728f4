"""Pages of contacts, and lenient parsing of rows that the strict decoder refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind
from airflow_provider_wacontacts.records.json import decode_leniently, encode, repair
from airflow_provider_wacontacts.records.record import Reject

__all__ = ["MAX_ID_LENGTH", "ContactKeys", "Page", "RepairedRows", "Text", "repair_rows", "validate_id"]

#: Maximum length of an ID, equal to the limit of erasures.
MAX_ID_LENGTH = 255
#: A contact's JSON on one line, as received or repaired.
Text: TypeAlias = bytes | msgspec.Raw


class ContactKeys(Protocol):
    """The fields that are read from every contact, even if other fields are invalid."""

    @property
    def contact_id(self) -> str:
        """The system's own key, never empty."""

    @property
    def updated_at(self) -> datetime:
        """Timezone-aware, UTC, microseconds."""

    @property
    def ids(self) -> IdsByKind:
        """The identifiers from the system, or their pseudonyms."""


KeysT = TypeVar("KeysT", bound=ContactKeys)
ReadT = TypeVar("ReadT")


@dataclass(frozen=True, slots=True)
class Page(Generic[KeysT]):
    """
    A page of contacts, in the server's order.

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


class _RepairedRow(NamedTuple, Generic[ReadT]):
    """
    A row that can be stored, possibly after a repair.

    :param text: its JSON, rewritten on one line.
    :param keys: result of ``read_keys``.
    :param was_repaired: whether text in it was replaced by U+FFFD.
    """

    text: bytes
    keys: ReadT
    was_repaired: bool


class RepairedRows(NamedTuple, Generic[ReadT]):
    """
    The rows of a response that can be stored, and the rejects.

    :param texts: JSON of each row, on one line.
    :param keys: parallel to ``texts``; ``None`` for a row that is stored as received.
    :param repaired: indices of the texts in which something was replaced by U+FFFD.
    """

    texts: list[Text]
    keys: list[ReadT | None]
    repaired: frozenset[int]
    rejects: list[Reject]


def repair_rows(
    rows: Iterable[Text], read_keys: Callable[[Any], ReadT], is_sound: Callable[[Text], bool] = lambda _: False
) -> RepairedRows[ReadT]:
    """
    Repair the rows of a response, or reject each with a reason.

    :param rows: undecoded.
    :param read_keys: returns the keys of a decoded row, or raises ``ValueError`` if it is not a contact.
    :param is_sound: whether a row can be stored as received.
    """
    texts: list[Text] = []
    keys: list[ReadT | None] = []
    repaired: set[int] = set()
    rejects: list[Reject] = []
    for row in rows:
        if is_sound(row):
            texts.append(row)
            keys.append(None)
            continue
        outcome = _repair_row(row, read_keys)
        if isinstance(outcome, Reject):
            rejects.append(outcome)
            continue
        if outcome.was_repaired:
            repaired.add(len(texts))
        texts.append(outcome.text)
        keys.append(outcome.keys)
    return RepairedRows(texts, keys, frozenset(repaired), rejects)


def _repair_row(row: Text, read_keys: Callable[[Any], ReadT]) -> _RepairedRow[ReadT] | Reject:
    try:
        value, was_repaired = repair(decode_leniently(bytes(row)))
        return _RepairedRow(encode(value), read_keys(value), was_repaired)
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:
        reason = str(error)
    return Reject(reason, bytes(row))


def validate_id(contact_id: str) -> str:
    """
    Check a system's own ID of a contact, and return it.

    :raises ValueError: the ID is too long.
    """
    if len(contact_id) > MAX_ID_LENGTH:
        raise ValueError(f"the id is longer than {MAX_ID_LENGTH} characters")
    return contact_id
