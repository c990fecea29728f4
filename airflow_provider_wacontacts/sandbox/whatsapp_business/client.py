"""
The WhatsApp Business API client of one registered number: its state, and methods for tests and demos.

Its HTTP API is in :mod:`airflow_provider_wacontacts.sandbox.whatsapp_business.api`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from airflow_provider_wacontacts.sandbox.core.dispatcher import Dispatcher
from airflow_provider_wacontacts.sandbox.core.options import changed
from airflow_provider_wacontacts.sandbox.whatsapp_business.behaviour import WhatsAppBehaviour
from airflow_provider_wacontacts.sandbox.whatsapp_business.callbacks import Callback, Callbacks
from airflow_provider_wacontacts.sandbox.whatsapp_business.checks import Call, Checks, Moment, Result
from airflow_provider_wacontacts.sandbox.whatsapp_business.identities import Identities, Identity
from airflow_provider_wacontacts.sandbox.whatsapp_business.logins import Logins
from airflow_provider_wacontacts.sandbox.whatsapp_business.numbers import (
    calling_code,
    read_sender,
    translate,
    user_id_of,
    wa_id_of,
)
from airflow_provider_wacontacts.sandbox.whatsapp_business.people import Person

__all__ = ["Truth", "WhatsAppClient"]


@dataclass(frozen=True, slots=True)
class Truth:
    """
    The final result of a check of a number.

    :param number: number with ``+`` and country code.
    :param wa_id: None if a response has none.
    """

    number: str
    status: Literal["valid", "invalid", "failed"]
    wa_id: str | None


class WhatsAppClient:
    """
    A WhatsApp Business API client. Changes take effect with the next request.

    :ivar behaviour: current settings; change them with :meth:`change`.
    :ivar sent: count of sent messages.
    :ivar callbacks: creates, posts and logs callbacks.
    """

    def __init__(self, dispatcher: Dispatcher, behaviour: WhatsAppBehaviour) -> None:
        self._dispatcher = dispatcher
        self.behaviour = behaviour
        self.callbacks = Callbacks(dispatcher.lock, dispatcher.real_time, self._is_watching, self._make_due_callbacks)
        self.reset()

    def reset(self) -> None:
        """Clear checks, set states of numbers, tokens, identities, messages, callbacks and a ban."""
        with self._dispatcher.lock:
            self.checks = Checks()
            self.logins = Logins()
            self.identities = Identities()
            self.sent = 0
            self._is_banned = False
            self._messages = 0
            self._wrote: set[str] = set()
            self.callbacks.clear()

    @property
    def asked(self) -> Counter[str]:
        """How often each number was requested since the last reset of counts, by ``+`` and its digits."""
        with self._dispatcher.lock:
            return Counter(self.checks.asked)

    @property
    def checked(self) -> Counter[str]:
        """How often each number was really checked: because the cache had no result or was bypassed."""
        with self._dispatcher.lock:
            return Counter(self.checks.checked)

    @property
    def calls(self) -> list[Call]:
        """The requests for checks that got a response, oldest first."""
        with self._dispatcher.lock:
            return list(self.checks.calls)

    @property
    def is_banned(self) -> bool:
        """Whether the sender is banned."""
        with self._dispatcher.lock:
            ratio = self.behaviour.ban_ratio
            if ratio is not None and self.checks.real > self.behaviour.ban_grace + ratio * self.sent:
                self._is_banned = True
            return self._is_banned

    def change(self, **changes: Any) -> WhatsAppBehaviour:
        """
        Change fields of the behaviour.

        :raises ValueError: there is no such field, or the value is of another type.
        """
        with self._dispatcher.lock:
            self.behaviour = changed(self.behaviour, changes)
            self.callbacks.wake()
            return self.behaviour

    def put(
        self,
        number: str,
        status: Literal["valid", "invalid", "failed"] = "valid",
        *,
        wa_id: str | None = None,
        slow: bool = False,
        missing: bool = False,
    ) -> Truth:
        """
        Set the state of a number. A cached result is kept.

        :param number: number in any format that a check accepts.
        :param wa_id: digits; None for the usual one of its country.
        :param slow: whether its checks are slow.
        :param missing: the first ``missing_times`` responses have no entry for it.
        """
        with self._dispatcher.lock:
            digits = self._read(number)
            failures = None if status == "failed" else 0
            person = Person(wa_id or wa_id_of(digits), status, failures=failures, slow=slow, missing=missing)
            self.checks.people.put(digits, person)
            return self.truth(number)

    def truth(self, number: str) -> Truth:
        """Return the final result of a check of a number, in any format that a check accepts."""
        with self._dispatcher.lock:
            digits = self._read(number)
            person = self.checks.people.find(digits, self.behaviour)
            status = "failed" if person.failures is None else person.status
            if status == "invalid" and self.behaviour.everybody_is_valid:
                status = "valid"
            return Truth(f"+{digits}", status, person.wa_id if status in self.behaviour.wa_id_with else None)

    def clear_counts(self) -> None:
        """Reset the counts of numbers and calls; cached results are kept."""
        with self._dispatcher.lock:
            self.checks.clear_counts()

    def send(self, count: int) -> None:
        """Count messages as sent. A ban depends on the ratio of checks to messages."""
        with self._dispatcher.lock:
            self.sent += count

    def send_message(self) -> str:
        """Count one message as sent, and return its ID."""
        with self._dispatcher.lock:
            self.send(1)
            return f"example-sent-{self.sent}"

    def knows(self, wa_id: str) -> bool:
        """Return whether a message may be sent to a user: a check found the user, or the user sent a message."""
        with self._dispatcher.lock:
            return wa_id in self._wrote or self.checks.has_found(wa_id)

    def forget(self, wa_id: str) -> None:
        """Forget a user and the user's checks, like a client that lost its database: messages need another check."""
        with self._dispatcher.lock:
            self._wrote.discard(wa_id)
            self.checks.forget(wa_id)

    def revoke_tokens(self) -> None:
        """Revoke all tokens, including the fixed one."""
        with self._dispatcher.lock:
            self.logins.revoke()

    def finish(self) -> list[bytes]:
        """
        Finish every slow check, and create the callbacks, even of checks with a result that was requested meanwhile.

        :returns: the callbacks' bodies.
        """
        with self._dispatcher.lock:
            return self._make_callbacks(all_of_them=True)

    def change_identity(self, wa_id: str) -> Identity:
        """
        Change a user's identity, and post a callback if the behaviour has callbacks.

        :raises LookupError: no user of WhatsApp has that ID.
        """
        with self._dispatcher.lock:
            if not self.has_user(wa_id):
                raise LookupError("no user of WhatsApp has this wa_id")
            identity = self.identities.change(wa_id, self._dispatcher.clock.now())
            if self.behaviour.security_notifications:
                system = {"identity": identity.hash, "type": "user_identity_changed", "user": wa_id}
                self.call_back({"messages": [{**self._message(wa_id), "system": system, "type": "system"}]})
            return identity

    def receive(self, wa_id: str, text: str = "hello", name: str = "Quillimar") -> bytes:
        """Receive a message from a user, and post a callback with it and the user's profile."""
        with self._dispatcher.lock:
            self._wrote.add(wa_id)
            message = {**self._message(wa_id), "text": {"body": text}, "type": "text"}
            if self.behaviour.security_notifications:
                identity = self.identities.find(wa_id)
                shown = {"acknowledged": identity.acknowledged, "hash": identity.hash}
                message["identity"] = {**shown, "created_timestamp": identity.created}
            return self.call_back({"contacts": [{"profile": {"name": name}, "wa_id": wa_id}], "messages": [message]})

    def call_back(self, content: dict[str, Any]) -> bytes:
        """Create a callback with any content, and return its body."""
        behaviour = self.behaviour
        body = json.dumps(content).encode()
        now, copies = self._dispatcher.real_time(), behaviour.callback_copies
        self.callbacks.add(Callback(body, behaviour.callback_url, now, behaviour.callback_backoff_s, copies))
        return body

    def check(self, inputs: Sequence[str], *, force: bool = False, wait: bool = False) -> list[Result]:
        """Check numbers, like a request."""
        with self._dispatcher.lock:
            results = self.checks.ask(inputs, self.behaviour, self.moment(), force=force, wait=wait)
            if self._is_watching():
                self.callbacks.wake()
            return results

    def entry(self, result: Result) -> dict[str, str]:
        """Return a result's entry in responses and callbacks."""
        behaviour, status = self.behaviour, result.status
        word = behaviour.processing_word if status == "processing" else status
        entry = {"input": result.input, "status": word}
        if status in behaviour.wa_id_with:
            entry["wa_id"] = result.wa_id
        if behaviour.user_ids and status == "valid":
            entry["user_id"] = user_id_of(result.digits)
        return entry

    def has_user(self, wa_id: str) -> bool:
        """Return whether a WhatsApp user has this ID, digits only."""
        if not wa_id.isdigit():
            return False
        person = self.checks.people.find(wa_id, self.behaviour)
        return person.status == "valid" or (person.status == "invalid" and self.behaviour.everybody_is_valid)

    def moment(self) -> Moment:
        """Return the current sandbox time and real time."""
        return Moment(self._dispatcher.clock.now().timestamp(), self._dispatcher.real_time())

    def _read(self, number: str) -> str:
        return translate(number, calling_code(read_sender(self.behaviour.sender)))

    def _message(self, wa_id: str) -> dict[str, Any]:
        self._messages += 1
        seconds = int(self._dispatcher.clock.now().timestamp())
        return {"from": wa_id, "id": f"example-message-{self._messages}", "timestamp": str(seconds)}

    def _is_watching(self) -> bool:
        behaviour = self.behaviour
        makes_callbacks = behaviour.callback_url is not None and behaviour.resolved_by in ("callback", "either")
        return makes_callbacks and self.checks.has_pending

    def _make_due_callbacks(self) -> None:
        self._make_callbacks(all_of_them=False)

    def _make_callbacks(self, *, all_of_them: bool) -> list[bytes]:
        due = self.checks.due(self.behaviour, self.moment(), all_of_them=all_of_them)
        groups = groupby(due, key=lambda pending: pending.request)
        batches = ([pending.result for pending in group if pending.result] for _, group in groups)
        return [self.call_back({"contacts": [self.entry(result) for result in results]}) for results in batches]
