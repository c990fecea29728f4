"""Look at what users have changed to, and acknowledge it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from airflow_provider_wacontacts.clients.whatsapp_business import UnknownUserError
from airflow_provider_wacontacts.exceptions import ApiError, ContractError, RejectedError
from airflow_provider_wacontacts.pipelines.check_numbers import Surroundings
from airflow_provider_wacontacts.records.identities import Identity
from airflow_provider_wacontacts.store.identities import SenderIdentities, StoredIdentity

__all__ = ["AcknowledgeSummary", "IdentityApi", "LookSummary", "acknowledge", "chosen", "look"]

#: Clients allow 20 requests a second, and checks need most of them.
REQUESTS_A_SECOND = 5.0
REPORT_EVERY_S = 10.0


class IdentityApi(Protocol):
    """Whatever asks about identities, a hook say."""

    def get_identity(self, wa_id: str) -> Identity:
        """Ask for the latest identity of a user."""

    def acknowledge_identity(self, wa_id: str, hash: str) -> None:  # noqa: A002 - the vendor's word
        """Acknowledge a user's change."""


@dataclass(slots=True)
class LookSummary:
    """
    A look at identities in figures and ids: nothing personal, nothing but what JSON has.

    ``given`` is ``unchanged + changed + unknown``.

    :param sender: what they are filed under.
    :param given: identities that were looked at.
    :param unchanged: still the latest of their users.
    :param changed: their users have changed again since.
    :param unknown: the API does not know their users.
    :param identity_ids: what the users' latest identities are, where they are not acknowledged.
    """

    sender: str
    given: int = 0
    unchanged: int = 0
    changed: int = 0
    unknown: int = 0
    identity_ids: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the dictionary that XCom and asset events carry."""
        return asdict(self)


@dataclass(slots=True)
class AcknowledgeSummary:
    """
    What was acknowledged, in figures and ids: nothing personal, nothing but what JSON has.

    ``given`` is ``acknowledged + already_acknowledged + changed + unknown``.

    :param sender: what the identities are filed under.
    :param given: identities that were to be acknowledged.
    :param acknowledged: acknowledged by this task.
    :param already_acknowledged: there was nothing to do.
    :param changed: not acknowledged, as their users have changed again.
    :param unknown: not acknowledged, as the API does not know their users.
    :param changed_ids: what the users of ``changed`` have now, where that is not acknowledged.
    """

    sender: str
    given: int = 0
    acknowledged: int = 0
    already_acknowledged: int = 0
    changed: int = 0
    unknown: int = 0
    changed_ids: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the dictionary that XCom and asset events carry."""
        return asdict(self)


def chosen(identities: SenderIdentities, identity_ids: Sequence[int] | None, limit: int) -> list[StoredIdentity]:
    """
    Return the identities to work on.

    :param identity_ids: these; ``None`` for what is pending, the oldest first.
    :param limit: at most so many of what is pending.
    :raises ConfigError: the store does not know some of ``identity_ids``.
    """
    return identities.pending(limit) if identity_ids is None else identities.find(identity_ids)


def look(
    identities: SenderIdentities, given: Sequence[StoredIdentity], *, api: IdentityApi, world: Surroundings
) -> LookSummary:
    """
    Ask for the latest identity of each user, and keep it.

    :param given: as :func:`chosen` returns them.
    :raises ApiError: of ``api``; what was learned is kept. An answer that is about one user only stops nobody else:
        its error is raised in the end.
    :raises LandingError: the store failed.
    """
    asking = _Asking(identities, api, world)
    summary = LookSummary(identities.sender, len(given))
    for each in asking.through(given):
        with asking.going_on():
            _count_look(summary, each, asking.latest(each))
    asking.complain()
    return summary


def acknowledge(
    identities: SenderIdentities,
    given: Sequence[StoredIdentity],
    *,
    api: IdentityApi,
    world: Surroundings,
    acknowledge_latest: bool = False,
) -> AcknowledgeSummary:
    """
    Acknowledge identities, one by one, so that a retry goes on with the rest.

    Each by the hash that was recorded. Where the API has another by now, that is kept, and nothing acknowledged.

    :param given: as :func:`chosen` returns them.
    :param acknowledge_latest: acknowledge what the API has by now, whether anybody has looked at it or not.
    :raises ApiError: of ``api``; what was acknowledged is kept. An answer that is about one user only stops nobody
        else: its error is raised in the end.
    :raises LandingError: the store failed.
    """
    asking = _Asking(identities, api, world)
    summary = AcknowledgeSummary(identities.sender, len(given))
    for each in asking.through(given):
        with asking.going_on():
            if each.acknowledged and not acknowledge_latest:
                summary.already_acknowledged += 1
            else:
                _count_acknowledgement(summary, *asking.acknowledge(each, acknowledge_latest=acknowledge_latest))
    asking.complain()
    return summary


def _count_look(summary: LookSummary, each: StoredIdentity, latest: StoredIdentity | None) -> None:
    if latest is None:
        summary.unknown += 1
    elif latest.identity_id == each.identity_id:
        summary.unchanged += 1
    else:
        summary.changed += 1
    if latest is not None and not latest.acknowledged and latest.identity_id not in summary.identity_ids:
        summary.identity_ids.append(latest.identity_id)


def _count_acknowledgement(summary: AcknowledgeSummary, outcome: str, latest: StoredIdentity | None) -> None:
    setattr(summary, outcome, getattr(summary, outcome) + 1)
    if latest is None:
        return
    summary.changed_ids = [one for one in summary.changed_ids if one != latest.identity_id]
    if outcome == "changed" and not latest.acknowledged:
        summary.changed_ids.append(latest.identity_id)


class _Asking:
    """The API, asked at a pace that leaves room for others, and the store, told each answer as it comes."""

    def __init__(self, identities: SenderIdentities, api: IdentityApi, world: Surroundings) -> None:
        self._identities = identities
        self._api = api
        self._world = world
        self._turn = world.paced(REQUESTS_A_SECOND)
        self._complaint: ApiError | None = None

    def through(self, given: Iterable[StoredIdentity]) -> Iterator[StoredIdentity]:
        """Go through identities, and report how many are done, every few seconds."""
        reported = self._world.monotonic()
        for done, each in enumerate(self._world.through(given)):
            now = self._world.monotonic()
            if now - reported >= REPORT_EVERY_S:
                reported = now
                self._world.report(done)
            yield each

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Let others have their turn before an answer about one user is complained of."""
        try:
            yield
        except (ContractError, RejectedError) as error:
            self._complaint = self._complaint or error

    def complain(self) -> None:
        """Raise the first error that was put off."""
        if self._complaint is not None:
            raise self._complaint

    def latest(self, each: StoredIdentity) -> StoredIdentity | None:
        """Ask for a user's latest identity, and keep it; ``None`` where the API does not know the user."""
        self._turn()
        try:
            told = self._api.get_identity(each.wa_id)
        except UnknownUserError:
            self._identities.unknown(each.identity_id)
            return None
        return self._identities.record_latest(each.wa_id, told, instead_of=each)

    def acknowledge(self, each: StoredIdentity, *, acknowledge_latest: bool) -> tuple[str, StoredIdentity | None]:
        """
        Acknowledge an identity, unless its user has changed again.

        :returns: the summary's word for what came of it, and the user's latest identity.
        """
        latest = self.latest(each)
        if latest is None:
            return "unknown", None
        if latest.identity_id != each.identity_id and not acknowledge_latest:
            return "changed", latest
        if latest.acknowledged:
            return "already_acknowledged", latest
        self._turn()
        try:
            self._api.acknowledge_identity(latest.wa_id, latest.hash)
        except RejectedError as error:
            return self._refused(latest, error)
        self._identities.acknowledged(latest.identity_id)
        return "acknowledged", latest

    def _refused(self, before: StoredIdentity, error: RejectedError) -> tuple[str, StoredIdentity | None]:
        """Find out whether what was refused is not the latest any more; else raise the refusal."""
        latest = self.latest(before)
        if latest is None:
            return "unknown", None
        if latest.identity_id != before.identity_id:
            return "changed", latest
        if not latest.acknowledged:
            raise error
        return "already_acknowledged", latest
