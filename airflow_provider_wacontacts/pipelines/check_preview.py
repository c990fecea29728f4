"""Dry run of a check: counts the numbers that it would send, and their cost. It sends and stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.checks.model import CheckInput
from airflow_provider_wacontacts.store.checks.preview import NumberCounts, count_numbers
from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["CheckPreview", "preview_check"]

BATCH_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class CheckPreview:
    """
    The expected outcome of a check, as counts without personal data.

    :param given: inputs.
    :param duplicates: inputs that repeat an earlier number.
    :param rejected: inputs that are not valid numbers.
    :param not_asked: numbers that would be left out: opted out, or erased.
    :param fresh: numbers with a result that would be reused.
    :param leased: numbers that another task is checking now.
    :param to_ask: numbers that would be requested.
    :param budget_left: checks left in today's budget.
    :param budget_after: checks that would be left after the check; negative if the budget does not suffice.
    """

    sender: str
    given: int
    duplicates: int
    rejected: int
    not_asked: int
    fresh: int
    leased: int
    to_ask: int
    budget_left: int
    budget_after: int

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for XCom."""
        return asdict(self)


def preview_check(
    inputs: Iterable[CheckInput],
    checks: SenderChecks,
    *,
    fresh_after: datetime,
    force_check: bool = False,
    is_shareable: Callable[[str | None], bool] | None = None,
) -> CheckPreview:
    """
    Count what a check would do.

    :param inputs: read once; its distinct numbers are held in memory.
    :param fresh_after: results that were checked after this time are reused.
    :param is_shareable: see :meth:`.Check.fill`.
    :raises LandingError: the database failed.
    """
    given, rejected = 0, 0
    asks: dict[str, bool] = {}
    for given, row in enumerate(inputs, 1):  # noqa: B007 - counts them
        if row.number is None:
            rejected += 1
        else:
            asks[row.number] = asks.get(row.number, True) and row.opted_in is not False
    numbers = [number for number, is_asked in asks.items() if is_asked]
    options: dict[str, Any] = {"fresh_after": fresh_after, "force_check": force_check, "is_shareable": is_shareable}
    counted = [count_numbers(checks.context, checks.sender, batch, **options) for batch in batched(numbers, BATCH_SIZE)]
    total = NumberCounts(*map(sum, zip(*counted, strict=True))) if counted else NumberCounts()
    opted_out = len(asks) - len(numbers)
    left = checks.budget_left()
    return CheckPreview(
        sender=checks.sender,
        given=given,
        duplicates=given - rejected - len(asks),
        rejected=rejected,
        not_asked=opted_out + total.erased,
        fresh=total.fresh,
        leased=total.leased,
        to_ask=total.to_ask,
        budget_left=left,
        budget_after=left - total.charged,
    )
