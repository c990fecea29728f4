"""
The routes of the WhatsApp Business API client for contacts: logins, checks, identities, and messages.

Public sources: Meta's pages on the contacts node
(https://developers.facebook.com/docs/whatsapp/on-premises/reference/contacts) and on logging in
(https://developers.facebook.com/docs/whatsapp/on-premises/reference/users/login).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wacontacts.sandbox.core.dispatcher import Dispatcher, apply_fault, fault_response
from airflow_provider_wacontacts.sandbox.core.faults import Fault, RequestKind
from airflow_provider_wacontacts.sandbox.core.rate_limits import Bucket, retry_after_headers
from airflow_provider_wacontacts.sandbox.core.responses import Response, json_response
from airflow_provider_wacontacts.sandbox.whatsapp_business.behaviour import WhatsAppBehaviour
from airflow_provider_wacontacts.sandbox.whatsapp_business.checks import Result
from airflow_provider_wacontacts.sandbox.whatsapp_business.client import WhatsAppClient
from airflow_provider_wacontacts.sandbox.whatsapp_business.errors import (
    WhatsAppError,
    dialog360_response,
    error_item,
    with_meta,
)
from airflow_provider_wacontacts.sandbox.whatsapp_business.logins import is_good_password

__all__ = ["WhatsAppApi"]

_BATCH_LIMIT = 1000
_CHECK_PARAMETERS = {"contacts", "blocking", "force_check"}


class WhatsAppApi:
    """
    The HTTP API of a client.

    :param response_time: returns the time of responses, in seconds since the epoch.
    """

    def __init__(self, client: WhatsAppClient, dispatcher: Dispatcher, response_time: Callable[[], float]) -> None:
        self._client = client
        self._dispatcher = dispatcher
        self._response_time = response_time
        self.reset()

    def reset(self) -> None:
        """Clear the calls so far."""
        self._bucket = Bucket()

    def routes(self) -> list[Route]:
        """Return the routes of the API."""
        identity = "/v1/contacts/{wa_id}/identity"
        return [
            Route("/v1/users/login", self._handler("login", self._login), methods=["POST"]),
            Route("/v1/contacts", self._handler("check", self._check), methods=["POST"]),
            Route("/v1/messages", self._handler("message", self._send), methods=["POST"]),
            Route(identity, self._handler("identity", self._get_identity), methods=["GET"]),
            Route(identity, self._handler("acknowledge", self._acknowledge), methods=["PUT"]),
        ]

    @property
    def _behaviour(self) -> WhatsAppBehaviour:
        return self._client.behaviour

    def _handler(self, kind: RequestKind, call: Callable[[Request, bytes], Response]) -> Callable[[Request], Any]:
        def answer(request: Request, body: bytes, fault: Fault | None) -> Response:
            failed = fault_response(fault, self._fault_error, self._rate_limited) if fault else None
            return apply_fault(self._answer(kind, call, request, body), fault) if failed is None else failed

        return self._dispatcher.handler(kind, answer)

    def _answer(
        self, kind: RequestKind, call: Callable[[Request, bytes], Response], request: Request, body: bytes
    ) -> Response:
        try:
            refused = None if kind == "login" else self._check_access(request)
            return refused or self._check_rate() or call(request, body)
        except WhatsAppError as refusal:
            return refusal.answer(self._behaviour)

    def _fault_error(self, fault: Fault) -> Response:
        status = fault.status or 500
        details = "The sandbox simulates a failure."
        return WhatsAppError(status, fault.code or status, details).answer(self._behaviour)

    def _rate_limited(self, wait_s: float) -> Response:
        behaviour = self._behaviour
        headers = retry_after_headers(behaviour.retry_after, self._response_time(), wait_s)
        if behaviour.rate_answer == "empty":
            return Response(429, headers=headers)
        if behaviour.rate_answer == "dialog360":
            return dialog360_response(400, 400, "The rate limit is exceeded.").with_headers(headers)
        return WhatsAppError(429, 1015, "Too many requests a second.").answer(behaviour).with_headers(headers)

    def _check_rate(self) -> Response | None:
        behaviour = self._behaviour
        if behaviour.rate_limit is None:
            return None
        wait_s = self._bucket.ask(
            behaviour.rate_limit, max(1, int(3 * behaviour.rate_limit)), self._dispatcher.real_time()
        )
        return self._rate_limited(wait_s) if wait_s else None

    def _check_access(self, request: Request) -> Response | None:
        behaviour, key = self._behaviour, request.headers.get("d360-api-key")
        verdict = self._client.logins.look_at(
            request.headers.get("authorization", ""), behaviour, self._dispatcher.clock.now()
        )
        if key is not None and key == behaviour.api_key and behaviour.auth in ("d360", "any"):
            verdict = "let_in"
        if verdict != "let_in" and (key is not None or behaviour.auth == "d360"):
            return dialog360_response(401, 404, "The API key is missing or not known.")
        if verdict != "let_in":
            raise WhatsAppError(401, 1005, "Token expired." if verdict == "expired" else "Invalid credentials.")
        if self._client.is_banned:
            raise WhatsAppError(403, 1031, "The account of the sender is locked.")
        return None

    def _login(self, request: Request, body: bytes) -> Response:
        behaviour, logins = self._behaviour, self._client.logins
        if behaviour.auth in ("bearer", "d360"):
            raise WhatsAppError(404, 1006, "There is no login here.")
        if not logins.knows(request.headers.get("authorization", ""), behaviour):
            raise WhatsAppError(401, 1005, "Invalid credentials.")
        asked = _read_object(body) if body else {}
        if "new_password" in asked and not is_good_password(asked["new_password"]):
            raise WhatsAppError(400, 1009, "new_password is too weak.")
        if behaviour.must_change_password and logins.password is None and "new_password" not in asked:
            raise WhatsAppError(400, 1024, "The password must be changed at the first login.")
        logins.password = asked.get("new_password", logins.password)
        token, expires_at = logins.make(self._dispatcher.clock.now())
        user = {"token": token, "expires_after": expires_at.strftime("%Y-%m-%d %H:%M:%S+00:00")}
        return json_response(with_meta({"users": [user]}, behaviour))

    def _check(self, request: Request, body: bytes) -> Response:
        behaviour = self._behaviour
        self._check_headers(request)
        asked = _read_object(body)
        inputs, wait, force = _read_check(asked)
        results = self._client.check(inputs, force=force, wait=wait)
        content: dict[str, Any] = {"contacts": self._entries(results)}
        errors = _errors_beside(results, behaviour)
        if errors is not None:
            content["errors"] = errors
        answer = json_response(with_meta(content, behaviour), behaviour.success_status)
        return replace(answer, delay_s=behaviour.wait_s) if wait and self._client.checks.has_pending else answer

    def _entries(self, results: list[Result]) -> list[dict[str, str] | None]:
        behaviour = self._behaviour
        entries = [
            None if result.is_missing else self._client.entry(result)
            for result in results
            if not result.is_missing or behaviour.missing_as == "null"
        ]
        if behaviour.order == "reversed":
            entries.reverse()
        elif behaviour.order == "shuffled":
            random.Random(f"{behaviour.seed}:{len(self._client.checks.calls)}").shuffle(entries)  # noqa: S311
        return entries

    def _send(self, request: Request, body: bytes) -> Response:
        self._check_headers(request)
        wa_id = _read_object(body).get("to")
        if not isinstance(wa_id, str):
            raise WhatsAppError(400, 1008, "to is missing.")
        if not self._client.knows(wa_id):
            raise WhatsAppError(404, 1006, "unknown contact")
        message = {"id": self._client.send_message()}
        return json_response(with_meta({"messages": [message]}, self._behaviour))

    def _get_identity(self, request: Request, _body: bytes) -> Response:
        behaviour = self._behaviour
        identity = self._client.identities.find(self._read_wa_id(request))
        acknowledged, created = identity.acknowledged, identity.created
        contacts = {
            "hash": identity.hash,
            "created_timestamp": str(created) if behaviour.created_as == "text" else created,
            "acknowledged": str(acknowledged).lower() if behaviour.acknowledged_as == "text" else acknowledged,
        }
        return json_response(with_meta({"contacts": contacts}, behaviour))

    def _acknowledge(self, request: Request, body: bytes) -> Response:
        behaviour, identities = self._behaviour, self._client.identities
        self._check_headers(request)
        wa_id, given = self._read_wa_id(request), _read_object(body).get("hash")
        if not isinstance(given, str):
            raise WhatsAppError(400, 1008, "hash is missing.")
        if given == identities.find(wa_id).hash or behaviour.stale_hash == "accept":
            identities.acknowledge(wa_id)
        elif behaviour.stale_hash != "ignore":
            status, code = {"refuse": (400, 1009), "not_found": (404, 1006), "conflict": (409, 1009)}[
                behaviour.stale_hash
            ]
            raise WhatsAppError(status, code, "hash is not the newest.")
        return Response(200, {"null": b"null", "object": b"{}", "empty": b""}[behaviour.acknowledge_answer])

    def _read_wa_id(self, request: Request) -> str:
        wa_id: str = request.path_params["wa_id"]
        if not self._client.has_user(wa_id):
            raise WhatsAppError(404, 1006, "unknown contact")
        return wa_id

    @staticmethod
    def _check_headers(request: Request) -> None:
        is_json = request.headers.get("content-type", "").partition(";")[0] == "application/json"
        if not is_json:
            raise WhatsAppError(400, 1025, "Content-Type is application/json.")


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except ValueError:
        raise WhatsAppError(400, 1025, "The body is not JSON.") from None
    if not isinstance(asked, dict):
        raise WhatsAppError(400, 1025, "The body is not an object.")
    return asked


def _read_check(asked: Mapping[str, Any]) -> tuple[list[str], bool, bool]:
    """Return the inputs, and whether to wait and to bypass the cache."""
    unknown = sorted(asked.keys() - _CHECK_PARAMETERS)
    if unknown:
        raise WhatsAppError(400, 1010, f"{unknown[0]} is not known here.")
    if "contacts" not in asked:
        raise WhatsAppError(400, 1008, "contacts is missing.")
    inputs, blocking, force = asked["contacts"], asked.get("blocking", "no_wait"), asked.get("force_check", False)
    if not isinstance(inputs, list) or not inputs or not all(isinstance(text, str) for text in inputs):
        raise WhatsAppError(400, 1009, "contacts is a list of numbers, each a string.")
    if len(inputs) > _BATCH_LIMIT:
        raise WhatsAppError(400, 1009, f"contacts has more than {_BATCH_LIMIT} numbers.")
    if blocking not in ("wait", "no_wait"):
        raise WhatsAppError(400, 1009, "blocking is wait or no_wait.")
    if not isinstance(force, bool):
        raise WhatsAppError(400, 1009, "force_check is true or false.")
    return inputs, blocking == "wait", force


def _errors_beside(results: list[Result], behaviour: WhatsAppBehaviour) -> list[dict[str, Any]] | None:
    match behaviour.errors_beside:
        case "absent":
            return None
        case "empty":
            return []
        case "missing":
            return [error_item(1013, f"{result.input} is left out.") for result in results if result.is_missing]
        case "always":
            return [error_item(1000, "An error that is not about a contact.")]
