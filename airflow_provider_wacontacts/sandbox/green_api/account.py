"""
The account of a GREEN-API instance: its contact list over time, with methods for tests and demos.

Its HTTP API is in :mod:`airflow_provider_wacontacts.sandbox.green_api.api`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from airflow_provider_wacontacts.sandbox.core.clock import read_time
from airflow_provider_wacontacts.sandbox.core.dispatcher import Dispatcher
from airflow_provider_wacontacts.sandbox.core.faults import RequestKind
from airflow_provider_wacontacts.sandbox.core.options import changed
from airflow_provider_wacontacts.sandbox.core.raw import Raw
from airflow_provider_wacontacts.sandbox.green_api.behaviour import GreenApiBehaviour
from airflow_provider_wacontacts.sandbox.green_api.checks import CheckedNumber, NumberChecks
from airflow_provider_wacontacts.sandbox.green_api.contact_list import ContactList, ListedContact, ListedState
from airflow_provider_wacontacts.sandbox.green_api.errors import GreenApiError
from airflow_provider_wacontacts.sandbox.green_api.rows import shown, write_list

__all__ = ["GreenApiAccount", "GreenApiCall"]


@dataclass(frozen=True, slots=True)
class GreenApiCall:
    """
    One request to the instance.

    :param at: when its response was sent, in seconds since the epoch, real time.
    :param kind: ``contacts``, ``state``, ``wa_settings``, ``settings``, ``whatsapp`` (a check) or ``other``.
    :param outcome: the status, ``cut`` or ``drop``.
    :param parameters: query parameters as sent.
    :param authorization: whether it had the header ``Authorization``, which GREEN-API does not use.
    """

    at: float
    kind: RequestKind
    outcome: str
    parameters: Mapping[str, str]
    authorization: bool


class GreenApiAccount:
    """
    An account of GREEN-API. Changes take effect with the next request.

    :ivar behaviour: current settings; change them with :meth:`change`.
    :ivar contact_list: the contacts over time; change them with :meth:`put`, :meth:`rename` and :meth:`remove`.
    """

    def __init__(self, dispatcher: Dispatcher, behaviour: GreenApiBehaviour, contact_list: ContactList) -> None:
        self._dispatcher = dispatcher
        self.behaviour = behaviour
        self.load(contact_list)

    def load(self, contact_list: ContactList) -> None:
        """Replace the list, and clear calls, the used quota and empty responses."""
        with self._dispatcher.lock:
            self.contact_list = contact_list
            self._calls: list[GreenApiCall] = []
            self._used: Counter[tuple[int, int]] = Counter()
            self._empty_responses = 0
            self.checks = NumberChecks()
            self._used_checks: Counter[tuple[int, int]] = Counter()
            self._written: tuple[object, bytes] | None = None

    @property
    def calls(self) -> list[GreenApiCall]:
        """The requests to it, including refused ones and ones with a fault, oldest first."""
        with self._dispatcher.lock:
            return list(self._calls)

    @property
    def used_quota(self) -> int:
        """Number of lists returned in this month of the sandbox's time."""
        with self._dispatcher.lock:
            return self._used[self._month()]

    @property
    def used_check_quota(self) -> int:
        """Number of numbers checked in this month of the sandbox's time."""
        with self._dispatcher.lock:
            return self._used_checks[self._month()]

    @property
    def asked_numbers(self) -> Counter[str]:
        """How often each number was checked, by ``+`` and its digits."""
        with self._dispatcher.lock:
            return Counter(self.checks.asked)

    def change(self, **changes: Any) -> GreenApiBehaviour:
        """
        Change fields of the behaviour.

        :raises ValueError: there is no such field, or the value is of another type.
        """
        with self._dispatcher.lock:
            self.behaviour = changed(self.behaviour, changes)
            if "empty_answers" in changes:
                self._empty_responses = 0
            return self.behaviour

    def put(
        self,
        chat_id: str,
        *,
        name: str | Raw | None = "",
        contact_name: str | Raw | None = None,
        type: str = "",  # noqa: A002
        extra: Mapping[str, object] | None = None,
        at: datetime | str | None = None,
    ) -> ListedState:
        """
        Add a contact to the list, or replace it.

        :param name: None for ``null``.
        :param contact_name: None for a row without that key.
        :param type: empty for the type of the ID.
        :param extra: keys in addition to or in place of the documented ones.
        :param at: when the change takes effect; by default the sandbox's current time.
        """
        contact = ListedContact(chat_id, name, contact_name, type, extra or {})
        with self._dispatcher.lock:
            return self.contact_list.put(contact, at=self._time(at))

    def rename(
        self,
        chat_id: str,
        *,
        name: str | Raw | None = None,
        contact_name: str | Raw | None = None,
        at: datetime | str | None = None,
    ) -> ListedState:
        """
        Change one or both names of a contact; None leaves a name unchanged.

        :param at: when the change takes effect; by default the sandbox's current time.
        :raises LookupError: the contact is not in the list at that time.
        """
        with self._dispatcher.lock:
            return self.contact_list.rename(chat_id, at=self._time(at), name=name, contact_name=contact_name)

    def remove(self, chat_id: str, *, at: datetime | str | None = None) -> ListedState:
        """
        Remove a contact from the list.

        :param at: when the change takes effect; by default the sandbox's current time.
        :raises LookupError: the contact is not in the list at that time.
        """
        with self._dispatcher.lock:
            return self.contact_list.remove(chat_id, at=self._time(at))

    def rows(self, at: datetime | str | None = None) -> list[dict[str, object]]:
        """
        Return the true list, without the variations of the behaviour.

        :param at: by default the sandbox's current time.
        """
        with self._dispatcher.lock:
            return [contact.row() for contact in self.contact_list.listed(self._time(at))]

    def find(self, chat_id: str, at: datetime | str | None = None) -> ListedContact | None:
        """
        Return the true state of a contact; None if it is not in the list.

        :param at: by default the sandbox's current time.
        """
        with self._dispatcher.lock:
            return self.contact_list.contact(chat_id, self._time(at))

    def truth(self) -> list[ListedState]:
        """Return every state up to now, oldest first."""
        with self._dispatcher.lock:
            return self.contact_list.until(self._dispatcher.clock.now())

    def clear_calls(self) -> None:
        """Clear the requests so far. Their quota stays used."""
        with self._dispatcher.lock:
            self._calls.clear()

    def personal_texts(self) -> frozenset[str]:
        """Return the IDs, their digits and the names of all states, which must not be in logs."""
        with self._dispatcher.lock:
            return self.contact_list.personal_texts()

    def secret_texts(self) -> frozenset[str]:
        """Return the token, plain and percent-encoded, which must not be in logs."""
        token = self.behaviour.token
        return frozenset({token, quote(token), quote(token, safe="")})

    def note(self, call: GreenApiCall) -> None:
        """Store a request."""
        self._calls.append(call)

    def is_over_quota(self) -> bool:
        """Return whether the month's quota of lists is used up."""
        quota = self.behaviour.monthly_quota
        return quota is not None and self.used_quota >= quota

    def put_number(
        self, number: str, *, exists: bool = True, lid: str = "", hidden: bool = False, fails: bool = False
    ) -> CheckedNumber:
        """
        Set the result of checks of a number.

        :param number: with its plus sign.
        :param lid: digits of the linked ID; empty to derive it from the number.
        :param hidden: responses do not have the number.
        :param fails: a check exceeds the server's time limit.
        """
        with self._dispatcher.lock:
            digits = number.removeprefix("+")
            lid = lid or self.checks.find(digits, self.behaviour).lid
            found = CheckedNumber(exists, lid, hidden, fails)
            self.checks.put(digits, found)
            return found

    def check(self, body: bytes) -> dict[str, object]:
        """
        Check the number of a request, and count it.

        :raises GreenApiError: the request is invalid, the quota is used up, or the check fails.
        """
        quota = self.behaviour.check_quota
        if quota is not None and self.used_check_quota >= quota:
            raise GreenApiError(466)
        content = self.checks.check(body, self.behaviour)
        self._used_checks[self._month()] += 1
        return content

    def write(self, *, group: bool | None = None, count: int | None = None) -> bytes:
        """Return the body of the list for a request, and count it."""
        self._used[self._month()] += 1
        if self._is_empty_once_more():
            return b"[]"
        behaviour, now = self.behaviour, self._dispatcher.clock.now()
        asked = (behaviour, self.contact_list.edition(now), group, count)
        if self._written is None or self._written[0] != asked:
            self._written = asked, write_list(self._select(now, group, count), behaviour)
        return self._written[1]

    def _select(self, now: datetime, group: bool | None, count: int | None) -> list[ListedContact]:  # noqa: FBT001
        contacts = shown(self.contact_list.listed(now), self.behaviour)
        if group is not None:
            contacts = [contact for contact in contacts if contact.is_group is group]
        if count is not None:
            contacts = contacts[-count:]
        return contacts

    def _is_empty_once_more(self) -> bool:
        behaviour = self.behaviour
        if not behaviour.is_ready or behaviour.empty_answers is None:
            return True
        self._empty_responses += 1
        return self._empty_responses <= behaviour.empty_answers

    def _time(self, at: datetime | str | None) -> datetime:
        return self._dispatcher.clock.now() if at is None else read_time(at)

    def _month(self) -> tuple[int, int]:
        now = self._dispatcher.clock.now()
        return now.year, now.month
