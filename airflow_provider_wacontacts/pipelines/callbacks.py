"""Record the events that a WhatsApp Business API client posts to a webhook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from airflow_provider_wacontacts.clients.whatsapp_business_responses import (
    ContactResult,
    is_resolved,
    parse_callback,
)
from airflow_provider_wacontacts.identifiers.identifier import InvalidIdentifierError
from airflow_provider_wacontacts.identifiers.numbers import infer_region, read_number
from airflow_provider_wacontacts.pipelines.check_results import to_number_result
from airflow_provider_wacontacts.records.identities import IdentifierChange, IdentityChange
from airflow_provider_wacontacts.records.json import encode
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.checks.model import CheckResults, NumberResult
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.rejected_deliveries import store_rejected_deliveries
from airflow_provider_wacontacts.store.store import Store

__all__ = [
    "UNREADABLE",
    "UNREADABLE_ENTRIES",
    "Delivery",
    "RecordedCallback",
    "parse_delivery",
    "record_delivery",
    "reject_deliveries",
]

Results: TypeAlias = dict[str, NumberResult]
#: Results that are recorded in one transaction. Deliveries share one up to as many results, and as many changes.
BATCH_SIZE = 1_000
#: Reasons stored with a rejected delivery.
UNREADABLE = "delivery that is not a JSON object"
UNREADABLE_ENTRIES = "delivery with entries that cannot be read"


@dataclass(frozen=True, slots=True)
class RecordedCallback:
    """
    Counts of a delivery. Each number or identity counts once, even if it was already stored.

    :param results: numbers with a check result.
    :param identities: new identities of users.
    :param identifier_changes: identifiers that users have replaced with new ones.
    :param ignored: entries that cannot be read, or have no valid number.
    """

    results: int = 0
    identities: int = 0
    identifier_changes: int = 0
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    The part of a delivery that is recorded.

    :param results: by number.
    :param invalid: entries that cannot be read, or have no valid number.
    :param unreadable: for each delivery with entries that cannot be read, only these entries, as JSON.
    """

    results: Results = field(repr=False)
    identities: Sequence[IdentityChange] = field(repr=False)
    identifier_changes: Sequence[IdentifierChange] = field(repr=False)
    client_version: str | None
    invalid: int
    unreadable: Sequence[bytes] = field(default=(), repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to record, except entries that cannot be read."""
        return not (self.results or self.identities or self.identifier_changes)

    def with_next(self, other: Delivery) -> Delivery | None:
        """
        Merge this delivery with the next one, to record both in one transaction.

        :returns: ``None`` if they must be recorded separately: they have results of the same numbers, too many results
            or changes, or different client versions.
        """
        changes = max(
            len(self.identities) + len(other.identities),
            len(self.identifier_changes) + len(other.identifier_changes),
        )
        if changes > BATCH_SIZE:
            return None
        results = {**self.results, **other.results}
        are_different = len(results) == len(self.results) + len(other.results)
        versions = {each.client_version for each in (self, other) if each.results}
        if not are_different or len(results) > BATCH_SIZE or len(versions) > 1:
            return None
        return Delivery(
            results,
            [*self.identities, *other.identities],
            [*self.identifier_changes, *other.identifier_changes],
            next(iter(versions), None),
            self.invalid + other.invalid,
            [*self.unreadable, *other.unreadable],
        )

    @property
    def counts(self) -> RecordedCallback:
        """The delivery's counts."""
        return RecordedCallback(
            results=len(self.results),
            identities=len({(change.wa_id, change.hash) for change in self.identities}),
            identifier_changes=len({(change.previous, change.current) for change in self.identifier_changes}),
            ignored=self.invalid,
        )


def parse_delivery(body: bytes, sender: str) -> Delivery:
    """
    Parse a delivery. Messages, receipts and profiles are ignored.

    :param sender: name that the results are stored under. If it is a number, its region applies to numbers without a
        plus sign.
    :raises ContractError: the body is not a JSON object. The error does not quote it.
    """
    callback = parse_callback(body)
    results, invalid = _by_number(callback.results, sender)
    return Delivery(
        results,
        callback.identities,
        callback.identifier_changes,
        callback.client_version,
        invalid + sum(map(len, callback.unreadable.values())),
        [encode(callback.unreadable)] if callback.unreadable else (),
    )


def record_delivery(
    store: Store, sender: str, delivery: Delivery, *, verified: bool, received_at: datetime | None = None
) -> None:
    """
    Record a delivery in a store whose tables exist. Up to 1,000 results and all changes share a transaction.

    It is idempotent and order-independent.

    :param verified: whether the delivery is authenticated as the client's. If not, WhatsApp IDs in results are ignored.
    :param received_at: when it arrived, timezone-aware; ``None`` for now, by the database's clock.
    :raises LandingError: the database failed. The client must repeat the delivery.
    """
    at = received_at or datetime.now(UTC)
    checks = SenderChecks(store.context, sender)
    identities, identifiers = delivery.identities, delivery.identifier_changes
    # A delivery without results may have changes.
    for batch in batched(delivery.results.items(), BATCH_SIZE) if delivery.results else ([],):
        received = CheckResults(dict(batch), at, at, delivery.client_version, arrives_now=received_at is None)
        checks.record_delivered(received, verified=verified, identities=identities, identifiers=identifiers)
        identities, identifiers = (), ()


def reject_deliveries(store: Store, reason: str, bodies: Iterable[bytes]) -> None:
    """
    Store deliveries, or the entries of deliveries, that cannot be read, each once, even if it is repeated.

    :param reason: :data:`UNREADABLE` or :data:`UNREADABLE_ENTRIES`.
    :raises LandingError: the database failed. The client must repeat the deliveries.
    """
    store_rejected_deliveries(store.context, reason, bodies)


def _by_number(entries: Iterable[ContactResult], sender: str) -> tuple[Results, int]:
    """Return the results by number, preferring final ones, and the count of entries without a valid number."""
    results: Results = {}
    invalid, region = 0, infer_region(sender)
    for entry in entries:
        try:
            number = read_number(entry.input, region).value
        except InvalidIdentifierError:
            invalid += 1
            continue
        if number not in results or is_resolved(entry.status):
            results[number] = to_number_result(entry)
    return results, invalid
