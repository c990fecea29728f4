"""The daily check budget of a sender: which numbers are charged, and how it is spent before a request is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from airflow_provider_wacontacts.store.checks.model import CACHED_FOR, FINAL
from airflow_provider_wacontacts.store.database import Database

__all__ = [
    "IS_CHARGED",
    "charge_parameters",
    "limit_of_day",
    "next_month",
    "refund",
    "spend",
    "spent_between",
    "spent_on",
    "utc_day",
]

#: Whether a request for number ``n`` is charged. After a client returned a result that is not final, it does not look
#: the number up for a week. If it left a number out, it may look it up for each request; while a check waits, such
#: requests are rare.
IS_CHARGED = """(
    :forced OR n.status IS NULL OR n.status IN :final OR n.asked_at IS NULL OR n.asked_at <= :cached_after
    OR (n.status = 'missing' AND NOT :is_waiting)
)"""
FIRST_OF_DAY = "INSERT INTO {at}wacontacts_budget (sender, day, spent) VALUES (:sender, :day, 0) ON CONFLICT DO NOTHING"
SPEND = """
UPDATE {at}wacontacts_budget SET spent = spent + :wanted, daily_limit = :limit
WHERE sender = :sender AND day = :day AND spent + :wanted <= :limit
"""
REFUND = """
UPDATE {at}wacontacts_budget SET spent = spent - :charged WHERE sender = :sender AND day = :day AND spent >= :charged
"""
REFUND_FOR_CHECK = """
UPDATE {at}wacontacts_check SET spent = spent - :charged
WHERE check_id = :check_id AND spent_on = :day AND spent >= :charged
"""
SPENT = "SELECT spent FROM {at}wacontacts_budget WHERE sender = :sender AND day = :day"
SPENT_BETWEEN = """
SELECT coalesce(sum(spent), 0) FROM {at}wacontacts_budget WHERE sender = :sender AND day >= :first AND day < :end
"""
#: The conditional UPDATE counts ``:day`` itself.
EXCEPT_DAY = " AND day <> :day"
SPENT_BY_CHECK = """
SELECT CASE WHEN spent_on = :day THEN spent ELSE 0 END AS spent FROM {at}wacontacts_check WHERE check_id = :check_id
"""
COUNT_FOR_CHECK = """
UPDATE {at}wacontacts_check SET spent = CASE WHEN spent_on = :day THEN spent ELSE 0 END + :granted, spent_on = :day
WHERE check_id = :check_id
"""


def utc_day(moment: datetime) -> date:
    """Return the UTC day of a time."""
    return moment.astimezone(UTC).date()


def charge_parameters(now: datetime, *, forced: bool, is_waiting: bool) -> dict[str, Any]:
    """Return the parameters of :data:`IS_CHARGED`."""
    return {"forced": forced, "is_waiting": is_waiting, "final": FINAL, "cached_after": now - CACHED_FOR}


def spend(
    db: Database,
    sender: str,
    day: date,
    *,
    wanted: int,
    limit: int,
    check_id: str | None = None,
    max_checks: int | None = None,
) -> int:
    """
    Spend the requested part of a day's budget, or all that is left.

    :param limit: checks that the sender may make in the day.
    :param max_checks: checks that check ``check_id`` may make in the day; ``None`` for all of the sender's.
    :returns: the checks spent; a rolled back transaction spends nothing.
    """
    if wanted <= 0:
        return 0
    if max_checks is None:
        return _spend(db, {"sender": sender, "day": day}, wanted, limit)
    key: dict[str, Any] = {"check_id": check_id, "day": day}
    left = max_checks - int(db.execute(SPENT_BY_CHECK + db.locked, **key).scalar_one())
    granted = _spend(db, {"sender": sender, "day": day}, min(wanted, left), limit)
    if granted:
        db.execute(COUNT_FOR_CHECK, **key, granted=granted)
    return granted


def limit_of_day(db: Database, sender: str, day: date, *, daily: int, monthly: int | None) -> int:
    """
    Return how many checks a sender may make in a day, given the month's budget and the checks of its other days.

    :param monthly: checks that the sender may make in the month; ``None`` for no limit.
    """
    if monthly is None:
        return daily
    first = day.replace(day=1)
    parameters: dict[str, Any] = {"sender": sender, "day": day, "first": first, "end": next_month(first)}
    return max(0, min(daily, monthly - int(db.execute(SPENT_BETWEEN + EXCEPT_DAY, **parameters).scalar_one())))


def next_month(day: date) -> date:
    """Return the first day of the month after a day's."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def refund(db: Database, sender: str, day: date, *, charged: int, check_id: str) -> None:
    """Refund the budget spent on numbers that the server certainly did not look up."""
    if charged:
        db.execute(REFUND, sender=sender, day=day, charged=charged)
        db.execute(REFUND_FOR_CHECK, check_id=check_id, day=day, charged=charged)


def spent_on(db: Database, sender: str, day: date) -> int:
    """Return how much of a day's budget is spent."""
    return int(db.execute(SPENT, sender=sender, day=day).scalar() or 0)


def spent_between(db: Database, sender: str, first: date, end: date) -> int:
    """Return how much of the budgets of some days is spent; the last is the day before ``end``."""
    return int(db.execute(SPENT_BETWEEN, sender=sender, first=first, end=end).scalar_one())


def _spend(db: Database, key: Mapping[str, Any], wanted: int, limit: int) -> int:
    if wanted <= 0:
        return 0
    db.execute(FIRST_OF_DAY, **key)
    while wanted > 0:
        if db.execute(SPEND, **key, wanted=wanted, limit=limit).rowcount == 1:
            return wanted
        wanted = min(wanted, limit - int(db.execute(SPENT + db.locked, **key).scalar_one()))
    return 0
