"""Take a full snapshot of a GREEN-API account, and write it to the store or to files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from airflow_provider_wacontacts.clients.green_api import AUTHORIZED, CONTACTS, SETTINGS, WaSettings, expect_usable
from airflow_provider_wacontacts.clients.http import MAX_CLOCK_DIFFERENCE
from airflow_provider_wacontacts.exceptions import ContractError, NotEnabledError, RejectedError
from airflow_provider_wacontacts.files import ExtractionWriter, ObjectPath
from airflow_provider_wacontacts.files.fields import Declaration
from airflow_provider_wacontacts.files.local import FILE_MODE
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.pipelines.summaries import (
    CommitStats,
    OnCommit,
    OnDrift,
    SnapshotSummary,
    rejected_error,
)
from airflow_provider_wacontacts.pipelines.written_fields import WrittenFields
from airflow_provider_wacontacts.records.drift import FieldCounter
from airflow_provider_wacontacts.records.green_api import SOURCE, Snapshot
from airflow_provider_wacontacts.records.record import has_unidentified
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey, options_digest
from airflow_provider_wacontacts.records.windows import format_time
from airflow_provider_wacontacts.store import ShrinkGuard, Store
from airflow_provider_wacontacts.store.attempts import recorded

__all__ = ["FetchedSnapshot", "GreenApi", "SnapshotSpec", "fetch_snapshot", "snapshot_to_files", "snapshot_to_store"]

NOT_FOUND = 404
SYNCHRONISED_PERCENT = 100.0


class GreenApi(Protocol):
    """The two requests that a snapshot needs, as :class:`.GreenApiHook` sends them."""

    def get_wa_settings(self) -> WaSettings:
        """Fetch the instance's state and the progress of its history synchronization."""

    def get_contacts(self, *, group: bool | None = None, count: int | None = None) -> Snapshot:
        """Fetch all contacts."""


@dataclass(frozen=True, slots=True)
class SnapshotSpec:
    """
    What a snapshot fetches, and how it is written.

    :param group: ``True`` for groups only, ``False`` for people only, ``None`` for both.
    :param count: maximum number of contacts; ``None`` for all.
    :param guard: when a snapshot with fewer contacts than before is accepted as complete.
    :param max_rejected: share of the rows, 0 to 1, that may be rejected before the sync fails.
    :param fields: the fields that are written.
    """

    account: str
    task: TaskInstanceKey
    package_version: str
    group: bool | None = None
    count: int | None = None
    guard: ShrinkGuard = field(default_factory=ShrinkGuard)
    max_rejected: float = 0.01
    fields: WrittenFields = field(default_factory=WrittenFields)

    @property
    def options_digest(self) -> str:
        """A short string that changes with every option of the request or the rows."""
        return options_digest(self.group, self.count, *self.fields.options)


class FetchedSnapshot(NamedTuple):
    """
    A snapshot, and the facts that decide whether it is complete.

    :param taken_at: time of the response, by the server's clock if it sends its ``Date``.
    :param is_cut: whether there may be more contacts, because the response has ``count`` of them.
    :param is_synchronised: whether the instance has loaded its whole history; ``None`` if it does not say.
    """

    snapshot: Snapshot
    taken_at: datetime
    is_cut: bool
    is_synchronised: bool | None


def fetch_snapshot(
    spec: SnapshotSpec, api: GreenApi, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> FetchedSnapshot:
    """
    Fetch an account's contacts, if the instance is in a state to return them.

    :returns: the snapshot. If it is empty, the account may still have contacts: fetch it again.
    :raises TransientError: the instance is starting, or the server failed.
    :raises PermanentError: the instance needs an operator, for example to scan its QR code.
    :raises ContractError: the response is not a list of contacts.
    """
    settings = _wa_settings(api)
    expect_usable(settings.state, SETTINGS)
    progress = settings.history_sync_progress
    snapshot = api.get_contacts(group=spec.group, count=spec.count)
    return FetchedSnapshot(
        spec.fields.rewrite(snapshot),
        snapshot.date or now(),
        is_cut=spec.count is not None and snapshot.rows + len(snapshot.rejects) >= spec.count,
        is_synchronised=None if progress is None else progress >= SYNCHRONISED_PERCENT,
    )


def _wa_settings(api: GreenApi) -> WaSettings:
    try:
        return api.get_wa_settings()
    except (RejectedError, NotEnabledError) as error:
        # Some instances lack this method, but still return their contacts.
        if isinstance(error, NotEnabledError) and error.status != NOT_FOUND:
            raise
    return WaSettings(AUTHORIZED)


def snapshot_to_store(
    spec: SnapshotSpec,
    fetched: FetchedSnapshot,
    *,
    store: Store,
    uri: str,
    on_drift: OnDrift = lambda _: None,
    on_commit: OnCommit | None = None,
) -> SnapshotSummary:
    """
    Write a snapshot to the store, compared with the one before.

    :param uri: URI of the store's contacts, for the summary.
    :param on_drift: called with the fields that changed since the account's last extraction, if any did.
    :param on_commit: called after the commit.
    :raises ConfigError: the store cannot be used.
    :raises ContractError: the response is dated in the future, or so far in the past that the snapshot is refused.
    :raises LandingError: the store failed, another attempt took over, or too many rows were rejected.
    """
    store.prepare()
    extraction = store.begin_snapshot(
        source=SOURCE,
        account=spec.account,
        group=spec.group,
        task=spec.task,
        options_digest=spec.options_digest,
        package_version=spec.package_version,
        uri=uri,
        secret_id=spec.fields.secret_id,
    )
    snapshot, taken_at = fetched.snapshot, fetched.taken_at
    fields = FieldCounter()
    now = store.context.now()
    with recorded(extraction):
        _expect_credible(taken_at, now)
        result = extraction.write(
            lambda: snapshot.records(taken_at, fields),
            snapshot.rejects,
            extracted_at=taken_at,
            size=snapshot.size,
            is_cut=fetched.is_cut,
            is_synchronised=fetched.is_synchronised,
            guard=spec.guard,
            rejected_ids=snapshot.rejected_ids,
            has_unidentified=has_unidentified(snapshot.rejects),
            fields=lambda: spec.fields.observation(fields),
        )
    if on_commit:
        on_commit(CommitStats.in_store(result))
    if result.drift:
        on_drift(result.drift)
    if result.state == "refused" and taken_at < now - MAX_CLOCK_DIFFERENCE:
        raise _wrong_date(taken_at, now)
    if error := rejected_error(result, spec.max_rejected, result.reject_reasons):
        raise error
    return SnapshotSummary.of(
        result,
        result.reject_reasons,
        state=result.state,
        new_versions=result.new_versions,
        gap_before=None,
        uri=uri,
        gone=result.gone,
        back=result.back,
        reason=result.reason,
    )


def _expect_credible(taken_at: datetime, now: datetime) -> None:
    if taken_at > now + MAX_CLOCK_DIFFERENCE:
        raise _wrong_date(taken_at, now)


def _wrong_date(taken_at: datetime, now: datetime) -> ContractError:
    return ContractError(
        f"The response is dated {format_time(taken_at)}, but the current time is {format_time(now)}. Snapshots are"
        " loaded in the order of their dates, so this one was not written. Correct the clock that is wrong.",
        source=SOURCE,
        operation=CONTACTS,
    )


def snapshot_to_files(
    spec: SnapshotSpec,
    fetched: FetchedSnapshot,
    *,
    root: ObjectPath,
    file_format: str,
    file_mode: int = FILE_MODE,
    get_suppression_list: Callable[[], SuppressionList] = lambda: NO_SUPPRESSIONS,
    on_drift: OnDrift = lambda _: None,
    on_commit: OnCommit | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> SnapshotSummary:
    """
    Write a snapshot to a new prefix below a path of object storage.

    :param root: an ``ObjectStoragePath`` or a :class:`pathlib.Path`.
    :param file_format: ``jsonl.gz`` or ``parquet``.
    :param file_mode: permissions of files in a local directory.
    :param get_suppression_list: returns the suppression list. Its contacts are skipped.
    :param on_drift: see :func:`snapshot_to_store`.
    :param on_commit: called when the manifest is written.
    :raises ConfigError: the file format is unknown.
    :raises ContractError: the response is dated in the future.
    :raises LandingError: the storage failed, or too many rows were rejected.
    """
    _expect_credible(fetched.taken_at, now())
    with ExtractionWriter(
        root,
        source=SOURCE,
        account=spec.account,
        window=None,
        day=fetched.taken_at.astimezone(UTC).date(),
        task=spec.task,
        package_version=spec.package_version,
        file_format=file_format,
        file_mode=file_mode,
        get_suppression_list=get_suppression_list,
    ) as extraction:
        for page in fetched.snapshot.pages(fetched.taken_at):
            extraction.write(page, fetched.taken_at)
        manifest = extraction.finish(
            extracted_at=fetched.taken_at,
            finished_at=now(),
            lossy=False,
            group=spec.group,
            is_cut=fetched.is_cut,
            is_synchronised=fetched.is_synchronised,
            declaration=Declaration(selects=spec.fields.has),
        )
    if on_commit:
        on_commit(CommitStats.in_files(manifest))
    if manifest.drift:
        on_drift(manifest.drift)
    if error := rejected_error(manifest, spec.max_rejected, extraction.reject_reasons):
        raise error
    return SnapshotSummary.of(
        manifest,
        extraction.reject_reasons,
        state="complete",
        new_versions=manifest.rows,
        gap_before=None,
        uri=extraction.uri,
        gone=None,
        back=None,
        reason=None,
    )
