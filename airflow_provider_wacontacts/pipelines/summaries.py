"""Reports of a sync or a check: each commit while it runs, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeAlias

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.pipelines.check_results import is_reliable
from airflow_provider_wacontacts.records.windows import format_time

if TYPE_CHECKING:
    from airflow_provider_wacontacts.files import Manifest
    from airflow_provider_wacontacts.records.drift import Drift
    from airflow_provider_wacontacts.store import ExtractionResult
    from airflow_provider_wacontacts.store.checks.lifecycle import Check
    from airflow_provider_wacontacts.store.checks.model import CheckTotals
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = [
    "CheckSummary",
    "CommitStats",
    "OnCommit",
    "OnDrift",
    "SnapshotSummary",
    "SyncSummary",
    "describe_drift",
    "describe_rejected",
    "has_too_many_rejected",
    "rejected_error",
]


#: Maximum number of changed fields in a summary, a log or an error.
MAX_DRIFT = 20


class CommitStats(NamedTuple):
    """
    What one commit wrote. It is reported even if the task fails later.

    :param new_versions: ``None`` in files, where nothing is compared.
    :param gone: contacts that are gone; ``None`` for windows and files.
    :param back: contacts that returned; ``None`` for windows and files.
    """

    pages: int
    rows: int
    rejected: int
    new_versions: int | None = None
    gone: int | None = None
    back: int | None = None

    @classmethod
    def in_store(cls, result: ExtractionResult) -> Self:
        """Return what a finished extraction wrote to a store."""
        return cls(result.pages, result.rows, result.rejected, result.new_versions, result.gone, result.back)

    @classmethod
    def in_files(cls, manifest: Manifest) -> Self:
        """Return what a finished extraction wrote to files."""
        return cls(manifest.pages, manifest.rows, manifest.rejected)


#: Called after each commit.
OnCommit: TypeAlias = Callable[[CommitStats], None]
#: Called with the fields that changed since an account's last extraction.
OnDrift: TypeAlias = "Callable[[Sequence[Drift]], None]"


class _RowCounts(Protocol):
    @property
    def rows(self) -> int: ...
    @property
    def rejected(self) -> int: ...


def has_too_many_rejected(extraction: _RowCounts, max_rejected: float) -> bool:
    """
    Return whether an extraction rejected too many rows.

    :param max_rejected: share of all rows that may be rejected, 0 to 1.
    """
    return extraction.rejected > (extraction.rejected + extraction.rows) * max_rejected


def describe_drift(drift: Sequence[Drift]) -> str:
    """Describe fields that changed, for logs and errors."""
    rest = len(drift) - MAX_DRIFT
    changes = [str(change) for change in drift[:MAX_DRIFT]]
    return "; ".join([*changes, f"and {rest:,} more in wacontacts_field_change"] if rest > 0 else changes)


def rejected_error(extraction: _RowCounts, max_rejected: float, reasons: Mapping[str, int]) -> LandingError | None:
    """
    Return the error of an extraction that rejected too many rows.

    :param reasons: the commonest reasons, with counts.
    """
    if not has_too_many_rejected(extraction, max_rejected):
        return None
    total = extraction.rejected + extraction.rows
    return LandingError(
        f"{extraction.rejected:,} of {total:,} rows were rejected, more than max_rejected ({max_rejected:.2%}) allows:"
        f" {describe_rejected(extraction.rejected, reasons)}. The other rows are written. See wacontacts_reject,"
        " or _rejects.jsonl.gz next to the files. Or raise max_rejected."
    )


def describe_rejected(rejected: int, reasons: Mapping[str, int]) -> str:
    """
    Describe rejected rows by their reasons, for logs and errors.

    :param reasons: the commonest reasons, with counts.
    """
    rest = rejected - sum(reasons.values())
    counts = [f"{count:,} {reason}" for reason, count in reasons.items()]
    return ", ".join([*counts, f"{rest:,} for other reasons"] if rest else counts)


@dataclass(frozen=True, slots=True)
class SyncSummary:
    """
    The summary of a sync: ids, counts and times, no personal data.

    :param window_start: UTC, in ISO 8601 of fixed width, like all times here; ``None`` for a snapshot.
    :param rows: contacts received, including duplicates.
    :param new_versions: versions that the store did not have yet; for files, the rows written.
    :param reject_reasons: the commonest reasons for rejected rows, with counts.
    :param schema_drift: fields that changed since the account's last extraction, at most 20: ``field``,
        ``change_kind``, ``type_before``, ``type_after`` and ``share``.
    :param bytes: size of the responses.
    :param lateness_s: sync lag: seconds from the window's end to the extraction.
    :param lossy: whether versions of this window may be missing because it was synced too late.
    :param gap_before: ``start/end`` of a coverage gap right before the window.
    :param uri: where the contacts were written.
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
    reject_reasons: Mapping[str, int]
    schema_drift: Sequence[Mapping[str, Any]]
    bytes: int
    lateness_s: float | None
    lossy: bool
    gap_before: str | None
    uri: str

    @classmethod
    def of(cls, extraction: ExtractionResult | Manifest, reject_reasons: Mapping[str, int], **fields: Any) -> Self:
        """
        Summarize an extraction.

        :param reject_reasons: the commonest reasons for rejected rows, with counts.
        :param fields: the fields that a ledger's result and a manifest do not share.
        """
        return cls(
            extraction_id=extraction.extraction_id,
            source=extraction.source,
            account=extraction.account,
            window_start=_format(extraction.window_start),
            window_end=_format(extraction.window_end),
            pages=extraction.pages,
            rows=extraction.rows,
            rejected=extraction.rejected,
            reject_reasons=dict(reject_reasons),
            schema_drift=[asdict(change) for change in extraction.drift[:MAX_DRIFT]],
            bytes=extraction.bytes,
            lateness_s=extraction.lateness_s,
            lossy=bool(extraction.lossy),
            **fields,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for XCom and asset events."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SnapshotSummary(SyncSummary):
    """
    The summary of a snapshot.

    :param gone: contacts newly marked as gone; ``None`` for files.
    :param back: contacts that returned; ``None`` for files.
    :param reason: why the snapshot was not accepted as complete: ``empty``, ``cut``, ``unsynchronised``, ``nameless``,
        ``shrunken`` or ``different``; it then marks no contacts as gone. ``older`` if the state is ``refused``.
    """

    gone: int | None
    back: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """
    The summary of a check: ids and counts, no personal data.

    The counts are from :class:`~airflow_provider_wacontacts.store.checks.model.CheckTotals`.

    :param sender: sender that the results are stored under.
    :param state: ``open``, ``resolved``, ``expired`` or ``failed``.
    :param budget_left: numbers that the sender may still check today.
    :param status_is_reliable: whether ``valid`` means that the number has a WhatsApp account; ``None`` if that is
        unknown or no number is valid.
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
        Summarize a check.

        :param checks: the sender's checks, created with its ``daily_checks``.
        :param totals: the check's current counts, if the caller has them.
        :raises LandingError: the database failed.
        """
        current = check.totals() if totals is None else totals
        counts = {name: count for name, count in current._asdict().items() if name in cls.__dataclass_fields__}
        return cls(
            check_id=check.check_id,
            sender=checks.sender,
            budget_left=checks.budget_left(),
            status_is_reliable=_all_reliable(check.client_versions()),
            **counts,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for XCom and asset events."""
        return asdict(self)


def _all_reliable(client_versions: Collection[str | None]) -> bool | None:
    reliable = set(map(is_reliable, client_versions))
    if False in reliable:
        return False
    return None if None in reliable or not reliable else True


def _format(time: datetime | None) -> str | None:
    return format_time(time) if time else None
