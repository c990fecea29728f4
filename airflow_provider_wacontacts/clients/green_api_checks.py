"""
GREEN-API's ``checkWhatsapp``, as a flow: whether a number is on WhatsApp.

Public source: https://green-api.com/en/docs/api/service/CheckWhatsapp
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from airflow_provider_wacontacts.clients.errors import contract_error
from airflow_provider_wacontacts.clients.green_api import Instance, error_from_response, error_message
from airflow_provider_wacontacts.clients.http import MAX_CLOCK_DIFFERENCE, Flow, Request, Response
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse, ContactResult
from airflow_provider_wacontacts.exceptions import BudgetExceededError
from airflow_provider_wacontacts.identifiers.whatsapp_ids import ids_by_kind
from airflow_provider_wacontacts.records.json import UNDECODABLE, read_object

__all__ = ["CHECKS_A_SECOND", "CLIENT_VERSION", "check_whatsapp"]

CHECK = "green_api.whatsapp.check"
JSON = {"accept": "application/json", "content-type": "application/json"}
#: An instance allows 10. This is 2% less, because network delays vary.
CHECKS_A_SECOND = 9.8
#: The client version stored with these results.
CLIENT_VERSION = "checkWhatsapp"
QUOTA_EXCEEDED = 466
#: Numbers of digits that the deprecated form of the request accepts.
PHONE_NUMBER_LENGTHS = range(11, 17)
#: Texts of a 400 Bad Request that concern only this number.
FAILED_TEXTS = (
    "check phone number timeout limit exceeded",
    "bad phone number",
    "must contain only digits",
    "must be one of the next formats",
)
#: Error texts of older instances, which do not accept a ``chatId``.
CHAT_ID_REFUSED_TEXTS = ("'chatid' is not allowed", "'phonenumber' is required", "must have at least 1 key")


def check_whatsapp(instance: Instance, number: str, *, force: bool = False) -> Flow[CheckResponse]:
    """
    Check whether a number is on WhatsApp.

    The request has a ``chatId``. If the instance refuses that, another request has the deprecated ``phoneNumber``.

    :param number: E.164.
    :param force: bypass GREEN-API's cache.
    :returns: the result, ``valid``, ``invalid`` or ``failed``.
    :raises BudgetExceededError: the plan's quota for the month is used up.
    :raises TransientError: the instance is starting, or is not authorized.
    :raises ApiError: the server refused the request.
    :raises ContractError: a 2xx response without ``existsWhatsapp``.
    """
    digits = number.removeprefix("+")
    response = yield _request(instance, {"chatId": f"{digits}@c.us"}, force=force)
    if _has_text(response, CHAT_ID_REFUSED_TEXTS):
        if len(digits) not in PHONE_NUMBER_LENGTHS:
            return _failed(number, response)
        response = yield _request(instance, {"phoneNumber": int(digits)}, force=False)
    if _has_text(response, FAILED_TEXTS):
        return _failed(number, response)
    if response.status == QUOTA_EXCEEDED:
        raise _quota_error(response)
    if not response.is_success:
        raise error_from_response(response, CHECK)
    return _parse(number, response)


def _request(instance: Instance, content: dict[str, Any], *, force: bool) -> Request:
    body = msgspec.json.encode({**content, "force": True} if force else content)
    # Each lookup counts against the plan's quota.
    return Request(CHECK, "POST", instance.path("checkWhatsapp"), JSON, body, idempotent=False)


def _has_text(response: Response, texts: tuple[str, ...]) -> bool:
    return response.status == 400 and any(text in error_message(response.body) for text in texts)


def _failed(number: str, response: Response) -> CheckResponse:
    result = ContactResult(number, "failed")
    return CheckResponse({number: result}, client_version=CLIENT_VERSION, date=response.date)


def _quota_error(response: Response) -> BudgetExceededError:
    """Return the error for a quota, which GREEN-API resets on the 1st of each month."""
    now = datetime.now(UTC)
    if response.date and abs(response.date - now) <= MAX_CLOCK_DIFFERENCE:
        now = response.date.astimezone(UTC)
    resets_at = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    try:
        quota = msgspec.json.decode(response.body, type=_QuotaResponse, strict=False).invoke_status
    except UNDECODABLE:
        quota = _Quota()
    return BudgetExceededError(
        f"{CHECK}, HTTP 466: The quota of GREEN-API's plan is used up until {resets_at:%d %B %Y}. The results so far"
        " are kept. Set on_budget='defer' to continue then, or change the plan.",
        limit=quota.total,
        used=quota.used,
        asked=1,
        resets_at=resets_at,
    )


class _Quota(msgspec.Struct):
    used: int = 0
    total: int = 0


class _QuotaResponse(msgspec.Struct, rename="camel"):
    invoke_status: _Quota = msgspec.field(default_factory=_Quota)


def _parse(number: str, response: Response) -> CheckResponse:
    try:
        content = read_object(response.body)
    except ValueError:
        content = {}
    exists = content.get("existsWhatsapp")
    if type(exists) is not bool:
        raise contract_error("The response has no existsWhatsapp.", CHECK, response)
    ids = ids_by_kind(content.get("phoneNumber"), content.get("chatId")) if exists else ids_by_kind()
    result = ContactResult(number, "valid" if exists else "invalid", ids.wa_id, lid=ids.lid)
    return CheckResponse(
        {number: result},
        client_version=CLIENT_VERSION,
        date=response.date,
        from_cache=content.get("fromCache") is not False if "fromCache" in content else None,
    )
