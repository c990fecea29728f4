"""
Queries about single extractions, checks, budgets and identity changes.

They read no personal data, only IDs, counts and times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.checks.budget import utc_day
from airflow_provider_wacontacts.store.checks.results import count_totals
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.ledger import IS_SILENT, LOST_AFTER
from airflow_provider_wacontacts.store.rules import IS_PENDING

__all__ = [
    "Activity",
    "Row",
    "read_activity",
    "read_attempts",
    "read_budgets",
    "read_check",
    "read_checks",
    "read_extraction",
    "read_identities",
]

Row = Mapping[str, Any]

EXTRACTION_TIMES = (
    *("window_start", "window_end", "covered_until", "started_at", "heartbeat_at", "deferred_until"),
    *("extracted_at", "finished_at", "position", "gap_start", "gap_end"),
)
IS_LOST = f"state = 'running' AND {IS_SILENT}"
EXTRACTION = f"""
SELECT e.*, {IS_LOST} AS is_lost FROM {{at}}wacontacts_extraction e WHERE e.extraction_id = :extraction_id
"""
REJECTS = """
SELECT reason, count(*) AS rejects, max(received_at) AS last_at FROM {at}wacontacts_rejected_row
WHERE extraction_id = :extraction_id GROUP BY reason ORDER BY count(*) DESC, reason
"""
ATTEMPTS = f"""
SELECT e.extraction_id, e.window_start, e.window_end, e.started_at, e.extracted_at, e.finished_at, e.row_count,
    e.new_versions, e.rejected, e.lateness_s, e.lossy, coalesce(e.reason, e.error) AS reason, e.dag_id, e.run_id,
    e.task_id, e.map_index, CASE WHEN {IS_LOST} THEN 'lost' ELSE e.state END AS state
FROM {{at}}wacontacts_extraction e
WHERE e.account_id = :account_id AND coalesce(e.window_end, e.extracted_at) > :since
    AND coalesce(e.window_start, e.extracted_at) < :until
ORDER BY coalesce(e.window_start, e.extracted_at) DESC, e.extraction_number DESC LIMIT :size
"""
#: The task that syncs an account is the task of its newest extraction.
ACTIVITY = """
SELECT a.source, a.account, a.account_id, e.dag_id, e.extraction_id, s.row_count, s.new_versions
FROM {at}wacontacts_account a
JOIN (
    SELECT account_id, max(extraction_number) AS extraction_number,
        sum(CASE WHEN started_at > :since THEN row_count ELSE 0 END) AS row_count,
        sum(CASE WHEN started_at > :since THEN new_versions ELSE 0 END) AS new_versions
    FROM {at}wacontacts_extraction GROUP BY account_id
) s ON s.account_id = a.account_id
JOIN {at}wacontacts_extraction e ON e.extraction_number = s.extraction_number
"""
CHECK_TIMES = (
    *("created_at", "opened_at", "filled_at", "heartbeat_at", "deferred_until", "finished_at", "deadline_at"),
    *("resolved_at", "fresh_after"),
)
CHECK_LOST = f"state = 'open' AND finished_at IS NULL AND {IS_SILENT}"
CHECK = f"SELECT e.*, {CHECK_LOST} AS is_lost FROM {{at}}wacontacts_check e WHERE e.check_id = :check_id"
CHECKS = f"""
SELECT e.check_id, e.sender, e.created_at, e.deadline_at, e.resolved_at, e.error, e.dag_id, e.run_id, e.task_id,
    e.map_index, CASE WHEN {CHECK_LOST} THEN 'lost'
        WHEN state = 'open' AND deadline_at < :now THEN 'overdue' ELSE state END AS state
FROM {{at}}wacontacts_check e ORDER BY e.state <> 'open', e.check_number DESC LIMIT :size
"""
REASONS = """
SELECT status, reason, count(*) AS inputs FROM {at}wacontacts_check_result
WHERE check_id = :check_id AND reason IS NOT NULL GROUP BY status, reason ORDER BY count(*) DESC, reason
"""
BUDGETS = """
SELECT sender, day, spent, daily_limit FROM {at}wacontacts_budget WHERE day >= :first ORDER BY sender, day
"""
IDENTITIES = f"""
SELECT i.identity_id, i.sender, i.created_at, i.detected_at, i.unknown_at FROM {{at}}wacontacts_identity i
WHERE {IS_PENDING} ORDER BY coalesce(i.created_at, i.detected_at), i.identity_id LIMIT :size
"""


class Activity(NamedTuple):
    """
    The recent activity of an account's tasks.

    :param dag_id: DAG of the newest extraction, like ``extraction_id``.
    :param row_count: rows of extractions that began in the last 24 hours, like ``new_versions``.
    """

    source: str
    account: str
    account_id: int
    dag_id: str
    extraction_id: str
    row_count: int
    new_versions: int


def read_activity(db: Database, *, now: datetime) -> list[Activity]:
    """Read the activity of each account's tasks in the last 24 hours."""
    rows = db.execute(ACTIVITY, ids=("extraction_id",), since=now - timedelta(days=1))
    return [
        Activity(**{**row, "row_count": int(row["row_count"]), "new_versions": int(row["new_versions"])})
        for row in rows.mappings()
    ]


def read_attempts(db: Database, account_id: int, span: Window, *, now: datetime, size: int) -> Sequence[Row]:
    """Read the extractions of an account whose windows overlap a span, the latest first."""
    return _all(
        db,
        ATTEMPTS,
        times=tuple(name for name in EXTRACTION_TIMES if f"e.{name}" in ATTEMPTS),
        ids=("extraction_id",),
        account_id=account_id,
        since=span.start,
        until=span.end,
        silent_since=now - LOST_AFTER,
        size=size,
    )


def read_extraction(db: Database, extraction_id: str, *, now: datetime) -> tuple[Row, Sequence[Row]] | None:
    """
    Read an extraction, and its rejects by reason.

    :param extraction_id: 32 hexadecimal digits.
    :returns: ``None`` if the ID is unknown.
    """
    found = _all(
        db,
        EXTRACTION,
        times=EXTRACTION_TIMES,
        ids=("extraction_id",),
        extraction_id=extraction_id,
        silent_since=now - LOST_AFTER,
    )
    return (found[0], _all(db, REJECTS, times=("last_at",), extraction_id=extraction_id)) if found else None


def read_check(db: Database, check_id: str, *, now: datetime) -> tuple[Row, Row, Sequence[Row]] | None:
    """
    Read a check, its counts, and the reasons of inputs without a result.

    :returns: ``None`` if the ID is unknown.
    """
    found = _all(db, CHECK, times=CHECK_TIMES, ids=("check_id",), check_id=check_id, silent_since=now - LOST_AFTER)
    if not found:
        return None
    return found[0], count_totals(db, check_id)._asdict(), _all(db, REASONS, check_id=check_id)


def read_checks(db: Database, *, now: datetime, size: int) -> Sequence[Row]:
    """Read the newest checks, open ones first."""
    return _all(
        db,
        CHECKS,
        times=("created_at", "deadline_at", "resolved_at"),
        ids=("check_id",),
        now=now,
        silent_since=now - LOST_AFTER,
        size=size,
    )


def read_budgets(db: Database, *, now: datetime, days: int) -> Mapping[str, Mapping[date, tuple[int, int | None]]]:
    """
    Read the spent budgets of senders.

    :param days: number of UTC days, including today.
    :returns: by sender and day, the checks spent, and the limit that applied; ``None`` if unknown.
    """
    found: dict[str, dict[date, tuple[int, int | None]]] = {}
    for row in db.execute(BUDGETS, first=utc_day(now) - timedelta(days=days - 1)):
        day = row.day if isinstance(row.day, date) else date.fromisoformat(row.day)
        found.setdefault(row.sender, {})[day] = (int(row.spent), row.daily_limit)
    return found


def read_identities(db: Database, *, size: int) -> Sequence[Row]:
    """Read the pending identity changes as IDs and times, the oldest first."""
    return _all(db, IDENTITIES, times=("created_at", "detected_at", "unknown_at"), size=size)


def _all(db: Database, sql: str, **parameters: Any) -> Sequence[Row]:
    return [dict(row) for row in db.execute(sql, **parameters).mappings()]
