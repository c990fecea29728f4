"""Leases: one worker at a time requests a number, after the budget was charged, and only if no result is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from airflow_provider_wacontacts.store.checks import budget
from airflow_provider_wacontacts.store.checks.budget import IS_CHARGED
from airflow_provider_wacontacts.store.checks.model import REUSABLE, LeasedNumbers
from airflow_provider_wacontacts.store.checks.results import KNOWN, copy_to_results, resolve_checks
from airflow_provider_wacontacts.store.database import Database

__all__ = ["LEASED_FOR", "LeaseRequest", "lease", "queued_free", "release", "release_all"]

#: Longer than all retries of a request. Leases of a killed worker expire after this time.
LEASED_FOR = timedelta(minutes=12)

#: Whether number ``n`` needs no request: it was requested since the check was opened, or has a fresh result.
IS_KNOWN = """(
    coalesce(CASE WHEN :forced THEN n.forced_at ELSE n.asked_at END >= :asked_since, false)
    OR (NOT :forced AND n.status IN :reusable AND coalesce(n.checked_at > :fresh_after, false))
)"""
IS_LEASED = "coalesce(n.leased_until > :now, false)"
NUMBERS = f"""
SELECT n.number_id, n.number, {IS_KNOWN} AS is_known, {IS_LEASED} AS is_leased, {IS_CHARGED} AS is_charged
FROM {{at}}wacontacts_number n WHERE n.number_id IN :number_ids ORDER BY n.number_id
"""
QUEUED_FREE = f"""
SELECT r.ordinal, r.number_id FROM {{at}}wacontacts_check_result r
JOIN {{at}}wacontacts_number n ON n.number_id = r.number_id
WHERE r.check_id = :check_id AND r.status IS NULL AND NOT r.duplicate AND r.ordinal > :after
    AND ({IS_LEASED} OR {IS_KNOWN} OR NOT {IS_CHARGED})
ORDER BY r.ordinal LIMIT :size
"""
LEASE = """
UPDATE {at}wacontacts_number SET leased_by = :holder, leased_until = :until WHERE number_id IN :number_ids
"""
RELEASE = """
UPDATE {at}wacontacts_number SET leased_by = NULL, leased_until = NULL
WHERE leased_by = :holder AND sender = :sender AND number IN :numbers
"""
#: Numbers are found by the check's results, because leases have no index.
RELEASE_ALL = """
UPDATE {at}wacontacts_number SET leased_by = NULL, leased_until = NULL
WHERE leased_by = :holder AND number_id IN (
    SELECT r.number_id FROM {at}wacontacts_check_result r WHERE r.check_id = :check_id
)
"""


class LeaseRequest(NamedTuple):
    """
    Which numbers a check may lease.

    :param holder: holder of the lease: the check, or one of its waiters.
    :param fresh_after: results that were checked after this time are reused.
    :param asked_since: numbers that any check requested since then are not requested again.
    :param is_waiting: whether the check waits for these numbers, which it requested before.
    :param daily_checks: the sender's budget.
    :param monthly_checks: the sender's budget for a month; ``None`` for no limit.
    :param max_checks: maximum checks of this check in a day; ``None`` for the whole budget.
    """

    check_id: str
    holder: str
    sender: str
    fresh_after: datetime
    asked_since: datetime
    force_check: bool
    is_waiting: bool
    daily_checks: int
    monthly_checks: int | None
    max_checks: int | None

    def parameters(self, now: datetime) -> dict[str, Any]:
        """Return the parameters of the conditions on a number."""
        return {
            "now": now,
            "fresh_after": self.fresh_after,
            "asked_since": self.asked_since,
            "reusable": REUSABLE,
            **budget.charge_parameters(now, forced=self.force_check, is_waiting=self.is_waiting),
        }


def lease(db: Database, request: LeaseRequest, number_ids: Sequence[int], now: datetime) -> LeasedNumbers:
    """
    Lease the numbers that need a request, and spend the budget for them.

    The results of the others are copied to the check.

    :param number_ids: in the order in which they are requested.
    """
    rows = db.execute(NUMBERS + db.locked, number_ids=list(number_ids), **request.parameters(now))
    by_id = {row.number_id: row for row in rows}
    found = [by_id[number_id] for number_id in number_ids if number_id in by_id]
    known = [row.number_id for row in found if row.is_known]
    unknown = [row for row in found if not row.is_known]
    available = [row for row in unknown if not row.is_leased]
    if known:
        copy_to_results(db, known, KNOWN, check_id=request.check_id)
        resolve_checks(db, [request.check_id], now)
    leased, charged = _within_budget(db, request, available, now)
    if leased:
        ids = [row.number_id for row in leased]
        db.execute(LEASE, number_ids=ids, holder=request.holder, until=now + LEASED_FOR)
    return LeasedNumbers(
        [row.number for row in leased],
        over_budget=len(leased) < len(available),
        leased_elsewhere=len(unknown) - len(available),
        leased_at=now,
        charged=charged,
    )


def queued_free(db: Database, request: LeaseRequest, now: datetime, *, after: int, size: int) -> Sequence[Any]:
    """
    Find queued numbers that are not charged to the budget, or that another worker has leased.

    :param after: lower limit of the ordinals, exclusive.
    :returns: ``ordinal`` and ``number_id``, in order.
    """
    parameters: dict[str, Any] = {"check_id": request.check_id, "after": after, "size": size}
    return db.execute(QUEUED_FREE, **parameters, **request.parameters(now)).all()


def release(db: Database, sender: str, holder: str, numbers: Sequence[str]) -> None:
    """Release numbers without a result; the budget stays spent."""
    if numbers:
        db.execute(RELEASE, sender=sender, holder=holder, numbers=list(numbers))


def release_all(db: Database, check_id: str, holder: str) -> None:
    """Release the numbers of a check that earlier attempts of a holder leased."""
    db.execute(RELEASE_ALL, check_id=check_id, holder=holder)


def _within_budget(
    db: Database, request: LeaseRequest, available: Sequence[Any], now: datetime
) -> tuple[list[Any], int]:
    """
    Spend the budget, and leave out numbers that exceed it.

    :returns: the others, and how much was spent.
    """
    charged = [row.number_id for row in available if row.is_charged]
    sender, day = request.sender, budget.utc_day(now)
    granted = budget.spend(
        db,
        sender,
        day,
        wanted=len(charged),
        limit=budget.limit_of_day(db, sender, day, daily=request.daily_checks, monthly=request.monthly_checks),
        check_id=request.check_id,
        max_checks=request.max_checks,
    )
    left_out = set(charged[granted:])
    return [row for row in available if row.number_id not in left_out], granted
