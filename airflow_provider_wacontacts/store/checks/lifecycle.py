"""The lifecycle of a check: add inputs, lease numbers, record results, finish, and optionally wait for results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from airflow_provider_wacontacts.identifiers.identifier import Identifier
from airflow_provider_wacontacts.identifiers.suppression import Named
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.checks import inputs, leases, results
from airflow_provider_wacontacts.store.checks.budget import refund, utc_day
from airflow_provider_wacontacts.store.checks.leases import LeaseRequest
from airflow_provider_wacontacts.store.checks.model import (
    CACHED_FOR,
    FINAL,
    MAX_OMISSIONS,
    MISSING,
    PAST_BUDGET,
    UNCHECKED,
    CheckInput,
    CheckResults,
    CheckTotals,
    LeasedNumbers,
)
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.erasure import erase_named
from airflow_provider_wacontacts.store.person_keys import refresh_new_numbers

__all__ = ["Check", "CheckRow"]

#: Inputs that need new statistics: PostgreSQL plans a new check as an empty one.
ANALYZE_AFTER_ROWS = 1_000
#: While a check waits, it accepts any real result.
BEFORE_ALL_RESULTS = datetime(2000, 1, 1, tzinfo=UTC)
#: While a check waits, earlier requests do not count.
AFTER_ALL_REQUESTS = datetime(9999, 1, 1, tzinfo=UTC)

#: Statuses that need no wait. Some numbers with ``failed`` and ``missing`` are requested again.
SETTLED = (*FINAL, MISSING, *UNCHECKED)

QUEUED = """
SELECT ordinal, number_id FROM {at}wacontacts_check_result
WHERE check_id = :check_id AND status IS NULL AND NOT duplicate AND ordinal > :after ORDER BY ordinal LIMIT :size
"""
WAITING = """
SELECT ordinal, number_id FROM {at}wacontacts_check_result
WHERE check_id = :check_id AND waiting AND NOT duplicate AND ordinal > :after ORDER BY ordinal LIMIT :size
"""
REASONS = """
SELECT reason, count(*) AS n FROM {at}wacontacts_check_result
WHERE check_id = :check_id AND status = :status GROUP BY reason ORDER BY n DESC, reason
"""
LEAVE_OUT_QUEUED = """
UPDATE {at}wacontacts_check_result SET status = 'not_asked', reason = :past_budget
WHERE check_id = :check_id AND status IS NULL
"""
BEAT = "UPDATE {at}wacontacts_check SET heartbeat_at = :now WHERE check_id = :check_id AND state = 'open'"
DEFER = "UPDATE {at}wacontacts_check SET deferred_until = :until WHERE check_id = :check_id AND state = 'open'"
FAIL = """
UPDATE {at}wacontacts_check SET state = 'failed', error = :error, heartbeat_at = :now
WHERE check_id = :check_id AND state = 'open' AND finished_at IS NULL AND deferred_until IS NULL
"""
FINISH = "UPDATE {at}wacontacts_check SET finished_at = :now WHERE check_id = :check_id AND finished_at IS NULL"
REOPEN = """
UPDATE {at}wacontacts_check
SET state = 'open', resolved_at = NULL, deadline_at = :deadline, recheck_failed = :recheck_failed
WHERE check_id = :check_id
"""
START_WAITING = """
UPDATE {at}wacontacts_check_result SET waiting = true
WHERE check_id = :check_id AND NOT waiting AND status IS NOT NULL AND (
    status NOT IN :settled OR (status = 'failed' AND failures <= :recheck_failed)
    OR (status = 'missing' AND omissions < :max_omissions)
)
"""
STOP_WAITING = "UPDATE {at}wacontacts_check_result SET waiting = false WHERE check_id = :check_id AND waiting"
STOP_RECHECKING = STOP_WAITING + " AND status = 'failed'"
EXPIRE = "UPDATE {at}wacontacts_check SET state = 'expired' WHERE check_id = :check_id AND state = 'open'"


class CheckRow(NamedTuple):
    """The row of a check; the names are its columns."""

    check_id: str
    created_at: datetime
    is_filled: bool
    fresh_after: datetime
    force_check: bool


class Check:
    """
    A check, from :meth:`.SenderChecks.open` or :meth:`.SenderChecks.find`. Threads may share it.

    :ivar check_id: 32 hexadecimal digits.
    :ivar is_filled: whether all inputs were added.
    :ivar max_checks: maximum checks of this check in a day; ``None`` for the whole budget.
    :param daily_checks: the sender's budget for a UTC day.
    :param monthly_checks: the sender's budget for a month; ``None`` for no limit.
    :param waiter: the task that waits for the check, if several may wait. Each has its own leases.
    """

    def __init__(
        self,
        context: StoreContext,
        sender: str,
        row: CheckRow,
        *,
        daily_checks: int = 0,
        monthly_checks: int | None = None,
        max_checks: int | None = None,
        waiter: str | None = None,
    ) -> None:
        self.check_id = row.check_id
        self.is_filled = row.is_filled
        self.max_checks = max_checks
        self._context = context
        self._sender = sender
        self._row = row
        self._daily_checks = daily_checks
        self._monthly_checks = monthly_checks
        self._holder = f"{self.check_id}/{waiter}" if waiter else self.check_id

    def fill(self, given: Iterable[CheckInput], *, is_shareable: Callable[[str | None], bool] | None = None) -> None:
        """
        Add all inputs, and reuse fresh results.

        :param given: read once, a few thousand at a time; may be empty.
        :param is_shareable: whether results of other senders are reused, by the version of the client that returned
            them; ``None`` to reuse only the sender's own.
        :raises LandingError: the database failed.
        """
        context, first = self._context, 0
        for batch in batched(given, inputs.BATCH_SIZE):
            self._add(first, batch)
            first += len(batch)
        fresh_after = None if self._row.force_check else self._row.fresh_after

        def close(db: Database) -> None:
            inputs.close(db, self._row.check_id, fresh_after=fresh_after, now=self._now(db))
            if fresh_after is not None and is_shareable is not None:
                key = {"check_id": self._row.check_id, "sender": self._sender, "fresh_after": fresh_after}
                inputs.reuse_of_other_senders(db, is_shareable, **key)

        context.run(close)
        if first >= ANALYZE_AFTER_ROWS:
            context.analyze("check_result", "number")
        self.is_filled = True

    def queued(self, size: int) -> Iterator[list[int]]:
        """Yield the queued numbers in the order of the inputs, in batches."""
        yield from self._batches(QUEUED, size)

    def queued_free(self, size: int) -> Iterator[list[int]]:
        """Yield the queued numbers that are not charged to the budget, or that other workers have leased."""

        def read(db: Database, after: int) -> Sequence[Any]:
            now = self._now(db)
            return leases.queued_free(db, self._first_request(now), now, after=after, size=size)

        return self._pages(read)

    def waiting(self, size: int) -> Iterator[list[int]]:
        """Yield the numbers that are requested again, in the order of the inputs, in batches."""
        yield from self._batches(WAITING, size)

    def lease(self, number_ids: Sequence[int]) -> LeasedNumbers:
        """
        Lease queued numbers, and spend the budget for them. Results that are already known are reused instead.

        :raises LandingError: the database failed.
        """

        def work(db: Database) -> LeasedNumbers:
            now = self._begin_to_spend(db)
            return leases.lease(db, self._first_request(now), number_ids, now)

        return self._context.run(work)

    def lease_waiting(self, number_ids: Sequence[int]) -> LeasedNumbers:
        """Lease waiting numbers. The budget is charged for failed numbers."""

        def work(db: Database) -> LeasedNumbers:
            now = self._begin_to_spend(db)
            first = self._first_request(now)
            again = first._replace(
                fresh_after=BEFORE_ALL_RESULTS, asked_since=AFTER_ALL_REQUESTS, force_check=False, is_waiting=True
            )
            return leases.lease(db, again, number_ids, now)

        return self._context.run(work)

    def record(self, received: CheckResults) -> None:
        """
        Store results, copy them to each check that waits for them, and end the leases.

        Results about erased people are not stored. If results name further identifiers of erased people, rows with
        these identifiers are erased.

        :raises LandingError: the database failed.
        """
        context, sender = self._context, self._sender

        def work(db: Database, left_alone: Collection[Named]) -> set[Identifier]:
            options: dict[str, Any] = {"holder": self._holder, "left_alone": left_alone}
            return results.record(db, context, sender, self._row.check_id, received, **options)

        erase_named(context, work)

    def release(self, numbers: Sequence[str]) -> None:
        """Release numbers without a result."""
        self._context.run(lambda db: leases.release(db, self._sender, self._holder, numbers))

    def refund(self, leased: LeasedNumbers) -> None:
        """Refund the budget of these numbers: the server certainly did not look them up."""
        day, charged = utc_day(leased.leased_at), leased.charged
        self._context.run(lambda db: refund(db, self._sender, day, charged=charged, check_id=self.check_id))

    def reasons(self, status: str) -> dict[str, int]:
        """Return how many inputs are ``rejected`` or ``not_asked``, by reason."""
        with self._context.read() as db:
            return {row.reason: row.n for row in db.execute(REASONS, check_id=self.check_id, status=status)}

    def beat(self) -> None:
        """Store that a task works on the check."""
        self._context.run(lambda db: self._execute(db, BEAT, now=self._now(db)))

    def defer(self, delay: timedelta) -> None:
        """Store that the check's task is deferred: no heartbeat is expected until the delay is over."""
        self._context.run(lambda db: self._execute(db, DEFER, until=self._now(db) + delay))

    def fail(self, error: str) -> None:
        """
        Store that the attempt at the check failed, unless it is finished or deferred; a retry resumes it.

        :param error: the error's class.
        """
        self._context.run(lambda db: self._execute(db, FAIL, error=error, now=self._now(db)))

    def finish(self) -> CheckTotals:
        """
        Finish a check: numbers that are still queued are left out. If it waits for no result, it is resolved.

        :raises LandingError: the database failed.
        """

        def work(db: Database) -> CheckTotals:
            self._execute(db, LEAVE_OUT_QUEUED, past_budget=PAST_BUDGET)
            self._execute(db, FINISH, now=self._now(db))
            return self._resolve_and_count(db)

        return self._context.run(work)

    def start_waiting(self, deadline: datetime, *, recheck_failed: int = 0) -> CheckTotals:
        """
        Wait for results that are not final, even after an earlier wait has ended.

        Leases of an earlier attempt of the same waiter are released.

        :param deadline: timezone-aware.
        :param recheck_failed: how often a failed number is requested again.
        """

        def work(db: Database) -> CheckTotals:
            leases.release_all(db, self._row.check_id, self._holder)
            limits: dict[str, Any] = {"recheck_failed": recheck_failed, "max_omissions": MAX_OMISSIONS}
            self._execute(db, START_WAITING, settled=SETTLED, **limits)
            self._execute(db, REOPEN, deadline=deadline, recheck_failed=recheck_failed)
            return self._resolve_and_count(db)

        return self._context.run(work)

    def totals(self) -> CheckTotals:
        """Count the check's rows, and resolve it if it waits for no result."""
        return self._context.run(self._resolve_and_count)

    def stop_rechecking(self) -> None:
        """Recheck no more failed numbers: there is no budget to request them again."""

        def work(db: Database) -> None:
            self._execute(db, STOP_RECHECKING)
            results.resolve_checks(db, [self._row.check_id], self._now(db))

        self._context.run(work)

    def expire(self) -> CheckTotals:
        """Stop waiting; results are kept. A resolved check stays resolved."""

        def work(db: Database) -> CheckTotals:
            self._resolve_and_count(db)
            self._execute(db, STOP_WAITING)
            self._execute(db, EXPIRE)
            return results.count_totals(db, self._row.check_id)

        return self._context.run(work)

    def client_versions(self) -> set[str | None]:
        """Return the versions of the clients that returned ``valid``; ``None`` for a response without one."""
        with self._context.read() as db:
            return results.client_versions(db, self._sender, self._row.check_id)

    def _add(self, first: int, batch: Sequence[CheckInput]) -> None:
        context = self._context

        def work(db: Database) -> None:
            suppression_list = context.suppression_list.locked(db.connection)
            check_id = self._row.check_id
            keys = inputs.add(db, self._sender, check_id, batch, first=first, suppression_list=suppression_list)
            refresh_new_numbers(db, context.locks, keys)

        context.run(work)

    def _batches(self, sql: str, size: int) -> Iterator[list[int]]:
        return self._pages(lambda db, after: db.execute(sql, check_id=self._row.check_id, after=after, size=size).all())

    def _pages(self, read: Callable[[Database, int], Sequence[Any]]) -> Iterator[list[int]]:
        after = -1
        while True:
            with self._context.read() as db:
                rows = read(db, after)
            if not rows:
                return
            after = rows[-1].ordinal
            yield [row.number_id for row in rows]

    def _first_request(self, now: datetime) -> LeaseRequest:
        row = self._row
        return LeaseRequest(
            row.check_id,
            self._holder,
            self._sender,
            fresh_after=row.fresh_after,
            asked_since=max(row.created_at, now - CACHED_FOR),
            force_check=row.force_check,
            is_waiting=False,
            daily_checks=self._daily_checks,
            monthly_checks=self._monthly_checks,
            max_checks=self.max_checks,
        )

    def _begin_to_spend(self, db: Database) -> datetime:
        """
        Lock the monthly budget, if there is one, and return the time.

        The monthly budget is the sum of its days' rows: at midnight, workers update different rows, so row locks do not
        suffice.
        """
        if self._monthly_checks is not None:
            self._context.locks.named(db.connection, "wacontacts monthly budget", self._sender)
        return self._now(db)

    def _resolve_and_count(self, db: Database) -> CheckTotals:
        results.resolve_checks(db, [self._row.check_id], self._now(db))
        return results.count_totals(db, self._row.check_id)

    def _now(self, db: Database) -> datetime:
        return self._context.now(db.connection)

    def _execute(self, db: Database, sql: str, **parameters: Any) -> None:
        db.execute(sql, check_id=self._row.check_id, **parameters)
