"""Which numbers were last looked at too long ago."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from airflow_provider_wacontacts.store.checks.inputs import OPTED_OUT
from airflow_provider_wacontacts.store.database import Database

__all__ = ["oldest"]

AT_ONCE = 1_000
STALE = """
SELECT number, number_id, coalesce(checked_at, answered_at) AS aged_at FROM {at}wacontacts_number
WHERE sender = :sender AND status IN :statuses AND coalesce(checked_at, answered_at) <= :not_after
    AND (claimed_until IS NULL OR claimed_until <= :now_at)
"""
ORDER = " ORDER BY coalesce(checked_at, answered_at), number_id LIMIT :limit"
WANTED = " AND number IN :numbers"
#: The last check that was given the number was told that nobody may ask about it.
OPTED_IN = f"""
    AND NOT EXISTS (
        SELECT 1 FROM {{at}}wacontacts_check_result r JOIN {{at}}wacontacts_check c ON c.check_id = r.check_id
        WHERE r.number_id = wacontacts_number.number_id AND r.reason = '{OPTED_OUT}' AND NOT EXISTS (
            SELECT 1 FROM {{at}}wacontacts_check_result l JOIN {{at}}wacontacts_check o ON o.check_id = l.check_id
            WHERE l.number_id = r.number_id AND o.check_number > c.check_number
                AND (l.reason IS NULL OR l.reason <> '{OPTED_OUT}')
        )
    )
"""  # noqa: S608 - no value of a row is in it


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
    :param wanted: the only numbers that may be found, in E.164; ``None`` for all but those that were opted out when a
        check was last given them.
    :returns: E.164, oldest first, at most ``limit``.
    """
    own: dict[str, Any] = {"sender": sender, "statuses": list(statuses), "not_after": not_after, "now_at": now}
    if wanted is None:
        return [row.number for row in db.execute(STALE + OPTED_IN + ORDER, limit=limit, **own)]
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
