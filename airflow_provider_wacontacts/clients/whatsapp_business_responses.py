"""
Responses and callbacks of the contacts node.

Sources: https://developers.facebook.com/docs/whatsapp/api/contacts and, for callbacks,
https://developers.facebook.com/docs/whatsapp/on-premises/webhooks/inbound
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_wacontacts.clients.errors import contract_error
from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.clients.whatsapp_business_errors import (
    client_version,
    error_from_response,
    from_epoch,
    parse_errors,
    read_fields,
)
from airflow_provider_wacontacts.exceptions import ApiError, RejectedError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind, ids_by_kind
from airflow_provider_wacontacts.records.identities import IdentifierChange, IdentityChange
from airflow_provider_wacontacts.records.json import read_object

__all__ = [
    "RESOLVED",
    "STATUSES",
    "Callback",
    "CheckResponse",
    "ContactResult",
    "is_resolved",
    "next_pause",
    "parse_callback",
    "parse_check_response",
    "status_is_reliable",
]

RESOLVED = frozenset({"valid", "invalid", "failed"})
STATUSES = RESOLVED | {"processing"}

MIN_PAUSE = timedelta(seconds=5)
MAX_PAUSE = timedelta(minutes=2)
#: From this version on, clients return ``valid`` for every number.
ALWAYS_VALID = (2, 43)
_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\D.*)?", re.DOTALL)


def is_resolved(status: str) -> bool:
    """Return whether a status is final; an undocumented one is not."""
    return status in RESOLVED


def next_pause(attempt: int, jitter: float, retry_after: timedelta | None = None) -> timedelta:
    """
    Return the pause before unresolved numbers are requested again.

    It grows from 5 seconds to 2 minutes. A third of it is jitter, so that tasks do not send all at once.

    :param attempt: number of requests so far, 1 and up.
    :param jitter: a random number in [0, 1).
    :param retry_after: lower bound that the server sent; up to a tenth is added.
    """
    growing = min(MIN_PAUSE * (1 << min(attempt - 1, 16)), MAX_PAUSE / 1.5)
    pause = growing * (1 + jitter / 2)
    return pause if retry_after is None else max(pause, retry_after * (1 + jitter / 10))


def status_is_reliable(client_version: str | None) -> bool | None:
    """
    Return whether ``valid`` means that the number is on WhatsApp.

    Clients from v2.43 on return ``valid`` for every number. Source:
    https://developers.facebook.com/docs/whatsapp/on-premises/reference/contacts

    :param client_version: from the response's ``meta``, with or without its ``v``.
    :returns: ``None`` if the version is unknown.
    """
    match = _VERSION.fullmatch((client_version or "").strip())
    return (int(match[1]), int(match[2])) < ALWAYS_VALID if match else None


CALLBACK = "whatsapp_business.callback"
UNKNOWN = "unknown"
#: Longer than any hash of WhatsApp, and short enough for every index.
MAX_HASH_LENGTH = 200
_WORD = re.compile(r"[a-z][a-z_]{0,29}")


@dataclass(frozen=True, slots=True)
class ContactResult:
    """
    The result for one number.

    :param input: the number as it was sent.
    :param status: ``valid``, ``invalid``, ``failed``, ``processing`` or any other word that the server sends;
        ``unknown`` if it is not a word.
    :param wa_id: digits; independent of the status, like ``lid`` and ``user_id``.
    :param known: whether the status is documented.
    """

    input: str = field(repr=False)
    status: str
    wa_id: str | None = field(default=None, repr=False)
    known: bool = True
    lid: str | None = field(default=None, repr=False)
    user_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CheckResponse:
    """
    The response to one check request.

    :param results: by input, in the order of the request.
    :param missing: inputs without a result, in the order of the request.
    :param error_codes: codes of its errors; ``None`` for an error without a code.
    :param unmatched: number of results without an input of the request.
    :param client_version: for example ``v2.45.1``; ``None`` if unknown.
    :param date: its ``Date`` header, timezone-aware; ``None`` if missing.
    :param error: why inputs are missing, if they must be requested later, or no more requests may be sent; otherwise
        ``None``.
    :param from_cache: whether the results are from a cache; ``None`` if the response does not say.
    """

    results: Mapping[str, ContactResult] = field(repr=False)
    missing: Sequence[str] = field(default=(), repr=False)
    error_codes: Sequence[int | None] = ()
    unmatched: int = 0
    client_version: str | None = None
    date: datetime | None = None
    error: ApiError | None = None
    from_cache: bool | None = None


@dataclass(frozen=True, slots=True)
class Callback:
    """
    The part of a webhook's body that concerns contacts. Each list is in the body's order, and may be empty.

    :param results: results of checks.
    :param identities: users with a changed identity.
    :param identifier_changes: users with a new number or user ID.
    :param client_version: for example ``v2.45.1``; ``None`` if unknown.
    :param unreadable: entries of these kinds that cannot be read, by the name of their list.
    """

    results: Sequence[ContactResult] = ()
    identities: Sequence[IdentityChange] = ()
    client_version: str | None = None
    identifier_changes: Sequence[IdentifierChange] = ()
    unreadable: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict, repr=False)


def parse_check_response(response: Response, inputs: Sequence[str], operation: str) -> CheckResponse:
    """
    Parse a 2xx response, and match results to inputs by their ``input``, never by position.

    :raises ApiError: it has errors instead of results.
    :raises ContractError: it is not an object with a list of contacts.
    """
    fields = read_fields(response, operation)
    contacts, errors = fields.get("contacts"), tuple(item.code for item in parse_errors(fields))
    if contacts is None and errors:
        raise error_from_response(response, operation)
    if type(contacts) is not list:
        raise contract_error("The response has no list of contacts.", operation, response)
    found, unmatched = _match_results(contacts, frozenset(inputs))
    results = {text: found[text] for text in inputs if text in found}
    missing = [text for text in dict.fromkeys(inputs) if text not in found]
    refused = error_from_response(response, operation) if errors and missing else None
    if isinstance(refused, RejectedError):
        # It concerns these numbers only; others may still be requested.
        refused = None
    if refused is not None and not results:
        raise refused
    return CheckResponse(results, missing, errors, unmatched, client_version(fields), response.date, refused)


def parse_callback(body: bytes) -> Callback:
    """
    Parse the part of a webhook's body that concerns contacts: results of checks, changed identities and identifiers.

    Profiles, messages and receipts are ignored.

    :raises ContractError: the body is not a JSON object.
    """
    try:
        delivery = read_object(body)
    except ValueError:
        raise contract_error("The callback is not a JSON object.", CALLBACK) from None
    results: list[ContactResult] = []
    identities: list[IdentityChange] = []
    identifier_changes: list[IdentifierChange] = []
    unreadable: dict[str, list[Mapping[str, Any]]] = {}
    for entry in _json_objects(delivery, "contacts"):
        if result := _parse_result(entry):
            results.append(result)
        elif _is_result(entry):
            unreadable.setdefault("contacts", []).append(entry)
    for message in _json_objects(delivery, "messages"):
        try:
            identities += _identity_changes(message)
            identifier_changes += _identifier_changes(message)
        except ValueError:
            unreadable.setdefault("messages", []).append(message)
    return Callback(results, identities, client_version(delivery), tuple(identifier_changes), unreadable)


def _match_results(contacts: Sequence[Any], inputs: frozenset[str]) -> tuple[dict[str, ContactResult], int]:
    """Return results by input, and the number of results without one."""
    found: dict[str, ContactResult] = {}
    unmatched = 0
    for entry in contacts:
        if type(entry) is not dict:
            continue
        result = _parse_result({"status": ""} | {name: value for name, value in entry.items() if value is not None})
        if result is None or result.input not in inputs:
            unmatched += 1
        elif result.input not in found or _rank(result) > _rank(found[result.input]):
            found[result.input] = result
    return found, unmatched


def _rank(result: ContactResult) -> tuple[bool, bool]:
    """Rank two results of one input: final before unresolved, ``valid`` and ``invalid`` before ``failed``."""
    return result.status in RESOLVED, result.status in ("valid", "invalid")


def _parse_result(entry: Mapping[str, Any]) -> ContactResult | None:
    text, status = entry.get("input"), entry.get("status")
    if type(text) is not str or status is None:
        return None
    word = status if type(status) is str and _WORD.fullmatch(status) else UNKNOWN
    ids = ids_by_kind(entry.get("wa_id"), entry.get("user_id"))
    return ContactResult(text, word, known=word in STATUSES, **ids._asdict())


def _is_result(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry is the result of a check, and not the profile of a message's sender."""
    return "profile" not in entry and (entry.get("input") is not None or entry.get("status") is not None)


def _identity_changes(message: Mapping[str, Any]) -> Iterator[IdentityChange]:
    """
    Yield the changed identity that a message reports.

    :raises ValueError: it reports one that cannot be read, for example of a user whose number is hidden.
    """
    system = message.get("system")
    if type(system) is not dict or system.get("type") != "user_identity_changed":
        return
    wa_id, identity = ids_by_kind(system.get("user"), message.get("from")).wa_id, system.get("identity")
    if wa_id is None or type(identity) is not str or not 0 < len(identity) <= MAX_HASH_LENGTH:
        raise ValueError
    yield IdentityChange(wa_id, identity, from_epoch(message.get("timestamp"), timedelta(seconds=1)))


def _identifier_changes(message: Mapping[str, Any]) -> list[IdentifierChange]:
    """
    Return the identifiers that a user has replaced with new ones.

    :raises ValueError: the message reports a change that cannot be read.
    """
    system = message.get("system")
    if type(system) is not dict or system.get("type") not in ("user_changed_number", "user_changed_user_id"):
        return []
    # On-premises clients name the field new_wa_id, and the Cloud API names it wa_id.
    previous = ids_by_kind(system.get("previous_user_id"), system.get("user"), message.get("from"))
    current = ids_by_kind(
        system.get("new_wa_id"), system.get("wa_id"), system.get("user_id"), message.get("from_user_id")
    )
    at = from_epoch(message.get("timestamp"), timedelta(seconds=1))
    read = [
        IdentifierChange(Identifier(Kind(kind), before), Identifier(Kind(kind), after), at)
        for kind, before, after in zip(IdsByKind._fields, previous, current, strict=True)
        if before and after
    ]
    if not read:
        raise ValueError
    return [change for change in read if change.previous != change.current]


def _json_objects(delivery: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    entries = delivery.get(name)
    yield from (entry for entry in (entries if type(entries) is list else []) if type(entry) is dict)
