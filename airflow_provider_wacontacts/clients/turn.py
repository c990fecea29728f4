"""
The requests of Turn.io's Data Export API for contacts, as flows.

:class:`.Export` sends them. Public sources: "Getting data from the Contacts API endpoint"
(https://learn.turn.io/article/l8g9u42mpr-getting-data-from-the-contacts-api-endpoint) and the Data Export API
(https://whatsapp.turn.io/docs/api/data_export_api).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec

from airflow_provider_wacontacts.clients.errors import REFUSED, ErrorSpec, contract_error, spec_by_status
from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.exceptions import (
    ApiError,
    AuthError,
    ConfigError,
    NotEnabledError,
    RejectedError,
)
from airflow_provider_wacontacts.records.arguments import validate_int
from airflow_provider_wacontacts.records.json import UNDECODABLE
from airflow_provider_wacontacts.records.windows import MILLISECOND

__all__ = [
    "READ",
    "Cursor",
    "ExportOptions",
    "create_cursor",
    "error_from_response",
    "get_schemas",
    "is_expired",
    "read_cursor",
]

CREATE = "turn.contacts.cursor"
READ = "turn.contacts.page"
SCHEMAS = "turn.contacts.schemas"
ACCEPT = {"accept": "application/vnd.v1+json"}
ACCEPT_AND_SEND = {**ACCEPT, "content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """
    Options of an export. Only options that are set are sent.

    :param ordering: ``asc`` or ``desc``, by the time of update; the server's choice by default.
    :param page_size: contacts per page, 1 and up. Some numbers refuse it with 400 Bad Request.
    :param scrubbing_rules: field to rule, such as ``{"details.surname": {"type": "hash"}}``. If the
        server refuses them, the export fails, so that unscrubbed data is never returned.
    :raises ConfigError: the ordering or the page size is invalid.
    """

    ordering: str | None = None
    page_size: int | None = None
    scrubbing_rules: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.ordering not in (None, "asc", "desc"):
            raise ConfigError(f"ordering is {self.ordering!r}. It must be 'asc' or 'desc'.")
        if self.page_size is not None:
            validate_int("page_size", self.page_size, 1)

    def given(self) -> dict[str, Any]:
        """Return the options that are set, by their names in the API."""
        options = {"ordering": self.ordering, "page_size": self.page_size, "scrubbing_rules": self.scrubbing_rules}
        return {name: value for name, value in options.items() if value is not None}


class Cursor(NamedTuple):
    """
    A new cursor.

    :param created_at: ``Date`` of the response; ``None`` if it has none.
    :param expires_at: the server's string, which may not be a valid time.
    """

    cursor: str
    created_at: datetime | None
    expires_at: object


def create_cursor(start: datetime, end: datetime, options: ExportOptions) -> Flow[Cursor]:
    """
    Create a cursor for the contacts that were last updated in a window.

    :param end: exclusive.
    :raises ContractError: the response has no cursor.
    :raises PermanentError: the server refused the request.
    """
    body = msgspec.json.encode({"from": _wire_time(start), "until": _wire_time(_round_up(end)), **options.given()})
    response = yield Request(CREATE, "POST", "/v1/data/contacts/cursor", ACCEPT_AND_SEND, body)
    if not response.is_success:
        raise error_from_response(response, CREATE, has_options=bool(options.page_size or options.scrubbing_rules))
    return _read_created(response)


def read_cursor(cursor: str) -> Flow[Response]:
    """
    Request a page.

    :returns: the response, which may be an error.
    """
    return (yield Request(READ, "GET", f"/v1/data/contacts/cursor/{quote(cursor, safe='')}", ACCEPT))


def get_schemas() -> Flow[list[dict[str, Any]]]:
    """
    Request the contact fields of the number: the only documented source of the types of custom fields.

    Source: https://whatsapp.turn.io/docs/api/contacts

    :returns: one object per field (``name``, ``type``, ``custom``, …), in the server's order.
    """
    response = yield Request(SCHEMAS, "GET", "/v1/contacts/schemas", ACCEPT_AND_SEND)
    if not response.is_success:
        raise error_from_response(response, SCHEMAS)
    try:
        return msgspec.json.decode(response.body, type=_Schemas).fields
    except UNDECODABLE:
        raise contract_error("The response is not an object with a list of fields.", SCHEMAS, response) from None


class _Schemas(msgspec.Struct):
    fields: list[dict[str, Any]]


class _Error(msgspec.Struct):
    code: Annotated[int, msgspec.Meta(ge=1, lt=1_000_000)]


class _Errors(msgspec.Struct):
    errors: list[_Error]


def _error_code(body: bytes) -> int | None:
    try:
        errors = msgspec.json.decode(body, type=_Errors).errors
    except UNDECODABLE:
        return None
    return errors[0].code if errors else None


class _Created(msgspec.Struct):
    cursor: str
    expires_at: Any = None


def _read_created(response: Response) -> Cursor:
    try:
        created = msgspec.json.decode(response.body, type=_Created)
    except UNDECODABLE:
        created = _Created("")
    if not created.cursor:
        raise contract_error("The response has no cursor.", CREATE, response)
    return Cursor(created.cursor, response.date, created.expires_at)


def _round_up(moment: datetime) -> datetime:
    """Round up to milliseconds, the API's resolution; a slightly longer window loses no rows."""
    spare = moment.microsecond % 1000
    return moment + MILLISECOND - moment.resolution * spare if spare else moment


def _wire_time(moment: datetime) -> str:
    """Format a time as in Turn.io's documentation: UTC, truncated to milliseconds."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def is_expired(body: bytes) -> bool:
    """Return whether a refusal says that the cursor has expired."""
    text = body.lower()
    return b"cursor" in text and b"expired" in text


def error_from_response(response: Response, operation: str, *, has_options: bool = False) -> ApiError:
    """Return the error of a response that is not a success."""
    spec = spec_by_status(response, SPEC_BY_STATUS)
    if response.status == 400 and has_options:
        spec = OPTIONS_REFUSED
    return spec.error(operation, response.status, code=_error_code(response.body))


OPTIONS_REFUSED = ErrorSpec(
    RejectedError, f"{REFUSED.message} Some numbers do not accept page_size or scrubbing_rules: remove them."
)
SPEC_BY_STATUS = {
    401: ErrorSpec(
        AuthError,
        "The server does not accept the token. It may have expired or been deleted. Set a new one as the connection's"
        " password.",
    ),
    403: ErrorSpec(
        NotEnabledError,
        "The server denied access. The account's plan or the token does not include the data export, or too many"
        " exports run at once. Use a pool with one slot to run one at a time.",
    ),
    404: ErrorSpec(
        NotEnabledError,
        "The server does not know the path. The connection's host is wrong, or the data export is not enabled for this"
        " account.",
    ),
}
