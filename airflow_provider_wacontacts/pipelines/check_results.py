"""Convert the check results of a response into the store's results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from airflow_provider_wacontacts.clients.green_api_checks import CLIENT_VERSION
from airflow_provider_wacontacts.clients.http import MAX_CLOCK_DIFFERENCE
from airflow_provider_wacontacts.clients.whatsapp_business_responses import (
    CheckResponse,
    ContactResult,
    status_is_reliable,
)
from airflow_provider_wacontacts.store.checks.model import MISSING, CheckResults, NumberResult

__all__ = ["is_reliable", "is_shareable", "to_number_result", "to_store_results"]

#: Statuses that only the store sets. If a server returns one of these, the status is ``unknown``.
RESERVED_STATUSES = frozenset({MISSING, "rejected", "not_asked"})
UNKNOWN = "unknown"
#: A response dated outside this range comes from a wrong clock: its results would stay newest for too long, or be stale
#: at once.
MAX_BEHIND = timedelta(days=365)


def is_reliable(client_version: str | None) -> bool | None:
    """Return whether ``valid`` means that the number is on WhatsApp; ``None`` if the version is unknown."""
    return client_version == CLIENT_VERSION or status_is_reliable(client_version)


def is_shareable(client_version: str | None) -> bool:
    """Return whether another sender may reuse the result: not if the client returns ``valid`` for every number."""
    return is_reliable(client_version) is not False


def to_store_results(
    response: CheckResponse, numbers: Sequence[str], *, asked_at: datetime, forced: bool = False
) -> CheckResults:
    """
    Return a result for each number of a request: ``missing`` if the response has none and does not refuse the number.

    :param numbers: E.164, as sent.
    :param asked_at: time of the request, by the database's clock. It replaces a missing or wrong date of the response.
    """
    expected = numbers if response.error is None else ()
    results = dict.fromkeys(expected, NumberResult(MISSING))
    results |= {number: to_number_result(result) for number, result in response.results.items()}
    answered_at = response.date or asked_at
    if not -MAX_BEHIND <= answered_at - asked_at <= MAX_CLOCK_DIFFERENCE:
        answered_at = asked_at
    is_real = forced if response.from_cache is None else not response.from_cache
    return CheckResults(results, asked_at, answered_at, response.client_version, is_real)


def to_number_result(result: ContactResult) -> NumberResult:
    """Return the server's result, with status ``unknown`` if the server returned one of the store's own."""
    status = UNKNOWN if result.status in RESERVED_STATUSES else result.status
    return NumberResult(status, result.wa_id, result.lid, result.user_id)
