"""Load extractions from files into the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from airflow_provider_wacontacts.files import CompletePrefix, ObjectPath
from airflow_provider_wacontacts.files.reader import prefixes_in_order, read_prefix, read_rejects
from airflow_provider_wacontacts.pipelines.summaries import CommitStats, OnCommit
from airflow_provider_wacontacts.records.green_api import SOURCE as GREEN_API
from airflow_provider_wacontacts.records.record import Record, has_unidentified, ids_in_rejects
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import ExtractionResult, ShrinkGuard, Store
from airflow_provider_wacontacts.store.attempts import recorded
from airflow_provider_wacontacts.store.batched import batched

__all__ = ["ImportSpec", "ImportSummary", "import_files"]

BATCH_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class ImportSpec:
    """
    Which files are loaded, and how.

    :param source: feed to load; ``None`` for all.
    :param account: account to load; ``None`` for all.
    :param guard: when a snapshot with fewer contacts than before is accepted as complete.
    """

    task: TaskInstanceKey
    package_version: str
    source: str | None = None
    account: str | None = None
    guard: ShrinkGuard = field(default_factory=ShrinkGuard)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """
    The summary of an import.

    :param prefixes: complete extractions found.
    :param known: extractions that the store already had.
    :param refused: snapshots older than the newest one in the store.
    :param gone: contacts missing from a complete snapshot.
    :param back: contacts that returned.
    """

    prefixes: int = 0
    known: int = 0
    refused: int = 0
    rows: int = 0
    new_versions: int = 0
    rejected: int = 0
    gone: int = 0
    back: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for XCom."""
        return asdict(self)

    def plus(self, result: ExtractionResult | None) -> ImportSummary:
        """Return the summary with one more prefix; ``None`` if the store already had it."""
        if result is None:
            return replace(self, prefixes=self.prefixes + 1, known=self.known + 1)
        return ImportSummary(
            self.prefixes + 1,
            self.known,
            self.refused + (result.state == "refused"),
            self.rows + result.rows,
            self.new_versions + result.new_versions,
            self.rejected + result.rejected,
            self.gone + (result.gone or 0),
            self.back + (result.back or 0),
        )


def import_files(
    spec: ImportSpec, *, root: ObjectPath, store: Store, on_commit: OnCommit | None = None
) -> ImportSummary:
    """
    Load every complete extraction below a path, in the order of extraction.

    Extractions that the store already has are skipped, so an import can be repeated.

    :param on_commit: called after each loaded extraction.
    :raises ConfigError: the store cannot be used, the source is unknown, or the name of the account is invalid.
    :raises LandingError: a file does not match its manifest, or the store failed. Earlier extractions stay loaded.
    """
    store.prepare()
    summary = ImportSummary()
    for prefix in prefixes_in_order(root, spec.source, spec.account):
        result = None
        if not store.is_loaded(prefix.manifest.source, prefix.manifest.account, prefix.uri):
            load = _load_snapshot if prefix.manifest.source == GREEN_API else _load_window
            result = load(spec, prefix, store)
            if on_commit:
                on_commit(CommitStats.in_store(result))
        summary = summary.plus(result)
    return summary


def _load_window(spec: ImportSpec, prefix: CompletePrefix, store: Store) -> ExtractionResult:
    manifest = prefix.manifest
    window = Window(manifest.window_start, manifest.window_end)  # type: ignore[arg-type]
    extraction = store.begin(window=window, **_extraction_key(spec, prefix))
    with recorded(extraction):
        records, rejects = read_prefix(prefix), list(read_rejects(prefix))
        pages, size = manifest.pages, manifest.bytes
        batches = batched(records, BATCH_ROWS)
        while (batch := next(batches, [])) or pages:
            extraction.write(
                batch,
                rejects,
                position=None,
                pages=pages,
                size=size,
                extracted_at=manifest.extracted_at,
                number_ids={manifest.number_id} if manifest.number_id else (),
            )
            rejects, pages, size = [], 0, 0
        return extraction.finish()


def _load_snapshot(spec: ImportSpec, prefix: CompletePrefix, store: Store) -> ExtractionResult:
    manifest = prefix.manifest
    extraction = store.begin_snapshot(group=manifest.group, **_extraction_key(spec, prefix))
    with recorded(extraction):
        rejects = list(read_rejects(prefix))
        records: partial[Iterator[Record]] = partial(read_prefix, prefix)
        return extraction.write(
            records,
            rejects,
            extracted_at=manifest.extracted_at,
            size=manifest.bytes,
            is_cut=manifest.is_cut,
            is_synchronised=manifest.is_synchronised,
            guard=spec.guard,
            rejected_ids=ids_in_rejects(rejects),
            has_unidentified=has_unidentified(rejects),
            pages=manifest.pages,
        )


def _extraction_key(spec: ImportSpec, prefix: CompletePrefix) -> dict[str, Any]:
    manifest = prefix.manifest
    return {
        "source": manifest.source,
        "account": manifest.account,
        "task": spec.task,
        "options_digest": f"files/{manifest.extraction_id}",
        "package_version": spec.package_version,
        "uri": prefix.uri,
    }
