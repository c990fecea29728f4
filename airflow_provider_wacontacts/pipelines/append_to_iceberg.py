"""Append extractions from files to an Iceberg table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.files import CompletePrefix, ObjectPath
from airflow_provider_wacontacts.files.iceberg.errors import ConflictError
from airflow_provider_wacontacts.files.iceberg.table import AppendedExtraction, ContactTable
from airflow_provider_wacontacts.files.reader import prefixes_in_order, read_prefix
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.pipelines.iceberg_snapshot import SnapshotChanges, skip_reason, snapshot_changes
from airflow_provider_wacontacts.records.green_api import SOURCE as GREEN_API
from airflow_provider_wacontacts.store.completeness import ShrinkGuard

__all__ = ["AppendSpec", "AppendSummary", "append_files"]

#: Maximum attempts to append an extraction while other tasks commit to the table.
ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class AppendSpec:
    """
    Which files are appended, and how.

    :param source: feed to append; ``None`` for all.
    :param account: account to append; ``None`` for all.
    :param guard: when a snapshot with fewer contacts than before is accepted as complete.
    :param get_suppression_list: returns the suppression list. Its contacts are skipped.
    """

    source: str | None = None
    account: str | None = None
    guard: ShrinkGuard = field(default_factory=ShrinkGuard)
    get_suppression_list: Callable[[], SuppressionList] = lambda: NO_SUPPRESSIONS


@dataclass(frozen=True, slots=True)
class AppendSummary:
    """
    The summary of an append: counts.

    :param prefixes: complete extractions found.
    :param appended: extractions that were appended.
    :param known: extractions that the table already had.
    :param refused: snapshots that are not newer than the newest one in the table.
    :param rows: rows appended, including rows of gone contacts.
    :param gone: contacts missing from a complete snapshot.
    :param back: contacts that returned.
    """

    prefixes: int = 0
    appended: int = 0
    known: int = 0
    refused: int = 0
    rows: int = 0
    gone: int = 0
    back: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for XCom."""
        return asdict(self)

    def __add__(self, other: AppendSummary) -> AppendSummary:
        mine, theirs = asdict(self), asdict(other)
        return AppendSummary(**{name: mine[name] + theirs[name] for name in mine})


KNOWN = AppendSummary(prefixes=1, known=1)
REFUSED = AppendSummary(prefixes=1, refused=1)


def append_files(spec: AppendSpec, *, root: ObjectPath, table: ContactTable) -> AppendSummary:
    """
    Append every complete extraction below a path that is not in the table yet, in the order of extraction.

    :raises ConfigError: the source is unknown, or the table's storage does not accept the credentials.
    :raises LandingError: a file does not match its manifest, or the table cannot be written. Earlier extractions stay
        appended.
    """
    found = prefixes_in_order(root, spec.source, spec.account)
    appender = _Appender(spec, found, table)
    return sum((appender.append(prefix) for prefix in found), start=AppendSummary())


class _Appender:
    """Appends each extraction once, even while other tasks append to the table."""

    def __init__(self, spec: AppendSpec, found: Iterable[CompletePrefix], table: ContactTable) -> None:
        self._spec = spec
        self._table = table
        self._extractions = {prefix.manifest.extraction_id: prefix.manifest.extracted_at for prefix in found}
        self._known = self._appended()

    def append(self, prefix: CompletePrefix) -> AppendSummary:
        for _ in range(ATTEMPTS):
            if prefix.manifest.extraction_id in self._known:
                return KNOWN
            try:
                return _append(self._spec, prefix, self._table)
            except ConflictError:
                self._known = self._appended()
        raise LandingError(
            f"Other tasks committed to the table {ATTEMPTS} times before this one could. Retry the task."
        )

    def _appended(self) -> set[str]:
        self._table.refresh()
        return self._table.appended(self._extractions)


def _append(spec: AppendSpec, prefix: CompletePrefix, table: ContactTable) -> AppendSummary:
    append = _append_snapshot if prefix.manifest.source == GREEN_API else _append_window
    return append(spec, prefix, table)


def _append_window(spec: AppendSpec, prefix: CompletePrefix, table: ContactTable) -> AppendSummary:
    manifest, suppression_list = prefix.manifest, spec.get_suppression_list()
    records = (
        record
        for record in read_prefix(prefix)
        if not (suppression_list and suppression_list.has_record(manifest.source, manifest.account, record))
    )
    return AppendSummary(prefixes=1, appended=1, rows=table.append(_extraction(prefix), records))


def _append_snapshot(spec: AppendSpec, prefix: CompletePrefix, table: ContactTable) -> AppendSummary:
    reason = skip_reason(table, prefix.manifest)
    if reason is not None:
        return KNOWN if reason == "known" else REFUSED
    changes: SnapshotChanges = snapshot_changes(table, prefix, spec.guard, spec.get_suppression_list())
    rows = table.append(_extraction(prefix), changes.records, changes.properties)
    return AppendSummary(prefixes=1, appended=1, rows=rows, gone=changes.gone, back=changes.back)


def _extraction(prefix: CompletePrefix) -> AppendedExtraction:
    manifest = prefix.manifest
    return AppendedExtraction(manifest.source, manifest.account, manifest.extraction_id, manifest.extracted_at)
