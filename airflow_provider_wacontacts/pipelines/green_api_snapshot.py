"""Take a snapshot of an account at GREEN-API, and land it in the store or in files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from airflow_provider_wacontacts.clients.green_api import AUTHORIZED, WaSettings, expect_usable
from airflow_provider_wacontacts.exceptions import LandingError, NotEnabledError, RejectedError
from airflow_provider_wacontacts.files import ExtractionWriter, Manifest, ObjectPath
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.pipelines.commit_stats import CommitStats, Counts, uncounted
from airflow_provider_wacontacts.pipelines.rejected import rejected_error
from airflow_provider_wacontacts.pipelines.summaries import SnapshotSummary
from airflow_provider_wacontacts.records.green_api import SOURCE, Snapshot
from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer
from airflow_provider_wacontacts.records.rejects import has_unidentified
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.store import ExtractionResult, ShrinkGuard, Store

__all__ = ["Account", "Answered", "SnapshotSpec", "ask", "snapshot_to_files", "snapshot_to_store"]

SETTINGS = "green_api.wa_settings.get"
NOT_FOUND = 404
WHOLE = 100.0


class Account(Protocol):
    """Whatever asks GREEN-API, a hook say."""

    def get_wa_settings(self) -> WaSettings:
        """Ask for the instance's state and how much of its history is loaded."""

    def get_contacts(self, *, group: bool | None = None, count: int | None = None) -> Snapshot:
        """Ask for all contacts."""


@dataclass(frozen=True, slots=True)
class SnapshotSpec:
    """
    What is to be taken, and how it is landed.

    :param group: groups only, or persons only; both where it is ``None``.
    :param count: how many at most; all where it is ``None``.
    :param guard: when fewer contacts than before are believed.
    :param max_rejected: share of the rows that may be rejected, 0 to 1, before the pull counts as failed.
    :param pseudonyms: what is put into contacts before anything is written; ``None`` for none.
    """

    account: str
    task: TaskInstanceKey
    package_version: str
    group: bool | None = None
    count: int | None = None
    guard: ShrinkGuard = field(default_factory=ShrinkGuard)
    max_rejected: float = 0.01
    pseudonyms: Pseudonymizer | None = None

    @property
    def options_digest(self) -> str:
        """A short text that differs where a retry would ask for something else."""
        fields = ",".join(self.pseudonyms.fields) if self.pseudonyms else ""
        return f"group={self.group},count={self.count},pseudonymize={fields}"


class Answered(NamedTuple):
    """
    A snapshot, and what is known of it.

    :param taken_at: when the server answered, by its own clock where it tells it.
    :param is_cut: only so many contacts were asked for, and so many came.
    :param is_synchronised: whether the instance has loaded all of its history; ``None`` where it does not say.
    """

    snapshot: Snapshot
    taken_at: datetime
    is_cut: bool
    is_synchronised: bool | None


def ask(pull: SnapshotSpec, account: Account, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Answered:
    """
    Ask for an account's contacts, once it is in a state to be asked.

    :returns: perhaps nobody, which may mean to ask again.
    :raises TransientError: the instance is starting, or the server failed.
    :raises PermanentError: somebody has to do something first.
    :raises ContractError: the answer is not a list of contacts.
    """
    settings = _settings_of(account)
    expect_usable(settings.state, SETTINGS)
    progress = settings.history_sync_progress
    snapshot = account.get_contacts(group=pull.group, count=pull.count)
    return Answered(
        snapshot.pseudonymized(pull.pseudonyms) if pull.pseudonyms else snapshot,
        snapshot.date or now(),
        is_cut=pull.count is not None and snapshot.rows + len(snapshot.rejects) >= pull.count,
        is_synchronised=None if progress is None else progress >= WHOLE,
    )


def _settings_of(account: Account) -> WaSettings:
    try:
        return account.get_wa_settings()
    except (RejectedError, NotEnabledError) as error:
        # Not every instance has that method; its contacts may be had nevertheless.
        if isinstance(error, NotEnabledError) and error.status != NOT_FOUND:
            raise
    return WaSettings(AUTHORIZED)


def snapshot_to_store(
    pull: SnapshotSpec, answered: Answered, *, store: Store, uri: str, count: Counts = uncounted
) -> SnapshotSummary:
    """
    Land a snapshot in the store, compared with what was there before.

    :param uri: names the store in the summary.
    :param count: is told what was committed.
    :raises ConfigError: the store cannot be used.
    :raises LandingError: the store failed, another try took over, or too much was rejected.
    """
    store.prepare()
    begun = store.begin_snapshot(
        source=SOURCE,
        account=pull.account,
        group=pull.group,
        task=pull.task,
        options_digest=pull.options_digest,
        package_version=pull.package_version,
        uri=uri,
    )
    snapshot, taken_at = answered.snapshot, answered.taken_at
    finished = begun.land(
        lambda: snapshot.records(taken_at),
        snapshot.rejects,
        extracted_at=taken_at,
        size=snapshot.size,
        is_cut=answered.is_cut,
        is_synchronised=answered.is_synchronised,
        guard=pull.guard,
        unkept=snapshot.rejected_ids,
        has_unidentified=has_unidentified(snapshot.rejects),
    )
    count(CommitStats.in_store(finished))
    _complain(finished, pull)
    return _summary(finished, finished.state, finished.new_versions, uri)


def snapshot_to_files(
    pull: SnapshotSpec,
    answered: Answered,
    *,
    root: ObjectPath,
    file_format: str,
    erased: Callable[[], SuppressionList] = lambda: NO_SUPPRESSIONS,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    count: Counts = uncounted,
) -> SnapshotSummary:
    """
    File a snapshot whole, in a prefix of its own below a path of object storage.

    :param root: an ``ObjectStoragePath``, or anything else that is used like a :class:`pathlib.Path`.
    :param file_format: ``jsonl.gz`` or ``parquet``.
    :param erased: tells who is to be passed over.
    :param count: is told what was committed.
    :raises ConfigError: the file format is unknown.
    :raises LandingError: the storage failed, or too much was rejected.
    """
    with ExtractionWriter(
        root,
        source=SOURCE,
        account=pull.account,
        window=None,
        day=answered.taken_at.astimezone(UTC).date(),
        task=pull.task,
        package_version=pull.package_version,
        file_format=file_format,
        suppression_list=erased,
    ) as extraction:
        for page in answered.snapshot.pages(answered.taken_at):
            extraction.write(page)
        manifest = extraction.finish(
            extracted_at=answered.taken_at,
            finished_at=now(),
            lossy=False,
            group=pull.group,
            is_cut=answered.is_cut,
            is_synchronised=answered.is_synchronised,
        )
    count(CommitStats.in_files(manifest))
    _complain(manifest, pull)
    return _summary(manifest, "complete", manifest.rows, extraction.uri)


def _complain(brought: ExtractionResult | Manifest, pull: SnapshotSpec) -> None:
    wrong = rejected_error(brought.rejected, brought.rows, pull.max_rejected)
    if wrong:
        raise LandingError(wrong)


def _summary(brought: ExtractionResult | Manifest, state: str, new_versions: int, uri: str) -> SnapshotSummary:
    found = brought if isinstance(brought, ExtractionResult) else None
    return SnapshotSummary.of(
        brought,
        state=state,
        new_versions=new_versions,
        gap_before=None,
        uri=uri,
        gone=found.gone if found else None,
        back=found.back if found else None,
        reason=found.reason if found else None,
    )
