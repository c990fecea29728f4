"""What a job says of itself when it is done."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from airflow_provider_wacontacts.clients.whatsapp_business_responses import status_is_reliable
from airflow_provider_wacontacts.records.windows import format_time

if TYPE_CHECKING:
    from airflow_provider_wacontacts.files import Manifest
    from airflow_provider_wacontacts.store import ExtractionResult
    from airflow_provider_wacontacts.store.checks.lifecycle import Check
    from airflow_provider_wacontacts.store.checks.model import CheckTotals
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

    Brought: TypeAlias = ExtractionResult | Manifest

__all__ = ["CheckSummary", "SnapshotSummary", "SyncSummary"]


@dataclass(frozen=True, slots=True)
class SyncSummary:
    """
    One extraction in figures: nothing personal, nothing but what JSON has.

    :param window_start: text of fixed width, UTC, as are all times here; ``None`` for a snapshot.
    :param rows: contacts received, counted again where they came again.
    :param new_versions: states that had not been seen before; in files, where nothing is compared, the rows written.
    :param bytes: of the answers, as received.
    :param lateness_s: seconds between the window's end and the extraction.
    :param lossy: states of this window were overwritten before anybody asked, or may have been.
    :param gap_before: ``start/end`` of a stretch before the window that no extraction covers.
    :param uri: where the contacts are.
    """

    extraction_id: str
    source: str
    account: str
    window_start: str | None
    window_end: str | None
    state: str
    pages: int
    rows: int
    new_versions: int
    rejected: int
    bytes: int
    lateness_s: float | None
    lossy: bool
    gap_before: str | None
    uri: str

    @classmethod
    def of(cls, brought: Brought, **own: Any) -> Self:
        """
        Sum up an extraction.

        :param brought: what the ledger or the manifest says of it.
        :param own: the members that those do not tell alike.
        """
        return cls(
            extraction_id=brought.extraction_id,
            source=brought.source,
            account=brought.account,
            window_start=_text(brought.window_start),
            window_end=_text(brought.window_end),
            pages=brought.pages,
            rows=brought.rows,
            rejected=brought.rejected,
            bytes=brought.bytes,
            lateness_s=brought.lateness_s,
            lossy=bool(brought.lossy),
            **own,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as the dictionary that XCom and asset events carry."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SnapshotSummary(SyncSummary):
    """
    One snapshot in figures.

    :param gone: contacts that were missing, and count as gone from now on; ``None`` in files, never compared.
    :param back: contacts that had been gone; ``None`` likewise.
    :param reason: why the state is not ``complete``: ``empty``, ``cut``, ``unsynchronised``, ``nameless`` or
        ``shrunken``, so that nobody is gone on its strength; or ``older``, where it is ``refused``.
    """

    gone: int | None
    back: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """
    One check of numbers in figures: nothing personal, nothing but what JSON has.

    The counts are those of :class:`~airflow_provider_wacontacts.store.checks.model.CheckTotals`.

    :param sender: what the numbers are filed under.
    :param state: ``open``, ``resolved`` or ``expired``.
    :param budget_left: how many numbers the sender may still be asked about today.
    :param status_is_reliable: whether ``valid`` means that somebody is on WhatsApp; ``None`` where that is not known,
        or nothing is valid.
    """

    check_id: str
    sender: str
    state: str
    given: int
    duplicates: int
    asked: int
    not_asked: int
    from_store: int
    valid: int
    invalid: int
    processing: int
    failed: int
    rejected: int
    missing: int
    budget_left: int
    status_is_reliable: bool | None

    @classmethod
    def of(cls, check: Check, checks: SenderChecks, totals: CheckTotals | None = None) -> CheckSummary:
        """
        Sum up a check as it stands.

        :param checks: those of its sender, made with the sender's ``daily_checks``.
        :param totals: how it stands, where the caller has just been told; looked up by default.
        :raises LandingError: the database failed.
        """
        stands = check.totals() if totals is None else totals
        counts = {name: count for name, count in stands._asdict().items() if name in cls.__dataclass_fields__}
        return cls(
            check_id=check.check_id,
            sender=checks.sender,
            budget_left=checks.budget_left(),
            status_is_reliable=_all_reliable(check.client_versions()),
            **counts,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as the dictionary that XCom and asset events carry."""
        return asdict(self)


def _all_reliable(client_versions: Collection[str | None]) -> bool | None:
    found = {status_is_reliable(version) for version in client_versions}
    if False in found:
        return False
    return None if None in found or not found else True


def _text(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
