"""
What the errors and the states of GREEN-API mean: try again, or what somebody has to do.

The tables are those of https://green-api.com/en/docs/api/common-errors/ and
https://green-api.com/en/docs/api/account/GetStateInstance. Error bodies echo the token: nothing of them is ever quoted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import msgspec

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import (
    ApiError,
    AuthError,
    ContractError,
    NotEnabledError,
    RejectedError,
    TransientError,
)
from airflow_provider_wacontacts.records.green_api import SOURCE

__all__ = ["contract_error", "error_from_response", "expect_usable", "normalize_status"]

CLIENT_CLOSED_REQUEST = 499
GATEWAY_TIMEOUT = 504
#: A start takes up to 5 minutes; so often it is worth another look.
ANOTHER_LOOK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _ErrorSpec:
    kind: type[ApiError]
    words: str


_SCAN = "scan its QR code in GREEN-API's console"
_STARTING = _ErrorSpec(TransientError, "the instance is starting, which takes up to 5 minutes; try again later")
_NOT_AUTHORIZED = _ErrorSpec(NotEnabledError, f"the instance is not authorized; {_SCAN}")

#: By what a 400 says; the first that fits counts.
_BY_TEXT = {
    "starting or not authorized": _ErrorSpec(
        TransientError, f"the instance is starting, or not authorized; try again in 5 minutes, and then {_SCAN}"
    ),
    "starting": _STARTING,
    "not authorized": _NOT_AUTHORIZED,
    "expired": _ErrorSpec(
        NotEnabledError, "the instance has expired; renew it in GREEN-API's console, or wait 5 minutes if it is new"
    ),
    "deleted": _ErrorSpec(NotEnabledError, "the instance is deleted; correct the connection's login"),
}
_BY_STATUS = {
    401: _ErrorSpec(AuthError, "the token is not accepted; put the instance's apiTokenInstance into the connection"),
    403: _ErrorSpec(
        NotEnabledError, "not allowed: the connection's host is not the instance's apiUrl, or its login no idInstance"
    ),
    404: _ErrorSpec(NotEnabledError, "not found: the connection's host is not the instance's apiUrl"),
    466: _ErrorSpec(
        NotEnabledError,
        "the quota of the plan is used up: change the plan, or wait for the 1st of the month",
    ),
}
_REFUSED = _ErrorSpec(RejectedError, "the server refuses the request")
_ELSEWHERE = _ErrorSpec(RejectedError, "the server answers with a redirect, which is not followed; correct the host")

_BY_STATE = {
    "": _ErrorSpec(TransientError, "the instance has no state yet: it is being created; try again in some minutes"),
    "starting": _STARTING,
    "sleepMode": _ErrorSpec(TransientError, "the instance's phone is switched off; it may take 5 minutes to come back"),
    "notAuthorized": _NOT_AUTHORIZED,
    "pendingCode": _NOT_AUTHORIZED,
    "pendingPassword": _NOT_AUTHORIZED,
    "blocked": _ErrorSpec(NotEnabledError, "the instance's WhatsApp account is banned"),
}


def normalize_status(response: Response) -> Response:
    """Read 499, which says that the server was too slow and not that the request was wrong, as the 504 that it is."""
    if response.status != CLIENT_CLOSED_REQUEST:
        return response
    return Response(GATEWAY_TIMEOUT, response.headers, response.body)


def error_from_response(response: Response, operation: str) -> ApiError:
    """Make the error that an answer amounts to."""
    return _error(_meaning(response), operation, response.status)


def contract_error(what: str, operation: str, response: Response) -> ContractError:
    """Make the error of an answer that is not what is documented."""
    return ContractError(what, source=SOURCE, operation=operation, status=response.status)


def expect_usable(state: str, operation: str) -> None:
    """
    Refuse the states in which contacts cannot be read.

    A state that nobody has heard of yet is let through, as are ``yellowCard`` and ``suspended``, which limit sending.

    :param state: as an answer had it; empty where it had none.
    :raises TransientError: it passes by itself.
    :raises NotEnabledError: somebody has to do something.
    """
    meaning = _BY_STATE.get(state)
    if meaning is not None:
        raise _error(meaning, operation)


def _error(meaning: _ErrorSpec, operation: str, status: int | None = None) -> ApiError:
    error = meaning.kind(meaning.words, source=SOURCE, operation=operation, status=status)
    if isinstance(error, TransientError):
        error.retry_after = ANOTHER_LOOK
    return error


def _meaning(response: Response) -> _ErrorSpec:
    if 300 <= response.status < 400:
        return _ELSEWHERE
    if response.status == 400:
        said = _said(response.body)
        return next((meaning for text, meaning in _BY_TEXT.items() if text in said), _REFUSED)
    return _BY_STATUS.get(response.status, _REFUSED)


class _Message(msgspec.Struct):
    message: str = ""


def _said(body: bytes) -> str:
    """Return a refusal's own words, in small letters: its ``message``, or all of it where it is no object with one."""
    try:
        return msgspec.json.decode(body, type=_Message).message.lower()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode("utf-8", "replace").lower()
