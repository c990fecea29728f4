"""Which time was synced, by account: the windows of complete extractions, merged by the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.database import Database

__all__ = ["Synced", "read_synced"]

#: An interval begins where a window starts after all earlier ones have ended. The plus sign keeps the index by account
#: out of it: going through a ledger of years in its own order is quicker.
MERGED = """
WITH synced AS (
    SELECT e.account_id, 0 AS in_time, e.window_start AS start_at, e.covered_until AS end_at
    FROM {{at}}wacontacts_extraction e
    WHERE +e.account_id IN :account_ids AND e.state = 'complete' AND e.window_start < e.covered_until {within}
    UNION ALL
    SELECT e.account_id, 1, e.window_start, e.covered_until
    FROM {{at}}wacontacts_extraction e
    WHERE +e.account_id IN :account_ids AND e.state = 'complete' AND e.window_start < e.covered_until {within}
        AND e.lateness_s <= :late_after_s
), ordered AS (
    SELECT s.*, max(s.end_at) OVER (
        PARTITION BY s.account_id, s.in_time ORDER BY s.start_at, s.end_at
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS reached_at FROM synced s
), numbered AS (
    SELECT o.*, sum(CASE WHEN o.start_at <= o.reached_at THEN 0 ELSE 1 END) OVER (
        PARTITION BY o.account_id, o.in_time ORDER BY o.start_at, o.end_at ROWS UNBOUNDED PRECEDING
    ) AS interval_number FROM ordered o
)
SELECT account_id, in_time, min(start_at) AS start_at, max(end_at) AS end_at
FROM numbered GROUP BY account_id, in_time, interval_number ORDER BY 1, 2, 3
"""
WITHIN = "AND e.covered_until > :since AND e.window_start < :until"


@dataclass(frozen=True, slots=True)
class Synced:
    """
    What was synced of an account. Both are ascending and disjoint.

    :param all: all that was.
    :param in_time: what was synced soon enough after its window ended.
    """

    all: list[Window] = field(default_factory=list)
    in_time: list[Window] = field(default_factory=list)


def read_synced(
    db: Database, account_ids: Sequence[int], *, late_after: timedelta, span: Window | None = None
) -> Mapping[int, Synced]:
    """
    Read which time was synced; windows that touch or overlap are one interval.

    :param late_after: how long after its end a window may be synced in time, inclusive.
    :param span: only windows that overlap it, each as long as it is; ``None`` for all.
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
        own = found[account_id]
        (own.in_time if in_time else own.all).append(Window(start_at, end_at))
    return found
