"""
GREEN-API's methods for the contacts of an account, as flows.

Public sources: https://green-api.com/en/docs/api/service/GetContacts/,
https://green-api.com/en/docs/api/account/GetStateInstance and
https://green-api.com/en/docs/api/account/GetWaSettings/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.exceptions import (
    ApiError,
    AuthError,
    ContractError,
    NotEnabledError,
    RejectedError,
    TransientError,
)
from airflow_provider_wacontacts.records.arguments import validate_int
from airflow_provider_wacontacts.records.green_api import SOURCE, Snapshot, parse_snapshot

__all__ = [
    "AUTHORIZED",
    "Instance",
    "WaSettings",
    "contract_error",
    "error_from_response",
    "error_message",
    "expect_usable",
    "get_contacts",
    "get_state",
    "get_usable_state",
    "get_wa_settings",
    "normalize_status",
]

CLIENT_CLOSED_REQUEST = 499
GATEWAY_TIMEOUT = 504


@dataclass(frozen=True, slots=True)
class _ErrorSpec:
    kind: type[ApiError]
    message: str


_SCAN = "scan its QR code in GREEN-API's console"
_STARTING = _ErrorSpec(TransientError, "the instance is starting, which takes up to 5 minutes; try again later")
_NOT_AUTHORIZED = _ErrorSpec(NotEnabledError, f"the instance is not authorized; {_SCAN}")

#: By the text of a 400 Bad Request; the first match counts.
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
_REDIRECT = _ErrorSpec(RejectedError, "the server answers with a redirect, which is not followed; correct the host")

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
    """Turn 499 into 504 Gateway Timeout: the server was too slow, and the request was not wrong."""
    if response.status != CLIENT_CLOSED_REQUEST:
        return response
    return Response(GATEWAY_TIMEOUT, response.headers, response.body)


def error_from_response(response: Response, operation: str) -> ApiError:
    """Return the error for a response."""
    return _error(_error_spec(response), operation, response.status)


def contract_error(what: str, operation: str, response: Response) -> ContractError:
    """Return the error for a response that is not as documented."""
    return ContractError(what, source=SOURCE, operation=operation, status=response.status)


def expect_usable(state: str, operation: str) -> None:
    """
    Raise an error for a state in which contacts cannot be read.

    Unknown states are accepted, and so are ``yellowCard`` and ``suspended``, which limit sending only.

    :param state: as the response has it; empty if it has none.
    :raises TransientError: the state ends without intervention.
    :raises NotEnabledError: the user has to intervene; the message says how.
    """
    meaning = _BY_STATE.get(state)
    if meaning is not None:
        raise _error(meaning, operation)


def _error(meaning: _ErrorSpec, operation: str, status: int | None = None) -> ApiError:
    return meaning.kind(meaning.message, source=SOURCE, operation=operation, status=status)


def _error_spec(response: Response) -> _ErrorSpec:
    if 300 <= response.status < 400:
        return _REDIRECT
    if response.status == 400:
        said = error_message(response.body)
        return next((meaning for text, meaning in _BY_TEXT.items() if text in said), _REFUSED)
    return _BY_STATUS.get(response.status, _REFUSED)


class _Message(msgspec.Struct):
    message: str = ""


def error_message(body: bytes) -> str:
    """Return an error's ``message`` in lower case, or the whole body if it has none."""
    try:
        return msgspec.json.decode(body, type=_Message).message.lower()
    except (msgspec.DecodeError, UnicodeDecodeError):
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
    :param api_token: ``apiTokenInstance``, as the console shows it.
    """

    id_instance: str
    api_token: str = field(repr=False)

    @property
    def secrets(self) -> tuple[str, str]:
        """The token, in clear and as a path has it."""
        return self.api_token, quote(self.api_token, safe="")

    def path(self, method: str) -> str:
        """Return the path of a method, such as ``getContacts``. The token is part of it: never to be logged."""
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
    asked = {"group": None if group is None else str(bool(group)).lower(), "count": count}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    path = instance.path("getContacts")
    response = yield Request(CONTACTS, "GET", f"{path}?{query}" if query else path, ACCEPT)
    if not response.is_success:
        raise error_from_response(response, CONTACTS)
    try:
        return parse_snapshot(response.body, response.date)
    except ValueError as error:
        raise contract_error(str(error), CONTACTS, response) from None


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
    answer = _read_object(response, SETTINGS)
    state = _read_state(answer, SETTINGS, response)
    return WaSettings(state, _percent((answer or {}).get("historySyncProgress")))


def _read_object(response: Response, operation: str) -> dict[str, Any] | None:
    """Return a response's object; ``None`` for null or an empty body, while the instance is being created."""
    if not response.is_success:
        raise error_from_response(response, operation)
    try:
        return msgspec.json.decode(response.body.strip() or b"null", type=dict[str, Any] | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wrong = contract_error("not an object", operation, response)
    raise wrong


def _read_state(answer: dict[str, Any] | None, operation: str, response: Response) -> str:
    state = None if answer is None else answer.get("stateInstance", answer)
    if state is not None and type(state) is not str:
        raise contract_error("not an object with a stateInstance", operation, response)
    return state if state and _WORD.fullmatch(state) else UNKNOWN if state else ""


def _percent(value: object) -> float | None:
    if type(value) is str:
        value = value.strip().removesuffix("%")
    try:
        percent = float(value) if type(value) in (int, float, str) else -1.0  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None
    return percent if 0 <= percent <= 100 else None
