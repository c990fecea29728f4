"""Which numbers were last looked at too long ago."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from airflow_provider_wacontacts.landing.sql.numbers.database import Database

__all__ = ["oldest"]

AT_ONCE = 1_000
STALE = """
SELECT number, number_id, coalesce(checked_at, answered_at) AS aged_at FROM {at}wacontacts_number
WHERE sender = :sender AND status IN :statuses AND coalesce(checked_at, answered_at) <= :not_after
    AND (claimed_until IS NULL OR claimed_until <= :now_at)
"""
ORDER = " ORDER BY coalesce(checked_at, answered_at), number_id LIMIT :limit"
WANTED = " AND number IN :numbers"


def oldest(
    db: Database,
    sender: str,
    *,
    statuses: Sequence[str],
    not_after: datetime,
    limit: int,
    now: datetime,
    wanted: Iterable[str] | None = None,
) -> list[str]:
    """
    Find the numbers whose last real check is oldest, and that nobody asks about now.

    :param not_after: no check after it is too long ago.
    :param wanted: the only numbers that may be found, in E.164; ``None`` for all.
    :returns: E.164, oldest first, at most ``limit``.
    """
    own: dict[str, Any] = {"sender": sender, "statuses": list(statuses), "not_after": not_after, "now_at": now}
    if wanted is None:
        return [row.number for row in db.execute(STALE + ORDER, limit=limit, **own)]
    found = (
        (row.aged_at, row.number_id, row.number)
        for numbers in _chunks(wanted)
        for row in _rows(db, {**own, "numbers": numbers})
    )
    return [number for _, _, number in heapq.nsmallest(limit, set(found))]


def _rows(db: Database, parameters: dict[str, Any]) -> Iterator[Any]:
    return iter(db.execute(STALE + WANTED, times=("aged_at",), **parameters).all())


def _chunks(numbers: Iterable[str]) -> Iterator[list[str]]:
    source = iter(numbers)
    while chunk := list(islice(source, AT_ONCE)):
        yield chunk
