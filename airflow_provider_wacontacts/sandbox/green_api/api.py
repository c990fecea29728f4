"""
The routes of GREEN-API for contacts: the list, checks of numbers, the instance's state, and its WhatsApp settings.

Public sources: GetContacts (https://green-api.com/en/docs/api/service/GetContacts), GetStateInstance
(https://green-api.com/en/docs/api/account/GetStateInstance), GetWaSettings
(https://green-api.com/en/docs/api/account/GetWaSettings/) and rate limits
(https://green-api.com/en/docs/api/ratelimiter/).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wacontacts.sandbox.core.clock import write_time
from airflow_provider_wacontacts.sandbox.core.dispatcher import Dispatcher, apply_fault, fault_response
from airflow_provider_wacontacts.sandbox.core.faults import Fault, RequestKind
from airflow_provider_wacontacts.sandbox.core.rate_limits import Bucket, retry_after_headers
from airflow_provider_wacontacts.sandbox.core.responses import Response, json_response
from airflow_provider_wacontacts.sandbox.green_api.account import GreenApiAccount, GreenApiCall
from airflow_provider_wacontacts.sandbox.green_api.behaviour import GreenApiBehaviour
from airflow_provider_wacontacts.sandbox.green_api.errors import (
    NOT_AUTHORIZED,
    STARTING,
    GreenApiError,
    quota_response,
)

__all__ = ["GreenApiApi"]

_INSTANCE = "/{prefix:path}waInstance"
_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_OWN_NUMBER = "79001234567"
_OWN_LID = "100000000000001@lid"
#: The default settings of an instance. ``yes`` and ``no`` are strings.
_SETTINGS = {
    "webhookUrl": "",
    "webhookUrlToken": "",
    "delaySendMessagesMilliseconds": 5000,
    "markIncomingMessagesReaded": "no",
    "outgoingWebhook": "no",
    "incomingWebhook": "no",
    "stateWebhook": "no",
    "keepOnlineStatus": "no",
    "enableLidMode": "no",
}
_Call = Callable[[Request, bytes], Response]


class GreenApiApi:
    """
    The HTTP API of an account.

    :param response_time: returns the time of responses, in seconds since the epoch.
    """

    def __init__(self, account: GreenApiAccount, dispatcher: Dispatcher, response_time: Callable[[], float]) -> None:
        self._account = account
        self._dispatcher = dispatcher
        self._response_time = response_time
        self.reset()

    def reset(self) -> None:
        """Reset the rate limits."""
        self._buckets: defaultdict[RequestKind, Bucket] = defaultdict(Bucket)

    def routes(self) -> list[Route]:
        """Return the routes of the API, each in both spellings of the vendor, and one for other methods."""
        methods: list[tuple[str, RequestKind, _Call]] = [
            ("getContacts", "contacts", self._get_contacts),
            ("getStateInstance", "state", self._get_state),
            ("getWaSettings", "wa_settings", self._get_wa_settings),
            ("getSettings", "settings", self._get_settings),
            ("checkWhatsapp", "whatsapp", self._check_whatsapp),
        ]
        known = [
            Route(f"{_INSTANCE}{{id}}/{spelling}/{{token:path}}", self._handler(kind, call), methods=_VERBS)
            for name, kind, call in methods
            for spelling in (name, name[0].upper() + name[1:])
        ]
        return [*known, Route(_INSTANCE + "{rest:path}", self._handler("other", self._other), methods=_VERBS)]

    @property
    def _behaviour(self) -> GreenApiBehaviour:
        return self._account.behaviour

    def _handler(self, kind: RequestKind, call: _Call) -> Callable[[Request], Any]:
        def respond(request: Request, body: bytes, fault: Fault | None) -> Response:
            failed = fault_response(fault, partial(self._fault_error, request), self._rate_limited) if fault else None
            answer = apply_fault(self._answer(kind, call, request, body), fault) if failed is None else failed
            asked, headers = dict(request.query_params), request.headers
            at, has_authorization = self._dispatcher.real_time(), "authorization" in headers
            self._account.note(GreenApiCall(at, kind, answer.outcome, asked, has_authorization))
            return answer

        return self._dispatcher.handler(kind, respond)

    def _answer(self, kind: RequestKind, call: _Call, request: Request, body: bytes) -> Response:
        headers: dict[str, str] = {}
        try:
            token = self._read_path(request, "POST" if kind == "whatsapp" else "GET")
            headers = self._check_rate(kind)
            self._check_access(token)
            answer = call(request, body)
        except GreenApiError as refusal:
            answer = self._word(refusal, request)
        return answer.with_headers({**headers, **answer.headers})

    def _read_path(self, request: Request, verb: str) -> str:
        """Return the token. A token with a slash is one path segment only if the client quoted it."""
        prefix, _, rest = _raw_path(request).partition("/waInstance")
        segments = [unquote(segment) for segment in rest.split("/")]
        if (unquote(prefix), segments[0]) != (self._behaviour.base_path, self._behaviour.id_instance):
            raise GreenApiError(403)
        if len(segments) != 3 or request.method != verb:
            raise GreenApiError(404)
        return segments[2]

    def _check_access(self, token: str) -> None:
        if token != self._behaviour.token:
            raise GreenApiError(401)
        if self._behaviour.refusal is not None:
            raise GreenApiError(400, self._behaviour.refusal)

    def _check_rate(self, kind: RequestKind) -> dict[str, str]:
        """Count a request, and return the headers of the limit."""
        behaviour = self._behaviour
        rate = behaviour.check_rate_limit if kind == "whatsapp" else behaviour.rate_limit
        if rate is None:
            return {}
        bucket, burst = self._buckets[kind], max(1, int(rate))
        wait_s = bucket.ask(rate, burst, self._dispatcher.real_time())
        if wait_s:
            raise _RateLimitError(self._rate_limited(wait_s))
        return {"X-RateLimit-Remaining": str(bucket.left(burst)), "X-RateLimit-Replenish-Rate": f"{rate:g}"}

    def _rate_limited(self, wait_s: float) -> Response:
        behaviour = self._behaviour
        rate = f"{behaviour.rate_limit or 1:g}"
        limit = {"X-RateLimit-Remaining": "0", "X-RateLimit-Replenish-Rate": rate}
        headers = {**limit, **retry_after_headers(behaviour.retry_after, self._response_time(), wait_s)}
        return Response(429, headers=headers, media_type="application/json")

    def _fault_error(self, request: Request, fault: Fault) -> Response:
        return self._word(GreenApiError(fault.status or 500, fault.message), request)

    def _word(self, refusal: GreenApiError, request: Request) -> Response:
        if isinstance(refusal, _RateLimitError):
            return refusal.response
        if refusal.status == 466:
            account = self._account
            ids = [contact["id"] for contact in account.rows()[:3]]
            quota = self._behaviour.monthly_quota or 0
            chat_ids = [str(chat_id) for chat_id in ids]
            if "heckWhatsapp" in request.url.path:
                used, quota = account.used_check_quota, self._behaviour.check_quota or 0
                return quota_response("checkWhatsapp", used, quota, chat_ids, self._behaviour)
            return quota_response("getContacts", account.used_quota, quota, chat_ids, self._behaviour)
        path = _raw_path(request) + (f"?{request.url.query}" if request.url.query else "")
        timestamp = write_time(self._dispatcher.clock.now(), "millis")
        return refusal.answer(request.method, path, timestamp, self._behaviour)

    def _get_contacts(self, request: Request, _body: bytes) -> Response:
        behaviour = self._behaviour
        asked = self._read_options(request)
        group, count = _read_group(asked), _read_count(asked)
        if self._account.is_over_quota():
            raise GreenApiError(466)
        if not behaviour.is_ready:
            raise GreenApiError(400, STARTING if behaviour.state in ("starting", None) else NOT_AUTHORIZED)
        return Response(200, self._account.write(group=group, count=count))

    def _read_options(self, request: Request) -> dict[str, str]:
        policies = {"group": self._behaviour.group_option, "count": "accept"}
        asked = dict(request.query_params)
        refused = next((name for name in asked if policies.get(name, "refuse") == "refuse"), None)
        if refused:
            raise GreenApiError(400, f"Validation failed. Details: '{refused}' is not allowed")
        return {name: value for name, value in asked.items() if policies[name] == "accept"}

    def _get_state(self, _request: Request, _body: bytes) -> Response:
        behaviour = self._behaviour
        is_null = behaviour.state is None and behaviour.null_state == "body"
        return json_response(None if is_null else {"stateInstance": behaviour.state})

    def _get_wa_settings(self, _request: Request, _body: bytes) -> Response:
        behaviour = self._behaviour
        number, lid = (_OWN_NUMBER, _OWN_LID) if behaviour.is_ready else ("", "")
        settings = {
            "avatar": "",
            "base64Avatar": "",
            "phone": number,
            "chatId": lid,
            "deviceId": f"{number}:8@s.whatsapp.net" if number else "",
            "historySyncProgress": behaviour.history_sync_progress,
            "stateInstance": behaviour.state,
            "logoutProcess": False,
        }
        if behaviour.history_sync_progress is None:
            del settings["historySyncProgress"]
        return json_response(settings)

    def _get_settings(self, _request: Request, _body: bytes) -> Response:
        return json_response({**_SETTINGS, "wid": f"{_OWN_NUMBER}@c.us" if self._behaviour.is_ready else ""})

    def _check_whatsapp(self, _request: Request, body: bytes) -> Response:
        if not self._behaviour.is_ready:
            raise GreenApiError(400, NOT_AUTHORIZED)
        return json_response(self._account.check(body))

    def _other(self, _request: Request, _body: bytes) -> Response:
        raise GreenApiError(404)


class _RateLimitError(GreenApiError):
    def __init__(self, response: Response) -> None:
        super().__init__(429)
        self.response = response


def _raw_path(request: Request) -> str:
    return bytes(request.scope["raw_path"]).decode("ascii")


def _read_group(asked: dict[str, str]) -> bool | None:
    if "group" not in asked:
        return None
    if asked["group"] not in ("true", "false"):
        raise GreenApiError(400, "Validation failed. Details: 'group' must be a boolean")
    return asked["group"] == "true"


def _read_count(asked: dict[str, str]) -> int | None:
    if "count" not in asked:
        return None
    try:
        count = int(asked["count"])
    except ValueError:
        raise GreenApiError(400, "Validation failed. Details: 'count' must be a number") from None
    if count < 1:
        raise GreenApiError(400, "Validation failed. Details: 'count' must be a positive number")
    return count
