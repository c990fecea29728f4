"""
The routes by which tests and demos move the WhatsApp Business API client. They ask for no token and are not counted.

=======================================  ==============================================================================
route                                    what it does
=======================================  ==============================================================================
``GET /sandbox/whatsapp``                ``behaviour``, messages ``sent``, ``real_checks``, whether ``banned``
``GET /sandbox/whatsapp/behaviour``      all fields of :class:`~airflow_provider_wacontacts.sandbox.WhatsAppBehaviour`
``POST /sandbox/whatsapp/behaviour``     changes those that are given: ``{"version": "v2.45.1", "rate_limit": 20}``
``DELETE /sandbox/whatsapp/behaviour``   back to how the sandbox was started
``POST /sandbox/whatsapp/people``        sets what is true of a number, or of a list of them: ``{"number": "+1…",
                                         "status": "invalid"}``; optional ``wa_id``, ``slow``, ``missing``
``POST /sandbox/whatsapp/truth``         ``["+1…", …]``: what a check of each finds in the end
``GET /sandbox/whatsapp/numbers``        how often each number was ``asked`` and really ``checked``, and the ``calls``:
                                         real time ``at``, ``size``, ``force_check``, ``blocking``
``DELETE /sandbox/whatsapp/numbers``     counts anew
``POST /sandbox/whatsapp/sent``          ``{"count": 50}``: counts so many messages as sent
``DELETE /sandbox/whatsapp/tokens``      ends all tokens
``POST /sandbox/whatsapp/identities``    ``{"wa_id": "…"}``: changes a user's identity now
``POST /sandbox/whatsapp/messages``      ``{"from": "…", "text": "…"}``: a user's message comes in
``POST /sandbox/whatsapp/finish``        finishes every check that takes a while, and makes the callbacks
``GET /sandbox/whatsapp/callbacks``      the log of callbacks: ``body``, ``url``, ``outcomes`` (a status for each
                                         attempt, 0 for no answer)
``POST /sandbox/whatsapp/callbacks``     makes a callback of the body
``DELETE /sandbox/whatsapp/callbacks``   forgets them
=======================================  ==============================================================================

A body that cannot be understood is answered with 400 and ``{"error": …}``, and nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from airflow_provider_wacontacts.sandbox.behaviour import to_json
from airflow_provider_wacontacts.sandbox.whatsapp_client import WhatsAppClient

__all__ = ["WhatsAppControl", "only"]


class WhatsAppControl:
    """The control routes of one client."""

    def __init__(self, client: WhatsAppClient) -> None:
        self._client = client
        self._first_behaviour = client.behaviour

    def calls(self) -> list[tuple[str, str, Callable[[Any], Any]]]:
        """Give method, path below ``/sandbox`` and function of each route; the function takes the body as read."""
        here = "/whatsapp"
        return [
            ("GET", here, self.status),
            ("GET", here + "/behaviour", self._behaviour),
            ("POST", here + "/behaviour", self._change_behaviour),
            ("DELETE", here + "/behaviour", self._reset_behaviour),
            ("POST", here + "/people", self._put),
            ("POST", here + "/truth", self._truth),
            ("GET", here + "/numbers", self._numbers),
            ("DELETE", here + "/numbers", self._clear_numbers),
            ("POST", here + "/sent", self._send),
            ("DELETE", here + "/tokens", self._revoke_tokens),
            ("POST", here + "/identities", self._change_identity),
            ("POST", here + "/messages", self._receive),
            ("POST", here + "/finish", self._finish),
            ("GET", here + "/callbacks", self._callbacks),
            ("POST", here + "/callbacks", self._call_back),
            ("DELETE", here + "/callbacks", self._clear_callbacks),
        ]

    def status(self, _given: Any) -> dict[str, Any]:
        """Tell the behaviour and how far a ban is."""
        client = self._client
        return {
            "behaviour": to_json(client.behaviour),
            "sent": client.ban.sent,
            "real_checks": client.checks.real,
            "banned": client.is_banned,
        }

    def _behaviour(self, _given: Any) -> dict[str, Any]:
        return to_json(self._client.behaviour)

    def _change_behaviour(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return to_json(self._client.change(**given))

    def _reset_behaviour(self, _given: Any) -> dict[str, Any]:
        return to_json(self._client.change(**to_json(self._first_behaviour)))

    def _put(self, given: Any) -> list[dict[str, Any]]:
        people = given if isinstance(given, list) else [given]
        for person in people:
            only(person, "number", "status", "wa_id", "slow", "missing")
            if person.get("status", "valid") not in ("valid", "invalid", "failed"):
                raise ValueError("status is valid, invalid or failed")
            if not isinstance(person["number"], str):
                raise TypeError("number is text")
        return [asdict(self._client.put(**person)) for person in people]

    def _truth(self, given: Any) -> list[dict[str, Any]]:
        if not isinstance(given, list):
            raise TypeError("a list of numbers is asked for")
        return [asdict(self._client.truth(number)) for number in given]

    def _numbers(self, _given: Any) -> dict[str, Any]:
        client = self._client
        return {
            "asked": dict(client.asked),
            "checked": dict(client.checked),
            "calls": [asdict(call) for call in client.calls],
        }

    def _clear_numbers(self, _given: Any) -> dict[str, Any]:
        self._client.checks.clear_counts()
        return self._numbers({})

    def _send(self, given: Mapping[str, Any]) -> dict[str, Any]:
        only(given, "count")
        if type(given["count"]) is not int:
            raise TypeError("count is a whole number")
        self._client.send(given["count"])
        return self.status({})

    def _revoke_tokens(self, _given: Any) -> dict[str, Any]:
        self._client.revoke_tokens()
        return self.status({})

    def _change_identity(self, given: Mapping[str, Any]) -> dict[str, Any]:
        only(given, "wa_id")
        return asdict(self._client.change_identity(str(given["wa_id"])))

    def _receive(self, given: Mapping[str, Any]) -> Any:
        only(given, "from", "text")
        return json.loads(self._client.receive(str(given["from"]), str(given.get("text", "hello"))))

    def _finish(self, _given: Any) -> list[Any]:
        return [json.loads(body) for body in self._client.finish()]

    def _callbacks(self, _given: Any) -> list[dict[str, Any]]:
        return [callback.to_json() for callback in self._client.callbacks.log]

    def _call_back(self, given: Any) -> Any:
        if not isinstance(given, dict):
            raise TypeError("a callback is an object")
        return json.loads(self._client.call_back(given))

    def _clear_callbacks(self, _given: Any) -> list[Any]:
        self._client.callbacks.clear()
        return []


def only(given: Mapping[str, Any], *names: str) -> None:
    """
    Hold a body to the names that a route knows.

    :raises ValueError: it has others.
    """
    unknown = sorted(given.keys() - set(names))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(names)}")
