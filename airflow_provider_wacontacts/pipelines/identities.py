"""Fetch the identities of users who may have changed, and acknowledge them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from airflow_provider_wacontacts.clients.whatsapp_business_errors import UnknownUserError
from airflow_provider_wacontacts.exceptions import ApiError, ContractError, RejectedError
from airflow_provider_wacontacts.identifiers.identifier import InvalidIdentifierError
from airflow_provider_wacontacts.identifiers.numbers import read_number
from airflow_provider_wacontacts.identifiers.whatsapp_ids import read_wa_id
from airflow_provider_wacontacts.pipelines.stop import StopSignal
from airflow_provider_wacontacts.records.identities import Identity
from airflow_provider_wacontacts.store.identities import SenderIdentities, StoredIdentity

__all__ = ["AcknowledgeSummary", "FetchSummary", "IdentityApi", "IdentityRun", "choose_identities", "choose_users"]

REPORT_EVERY_S = 10.0


class IdentityApi(Protocol):
    """The requests about identities, for example of a hook."""

    def get_identity(self, wa_id: str) -> Identity:
        """Fetch the latest identity of a user."""

    def acknowledge_identity(self, wa_id: str, hash: str) -> None:  # noqa: A002 - the vendor's word
        """Acknowledge a user's change."""


@dataclass(slots=True)
class FetchSummary:
    """
    The outcome of fetching identities, as counts and IDs without personal data.

    ``given`` is ``unchanged + changed + unknown``.

    :param sender: name that the identities are stored under.
    :param given: identities to fetch.
    :param unchanged: identities that are still the latest of their users.
    :param changed: identities of users that have changed again since, or had no identity in the store.
    :param unknown: identities of users that the API does not know.
    :param identity_ids: the users' latest identities that are not acknowledged.
    """

    sender: str
    given: int = 0
    unchanged: int = 0
    changed: int = 0
    unknown: int = 0
    identity_ids: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary for XCom and asset events."""
        return asdict(self)


@dataclass(slots=True)
class AcknowledgeSummary:
    """
    The outcome of acknowledging identities, as counts and IDs without personal data.

    ``given`` is ``acknowledged + already_acknowledged + changed + unknown``.

    :param sender: name that the identities are stored under.
    :param given: identities to acknowledge.
    :param acknowledged: acknowledged by this task.
    :param already_acknowledged: acknowledged before.
    :param changed: not acknowledged, because their users have changed again.
    :param unknown: not acknowledged, because the API does not know their users.
    :param changed_ids: the latest identities of the users of ``changed`` that are not acknowledged.
    """

    sender: str
    given: int = 0
    acknowledged: int = 0
    already_acknowledged: int = 0
    changed: int = 0
    unknown: int = 0
    changed_ids: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary for XCom and asset events."""
        return asdict(self)


def choose_identities(
    identities: SenderIdentities, identity_ids: Sequence[int] | None, limit: int
) -> list[StoredIdentity]:
    """
    Return the identities to process.

    :param identity_ids: their IDs; ``None`` for the pending identities, oldest first.
    :param limit: maximum number of pending identities.
    :raises ConfigError: the store does not know some of ``identity_ids``.
    """
    return identities.pending(limit) if identity_ids is None else identities.find(identity_ids)


def choose_users(
    identities: SenderIdentities, rows: Iterable[Mapping[str, Any]], region: str | None
) -> tuple[list[StoredIdentity], int]:
    """
    Return the identities of users, and the count of rows without a known user.

    :param rows: with a WhatsApp ID in ``wa_id``, or a number in ``number`` that a check has found on WhatsApp.
    :param region: two letters, for numbers without a plus sign; ``None`` if unknown.
    :raises LandingError: the store failed.
    """
    users: list[tuple[str | None, str | None]] = [_read_user(row, region) for row in rows]
    wa_ids = identities.wa_ids_of([number for _, number in users if number])
    found = [wa_id or wa_ids.get(number or "") for wa_id, number in users]
    named = [wa_id for wa_id in found if wa_id]
    return identities.of_users(named), len(found) - len(named)


def _read_user(row: Mapping[str, Any], region: str | None) -> tuple[str | None, str | None]:
    """Return the WhatsApp ID of a row, and its number."""
    given = row.get("wa_id")
    wa_id = None if given is None else read_wa_id(str(given))
    try:
        number = None if wa_id or row.get("number") is None else read_number(row["number"], region)
    except InvalidIdentifierError:
        number = None
    return wa_id.value if wa_id else None, number.value if number else None


@dataclass(kw_only=True)
class IdentityRun:
    """
    Processes identities one by one, and records each result immediately.

    An error about a single user is raised after the other users are done.

    :param on_progress: called with the identities processed so far, about every ten seconds.
    :param stop: ends the run early.
    :param monotonic: seconds.
    """

    identities: SenderIdentities
    api: IdentityApi
    on_progress: Callable[[int], None] = lambda _: None
    stop: StopSignal = field(default_factory=StopSignal)
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._first_error: ApiError | None = None

    def fetch(self, chosen: Sequence[StoredIdentity]) -> FetchSummary:
        """
        Fetch and store the latest identity of each user.

        :raises ApiError: a request failed; the results so far are kept.
        :raises LandingError: the store failed.
        :raises Stopped: the run was stopped.
        """
        summary = FetchSummary(self.identities.sender, len(chosen))
        for identity in self._each(chosen):
            with self._collect_errors():
                _count_fetched(summary, identity, self._fetch_latest(identity))
        self._raise_deferred()
        return summary

    def acknowledge(self, chosen: Sequence[StoredIdentity], *, acknowledge_latest: bool = False) -> AcknowledgeSummary:
        """
        Acknowledge identities by their stored hashes. A newer identity of the API is stored, and not acknowledged.

        :param acknowledge_latest: acknowledge the API's latest identity instead.
        :raises ApiError: a request failed; the results so far are kept.
        :raises LandingError: the store failed.
        :raises Stopped: the run was stopped.
        """
        summary = AcknowledgeSummary(self.identities.sender, len(chosen))
        for identity in self._each(chosen):
            with self._collect_errors():
                if identity.acknowledged and not acknowledge_latest:
                    summary.already_acknowledged += 1
                else:
                    _count_acknowledged(summary, *self._acknowledge(identity, acknowledge_latest=acknowledge_latest))
        self._raise_deferred()
        return summary

    def _each(self, chosen: Sequence[StoredIdentity]) -> Iterator[StoredIdentity]:
        reported_at = self.monotonic()
        for processed, identity in enumerate(self.stop.interruptible(chosen)):
            now = self.monotonic()
            if now - reported_at >= REPORT_EVERY_S:
                reported_at = now
                self.on_progress(processed)
            yield identity

    @contextmanager
    def _collect_errors(self) -> Iterator[None]:
        try:
            yield
        except (ContractError, RejectedError) as error:
            self._first_error = self._first_error or error

    def _raise_deferred(self) -> None:
        if self._first_error is not None:
            raise self._first_error

    def _fetch_latest(self, identity: StoredIdentity) -> StoredIdentity | None:
        """Fetch and store a user's latest identity; ``None`` if the API does not know the user."""
        self.stop.sleep(0)
        try:
            latest = self.api.get_identity(identity.wa_id)
        except UnknownUserError:
            self.identities.record_unknown(identity.identity_id)
            return None
        known = identity if identity.identity_id else None
        return self.identities.record_latest(identity.wa_id, latest, instead_of=known)

    def _acknowledge(self, identity: StoredIdentity, *, acknowledge_latest: bool) -> tuple[str, StoredIdentity | None]:
        """
        Acknowledge an identity, unless its user has changed again.

        :returns: the outcome, a field of the summary, and the user's latest identity.
        """
        latest = self._fetch_latest(identity)
        if latest is None:
            return "unknown", None
        if latest.identity_id != identity.identity_id and not acknowledge_latest:
            return "changed", latest
        if latest.acknowledged:
            return "already_acknowledged", latest
        self.stop.sleep(0)
        try:
            self.api.acknowledge_identity(latest.wa_id, latest.hash)
        except RejectedError as error:
            return self._explain_rejection(latest, error)
        self.identities.record_acknowledged(latest.identity_id)
        return "acknowledged", latest

    def _explain_rejection(self, identity: StoredIdentity, error: RejectedError) -> tuple[str, StoredIdentity | None]:
        """
        Find out whether the rejected identity is no longer the user's latest.

        :raises RejectedError: it is still the latest.
        """
        latest = self._fetch_latest(identity)
        if latest is None:
            return "unknown", None
        if latest.identity_id != identity.identity_id:
            return "changed", latest
        if not latest.acknowledged:
            raise error
        return "already_acknowledged", latest


def _count_fetched(summary: FetchSummary, identity: StoredIdentity, latest: StoredIdentity | None) -> None:
    if latest is None:
        summary.unknown += 1
    elif latest.identity_id == identity.identity_id:
        summary.unchanged += 1
    else:
        summary.changed += 1
    if latest is not None and not latest.acknowledged and latest.identity_id not in summary.identity_ids:
        summary.identity_ids.append(latest.identity_id)


def _count_acknowledged(summary: AcknowledgeSummary, outcome: str, latest: StoredIdentity | None) -> None:
    setattr(summary, outcome, getattr(summary, outcome) + 1)
    if latest is None:
        return
    summary.changed_ids = [identity_id for identity_id in summary.changed_ids if identity_id != latest.identity_id]
    if outcome == "changed" and not latest.acknowledged:
        summary.changed_ids.append(latest.identity_id)
