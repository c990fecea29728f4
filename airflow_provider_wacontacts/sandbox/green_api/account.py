"""
The account behind a GREEN-API instance: its list in time, and what tests and demos do to it.

Its face to HTTP is in :mod:`airflow_provider_wacontacts.sandbox.green_api.api`.
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
    :param parameters: of the query, as they were sent.
    :param authorization: it came with the header ``Authorization``, which has no place here.
    """

    at: float
    kind: RequestKind
    outcome: str
    parameters: Mapping[str, str]
    authorization: bool


class GreenApiAccount:
    """
    An account of GREEN-API. Changes of it take effect with the next request.

    :ivar behaviour: how it behaves now; change fields of it with :meth:`change`.
    :ivar contact_list: who is in its list, and when; change it with :meth:`put`, :meth:`rename` and :meth:`remove`.
    """

    def __init__(self, dispatcher: Dispatcher, behaviour: GreenApiBehaviour, contact_list: ContactList) -> None:
        self._dispatcher = dispatcher
        self.behaviour = behaviour
        self.load(contact_list)

    def load(self, contact_list: ContactList) -> None:
        """Put another list in place of this one; calls, the used quota and empty responses so far are forgotten."""
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
        """How many lists were returned in this month of the sandbox's time."""
        with self._dispatcher.lock:
            return self._used[self._month()]

    @property
    def used_check_quota(self) -> int:
        """How many numbers were checked in this month of the sandbox's time."""
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
        Put a contact into the list, in place of an earlier one.

        :param name: None for ``null``.
        :param contact_name: None for a row without that key.
        :param type: empty for what follows from the id.
        :param extra: keys beside or in place of the documented ones.
        :param at: from when on; the sandbox's now by default.
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
        Change one or both names of a contact; None leaves one as it is.

        :param at: from when on; the sandbox's now by default.
        :raises LookupError: the list does not hold it then.
        """
        with self._dispatcher.lock:
            return self.contact_list.rename(chat_id, at=self._time(at), name=name, contact_name=contact_name)

    def remove(self, chat_id: str, *, at: datetime | str | None = None) -> ListedState:
        """
        Have a contact no longer in the list.

        :param at: from when on; the sandbox's now by default.
        :raises LookupError: the list does not hold it then.
        """
        with self._dispatcher.lock:
            return self.contact_list.remove(chat_id, at=self._time(at))

    def rows(self, at: datetime | str | None = None) -> list[dict[str, object]]:
        """
        Return the true list, without the variations of the behaviour.

        :param at: as of when; the sandbox's now by default.
        """
        with self._dispatcher.lock:
            return [contact.row() for contact in self.contact_list.listed(self._time(at))]

    def find(self, chat_id: str, at: datetime | str | None = None) -> ListedContact | None:
        """
        Give a contact as it truly is, None where the list does not hold it.

        :param at: as of when; the sandbox's now by default.
        """
        with self._dispatcher.lock:
            return self.contact_list.contact(chat_id, self._time(at))

    def truth(self) -> list[ListedState]:
        """Return every state up to now, oldest first."""
        with self._dispatcher.lock:
            return self.contact_list.until(self._dispatcher.clock.now())

    def clear_calls(self) -> None:
        """Forget the requests so far; the quota that they used stays used."""
        with self._dispatcher.lock:
            self._calls.clear()

    def personal_texts(self) -> frozenset[str]:
        """Return every id, its digits and every name that any state holds: what no log may contain."""
        with self._dispatcher.lock:
            return self.contact_list.personal_texts()

    def secret_texts(self) -> frozenset[str]:
        """Return the token in clear and percent-encoded: what no log may contain."""
        token = self.behaviour.token
        return frozenset({token, quote(token), quote(token, safe="")})

    def note(self, call: GreenApiCall) -> None:
        """Remember a request."""
        self._calls.append(call)

    def is_over_quota(self) -> bool:
        """Return whether one more list this month is too many."""
        quota = self.behaviour.monthly_quota
        return quota is not None and self.used_quota >= quota

    def put_number(
        self, number: str, *, exists: bool = True, lid: str = "", hidden: bool = False, fails: bool = False
    ) -> CheckedNumber:
        """
        Set what a check of a number finds.

        :param number: with its plus sign.
        :param lid: digits of the linked ID; empty for one that follows from the number.
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
        """Write the list as a request gets it, and count it."""
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
