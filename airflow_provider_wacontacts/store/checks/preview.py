"""Count what a check would cost, without storing, leasing or spending anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.store.checks.budget import IS_CHARGED, charge_parameters
from airflow_provider_wacontacts.store.checks.leases import IS_LEASED
from airflow_provider_wacontacts.store.checks.model import REUSABLE
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database

__all__ = ["NumberCounts", "count_numbers"]

NUMBERS = f"""
SELECT n.number, n.sender = :sender AS is_own, n.client_version, {IS_LEASED} AS is_leased, {IS_CHARGED} AS is_charged,
    NOT :forced AND n.status IN :reusable AND coalesce(n.checked_at > :fresh_after, false) AS is_fresh
FROM {{at}}wacontacts_number n WHERE n.number IN :numbers
"""


class NumberCounts(NamedTuple):
    """
    Counts of distinct numbers in a dry run of a check.

    :param fresh: numbers with a result that would be reused.
    :param leased: numbers that another task is checking now.
    :param to_ask: numbers that would be requested.
    :param charged: numbers of ``to_ask`` that count against the budget.
    :param erased: numbers of erased people.
    """

    fresh: int = 0
    leased: int = 0
    to_ask: int = 0
    charged: int = 0
    erased: int = 0


def count_numbers(
    context: StoreContext,
    sender: str,
    numbers: Sequence[str],
    *,
    fresh_after: datetime,
    force_check: bool,
    is_shareable: Callable[[str | None], bool] | None,
) -> NumberCounts:
    """
    Count the outcome of a dry run for some numbers.

    :param numbers: E.164, distinct, a few thousand at most.
    :param is_shareable: see :meth:`.Check.fill`.
    :raises LandingError: the database failed.
    """
    with context.read() as db:
        suppression_list = context.suppression_list.cached(db.connection)
        kept = [number for number in numbers if not suppression_list.has(Identifier(Kind.NUMBER, number))]
        rows = _read(db, sender, kept, now=context.now(db.connection), fresh_after=fresh_after, force_check=force_check)
    by_number = {row.number: row for row in rows if row.is_own}
    fresh = {
        row.number
        for row in rows
        if row.is_fresh and (row.is_own or (is_shareable is not None and is_shareable(row.client_version)))
    }
    leased = {number for number, row in by_number.items() if row.is_leased} - fresh
    to_ask = set(kept) - fresh - leased
    charged = sum(number not in by_number or bool(by_number[number].is_charged) for number in to_ask)
    return NumberCounts(len(fresh), len(leased), len(to_ask), charged, len(numbers) - len(kept))


def _read(
    db: Database, sender: str, numbers: Sequence[str], *, now: datetime, fresh_after: datetime, force_check: bool
) -> Sequence[Any]:
    if not numbers:
        return []
    charge = charge_parameters(now, forced=force_check, is_waiting=False)
    parameters: dict[str, Any] = {"now": now, "fresh_after": fresh_after, "reusable": REUSABLE, "sender": sender}
    return db.execute(NUMBERS, numbers=list(numbers), **parameters, **charge).all()
