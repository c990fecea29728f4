"""The synced intervals of each account: the windows of complete extractions, merged by the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.database import Database

__all__ = ["Synced", "read_synced"]

#: An interval begins where a window starts after all earlier ones have ended, and ends at the latest end before the
#: next such window. The plus sign prevents the use of the index by account: a scan of a ledger of years in its own
#: order is faster.
MERGED = """
WITH synced AS (
    SELECT e.account_id, e.window_start AS start_at, e.covered_until AS end_at, e.lateness_s <= :late_after_s AS in_time
    FROM {{at}}wacontacts_extraction e
    WHERE +e.account_id IN :account_ids AND e.state = 'complete' AND e.window_start < e.covered_until {within}
), ordered AS (
    SELECT s.*, max(s.end_at) OVER earlier AS reached_at,
        max(CASE WHEN s.in_time THEN s.end_at END) OVER earlier AS in_time_until
    FROM synced s
    WINDOW earlier AS (
        PARTITION BY s.account_id ORDER BY s.start_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
), begun AS (
    SELECT account_id, 0 AS in_time, start_at, reached_at FROM ordered
    WHERE reached_at IS NULL OR start_at > reached_at
    UNION ALL
    SELECT account_id, 1, start_at, in_time_until FROM ordered
    WHERE in_time AND (in_time_until IS NULL OR start_at > in_time_until)
), ended AS (
    SELECT account_id, 0 AS in_time, max(end_at) AS end_at FROM ordered GROUP BY account_id
    UNION ALL
    SELECT account_id, 1, max(end_at) FROM ordered WHERE in_time GROUP BY account_id
)
SELECT b.account_id, b.in_time, b.start_at, coalesce(
    lead(b.reached_at) OVER (PARTITION BY b.account_id, b.in_time ORDER BY b.start_at), e.end_at
) AS end_at
FROM begun b JOIN ended e ON e.account_id = b.account_id AND e.in_time = b.in_time
ORDER BY 1, 2, 3
"""
WITHIN = "AND e.covered_until > :since AND e.window_start < :until"


@dataclass(frozen=True, slots=True)
class Synced:
    """
    The synced intervals of an account. Both are ascending and disjoint.

    :param all: all synced intervals.
    :param in_time: intervals that were synced in time.
    """

    all: list[Window] = field(default_factory=list)
    in_time: list[Window] = field(default_factory=list)


def read_synced(
    db: Database, account_ids: Sequence[int], *, late_after: timedelta, span: Window | None = None
) -> Mapping[int, Synced]:
    """
    Read the synced intervals. Windows that touch or overlap are merged.

    :param late_after: maximum sync lag of a window that is synced in time, inclusive.
    :param span: only windows that overlap it, each in full length; ``None`` for all.
    :returns: by account; an account without windows has empty lists.
    """
    found: defaultdict[int, Synced] = defaultdict(Synced)
    if not account_ids:
        return found
    bounds: dict[str, Any] = {"since": span.start, "until": span.end} if span else {}
    rows = db.execute(
        MERGED.format(within=WITHIN if span else ""),
        times=("start_at", "end_at"),
        account_ids=list(account_ids),
        late_after_s=late_after.total_seconds(),
        **bounds,
    )
    for account_id, in_time, start_at, end_at in map(tuple, rows):
        synced = found[account_id]
        (synced.in_time if in_time else synced.all).append(Window(start_at, end_at))
    return found
