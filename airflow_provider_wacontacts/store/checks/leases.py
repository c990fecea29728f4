"""Claims: nobody asks about a number that is known, that somebody else asks about, or that the budget is not for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from airflow_provider_wacontacts.store.checks import budget
from airflow_provider_wacontacts.store.checks.model import CACHED_FOR, FINAL, MISSING, LeasedNumbers
from airflow_provider_wacontacts.store.checks.results import KNOWN, hand_on, resolve_checks
from airflow_provider_wacontacts.store.database import Database

__all__ = ["CLAIMED_FOR", "LeaseRequest", "lease", "release", "release_all"]

#: Longer than a request is tried. Whoever dies in between holds a number up for no longer.
CLAIMED_FOR = timedelta(minutes=12)

REUSABLE = ("valid", "invalid")

ROWS = """
SELECT number_id, number, status, checked_at, asked_at, forced_at, claimed_until
FROM {at}wacontacts_number WHERE number_id IN :number_ids ORDER BY number_id
"""
TIMES = ("checked_at", "asked_at", "forced_at", "claimed_until")
TAKE = """
UPDATE {at}wacontacts_number SET claimed_for = :holder, claimed_until = :until_at WHERE number_id IN :number_ids
"""
DRAWN = "SELECT drawn, drawn_on FROM {at}wacontacts_check WHERE check_id = :check_id"
COUNT = "UPDATE {at}wacontacts_check SET drawn = :drawn, drawn_on = :day WHERE check_id = :check_id"
GIVE_BACK = """
UPDATE {at}wacontacts_number SET claimed_for = NULL, claimed_until = NULL
WHERE claimed_for = :holder AND sender = :sender AND number IN :numbers
"""
#: The results of a check lead to its numbers; what is claimed has no index of its own.
GIVE_BACK_ALL = """
UPDATE {at}wacontacts_number SET claimed_for = NULL, claimed_until = NULL
WHERE claimed_for = :holder AND number_id IN (
    SELECT r.number_id FROM {at}wacontacts_check_result r WHERE r.check_id = :check_id
)
"""


class LeaseRequest(NamedTuple):
    """
    Who wants to ask, and by which rules.

    :param holder: whose claim it is: the check, or one of those who wait for it.
    :param fresh_after: a real answer since then will do.
    :param since: what anybody has asked since then need not be asked again; ``None`` where it has to be.
    :param daily_checks: of the sender.
    :param max_checks: how much of a day's budget this check may draw; ``None`` for all.
    """

    check_id: str
    holder: str
    sender: str
    fresh_after: datetime
    since: datetime | None
    force_check: bool
    daily_checks: int
    max_checks: int | None


def lease(db: Database, asking: LeaseRequest, number_ids: Sequence[int], now: datetime) -> LeasedNumbers:
    """
    Take the numbers that have to be asked about, and what of the budget that needs.

    What is known by now is handed to the check's results.

    :param number_ids: in the order in which they are to be asked about.
    """
    rows = db.execute(ROWS + db.locked, times=TIMES, number_ids=list(number_ids))
    found = {row.number_id: row for row in rows}
    kept = [found[number_id] for number_id in number_ids if number_id in found]
    known = [row for row in kept if _is_known(row, asking)]
    others = [row for row in kept if not _is_known(row, asking)]
    free = [row for row in others if row.claimed_until is None or row.claimed_until <= now]
    if known:
        hand_on(db, [row.number_id for row in known], KNOWN, check_id=asking.check_id)
        resolve_checks(db, [asking.check_id], now)
    taken = _paid(db, asking, free, now)
    if taken:
        until: dict[str, Any] = {"holder": asking.holder, "until_at": now + CLAIMED_FOR}
        db.execute(TAKE, number_ids=[row.number_id for row in taken], **until)
    return LeasedNumbers([row.number for row in taken], len(taken) < len(free), len(others) - len(free))


def release(db: Database, sender: str, holder: str, numbers: Sequence[str]) -> None:
    """Free numbers that were not asked about after all; what was drawn for them is not given back."""
    if numbers:
        db.execute(GIVE_BACK, sender=sender, holder=holder, numbers=list(numbers))


def release_all(db: Database, check_id: str, holder: str) -> None:
    """Free what earlier tries of a holder had taken of a check's numbers."""
    db.execute(GIVE_BACK_ALL, check_id=check_id, holder=holder)


def _is_known(row: Any, asking: LeaseRequest) -> bool:
    asked_at = row.forced_at if asking.force_check else row.asked_at
    if asking.since is not None and asked_at is not None and asked_at >= asking.since:
        return True
    is_fresh = row.status in REUSABLE and row.checked_at is not None and row.checked_at > asking.fresh_after
    return is_fresh and not asking.force_check


def _paid(db: Database, asking: LeaseRequest, free: Sequence[Any], now: datetime) -> list[Any]:
    """Draw the budget, and leave out what it does not suffice for."""
    dear = [row for row in free if _draws(row, asking, now)]
    day = budget.utc_day(now)
    wanted = len(dear)
    if dear and asking.max_checks is not None:
        wanted = min(wanted, asking.max_checks - _drawn(db, asking.check_id, day))
    granted = budget.draw(db, asking.sender, day, wanted=wanted, limit=asking.daily_checks)
    if granted and asking.max_checks is not None:
        drawn = _drawn(db, asking.check_id, day) + granted
        db.execute(COUNT, check_id=asking.check_id, day=day, drawn=drawn)
    unpaid = {row.number_id for row in dear[granted:]}
    return [row for row in free if row.number_id not in unpaid]


def _draws(row: Any, asking: LeaseRequest, now: datetime) -> bool:
    """Tell whether a question costs: not where the server has said that an answer is under way."""
    # A server that leaves a number out may look for it whenever it is asked; who waits for it asks ever more rarely.
    is_left_out = row.status == MISSING and asking.since is not None
    if asking.force_check or row.status is None or row.status in FINAL or is_left_out:
        return True
    return row.asked_at is None or bool(row.asked_at <= now - CACHED_FOR)


def _drawn(db: Database, check_id: str, day: str) -> int:
    row = db.execute(DRAWN + db.locked, check_id=check_id).one()
    return int(row.drawn) if row.drawn_on == day else 0
