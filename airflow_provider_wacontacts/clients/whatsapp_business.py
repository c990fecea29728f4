"""
The contacts node of the WhatsApp Business API, as flows: checks of numbers, and identities.

The on-premises client and compatible gateways implement it:
https://developers.facebook.com/docs/whatsapp/api/contacts
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from airflow_provider_wacontacts.clients.errors import contract_error
from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.clients.whatsapp_business_errors import (
    error_codes,
    error_from_response,
    from_epoch,
    parse_errors,
    read_fields,
)
from airflow_provider_wacontacts.clients.whatsapp_business_responses import (
    MAX_HASH_LENGTH,
    CheckResponse,
    parse_check_response,
)
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.whatsapp_ids import read_wa_id
from airflow_provider_wacontacts.records.identities import Identity
from airflow_provider_wacontacts.records.json import read_object

__all__ = [
    "MAX_INPUTS",
    "REQUESTS_A_SECOND",
    "acknowledge_identity",
    "check_contacts",
    "get_identity",
    "probe_contacts",
]

CHECK = "whatsapp_business.contacts.check"
IDENTITY = "whatsapp_business.identity.get"
ACKNOWLEDGE = "whatsapp_business.identity.acknowledge"
CONTACTS_PATH = "/v1/contacts"
JSON = {"accept": "application/json", "content-type": "application/json"}
#: Maximum numbers in one request; no server is known to accept more.
MAX_INPUTS = 1000
#: Clients allow 20 requests per second of all kinds.
REQUESTS_A_SECOND = 19.5
#: Error codes for a missing or invalid parameter: the response to a check without numbers.
NO_NUMBER = {1008, 1009}
UNKNOWN_USER = "The server has no identity of this user."


def check_contacts(
    inputs: Sequence[str], *, blocking: str = "no_wait", force_check: bool = False, idempotent: bool = True
) -> Flow[CheckResponse]:
    """
    Check which numbers are on WhatsApp, and fetch their WhatsApp IDs.

    :param inputs: 1 to 1,000 distinct numbers, preferably with plus sign and country code.
    :param blocking: ``wait`` until all are resolved, or ``no_wait``: unresolved numbers are ``processing``.
    :param force_check: bypass the client's 7-day cache. Avoid: it is the main cause of bans.
    :param idempotent: see :class:`~.http.Request`. With ``wait`` it never is.
    :raises ConfigError: an argument is invalid.
    :raises WaContactsError: there was no response with results.
    """
    numbers = tuple(inputs)
    if isinstance(inputs, (str, bytes)) or not all(isinstance(number, str) for number in numbers):
        raise ConfigError("inputs must be a list of strings, for example ['+16315551001'].")
    if not isinstance(force_check, bool):
        raise ConfigError(f"force_check is of type {type(force_check).__name__}. It must be True or False.")
    if not 1 <= len(numbers) <= MAX_INPUTS:
        raise ConfigError(f"inputs has {len(numbers)} numbers. A request takes 1 to {MAX_INPUTS}.")
    if blocking not in ("no_wait", "wait"):
        raise ConfigError(f"blocking is {blocking!r}. It must be 'no_wait' or 'wait'.")
    # A client that is slow may look each number up again for each ``wait``.
    repeatable = idempotent and blocking == "no_wait"
    response = yield _check_request(numbers, blocking=blocking, force_check=force_check, idempotent=repeatable)
    if not response.is_success:
        raise error_from_response(response, CHECK)
    return parse_check_response(response, numbers, CHECK)


def probe_contacts() -> Flow[None]:
    """
    Send a check without numbers: it tests host and credentials, and changes nothing.

    :raises WaContactsError: the host or the credentials are wrong.
    """
    response = yield _check_request((), blocking="no_wait", force_check=False)
    if not response.is_success and not _has_errors(response.body):
        raise error_from_response(response, CHECK)
    fields = read_fields(response, CHECK)
    errors = parse_errors(fields)
    codes = error_codes(errors)
    misses_numbers = response.status in (200, 400) and bool(codes) and codes <= NO_NUMBER
    if not misses_numbers and (errors or not response.is_success):
        raise error_from_response(response, CHECK)
    if fields and not misses_numbers and not {"contacts", "meta"} & set(fields):
        raise contract_error("The response has no list of contacts.", CHECK, response)


def get_identity(wa_id: str) -> Flow[Identity]:
    """
    Request the latest identity of a user.

    :param wa_id: WhatsApp ID that a check returned.
    :raises UnknownUserError: the server does not know the user.
    :raises ContractError: the response has no identity.
    """
    response = yield Request(IDENTITY, "GET", _identity_path(wa_id), {"accept": "application/json"})
    if not response.is_success:
        raise error_from_response(response, IDENTITY, unknown=UNKNOWN_USER)
    fields = read_fields(response, IDENTITY)
    identity = fields.get("contacts")
    if identity is None and fields.get("errors"):
        raise error_from_response(response, IDENTITY, unknown=UNKNOWN_USER)
    return _read_identity(identity, response)


def acknowledge_identity(wa_id: str, hash: str) -> Flow[None]:  # noqa: A002 - the vendor's word
    """
    Acknowledge a user's identity change, so that messages to the user are sent again. It is idempotent.

    :param hash: hash of the identity that was reviewed; a newer identity stays unacknowledged.
    :raises RejectedError: the server has another hash, or no such user (:class:`UnknownUserError`).
    """
    if not hash:
        raise ConfigError("hash is empty. Set it to the hash of the identity.")
    body = msgspec.json.encode({"hash": hash})
    response = yield Request(ACKNOWLEDGE, "PUT", _identity_path(wa_id), JSON, body)
    if not response.is_success or _has_errors(response.body):
        raise error_from_response(response, ACKNOWLEDGE, unknown=UNKNOWN_USER)


def _check_request(numbers: Sequence[str], *, blocking: str, force_check: bool, idempotent: bool = True) -> Request:
    body = msgspec.json.encode({"blocking": blocking, "contacts": numbers, "force_check": force_check})
    return Request(CHECK, "POST", CONTACTS_PATH, JSON, body, idempotent=idempotent)


def _identity_path(wa_id: str) -> str:
    identifier = read_wa_id(wa_id)
    if identifier is None:
        raise ConfigError("wa_id is not a WhatsApp ID of 7 to 15 digits. Set it to the wa_id that a check returned.")
    return f"{CONTACTS_PATH}/{identifier.value}/identity"


def _read_identity(value: Any, response: Response) -> Identity:
    if type(value) is not dict or type(value.get("hash")) is not str or not 1 <= len(value["hash"]) <= MAX_HASH_LENGTH:
        raise contract_error("The response has no hash of a contact.", IDENTITY, response)
    acknowledged = str(value.get("acknowledged") or False).lower()
    if acknowledged not in ("true", "false"):
        raise contract_error("The response's acknowledged is neither true nor false.", IDENTITY, response)
    created_at = from_epoch(value.get("created_timestamp"), timedelta(milliseconds=1))
    return Identity(value["hash"], created_at, acknowledged == "true")


def _has_errors(body: bytes) -> bool:
    try:
        return bool(parse_errors(read_object(body)))
    except ValueError:
        return False
