"""
The contact list of a GREEN-API account over time.

GREEN-API itself has no times: it returns the current list. The mock server keeps all past and future states, so that it
can return the list as of any time of the sandbox's clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from airflow_provider_wacontacts.sandbox.core.clock import read_time
from airflow_provider_wacontacts.sandbox.core.raw import Raw
from airflow_provider_wacontacts.sandbox.core.timeline import Timeline

__all__ = ["ContactList", "ListedContact", "ListedState"]


@dataclass(frozen=True, slots=True)
class ListedContact:
    """
    One row of the list.

    :param id: ID of the chat: ``…@c.us``, ``…@g.us``, ``…@lid``, or another form.
    :param name: name in the WhatsApp profile, or of the group; may be empty; None for ``null``.
    :param contact_name: name in the phone book; None for a row without that key.
    :param type: empty for the type of the ID: ``group`` for ``@g.us``, otherwise ``user``.
    :param extra: keys in addition to or in place of the documented ones; all values may be :class:`Raw`.
    """

    id: str
    name: str | Raw | None = ""
    contact_name: str | Raw | None = None
    type: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_group(self) -> bool:
        """Whether it is a group chat."""
        return self.shown_type == "group"

    @property
    def shown_type(self) -> str:
        """The type in a response."""
        return self.type or ("group" if self.id.endswith("@g.us") else "user")

    def row(self) -> dict[str, object]:
        """Return the row of a response, without the variations of a behaviour."""
        row: dict[str, object] = {"id": self.id, "name": self.name}
        if self.contact_name is not None:
            row["contactName"] = self.contact_name
        return {**row, "type": self.shown_type, **self.extra}


@dataclass(frozen=True, slots=True)
class ListedState:
    """
    The state of an ID, starting at a time.

    :param contact: None if it is no longer in the list.
    """

    at: datetime
    id: str
    contact: ListedContact | None


class ContactList(Timeline[ListedState]):
    """All past, current and future states of an account's contact list."""

    @classmethod
    def from_states(cls, states: Iterable[ListedState]) -> Self:
        """Create a list from states in any order. Of a contact's states with the same time, the last one is newest."""
        contacts = cls()
        for state in sorted(states, key=lambda state: state.at):
            contacts.insert(state)
        return contacts

    def add(self, state: ListedState) -> ListedState:
        """Add a state, past or future, and return it."""
        return self.insert(replace(state, at=read_time(state.at)))

    def put(self, contact: ListedContact, *, at: datetime) -> ListedState:
        """Add a contact to the list at a time, or replace it."""
        return self.add(ListedState(at, contact.id, contact))

    def rename(
        self, chat_id: str, *, at: datetime, name: str | Raw | None = None, contact_name: str | Raw | None = None
    ) -> ListedState:
        """
        Change one or both names of a contact at a time.

        :param name: None leaves it unchanged.
        :param contact_name: None leaves it unchanged.
        :raises LookupError: the contact is not in the list at that time.
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
        Remove a contact from the list at a time.

        :raises LookupError: the contact is not in the list at that time.
        """
        self._find(chat_id, at)
        return self.add(ListedState(at, chat_id, None))

    def contact(self, chat_id: str, now: datetime) -> ListedContact | None:
        """Return a contact as of a time; None if it is not in the list."""
        state = self.state_at(chat_id, now)
        return None if state is None else state.contact

    def listed(self, now: datetime) -> list[ListedContact]:
        """Return the list as of a time, in the order in which chat IDs first appeared."""
        return [state.contact for state in self.newest(now) if state.contact is not None]

    def personal_texts(self) -> frozenset[str]:
        """
        Return the IDs, their digits and the names of all states, which must not be in logs.

        Strings with several JSON forms are included in each form.
        """
        contacts = [state.contact for state in self if state.contact is not None]
        texts = {text for contact in contacts for text in (contact.name, contact.contact_name) if isinstance(text, str)}
        texts |= {
            text
            for chat_id in self._by_contact
            for text in (str(chat_id), *str(chat_id).partition("@")[0].split("-")[:1])
        }
        texts |= {json.dumps(text)[1:-1] for text in texts}
        return frozenset(texts - {"", "null"})

    def _find(self, chat_id: str, at: datetime) -> ListedContact:
        contact = self.contact(chat_id, at)
        if contact is None:
            raise LookupError(f"no {chat_id} in the list")
        return contact
