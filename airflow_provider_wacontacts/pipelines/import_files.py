"""Land files in the store: what was pulled once is in both, and a store can be made anew from files alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files import CompletePrefix, ObjectPath, complete_prefixes
from airflow_provider_wacontacts.files.reader import RECORD_PARSERS, read_prefix, read_rejects
from airflow_provider_wacontacts.pipelines.commit_stats import CommitStats, Counts, uncounted
from airflow_provider_wacontacts.records.green_api import SOURCE as GREEN_API
from airflow_provider_wacontacts.records.record import Record
from airflow_provider_wacontacts.records.rejects import has_unidentified, ids_in_rejects
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import ExtractionResult, ShrinkGuard, Store

__all__ = ["ImportSpec", "ImportSummary", "import_files"]

AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class ImportSpec:
    """
    Which files are landed, and how.

    :param source: only of this feed; ``None`` for all.
    :param account: only of this account; ``None`` for all.
    :param guard: when a snapshot with fewer contacts than before is believed.
    """

    task: TaskInstanceKey
    package_version: str
    source: str | None = None
    account: str | None = None
    guard: ShrinkGuard = field(default_factory=ShrinkGuard)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """
    What was landed, in figures.

    :param prefixes: complete extractions that were found.
    :param known: those of them that were in the store already.
    :param refused: snapshots that were older than the newest that had landed.
    :param gone: contacts that were missing from a complete snapshot.
    :param back: contacts that had been gone.
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
        """Return it as the dictionary that XCom carries."""
        return asdict(self)

    def plus(self, found: ExtractionResult | None) -> ImportSummary:
        """Count one prefix more; ``None`` for one that was there."""
        if found is None:
            return replace(self, prefixes=self.prefixes + 1, known=self.known + 1)
        return ImportSummary(
            self.prefixes + 1,
            self.known,
            self.refused + (found.state == "refused"),
            self.rows + found.rows,
            self.new_versions + found.new_versions,
            self.rejected + found.rejected,
            self.gone + (found.gone or 0),
            self.back + (found.back or 0),
        )


def import_files(landing: ImportSpec, *, root: ObjectPath, store: Store, count: Counts = uncounted) -> ImportSummary:
    """
    Land every complete extraction below a path, in the order in which they were extracted.

    One that is in the store already is passed over; doing it again changes nothing.

    :param count: is told what each extraction brought.
    :raises ConfigError: the store cannot be used, or there is no such source, or an account cannot have been filed.
    :raises LandingError: a file does not match its manifest, or the store failed; what was landed before stays.
    """
    if landing.source not in {None, *RECORD_PARSERS}:
        raise ConfigError(f"source is {landing.source!r}; it can be one of {', '.join(RECORD_PARSERS)}")
    store.prepare()
    found = complete_prefixes(root, source=landing.source, account=landing.account)
    summary = ImportSummary()
    for prefix in sorted(found, key=lambda one: (one.manifest.extracted_at, one.manifest.extraction_id)):
        is_known = store.has_landed(prefix.manifest.source, prefix.manifest.account, prefix.uri)
        landed = None if is_known else _land(landing, prefix, store)
        if landed:
            count(CommitStats.in_store(landed))
        summary = summary.plus(landed)
    return summary


def _land(landing: ImportSpec, prefix: CompletePrefix, store: Store) -> ExtractionResult:
    return (_land_snapshot if prefix.manifest.source == GREEN_API else _land_window)(landing, prefix, store)


def _land_window(landing: ImportSpec, prefix: CompletePrefix, store: Store) -> ExtractionResult:
    manifest = prefix.manifest
    window = Window(manifest.window_start, manifest.window_end)  # type: ignore[arg-type]
    extraction = store.begin(window=window, **_claim(landing, prefix))
    records, rejects = read_prefix(prefix), list(read_rejects(prefix))
    pages, size = manifest.pages, manifest.bytes
    while (some := list(islice(records, AT_ONCE))) or pages:
        extraction.land(
            some,
            rejects,
            position=None,
            pages=pages,
            size=size,
            extracted_at=manifest.extracted_at,
            number_ids={manifest.number_id} if manifest.number_id else (),
        )
        rejects, pages, size = [], 0, 0
    return extraction.finish()


def _land_snapshot(landing: ImportSpec, prefix: CompletePrefix, store: Store) -> ExtractionResult:
    manifest = prefix.manifest
    begun = store.begin_snapshot(group=manifest.group, **_claim(landing, prefix))
    rejects = list(read_rejects(prefix))
    records: partial[Iterator[Record]] = partial(read_prefix, prefix)
    return begun.land(
        records,
        rejects,
        extracted_at=manifest.extracted_at,
        size=manifest.bytes,
        is_cut=manifest.is_cut,
        is_synchronised=manifest.is_synchronised,
        guard=landing.guard,
        unkept=ids_in_rejects(rejects),
        has_unidentified=has_unidentified(rejects),
        pages=manifest.pages,
    )


def _claim(landing: ImportSpec, prefix: CompletePrefix) -> dict[str, Any]:
    manifest = prefix.manifest
    return {
        "source": manifest.source,
        "account": manifest.account,
        "task": landing.task,
        "options_digest": f"files/{manifest.extraction_id}",
        "package_version": landing.package_version,
        "uri": prefix.uri,
    }
