"""
Who is in the list of a GREEN-API account, under which names, and since when.

GREEN-API itself tells no times: it answers the list of now. The stand-in keeps all that was and will be, so that a
list can be had as of any time of the sandbox's clock.
"""

from __future__ import annotations

import json
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from airflow_provider_wacontacts.sandbox.clock import read_time
from airflow_provider_wacontacts.sandbox.world import Raw

__all__ = ["ContactList", "ListedContact", "ListedState"]


@dataclass(frozen=True, slots=True)
class ListedContact:
    """
    One row of the list.

    :param id: of the chat: ``…@c.us``, ``…@g.us``, ``…@lid``, or anything else.
    :param name: in the WhatsApp profile, or of the group; may be empty; None for ``null``.
    :param contact_name: in the phone book; None for a row without that key.
    :param type: empty for what follows from the id: ``group`` for ``@g.us``, else ``user``.
    :param extra: keys beside or in place of the documented ones; all values may be :class:`Raw`.
    """

    id: str
    name: str | Raw | None = ""
    contact_name: str | Raw | None = None
    type: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_group(self) -> bool:
        """Whether it is a group chat."""
        return self.told_type == "group"

    @property
    def told_type(self) -> str:
        """The type as an answer has it."""
        return self.type or ("group" if self.id.endswith("@g.us") else "user")

    def row(self) -> dict[str, object]:
        """Give the row as an answer has it, where the behaviour asks for no variation."""
        row: dict[str, object] = {"id": self.id, "name": self.name}
        if self.contact_name is not None:
            row["contactName"] = self.contact_name
        return {**row, "type": self.told_type, **self.extra}


@dataclass(frozen=True, slots=True)
class ListedState:
    """
    What is true of an id from a time on.

    :param contact: None where the list no longer holds it.
    """

    at: datetime
    id: str
    contact: ListedContact | None


class ContactList:
    """Every state that the rows of a list had, have and will have."""

    def __init__(self) -> None:
        self._states: dict[str, list[ListedState]] = {}
        self._times: list[datetime] = []

    @classmethod
    def from_states(cls, states: Iterable[ListedState]) -> Self:
        """Make a list of states in any order; of one id's at one time, the later in the order is the newer."""
        made = cls()
        for state in sorted(states, key=_at):
            made._states.setdefault(state.id, []).append(state)
            made._times.append(state.at)
        return made

    def __iter__(self) -> Iterator[ListedState]:
        return (state for states in self._states.values() for state in states)

    def __len__(self) -> int:
        return len(self._states)

    @property
    def end(self) -> datetime | None:
        """The time of the last change, None of an empty list."""
        return self._times[-1] if self._times else None

    def add(self, state: ListedState) -> ListedState:
        """Add one state, past or future, and return it."""
        state = replace(state, at=read_time(state.at))
        insort(self._states.setdefault(state.id, []), state, key=_at)
        insort(self._times, state.at)
        return state

    def put(self, contact: ListedContact, *, at: datetime) -> ListedState:
        """Have a contact in the list from a time on, as it is given, whatever was there before."""
        return self.add(ListedState(at, contact.id, contact))

    def rename(
        self, chat_id: str, *, at: datetime, name: str | Raw | None = None, contact_name: str | Raw | None = None
    ) -> ListedState:
        """
        Change one or both names of a contact from a time on.

        :param name: None leaves it.
        :param contact_name: None leaves it.
        :raises LookupError: the list does not hold it then.
        """
        before = self._find(chat_id, at)
        contact = replace(
            before,
            name=before.name if name is None else name,
            contact_name=before.contact_name if contact_name is None else contact_name,
        )
        return self.put(contact, at=at)

    def remove(self, chat_id: str, *, at: datetime) -> ListedState:
        """
        Have a contact no longer in the list from a time on.

        :raises LookupError: the list does not hold it then.
        """
        self._find(chat_id, at)
        return self.add(ListedState(at, chat_id, None))

    def newest(self, chat_id: str, now: datetime) -> ListedContact | None:
        """Give a contact as of a time, None where the list does not hold it then."""
        return _newest(self._states.get(chat_id, []), now)

    def listed(self, now: datetime) -> list[ListedContact]:
        """Give the list as of a time, in the order in which ids first came up."""
        newest = (_newest(states, now) for states in self._states.values())
        return [contact for contact in newest if contact is not None]

    def until(self, now: datetime) -> list[ListedState]:
        """Give every state up to and including a time, oldest first: what nobody can ask the API for later."""
        return sorted((state for state in self if state.at <= now), key=_at)

    def edition(self, now: datetime) -> tuple[int, int]:
        """Give what differs between two times, or two moments of this object's life, if the list may differ."""
        return len(self._times), bisect_right(self._times, now)

    def personal_texts(self) -> frozenset[str]:
        """
        Give every id, its digits and every name that any state holds: what may stand in no log.

        Texts that JSON may write otherwise are there in both forms.
        """
        contacts = [state.contact for state in self if state.contact is not None]
        texts = {text for contact in contacts for text in (contact.name, contact.contact_name) if isinstance(text, str)}
        texts |= {text for chat_id in self._states for text in (chat_id, *chat_id.partition("@")[0].split("-")[:1])}
        texts |= {json.dumps(text)[1:-1] for text in texts}
        return frozenset(texts - {"", "null"})

    def _find(self, chat_id: str, at: datetime) -> ListedContact:
        contact = self.newest(chat_id, at)
        if contact is None:
            raise LookupError(f"no {chat_id} in the list")
        return contact


def _newest(states: list[ListedState], now: datetime) -> ListedContact | None:
    if states and states[-1].at <= now:
        return states[-1].contact
    index = bisect_right(states, now, key=_at)
    return states[index - 1].contact if index else None


def _at(state: ListedState) -> datetime:
    return state.at
