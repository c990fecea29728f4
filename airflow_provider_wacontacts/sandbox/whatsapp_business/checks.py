"""
Checks of numbers, like the client's: results of the last seven days come from its cache, others take time.

A check is real if the cache has no result. Only real checks count toward a ban.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_wacontacts.sandbox.whatsapp_business.behaviour import Status, WhatsAppBehaviour
from airflow_provider_wacontacts.sandbox.whatsapp_business.numbers import calling_code, read_sender, translate
from airflow_provider_wacontacts.sandbox.whatsapp_business.people import People, Person

__all__ = ["Call", "Checks", "Moment", "Pending", "Result"]

_CACHE_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Moment:
    """
    Now, in the sandbox's time and in real time.

    Both are seconds since the epoch.
    """

    sandbox: float
    real: float


@dataclass(frozen=True, slots=True)
class Call:
    """
    A request for checks that got a response.

    :param at: real time, in seconds since the epoch.
    :param size: count of its numbers.
    """

    at: float
    size: int
    force_check: bool
    blocking: Literal["wait", "no_wait"]


@dataclass(frozen=True, slots=True)
class Result:
    """
    The entry of one number in a response.

    :param input: the number as requested.
    :param digits: the number in international form.
    :param is_missing: responses have no entry for it.
    """

    input: str
    digits: str
    wa_id: str
    status: Status
    is_missing: bool = False


@dataclass(slots=True, eq=False)
class Pending:
    """
    A slow check.

    :param request: number of the request; checks of one request may share a callback.
    :param answers: number of responses with ``processing``.
    :param result: its result; None until it ends.
    """

    input: str
    digits: str
    person: Person
    request: int
    since: Moment
    answers: int = 0
    result: Result | None = None


@dataclass(slots=True)
class Checks:
    """
    The client's numbers and checks.

    :ivar asked: how often each number was requested, by ``+`` and its digits.
    :ivar checked: how often each number was really checked, by ``+`` and its digits.
    :ivar calls: the requests that got a response, oldest first.
    :ivar real: total number of real checks.
    """

    people: People = field(default_factory=People)
    asked: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    calls: list[Call] = field(default_factory=list)
    real: int = 0
    _failed: Counter[str] = field(default_factory=Counter)
    _cache: dict[str, tuple[float, Status]] = field(default_factory=dict)
    _pending: dict[str, Pending] = field(default_factory=dict)
    _line: deque[Pending] = field(default_factory=deque)
    _requests: int = 0

    def ask(
        self, inputs: Sequence[str], behaviour: WhatsAppBehaviour, now: Moment, *, force: bool, wait: bool
    ) -> list[Result]:
        """Return the results of a request, in its order."""
        code = calling_code(read_sender(behaviour.sender))
        self.calls.append(Call(now.real, len(inputs), force, "wait" if wait else "no_wait"))
        self._requests += 1
        given = inputs if behaviour.duplicates == "each" else list(dict.fromkeys(inputs))
        return [self._ask_one(text, translate(text, code), behaviour, now, force=force, wait=wait) for text in given]

    def due(self, behaviour: WhatsAppBehaviour, now: Moment, *, all_of_them: bool = False) -> list[Pending]:
        """
        Finish checks whose callbacks are due, in the order of their requests.

        :param all_of_them: include checks that are not due yet.
        """
        due: list[Pending] = []
        while self._line and (all_of_them or _has_ended(self._line[0], behaviour, now)):
            pending = self._line.popleft()
            if pending.result is None:
                self._finish(pending, behaviour, now)
            due.append(pending)
        return due

    @property
    def has_pending(self) -> bool:
        """Whether callbacks are pending."""
        return bool(self._line)

    def has_found(self, wa_id: str) -> bool:
        """Return whether the last check of a user was ``valid``."""
        return self._cache.get(wa_id, (0.0, "failed"))[1] == "valid"

    def forget(self, wa_id: str) -> None:
        """Forget the result of a user's last check."""
        self._cache.pop(wa_id, None)

    def clear_counts(self) -> None:
        """Reset the counts of numbers and calls; results are kept."""
        self.asked.clear()
        self.checked.clear()
        self.calls.clear()

    def _ask_one(
        self, text: str, digits: str, behaviour: WhatsAppBehaviour, now: Moment, *, force: bool, wait: bool
    ) -> Result:
        person = self.people.find(digits, behaviour)
        self.asked[f"+{digits}"] += 1
        pending = self._pending.get(person.wa_id)
        status = None if force or pending else self._cached(person, now)
        if status is None:
            if pending is None or force:
                pending = self._begin(Pending(text, digits, person, self._requests, now), pending)
            status = self._answer(pending, behaviour, now, wait=wait)
        is_missing = person.missing and self.asked[f"+{digits}"] <= behaviour.missing_times
        return Result(text, digits, person.wa_id, status, is_missing=is_missing)

    def _cached(self, person: Person, now: Moment) -> Status | None:
        at, status = self._cache.get(person.wa_id, (float("-inf"), "failed"))
        is_fresh = now.sandbox < at + _CACHE_S and status != "failed"
        return status if is_fresh else None

    def _begin(self, pending: Pending, earlier: Pending | None) -> Pending:
        self.checked[f"+{pending.digits}"] += 1
        self.real += 1
        if earlier is not None:
            self._line.remove(earlier)
        if pending.person.slow:
            self._pending[pending.person.wa_id] = pending
            self._line.append(pending)
        return pending

    def _answer(self, pending: Pending, behaviour: WhatsAppBehaviour, now: Moment, *, wait: bool) -> Status:
        by_asking = behaviour.resolved_by in ("asking", "either")
        asked_enough = by_asking and pending.answers >= behaviour.processing_answers
        if wait and behaviour.wait_s and pending.person.slow:
            return pending.person.status
        if wait or not pending.person.slow or (asked_enough and _has_ended(pending, behaviour, now)):
            return self._finish(pending, behaviour, now).status
        pending.answers += 1
        return "processing"

    def _finish(self, pending: Pending, behaviour: WhatsAppBehaviour, now: Moment) -> Result:
        person = self.people.find(pending.digits, behaviour)
        status: Status = person.status
        if person.failures is None or self._failed[person.wa_id] < person.failures:
            self._failed[person.wa_id] += 1
            status = "failed"
        elif status == "invalid" and behaviour.everybody_is_valid:
            status = "valid"
        pending.result = Result(pending.input, pending.digits, person.wa_id, status)
        self._cache[person.wa_id] = now.sandbox, status
        self._pending.pop(pending.person.wa_id, None)
        return pending.result


def _has_ended(pending: Pending, behaviour: WhatsAppBehaviour, now: Moment) -> bool:
    if behaviour.processing_time == "real":
        return now.real - pending.since.real >= behaviour.processing_s
    return now.sandbox - pending.since.sandbox >= behaviour.processing_s
