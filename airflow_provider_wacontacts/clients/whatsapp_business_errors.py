"""
JSON bodies and errors of the WhatsApp Business API.

Bodies may be empty, damaged or of another shape. Errors are documented as ``{"errors": [{"code", "title",
"details"}]}``; clients before v1 and gateways have forms of their own. The table of codes is that of
https://developers.facebook.com/docs/whatsapp/api/errors; codes of the Cloud API are not in it. See also
https://docs.360dialog.com/docs/useful/api-error-message-list
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import (
    ApiError,
    AuthError,
    ContractError,
    NotEnabledError,
    RateLimitedError,
    RejectedError,
    ServerError,
)
from airflow_provider_wacontacts.records.json import decode_leniently, repair

__all__ = [
    "SOURCE",
    "ApiErrorItem",
    "UnknownUserError",
    "client_version",
    "contract_error",
    "error_codes",
    "error_from_response",
    "from_epoch",
    "normalize_status",
    "parse_errors",
    "read_object",
]

NUL = b"\\u0000"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ApiErrorItem:
    """
    One error in a response.

    :param code: the API's error code; ``None`` if it has none.
    :param title: the server's text. It may hold personal data: never logged.
    :param details: likewise.
    """

    code: int | None
    title: str = field(default="", repr=False)
    details: str = field(default="", repr=False)


def read_object(body: bytes) -> dict[str, Any]:
    """
    Decode a JSON object, and replace text that databases refuse by U+FFFD.

    :raises ValueError: the body is not a JSON object.
    """
    try:
        value = _decode(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if type(value) is not dict:
        raise ValueError("not an object")
    return value


def parse_errors(answer: dict[str, Any]) -> list[ApiErrorItem]:
    """Return the errors of a response, in its order; empty if it has none."""
    errors = answer.get("errors") or answer.get("error") or []
    found = [_parse_error(error) for error in (errors if type(errors) is list else [errors])]
    meta = answer.get("meta")
    if not found and type(meta) is dict and meta.get("success") is False:
        found = [ApiErrorItem(None, _text(meta.get("developerMessage")))]
    return found


def client_version(answer: dict[str, Any]) -> str | None:
    """Return the version that a client reports of itself, such as ``v2.45.1``; at most 40 characters."""
    meta = answer.get("meta")
    version = _text(meta.get("version")) if type(meta) is dict else ""
    return version[:40] or None


def from_epoch(value: object, unit: timedelta) -> datetime | None:
    """Read a Unix time, as a number or a string; ``None`` if it is invalid."""
    try:
        count = float(value) if type(value) in (int, float, str) else math.nan  # type: ignore[arg-type]
        return EPOCH + unit * count
    except (ValueError, OverflowError):
        return None


def _decode(body: bytes) -> Any:
    if NUL not in body:
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return repair(decode_leniently(body))[0]


def _parse_error(error: object) -> ApiErrorItem:
    if type(error) is not dict:
        return ApiErrorItem(None, _text(error))
    code = error.get("code", error.get("errorcode"))
    title = _text(error.get("title")) or _text(error.get("errortext"))
    return ApiErrorItem(_int(code), title, _text(error.get("details")) or _text(error.get("detail")))


def _int(value: object) -> int | None:
    if type(value) is str and value.isascii() and value.isdecimal() and len(value) <= 9:
        return int(value)
    # Longer values are not error codes, and may be phone numbers.
    return value if type(value) is int and abs(value) < 10**9 else None


def _text(value: object) -> str:
    return value if type(value) is str else ""


SOURCE = "whatsapp_business"
INTERNAL = 1014


class UnknownUserError(RejectedError):
    """The server does not know the user."""


@dataclass(frozen=True, slots=True)
class _ErrorSpec:
    kind: type[ApiError]
    message: str


_RATE = _ErrorSpec(RateLimitedError, "the server's rate limit is reached; try again later")
_BUSY = _ErrorSpec(ServerError, "the server is overloaded; try again later")
_DOWN = _ErrorSpec(ServerError, "the server is not ready; try again later")
_FAILED = _ErrorSpec(ServerError, "the server failed; try again later")
_UNREADABLE = _ErrorSpec(
    RejectedError, "the server does not take a parameter of the request; it may be another version"
)
_REFUSED = _ErrorSpec(RejectedError, "the server refuses the request")

_BY_CODE = {
    429: _RATE,
    1000: _FAILED,
    1001: _REFUSED,
    1002: _REFUSED,
    1003: _REFUSED,
    1004: _REFUSED,
    1005: _ErrorSpec(
        AuthError, "access denied: the login or token, or the client's own certificate or version, is refused"
    ),
    1006: _ErrorSpec(RejectedError, "not found: the server does not know this user, or this path"),
    1007: _REFUSED,
    1008: _UNREADABLE,
    1009: _UNREADABLE,
    1010: _UNREADABLE,
    1011: _DOWN,
    1013: _ErrorSpec(RejectedError, "the server says that this is not a user"),
    INTERNAL: _FAILED,
    1015: _RATE,
    1016: _BUSY,
    1017: _DOWN,
    1018: _DOWN,
    1021: _ErrorSpec(RejectedError, "the server refuses to be asked about the sender itself"),
    1022: _ErrorSpec(
        RejectedError, "the client has no webhook to deliver later answers to; set one, or use blocking='wait'"
    ),
    1023: _FAILED,
    1024: _ErrorSpec(
        AuthError,
        "the password has to be changed before it can be used: log in once by hand with a new_password, and put that"
        " into the connection",
    ),
    1025: _UNREADABLE,
    1026: _REFUSED,
    1028: _ErrorSpec(RejectedError, "this user's identity has changed, which has to be acknowledged first"),
    1031: _ErrorSpec(NotEnabledError, "the sender's account is locked: it may be banned; ask its operator"),
    2048: _REFUSED,
}
_BY_STATUS = {
    401: _ErrorSpec(AuthError, "the login, token or key is not accepted; correct the connection"),
    403: _ErrorSpec(NotEnabledError, "not allowed: the token or key is not accepted, or has no access to this"),
    404: _ErrorSpec(
        NotEnabledError, "not found: the connection's host is wrong, or does not serve this part of the API"
    ),
    409: _ErrorSpec(RejectedError, "the server has another hash for this user; read the identity anew"),
    429: _RATE,
}
_REDIRECT = _ErrorSpec(RejectedError, "the server answers with a redirect, which is not followed; correct the host")
_TRANSIENT: dict[type[ApiError], int] = {RateLimitedError: 429, ServerError: 503}


def normalize_status(response: Response) -> Response:
    """
    Correct the status of a response if its error code disagrees on whether a retry helps.

    Gateways return 400 Bad Request for a rate limit; clients return 500 for a password that must be changed.

    :returns: the response, with status 429 or 503 if a retry helps, 500 if the server may also have processed the
        request, 400 if a retry does not help; otherwise unchanged.
    """
    if response.is_success or response.status in (401, 429):
        return response
    meaning = _most_severe(_errors(response))
    if meaning is None:
        return response
    status = 500 if meaning is _FAILED else _TRANSIENT.get(meaning.kind, 400)
    if (status == 400) == (response.status < 500):
        return response
    return Response(status, response.headers, response.body)


def error_from_response(response: Response, operation: str, *, unknown: str = "") -> ApiError:
    """
    Return the error for a response.

    :param unknown: message if the server does not know the user.
    """
    errors = _errors(response)
    meaning = _most_severe(errors) or _by_status(response)
    if unknown and (response.status == 404 or 1006 in error_codes(errors)):
        meaning = _ErrorSpec(UnknownUserError, unknown)
    code = errors[0].code if errors else None
    message = f"{meaning.message} (error code {code})" if code else meaning.message
    return meaning.kind(message, source=SOURCE, operation=operation, status=response.status)


def contract_error(what: str, operation: str, response: Response | None = None) -> ContractError:
    """Return the error for a response that is not as documented."""
    return ContractError(what, source=SOURCE, operation=operation, status=response.status if response else None)


def error_codes(errors: Sequence[ApiErrorItem]) -> set[int]:
    """Return the codes of errors."""
    return {error.code for error in errors if error.code is not None}


def _errors(response: Response) -> list[ApiErrorItem]:
    try:
        return parse_errors(read_object(response.body))
    except ValueError:
        return []


def _most_severe(errors: Sequence[ApiErrorItem]) -> _ErrorSpec | None:
    meanings = [meaning for error in errors if (meaning := _error_spec(error))]
    return min(meanings, key=_gravity, default=None)


def _gravity(meaning: _ErrorSpec) -> int:
    """Order errors: those of the account first, then of the request, transient ones last."""
    return 2 if meaning.kind in _TRANSIENT else int(meaning.kind is RejectedError)


def _error_spec(error: ApiErrorItem) -> _ErrorSpec | None:
    text = f"{error.title} {error.details}".lower()
    if error.code == INTERNAL and "already exist" in text:
        return _REFUSED
    if error.code is None and "limit" in text and ("rate" in text or "exceed" in text):
        return _RATE
    return _BY_CODE.get(error.code) if error.code is not None else None


def _by_status(response: Response) -> _ErrorSpec:
    if 300 <= response.status < 400:
        return _REDIRECT
    return _BY_STATUS.get(response.status, _REFUSED if response.status < 500 else _FAILED)
