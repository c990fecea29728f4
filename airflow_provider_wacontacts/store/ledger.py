"""The sync ledger: begin, lock, count and close extractions, one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.records.drift import Drift
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.accounts import find_or_add_account, pin_secret
from airflow_provider_wacontacts.store.batches import reject_reasons
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.coverage import SyncedWindow, gap_before, is_lossy, lateness_s
from airflow_provider_wacontacts.store.tables import Tables, UtcDateTime

__all__ = [
    "IS_SILENT",
    "LOST",
    "LOST_AFTER",
    "CommitCounts",
    "ExtractionKey",
    "ExtractionResult",
    "StartedExtraction",
    "analyze",
    "begin",
    "count",
    "finish",
    "is_loaded",
    "lock_running",
]

#: A version's ID is the number of its extraction, followed by its number within the extraction in this many bits.
VERSION_BITS = 32
#: An attempt without a heartbeat for longer is lost, unless it is deferred.
LOST_AFTER = timedelta(minutes=15)
#: This condition in SQL, for an extraction or a check ``e``.
IS_SILENT = "coalesce(e.deferred_until, e.heartbeat_at) < :silent_since"
#: Error stored with a lost attempt.
LOST = "Lost"
#: Number of new versions that needs new statistics.
ANALYZE_AFTER_ROWS = 10_000
#: The columns that contacts are looked up by.
ANALYZED = {
    "contact_current": "account_id, contact_id, last_seen_at, is_present, wa_id, user_id, lid, person_key",
    "contact_version": "account_id, version_id, contact_id, updated_at",
    "contact_payload": "account_id, version_id, state, wa_id, user_id, lid",
}


class ExtractionKey(NamedTuple):
    """The task, account and options of an extraction. A retry has the same key."""

    source: str
    account: str
    window: Window | None
    task: TaskInstanceKey
    options_digest: str


class StartedExtraction(NamedTuple):
    """An extraction that was begun; see :class:`~airflow_provider_wacontacts.store.Extraction`."""

    extraction_id: str
    account_id: int
    resume_from: datetime | None
    resumes: int
    source: str
    account: str


class ExtractionResult(NamedTuple):
    """
    The result of one extraction; all times timezone-aware, UTC.

    :param window_start: ``None``, like ``window_end``, for snapshots.
    :param extracted_at: time of the system's first response.
    :param resumes: earlier attempts, 0 and up.
    :param rows: contacts received, including repeated ones, without rejected ones.
    :param new_versions: versions that were new to the store.
    :param drift: fields that changed since the account's last extraction.
    :param reject_reasons: the commonest reasons for rejects, with counts.
    :param bytes: size of the response bodies.
    :param lateness_s: seconds from the window's end to ``extracted_at``; negative if the window had not ended.
    :param lossy: whether a part of the window was never synced in time, so versions in it may have been overwritten.
    :param gap_before: start and end of the coverage gap right before the window; ``None`` if there is none.
    :param gone: contacts that were missing from a snapshot and became ``gone``; their versions count as new. ``None``,
        like ``back`` and ``reason``, for windows.
    :param back: contacts of a snapshot that had been ``gone``.
    :param reason: why a snapshot is not complete: ``empty``, ``cut``, ``unsynchronised``, ``nameless``, ``shrunken``,
        ``different``; or why it was refused: ``older``. ``None`` if it is complete.
    """

    extraction_id: str
    source: str
    account: str
    window_start: datetime | None
    window_end: datetime | None
    extracted_at: datetime
    finished_at: datetime
    state: str
    resumes: int
    pages: int
    rows: int
    new_versions: int
    rejected: int
    bytes: int
    lateness_s: float | None
    lossy: bool | None
    gap_before: tuple[datetime, datetime] | None
    uri: str | None
    gone: int | None = None
    back: int | None = None
    reason: str | None = None
    reject_reasons: Mapping[str, int] = MappingProxyType({})
    drift: Sequence[Drift] = ()


class CommitCounts(NamedTuple):
    """Counts that a batch adds to its extraction; ``size`` is in bytes."""

    rows: int
    new_versions: int
    rejected: int
    pages: int
    size: int


def begin(
    connection: Connection,
    context: StoreContext,
    key: ExtractionKey,
    *,
    package_version: str,
    uri: str | None,
    secret_id: str | None,
) -> StartedExtraction:
    """
    Insert an extraction. It resumes from the last one of the same key if that is unfinished.

    Lost extractions of the account are marked as failed.

    :param secret_id: identifies the secret of its pseudonyms; ``None`` without pseudonyms.
    :raises ConfigError: the account has pseudonyms of another secret.
    """
    context.locks.named(connection, "wacontacts begin", *key.task)
    tables, now = context.tables, context.now(connection)
    account_id = find_or_add_account(connection, tables, key.source, key.account)
    if secret_id is not None:
        pin_secret(connection, tables, account_id, secret_id)
    before = _take_over(connection, tables, key, now)
    _fail_lost(connection, tables, account_id, now)
    started = StartedExtraction(
        extraction_id=uuid4().hex,
        account_id=account_id,
        resume_from=before.position if before else None,
        resumes=before.resumes + 1 if before else 0,
        source=key.source,
        account=key.account,
    )
    connection.execute(
        insert(tables.extraction).values(
            extraction_id=started.extraction_id,
            account_id=account_id,
            started_at=now,
            heartbeat_at=now,
            extracted_at=now,
            state="running",
            resumes=started.resumes,
            position=started.resume_from,
            uri=uri,
            package_version=package_version,
            **_columns(key),
            **dict.fromkeys(("pages", "row_count", "new_versions", "rejected", "bytes"), 0),
        )
    )
    return started


def lock_running(connection: Connection, tables: Tables, extraction_id: str, counted: int) -> int:
    """
    Lock a running extraction until the transaction ends.

    :param counted: rows and rejects committed for it so far.
    :returns: the first free version ID.
    :raises LandingError: the extraction is no longer running, or the database lost commits, for example because a
        lagging replica took over.
    """
    ledger = tables.extraction.c
    found = connection.execute(
        select(ledger.extraction_number, ledger.row_count, ledger.rejected)
        .where(ledger.extraction_id == extraction_id, ledger.state == "running")
        .with_for_update()
    ).first()
    if found is None:
        raise LandingError(
            "Another attempt has taken over this extraction, or it has ended. This attempt writes nothing more."
        )
    if found.row_count + found.rejected != counted:
        raise LandingError("The store has lost contacts that were committed to it. A retry fetches them again.")
    return int((found.extraction_number << VERSION_BITS) + counted)


def count(
    connection: Connection,
    tables: Tables,
    extraction_id: str,
    counts: CommitCounts,
    *,
    position: datetime | None,
    extracted_at: datetime,
    heartbeat_at: datetime,
) -> None:
    """Add a batch to its extraction. The extraction is locked."""
    ledger = tables.extraction.c
    connection.execute(
        update(tables.extraction)
        .where(ledger.extraction_id == extraction_id)
        .values(
            row_count=ledger.row_count + counts.rows,
            new_versions=ledger.new_versions + counts.new_versions,
            rejected=ledger.rejected + counts.rejected,
            pages=ledger.pages + counts.pages,
            bytes=ledger.bytes + counts.size,
            position=position,
            extracted_at=extracted_at,
            heartbeat_at=heartbeat_at,
        )
    )


def finish(connection: Connection, context: StoreContext, extraction_id: str, state: str) -> ExtractionResult:
    """Close an extraction, and return its counts and its gap. The extraction is locked."""
    tables, ledger = context.tables, context.tables.extraction
    row = connection.execute(select(ledger).where(ledger.c.extraction_id == extraction_id)).one()
    loss: dict[str, Any] = {"lateness_s": None, "lossy": None}
    gap = None
    covered_until = row.extracted_at
    if row.window_start is not None:
        window = Window(row.window_start, row.window_end)
        covered_until = min(window.end, row.extracted_at)
        synced = _overlapping(connection, tables, row.account_id, window)
        covered_before = _covered_before(connection, tables, row.account_id, window)
        purged_before = _purged_before(connection, tables, row.account_id)
        if state == "complete":
            synced.append(SyncedWindow(window.start, window.end, row.extracted_at))
        if purged_before is not None and purged_before > window.start:
            synced.append(SyncedWindow(window.start, purged_before, purged_before))
        loss = {
            "lateness_s": lateness_s(window, row.extracted_at),
            "lossy": is_lossy(window, synced, context.late_after),
        }
        gap = gap_before(window, max(filter(None, (covered_before, purged_before)), default=None))
    closed = {**loss, "state": state, "finished_at": context.now(connection)}
    gap_start, gap_end = gap or (None, None)
    connection.execute(
        update(ledger)
        .where(ledger.c.extraction_id == extraction_id)
        .values(
            **closed,
            gap_start=gap_start,
            gap_end=gap_end,
            covered_until=covered_until if state == "complete" else None,
        )
    )
    kept = {name: getattr(row, name, None) for name in ExtractionResult._fields}
    reasons = reject_reasons(connection, tables, extraction_id) if row.rejected else {}
    return ExtractionResult(
        **{**kept, **closed, "rows": row.row_count, "gap_before": gap, "reject_reasons": reasons, "drift": ()}
    )


def analyze(context: StoreContext, result: ExtractionResult) -> None:
    """Gather rough statistics after an extraction with many new versions."""
    if result.new_versions >= ANALYZE_AFTER_ROWS:
        context.analyze_grown(ANALYZED, result.new_versions)


def is_loaded(connection: Connection, tables: Tables, source: str, account: str, uri: str) -> bool:
    """Return whether an extraction has loaded the files at a URI, or has refused them as too old."""
    ledger = tables.extraction.c
    is_account = tables.account.c.source == source, tables.account.c.account == account
    account_id = select(tables.account.c.account_id).where(*is_account).scalar_subquery()
    found = connection.execute(
        select(ledger.extraction_number)
        .where(ledger.account_id == account_id)
        .where(ledger.uri == uri, ledger.state.in_(("complete", "incomplete", "refused")))
        .limit(1)
    )
    return found.first() is not None


def _take_over(connection: Connection, tables: Tables, key: ExtractionKey, now: datetime) -> Any:
    """
    Abandon the running extractions of a key.

    :returns: the last extraction of the key, as of its last commit; ``None`` if it was finished.
    """
    ledger = tables.extraction
    same = and_(*(ledger.c[name] == value for name, value in _columns(key).items()))
    last = connection.execute(
        select(ledger.c.state, ledger.c.position, ledger.c.resumes)
        .where(same)
        .order_by(ledger.c.extraction_number.desc())
        .limit(1)
        .with_for_update()
    ).first()
    connection.execute(
        update(ledger).where(same, ledger.c.state == "running").values(state="abandoned", finished_at=now)
    )
    return last if last is not None and last.state in ("running", "failed") else None


def _fail_lost(connection: Connection, tables: Tables, account_id: int, now: datetime) -> None:
    """Close the lost extractions of an account, except ones that are writing now."""
    ledger = tables.extraction
    lost = [
        extraction_id
        for (extraction_id,) in connection.execute(
            select(ledger.c.extraction_id)
            .where(ledger.c.account_id == account_id, ledger.c.state == "running")
            .where(func.coalesce(ledger.c.deferred_until, ledger.c.heartbeat_at, type_=UtcDateTime) < now - LOST_AFTER)
            .with_for_update(skip_locked=True)
        )
    ]
    if lost:
        closed = {"state": "failed", "error": LOST, "finished_at": now}
        connection.execute(update(ledger).where(ledger.c.extraction_id.in_(lost)).values(**closed))


def _columns(key: ExtractionKey) -> dict[str, Any]:
    window = key.window
    return {
        "source": key.source,
        "account": key.account,
        "window_start": window.start if window else None,
        "window_end": window.end if window else None,
        "options_digest": key.options_digest,
        **key.task._asdict(),
    }


def _overlapping(connection: Connection, tables: Tables, account_id: int, window: Window) -> list[SyncedWindow]:
    """Return the complete windows that overlap this one."""
    ledger = tables.extraction.c
    found = connection.execute(
        select(ledger.window_start, ledger.window_end, ledger.extracted_at).where(
            ledger.account_id == account_id,
            ledger.state == "complete",
            ledger.window_end > window.start,
            ledger.window_start < window.end,
        )
    )
    return [SyncedWindow(*row) for row in found]


def _purged_before(connection: Connection, tables: Tables, account_id: int) -> datetime | None:
    """
    Return until when an account's extractions were purged. Coverage before this is unknown, and counts as synced.

    Call it after reading the extractions.
    """
    account = tables.account.c
    query = select(account.extractions_purged_before).where(account.account_id == account_id)
    purged_before: datetime | None = connection.execute(query).scalar()
    return purged_before


def _covered_before(connection: Connection, tables: Tables, account_id: int, window: Window) -> datetime | None:
    """Return the latest end of coverage of the complete windows that start before this one."""
    ledger = tables.extraction.c
    found: datetime | None = connection.execute(
        select(ledger.covered_until)
        .where(ledger.account_id == account_id, ledger.covered_until.is_not(None), ledger.window_start < window.start)
        .order_by(ledger.covered_until.desc())
        .limit(1)
    ).scalar()
    return found
