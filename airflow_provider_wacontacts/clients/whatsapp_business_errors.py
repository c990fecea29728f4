"""
JSON bodies and errors of the WhatsApp Business API.

Bodies may be empty, damaged or of another shape. Errors are documented as ``{"errors": [{"code", "title",
"details"}]}``; clients before v1 and gateways have other forms. The table of codes is from
https://developers.facebook.com/docs/whatsapp/api/errors; it has no codes of the Cloud API. See also
https://docs.360dialog.com/docs/useful/api-error-message-list
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_wacontacts.clients.errors import REFUSED, ErrorSpec, contract_error, spec_by_status
from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import (
    ApiError,
    AuthError,
    NotEnabledError,
    RateLimitedError,
    RejectedError,
    ServerError,
)
from airflow_provider_wacontacts.records.json import read_object

__all__ = [
    "SOURCE",
    "ApiErrorItem",
    "UnknownUserError",
    "client_version",
    "error_codes",
    "error_from_response",
    "from_epoch",
    "normalize_status",
    "parse_errors",
    "read_fields",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ApiErrorItem:
    """
    One error in a response.

    :param code: the API's error code; ``None`` if it has none.
    :param title: the server's text. It may hold personal data: never logged.
    :param details: may hold personal data as well: never logged.
    """

    code: int | None
    title: str = field(default="", repr=False)
    details: str = field(default="", repr=False)


def read_fields(response: Response, operation: str) -> dict[str, Any]:
    """
    Decode a response's JSON object, see :func:`read_object`.

    :raises ContractError: the body is not a JSON object.
    """
    try:
        return read_object(response.body)
    except ValueError:
        raise contract_error("The response is not a JSON object.", operation, response) from None


def parse_errors(fields: dict[str, Any]) -> list[ApiErrorItem]:
    """Return the errors of a response, in its order; empty if it has none."""
    errors = fields.get("errors") or fields.get("error") or []
    found = [_parse_error(error) for error in (errors if type(errors) is list else [errors])]
    meta = fields.get("meta")
    if not found and type(meta) is dict and meta.get("success") is False:
        found = [ApiErrorItem(None, _text(meta.get("developerMessage")))]
    return found


def client_version(fields: dict[str, Any]) -> str | None:
    """Return the version that a client reports, such as ``v2.45.1``; at most 40 characters."""
    meta = fields.get("meta")
    version = _text(meta.get("version")) if type(meta) is dict else ""
    return version[:40] or None


def from_epoch(value: object, unit: timedelta) -> datetime | None:
    """Read a Unix time, as a number or a string; ``None`` if it is invalid."""
    try:
        count = float(value) if type(value) in (int, float, str) else math.nan  # type: ignore[arg-type]
        return EPOCH + unit * count
    except (ValueError, OverflowError):
        return None


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


RATE_LIMITED = ErrorSpec(RateLimitedError, "The server's rate limit is reached. Try again later.")
OVERLOADED = ErrorSpec(ServerError, "The server is overloaded. Try again later.")
NOT_READY = ErrorSpec(ServerError, "The server is not ready. Try again later.")
FAILED = ErrorSpec(ServerError, "The server failed. Try again later.")
PARAMETER_REFUSED = ErrorSpec(
    RejectedError, "The server does not accept a parameter of the request. It may be of another version."
)

SPEC_BY_CODE = {
    429: RATE_LIMITED,
    1000: FAILED,
    1001: REFUSED,
    1002: REFUSED,
    1003: REFUSED,
    1004: REFUSED,
    1005: ErrorSpec(
        AuthError,
        "The server denied access. It refuses the login or the token, or its own certificate or version is refused.",
    ),
    1006: ErrorSpec(RejectedError, "The server does not know the user, or the path."),
    1007: REFUSED,
    1008: PARAMETER_REFUSED,
    1009: PARAMETER_REFUSED,
    1010: PARAMETER_REFUSED,
    1011: NOT_READY,
    1013: ErrorSpec(RejectedError, "The server reports that this is not a user."),
    INTERNAL: FAILED,
    1015: RATE_LIMITED,
    1016: OVERLOADED,
    1017: NOT_READY,
    1018: NOT_READY,
    1021: ErrorSpec(RejectedError, "The server refuses to check the sender's own number."),
    1022: ErrorSpec(
        RejectedError,
        "The client has no webhook to deliver later results to. Set one, or use blocking='wait'.",
    ),
    1023: FAILED,
    1024: ErrorSpec(
        AuthError,
        "The password must be changed before it can be used. Log in once manually with a new_password, and set that as"
        " the connection's password.",
    ),
    1025: PARAMETER_REFUSED,
    1026: REFUSED,
    1028: ErrorSpec(RejectedError, "The user's identity has changed. Acknowledge the change first."),
    1031: ErrorSpec(
        NotEnabledError, "The sender's account is locked. It may be banned. Contact the operator of the account."
    ),
    2048: REFUSED,
}
SPEC_BY_STATUS = {
    401: ErrorSpec(AuthError, "The server does not accept the login, token or key. Correct the connection."),
    403: ErrorSpec(
        NotEnabledError, "The server denied access. The token or key is not accepted, or has no access to this API."
    ),
    404: ErrorSpec(
        NotEnabledError,
        "The server does not know the path. The connection's host is wrong, or does not serve this part of the API.",
    ),
    409: ErrorSpec(RejectedError, "The server has another hash for this user. Fetch the identity again."),
    429: RATE_LIMITED,
}
UNAVAILABLE = 503
STATUS_OF_TRANSIENT: dict[type[ApiError], int] = {RateLimitedError: 429, ServerError: UNAVAILABLE}


def normalize_status(response: Response) -> Response:
    """
    Correct the status of a response if its error code contradicts it about retries.

    Gateways return 400 Bad Request for a rate limit; clients return 500 for a password that must be changed.

    :returns: the response, with status 429 or 503 if a retry helps, 500 if the server may also have processed the
        request, 400 if a retry does not help; otherwise unchanged. A 503 with an error code is a refusal.
    """
    if response.is_success or response.status in (401, 429):
        return response
    spec = _most_severe(_errors(response))
    if spec is None:
        return response
    status = 500 if spec is FAILED else STATUS_OF_TRANSIENT.get(spec.kind, 400)
    if response.status < 500 if status == 400 else response.status >= 500 and response.status != UNAVAILABLE:
        return response
    return Response(status, response.headers, response.body, is_refusal=status == UNAVAILABLE)


def error_from_response(response: Response, operation: str, *, unknown: str = "") -> ApiError:
    """
    Return the error for a response.

    :param unknown: message if the server does not know the user.
    """
    errors = _errors(response)
    spec = _most_severe(errors) or _spec_by_status(response)
    if unknown and (response.status == 404 or 1006 in error_codes(errors)):
        spec = ErrorSpec(UnknownUserError, unknown)
    return spec.error(operation, response.status, code=errors[0].code if errors else None)


def error_codes(errors: Sequence[ApiErrorItem]) -> set[int]:
    """Return the codes of errors."""
    return {error.code for error in errors if error.code is not None}


def _errors(response: Response) -> list[ApiErrorItem]:
    try:
        return parse_errors(read_object(response.body))
    except ValueError:
        return []


def _most_severe(errors: Sequence[ApiErrorItem]) -> ErrorSpec | None:
    specs = [spec for error in errors if (spec := _spec_by_code(error))]
    return min(specs, key=_severity, default=None)


def _severity(spec: ErrorSpec) -> int:
    """Order errors: errors of the account first, then of the request, transient ones last."""
    return 2 if spec.kind in STATUS_OF_TRANSIENT else int(spec.kind is RejectedError)


def _spec_by_code(error: ApiErrorItem) -> ErrorSpec | None:
    text = f"{error.title} {error.details}".lower()
    if error.code == INTERNAL and "already exist" in text:
        return REFUSED
    if error.code is None and "limit" in text and ("rate" in text or "exceed" in text):
        return RATE_LIMITED
    return SPEC_BY_CODE.get(error.code) if error.code is not None else None


def _spec_by_status(response: Response) -> ErrorSpec:
    return spec_by_status(response, SPEC_BY_STATUS, REFUSED if response.status < 500 else FAILED)
