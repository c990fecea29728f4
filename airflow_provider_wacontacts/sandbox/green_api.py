"""
The routes of GREEN-API for contacts: the list, the instance's state, and its WhatsApp settings.

Public sources: GetContacts (https://green-api.com/en/docs/api/service/GetContacts), GetStateInstance
(https://green-api.com/en/docs/api/account/GetStateInstance), GetWaSettings
(https://green-api.com/en/docs/api/account/GetWaSettings/) and rate limits
(https://green-api.com/en/docs/api/ratelimiter/).
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wacontacts.sandbox.behaviour import Fault, RequestKind
from airflow_provider_wacontacts.sandbox.clock import write_time
from airflow_provider_wacontacts.sandbox.front import Front, made_up, spoiled
from airflow_provider_wacontacts.sandbox.green_api_account import GreenApiAccount, GreenApiCall
from airflow_provider_wacontacts.sandbox.green_api_behaviour import GreenApiBehaviour
from airflow_provider_wacontacts.sandbox.green_api_errors import (
    NOT_AUTHORIZED,
    STARTING,
    GreenApiRefusal,
    quota_answer,
)
from airflow_provider_wacontacts.sandbox.limits import Bucket, retry_after_headers
from airflow_provider_wacontacts.sandbox.wire import Answer, json_answer

__all__ = ["GreenApiApi"]

_INSTANCE = "/{prefix:path}waInstance"
_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_OPTIONS = {"group": "group_option", "count": "count_option"}
_OWN_NUMBER = "79001234567"
_OWN_LID = "100000000000001@lid"


class GreenApiApi:
    """
    What an account answers over HTTP.

    :param told_time: gives the time that answers bear, in seconds since the epoch.
    """

    def __init__(self, account: GreenApiAccount, front: Front, told_time: Callable[[], float]) -> None:
        self._account = account
        self._front = front
        self._told_time = told_time
        self.reset()

    def reset(self) -> None:
        """Forget how fast it was asked so far."""
        self._buckets: defaultdict[RequestKind, Bucket] = defaultdict(Bucket)

    def routes(self) -> list[Route]:
        """Give the routes of the API, each in both spellings that the vendor has, and one for other methods."""
        methods: list[tuple[str, RequestKind, Callable[[Request], Answer]]] = [
            ("etContacts", "contacts", self._get_contacts),
            ("etStateInstance", "state", self._get_state),
            ("etWaSettings", "wa_settings", self._get_wa_settings),
        ]
        known = [
            Route(f"{_INSTANCE}{{id}}/{initial}{name}/{{token:path}}", self._handler(kind, call), methods=_VERBS)
            for name, kind, call in methods
            for initial in "gG"
        ]
        return [*known, Route(_INSTANCE + "{rest:path}", self._handler("other", self._other), methods=_VERBS)]

    @property
    def _behaviour(self) -> GreenApiBehaviour:
        return self._account.behaviour

    def _handler(self, kind: RequestKind, call: Callable[[Request], Answer]) -> Callable[[Request], Any]:
        def answer_to(request: Request, _body: bytes, fault: Fault | None) -> Answer:
            told = made_up(fault, partial(self._told_fault, request), self._rate_limited) if fault else None
            answer = spoiled(self._answer(kind, call, request), fault) if told is None else told
            asked, headers = dict(request.query_params), request.headers
            at, has_authorization = self._front.real_time(), "authorization" in headers
            self._account.note(GreenApiCall(at, kind, answer.outcome, asked, has_authorization))
            return answer

        return self._front.handler(kind, answer_to)

    def _answer(self, kind: RequestKind, call: Callable[[Request], Answer], request: Request) -> Answer:
        headers: dict[str, str] = {}
        try:
            token = self._read_path(request)
            headers = self._refuse_haste(kind)
            self._refuse_stranger(token)
            answer = self._compressed(call(request), request)
        except GreenApiRefusal as refusal:
            answer = self._word(refusal, request)
        return answer.with_headers({**headers, **answer.headers})

    def _read_path(self, request: Request) -> str:
        """Give the token; one with a slash in it is one segment only if the client quoted it."""
        prefix, _, rest = _raw_path(request).partition("/waInstance")
        segments = [unquote(segment) for segment in rest.split("/")]
        if (unquote(prefix), segments[0]) != (self._behaviour.base_path, self._behaviour.id_instance):
            raise GreenApiRefusal(403)
        if len(segments) != 3 or request.method != "GET":
            raise GreenApiRefusal(404)
        return segments[2]

    def _refuse_stranger(self, token: str) -> None:
        if token != self._behaviour.token:
            raise GreenApiRefusal(401)
        if self._behaviour.refusal is not None:
            raise GreenApiRefusal(400, self._behaviour.refusal)

    def _refuse_haste(self, kind: RequestKind) -> dict[str, str]:
        """Count a request, and give the headers that tell of the limit."""
        behaviour = self._behaviour
        rate = behaviour.rate_limit
        if rate is None:
            return {}
        bucket, burst = self._buckets[kind], max(1, int(rate))
        wait_s = bucket.ask(rate, burst, self._front.real_time())
        if wait_s:
            raise _HasteRefusal(self._rate_limited(wait_s))
        told = {"X-RateLimit-Remaining": str(bucket.left(burst)), "X-RateLimit-Replenish-Rate": f"{rate:g}"}
        return told if behaviour.rate_headers else {}

    def _rate_limited(self, wait_s: float) -> Answer:
        behaviour = self._behaviour
        rate = f"{behaviour.rate_limit or 1:g}"
        told = {"X-RateLimit-Remaining": "0", "X-RateLimit-Replenish-Rate": rate} if behaviour.rate_headers else {}
        headers = {**told, **retry_after_headers(behaviour.retry_after, self._told_time(), wait_s)}
        return Answer(429, headers=headers, media_type="application/json")

    def _told_fault(self, request: Request, fault: Fault) -> Answer:
        return self._word(GreenApiRefusal(fault.status or 500, fault.message), request)

    def _word(self, refusal: GreenApiRefusal, request: Request) -> Answer:
        if isinstance(refusal, _HasteRefusal):
            return refusal.told
        if refusal.status == 466:
            account = self._account
            ids = [contact["id"] for contact in account.rows()[:3]]
            quota = self._behaviour.monthly_quota or 0
            return quota_answer(account.used_quota, quota, [str(chat_id) for chat_id in ids], self._behaviour)
        path = _raw_path(request) + (f"?{request.url.query}" if request.url.query else "")
        timestamp = write_time(self._front.clock.now(), "millis")
        return refusal.answer(request.method, path, timestamp, self._behaviour)

    def _compressed(self, answer: Answer, request: Request) -> Answer:
        if not self._behaviour.compressed or "gzip" not in request.headers.get("accept-encoding", ""):
            return answer
        body = gzip.compress(answer.body, compresslevel=1)
        return replace(answer, body=body).with_headers({"Content-Encoding": "gzip"})

    def _get_contacts(self, request: Request) -> Answer:
        behaviour = self._behaviour
        asked = self._read_options(request)
        group, count = _read_group(asked), self._read_count(asked)
        if self._account.is_over_quota():
            raise GreenApiRefusal(466)
        if not behaviour.is_ready and behaviour.unready == "refuse":
            raise GreenApiRefusal(400, STARTING if behaviour.state in ("starting", None) else NOT_AUTHORIZED)
        return Answer(200, self._account.write(group=group, count=count))

    def _read_options(self, request: Request) -> dict[str, str]:
        behaviour = self._behaviour
        asked = {}
        for name, value in request.query_params.items():
            known = name in _OPTIONS
            policy = getattr(behaviour, _OPTIONS[name]) if known else behaviour.unknown_options
            if policy == "refuse":
                raise GreenApiRefusal(400, f"Validation failed. Details: '{name}' is not allowed")
            if known and policy == "accept":
                asked[name] = value
        return asked

    def _read_count(self, asked: dict[str, str]) -> int | None:
        if "count" not in asked:
            return None
        try:
            count = int(asked["count"])
        except ValueError:
            raise GreenApiRefusal(400, "Validation failed. Details: 'count' must be a number") from None
        if count < 1 and self._behaviour.count_below_one == "refuse":
            raise GreenApiRefusal(400, "Validation failed. Details: 'count' must be a positive number")
        return count if count > 0 else None

    def _get_state(self, _request: Request) -> Answer:
        behaviour = self._behaviour
        is_null = behaviour.state is None and behaviour.null_state == "body"
        return json_answer(None if is_null else {"stateInstance": behaviour.state})

    def _get_wa_settings(self, _request: Request) -> Answer:
        behaviour = self._behaviour
        number, lid = (_OWN_NUMBER, _OWN_LID) if behaviour.is_ready else ("", "")
        told = {
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
            del told["historySyncProgress"]
        return json_answer(told)

    def _other(self, _request: Request) -> Answer:
        raise GreenApiRefusal(404)


class _HasteRefusal(GreenApiRefusal):
    def __init__(self, told: Answer) -> None:
        super().__init__(429)
        self.told = told


def _raw_path(request: Request) -> str:
    return bytes(request.scope["raw_path"]).decode("ascii")


def _read_group(asked: dict[str, str]) -> bool | None:
    if "group" not in asked:
        return None
    if asked["group"] not in ("true", "false"):
        raise GreenApiRefusal(400, "Validation failed. Details: 'group' must be a boolean")
    return asked["group"] == "true"
