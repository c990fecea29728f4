"""One check: filled with inputs, asked about number by number under claim, finished, and waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_wacontacts.store.checks import inputs as filling
from airflow_provider_wacontacts.store.checks import leases, totals
from airflow_provider_wacontacts.store.checks import results as answers
from airflow_provider_wacontacts.store.checks.model import (
    CACHED_FOR,
    CheckInput,
    CheckResults,
    CheckTotals,
    LeasedNumbers,
)
from airflow_provider_wacontacts.store.checks.suppression import without_erased
from airflow_provider_wacontacts.store.database import Database

if TYPE_CHECKING:
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["Check", "CheckRow"]

AT_ONCE = 5_000
#: So many inputs are worth new statistics: PostgreSQL plans for a check that it has never seen as for an empty one.
ANALYZE_AFTER_ROWS = 1_000
#: No answer is older than this, so any will do.
EVER = datetime(2000, 1, 1, tzinfo=UTC)

QUEUE = """
SELECT ordinal, number_id FROM {at}wacontacts_check_result
WHERE check_id = :check_id AND status IS NULL AND NOT duplicate AND ordinal > :after ORDER BY ordinal LIMIT :size
"""
#: See :func:`.leases.lease`: what is known by now, what somebody has asked about that is not resolved yet, and what
#: somebody is asking about now.
FOR_NOTHING = """
SELECT r.ordinal, r.number_id FROM {at}wacontacts_check_result r
JOIN {at}wacontacts_number n ON n.number_id = r.number_id
WHERE r.check_id = :check_id AND r.status IS NULL AND NOT r.duplicate AND r.ordinal > :after AND (
    n.claimed_until > :now_at
    OR (:forced AND n.forced_at >= :created_at)
    OR (NOT :forced AND (
        n.asked_at >= :created_at
        OR (n.status IN ('valid', 'invalid') AND n.checked_at > :fresh_after)
        OR (n.status NOT IN ('valid', 'invalid', 'failed', 'missing') AND n.asked_at > :cached_after)
    ))
)
ORDER BY r.ordinal LIMIT :size
"""
WAITING = """
SELECT ordinal, number_id FROM {at}wacontacts_check_result
WHERE check_id = :check_id AND waiting AND NOT duplicate AND ordinal > :after ORDER BY ordinal LIMIT :size
"""
LEAVE = """
UPDATE {at}wacontacts_check_result SET status = 'not_asked', reason = 'past the budget'
WHERE check_id = :check_id AND status IS NULL
"""
FINISH = "UPDATE {at}wacontacts_check SET finished_at = :now_at WHERE check_id = :check_id AND finished_at IS NULL"
REOPEN = """
UPDATE {at}wacontacts_check
SET state = 'open', resolved_at = NULL, deadline_at = :deadline_at, recheck_failed = :recheck_failed
WHERE check_id = :check_id
"""
WAIT = """
UPDATE {at}wacontacts_check_result SET waiting = true
WHERE check_id = :check_id AND NOT waiting AND status IS NOT NULL AND (
    status NOT IN ('valid', 'invalid', 'failed', 'rejected', 'not_asked')
    OR (status = 'failed' AND failures <= :recheck_failed)
)
"""
STOP = "UPDATE {at}wacontacts_check_result SET waiting = false WHERE check_id = :check_id AND waiting"
STOP_RECHECKING = STOP + " AND status = 'failed'"
EXPIRE = "UPDATE {at}wacontacts_check SET state = 'expired' WHERE check_id = :check_id AND state = 'open'"


class CheckRow(NamedTuple):
    """What the store has of a check; the names are those of its columns."""

    check_id: str
    created_at: datetime
    is_filled: bool
    fresh_after: datetime
    force_check: bool


class Check:
    """
    A check; made by :meth:`.SenderChecks.open` and :meth:`.SenderChecks.find`. Threads may share it.

    :ivar check_id: 32 hexadecimal digits.
    :ivar is_filled: it has all its inputs.
    :ivar max_checks: how many of a day's checks it may draw; ``None`` for as many as there are.
    :param waiter: who waits for it, where several may; its claims are its own, whichever of its tries.
    """

    def __init__(
        self, checks: SenderChecks, kept: CheckRow, *, max_checks: int | None = None, waiter: str | None = None
    ) -> None:
        self.check_id = kept.check_id
        self._holder = f"{kept.check_id}/{waiter}" if waiter else kept.check_id
        self.is_filled = kept.is_filled
        self._kept = kept
        self.max_checks = max_checks
        self._checks = checks
        self._context = checks.context

    def fill(self, inputs: Iterable[CheckInput]) -> None:
        """
        Give a check all its inputs, and answer what the store knows.

        :param inputs: read once, some thousand at a time; may be empty.
        :raises LandingError: the database failed.
        """
        source, first = iter(inputs), 0
        while some := list(islice(source, AT_ONCE)):
            self._add(first, some)
            first += len(some)
        fresh_after = None if self._kept.force_check else self._kept.fresh_after

        def work(db: Database) -> None:
            filling.close(db, self.check_id, fresh_after=fresh_after, now=self._context.now())

        self._context.run(work)
        if first >= ANALYZE_AFTER_ROWS:
            self._context.analyze("check_result", "number")
        self.is_filled = True

    def queued(self, size: int) -> Iterator[list[int]]:
        """Go through the numbers that have not had their turn, in the order of the inputs, so many at a time."""
        return self._through(QUEUE, size)

    def queued_free(self, size: int) -> Iterator[list[int]]:
        """Go likewise through those of them that draw on no budget, or that somebody else is asking about."""
        kept, now = self._kept, self._context.now()
        known = {"created_at": kept.created_at, "fresh_after": kept.fresh_after, "forced": kept.force_check}
        return self._through(FOR_NOTHING, size, **known, now_at=now, cached_after=now - CACHED_FOR)

    def waiting(self, size: int) -> Iterator[list[int]]:
        """Go through the numbers that are to be asked about again, in the order of the inputs, so many at a time."""
        return self._through(WAITING, size)

    def lease(self, number_ids: Sequence[int]) -> LeasedNumbers:
        """
        Take what of some queued numbers has to be asked about, and draw the budget for it.

        What is known by now is put into the results instead.

        :raises LandingError: the database failed.
        """
        kept = self._kept
        return self._claim(number_ids, kept.fresh_after, since=kept.created_at, force_check=kept.force_check)

    def lease_waiting(self, number_ids: Sequence[int]) -> LeasedNumbers:
        """Take what of some waiting numbers has to be asked about; only those that had failed draw on the budget."""
        return self._claim(number_ids, EVER, since=None, force_check=False)

    def record(self, said: CheckResults) -> None:
        """
        Keep what an answer says, for all who wait for it, and free its numbers; nothing about who was erased.

        :raises LandingError: the database failed.
        """
        sender, context = self._checks.sender, self._context

        def work(db: Database) -> None:
            kept = without_erased(db, context.suppressions, sender, said, context.now())
            answers.record(db, sender, self.check_id, kept, context.now(), holder=self._holder)

        self._context.run(work)

    def release(self, numbers: Sequence[str]) -> None:
        """Free numbers that there was no answer about."""
        sender = self._checks.sender
        self._context.run(lambda db: leases.release(db, sender, self._holder, numbers))

    def finish(self) -> CheckTotals:
        """
        Close a check: what is still queued is left out. It is resolved when it waits for nothing.

        :raises LandingError: the database failed.
        """

        def work(db: Database) -> CheckTotals:
            self._execute(db, LEAVE)
            self._execute(db, FINISH, now_at=self._context.now())
            return self._resolve_and_count(db)

        return self._context.run(work)

    def start_waiting(self, deadline: datetime, *, recheck_failed: int = 0) -> CheckTotals:
        """
        Say that somebody waits for what is not final, also where an earlier wait had ended.

        What an earlier try of the same waiter had claimed is free again.

        :param deadline: aware; until when.
        :param recheck_failed: how often to ask again about a number that failed.
        """

        def work(db: Database) -> CheckTotals:
            leases.release_all(db, self.check_id, self._holder)
            self._execute(db, WAIT, recheck_failed=recheck_failed)
            self._execute(db, REOPEN, deadline_at=deadline, recheck_failed=recheck_failed)
            return self._resolve_and_count(db)

        return self._context.run(work)

    def totals(self) -> CheckTotals:
        """Count how the check stands, and resolve it if it waits for nothing."""
        return self._context.run(self._resolve_and_count)

    def stop_rechecking(self) -> None:
        """Ask no more about what failed: there is no budget for it."""

        def work(db: Database) -> None:
            self._execute(db, STOP_RECHECKING)
            answers.resolve_checks(db, [self.check_id], self._context.now())

        self._context.run(work)

    def expire(self) -> CheckTotals:
        """Give up waiting; what came in stays. A check that was resolved meanwhile remains so."""

        def work(db: Database) -> CheckTotals:
            self._resolve_and_count(db)
            self._execute(db, STOP)
            self._execute(db, EXPIRE)
            return totals.count(db, self.check_id)

        return self._context.run(work)

    def client_versions(self) -> set[str | None]:
        """Return the versions of the clients that called numbers valid; ``None`` for one that did not say."""
        with self._context.read() as db:
            return totals.client_versions(db, self.check_id)

    def _add(self, first: int, inputs: Sequence[CheckInput]) -> None:
        own = {"sender": self._checks.sender, "check_id": self.check_id}
        people = self._context.suppressions
        self._context.run(lambda db: filling.add(db, own, first, inputs, people.locked(db.connection)))

    def _through(self, sql: str, size: int, **known: Any) -> Iterator[list[int]]:
        after = -1
        while True:
            with self._context.read() as db:
                own: dict[str, Any] = {"check_id": self.check_id, "after": after, "size": size}
                rows = db.execute(sql, **own, **known).all()
            if not rows:
                return
            after = rows[-1].ordinal
            yield [row.number_id for row in rows]

    def _claim(
        self, number_ids: Sequence[int], fresh_after: datetime, *, since: datetime | None, force_check: bool
    ) -> LeasedNumbers:
        asking = leases.LeaseRequest(
            self.check_id,
            self._holder,
            self._checks.sender,
            fresh_after=fresh_after,
            since=since,
            force_check=force_check,
            daily_checks=self._checks.daily_checks,
            max_checks=self.max_checks,
        )

        def work(db: Database) -> LeasedNumbers:
            return leases.lease(db, asking, number_ids, self._context.now())

        return self._context.run(work)

    def _resolve_and_count(self, db: Database) -> CheckTotals:
        answers.resolve_checks(db, [self.check_id], self._context.now())
        return totals.count(db, self.check_id)

    def _execute(self, db: Database, sql: str, **parameters: Any) -> None:
        db.execute(sql, check_id=self.check_id, **parameters)
