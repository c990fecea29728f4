"""
GREEN-API's methods for the contacts of an account, as flows.

Public sources: https://green-api.com/en/docs/api/service/GetContacts/,
https://green-api.com/en/docs/api/account/GetStateInstance and
https://green-api.com/en/docs/api/account/GetWaSettings/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from airflow_provider_wacontacts.clients.errors import REFUSED, ErrorSpec, contract_error, spec_by_status
from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.exceptions import ApiError, AuthError, NotEnabledError, TransientError
from airflow_provider_wacontacts.records.arguments import validate_int
from airflow_provider_wacontacts.records.green_api import Snapshot, parse_snapshot
from airflow_provider_wacontacts.records.json import UNDECODABLE, read_object

__all__ = [
    "AUTHORIZED",
    "CONTACTS",
    "REQUEST_INTERVAL",
    "SETTINGS",
    "Instance",
    "WaSettings",
    "error_from_response",
    "error_message",
    "expect_usable",
    "get_contacts",
    "get_state",
    "get_usable_state",
    "get_wa_settings",
    "normalize_status",
]

#: One request a second is allowed. A fifth longer, because requests do not all take the same time to arrive.
REQUEST_INTERVAL = timedelta(seconds=1.2)
CLIENT_CLOSED_REQUEST = 499
GATEWAY_TIMEOUT = 504


SCAN = "Scan its QR code in GREEN-API's console."
STARTING = ErrorSpec(TransientError, "The instance is starting, which takes up to 5 minutes. Try again later.")
NOT_AUTHORIZED = ErrorSpec(NotEnabledError, f"The instance is not authorized. {SCAN}")

#: Errors by the text of a 400 Bad Request; the first match counts.
SPEC_BY_TEXT = {
    "starting or not authorized": ErrorSpec(
        TransientError, f"The instance is starting, or not authorized. Try again in 5 minutes. If that fails: {SCAN}"
    ),
    "starting": STARTING,
    "not authorized": NOT_AUTHORIZED,
    "expired": ErrorSpec(
        NotEnabledError, "The instance has expired. Renew it in GREEN-API's console. If it is new, wait 5 minutes."
    ),
    "deleted": ErrorSpec(NotEnabledError, "The instance is deleted. Correct the connection's login."),
}
SPEC_BY_STATUS = {
    401: ErrorSpec(
        AuthError, "The server does not accept the token. Set the instance's apiTokenInstance as connection password."
    ),
    403: ErrorSpec(
        NotEnabledError,
        "The server denied access. The connection's host must be the instance's apiUrl, and its login the idInstance.",
    ),
    404: ErrorSpec(
        NotEnabledError, "The server does not know the path. The connection's host must be the instance's apiUrl."
    ),
    466: ErrorSpec(
        NotEnabledError, "The quota of the plan is used up. Change the plan, or wait for the 1st of the month."
    ),
}
SPEC_BY_STATE = {
    "": ErrorSpec(TransientError, "The instance is being created and has no state yet. Try again in a few minutes."),
    "starting": STARTING,
    "sleepMode": ErrorSpec(
        TransientError, "The instance's phone is switched off. It may take 5 minutes to come back. Try again later."
    ),
    "notAuthorized": NOT_AUTHORIZED,
    "pendingCode": NOT_AUTHORIZED,
    "pendingPassword": NOT_AUTHORIZED,
    "blocked": ErrorSpec(NotEnabledError, "WhatsApp has banned the instance's account. Use another number."),
}


def normalize_status(response: Response) -> Response:
    """Turn 499 into 504 Gateway Timeout: the server was too slow, and the request was not wrong."""
    if response.status != CLIENT_CLOSED_REQUEST:
        return response
    return Response(GATEWAY_TIMEOUT, response.headers, response.body)


def error_from_response(response: Response, operation: str) -> ApiError:
    """Return the error for a response."""
    return _error_spec(response).error(operation, response.status)


def expect_usable(state: str, operation: str) -> None:
    """
    Raise an error for a state in which contacts cannot be read.

    Unknown states are accepted, and so are ``yellowCard`` and ``suspended``, which limit sending only.

    :param state: state in the response; empty if there is none.
    :raises TransientError: the state changes without intervention.
    :raises NotEnabledError: the user has to intervene; the message says how.
    """
    spec = SPEC_BY_STATE.get(state)
    if spec is not None:
        raise spec.error(operation)


def _error_spec(response: Response) -> ErrorSpec:
    if response.status == 400:
        message = error_message(response.body)
        return next((spec for text, spec in SPEC_BY_TEXT.items() if text in message), REFUSED)
    return spec_by_status(response, SPEC_BY_STATUS)


class _Message(msgspec.Struct):
    message: str = ""


def error_message(body: bytes) -> str:
    """Return an error's ``message`` in lower case, or the whole body if it has none."""
    try:
        return msgspec.json.decode(body, type=_Message).message.lower()
    except UNDECODABLE:
        return body.decode("utf-8", "replace").lower()


CONTACTS = "green_api.contacts.get"
STATE = "green_api.state.get"
SETTINGS = "green_api.wa_settings.get"
ACCEPT = {"accept": "application/json"}
#: The only state in which an instance's contact list is reliable.
AUTHORIZED = "authorized"
UNKNOWN = "unknown"
_WORD = re.compile("[A-Za-z]{1,40}")


@dataclass(frozen=True, slots=True)
class Instance:
    """
    An account at GREEN-API, and its token.

    :param id_instance: digits, any number of them.
    :param api_token: ``apiTokenInstance``, as shown in the console.
    """

    id_instance: str
    api_token: str = field(repr=False)

    @property
    def secrets(self) -> tuple[str, str]:
        """The token, plain and quoted for a path."""
        return self.api_token, quote(self.api_token, safe="")

    def path(self, method: str) -> str:
        """Return the path of a method, such as ``getContacts``. It contains the token: never log it."""
        return f"/waInstance{self.id_instance}/{method}/{self.secrets[1]}"


@dataclass(frozen=True, slots=True)
class WaSettings:
    """
    Settings of the WhatsApp account of an instance.

    :param state: see :func:`get_state`.
    :param history_sync_progress: percent of the account's history that is loaded, 0 to 100; ``None`` if unknown.
    """

    state: str
    history_sync_progress: float | None = None


def get_contacts(instance: Instance, *, group: bool | None = None, count: int | None = None) -> Flow[Snapshot]:
    """
    Request all contacts of an account. They are up to 5 minutes old.

    :param group: ``True`` for groups only, ``False`` for people only; both by default.
    :param count: maximum number of contacts, 1 and up; all by default. The API does not document which ones.
    :returns: the contacts, in the server's order. An empty list can mean no contacts, or that they are not loaded yet.
    :raises ConfigError: ``count`` is invalid; nothing is sent.
    :raises TransientError: the instance is starting.
    :raises PermanentError: the server refused the request.
    :raises ContractError: a 2xx response that is not a list of objects.
    """
    if count is not None:
        validate_int("count", count, 1)
    options = {"group": None if group is None else str(bool(group)).lower(), "count": count}
    query = urlencode({name: value for name, value in options.items() if value is not None})
    path = instance.path("getContacts")
    response = yield Request(CONTACTS, "GET", f"{path}?{query}" if query else path, ACCEPT)
    if not response.is_success:
        raise error_from_response(response, CONTACTS)
    try:
        return parse_snapshot(response.body, response.date)
    except ValueError:
        raise contract_error("The response is not a list of contacts.", CONTACTS, response) from None


def get_state(instance: Instance) -> Flow[str]:
    """
    Request the state of an instance.

    :returns: ``authorized``, ``notAuthorized``, ``blocked``, ``starting`` or any other word that the server sends;
        ``unknown`` if it is not a word; empty while the instance is being created.
    :raises ContractError: the response has no state.
    """
    response = yield Request(STATE, "GET", instance.path("getStateInstance"), ACCEPT)
    return _read_state(_read_object(response, STATE), STATE, response)


def get_usable_state(instance: Instance) -> Flow[str]:
    """
    Request the state of an instance, and raise an error if contacts cannot be read in it.

    :returns: see :func:`get_state`.
    :raises TransientError: the instance is starting, or is being created.
    :raises NotEnabledError: the user has to intervene; the message says how.
    """
    state = yield from get_state(instance)
    expect_usable(state, STATE)
    return state


def get_wa_settings(instance: Instance) -> Flow[WaSettings]:
    """
    Request how much of the account's history an instance has loaded.

    :raises ContractError: the response is not an object with a state.
    """
    response = yield Request(SETTINGS, "GET", instance.path("getWaSettings"), ACCEPT)
    settings = _read_object(response, SETTINGS)
    state = _read_state(settings, SETTINGS, response)
    return WaSettings(state, _percent((settings or {}).get("historySyncProgress")))


def _read_object(response: Response, operation: str) -> dict[str, Any] | None:
    """Return a response's object; ``None`` for null or an empty body, while the instance is being created."""
    if not response.is_success:
        raise error_from_response(response, operation)
    body = response.body.strip()
    try:
        return None if body in (b"", b"null") else read_object(body)
    except ValueError:
        raise contract_error("The response is not a JSON object.", operation, response) from None


def _read_state(fields: dict[str, Any] | None, operation: str, response: Response) -> str:
    state = None if fields is None else fields.get("stateInstance", fields)
    if state is not None and type(state) is not str:
        raise contract_error("The response has no stateInstance.", operation, response)
    return state if state and _WORD.fullmatch(state) else UNKNOWN if state else ""


def _percent(value: object) -> float | None:
    if type(value) is str:
        value = value.strip().removesuffix("%")
    try:
        percent = float(value) if type(value) in (int, float, str) else -1.0  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None
    return percent if 0 <= percent <= 100 else None
