"""The checks of one sender."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store.checks import budget, leases, stale
from airflow_provider_wacontacts.store.checks import results as answers
from airflow_provider_wacontacts.store.checks.lifecycle import Check, CheckRow
from airflow_provider_wacontacts.store.checks.model import CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.suppression import without_erased
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database

__all__ = ["SenderChecks"]

UNFINISHED = """
SELECT check_id, filled_at FROM {at}wacontacts_check
WHERE sender = :sender AND dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id AND map_index = :map_index
    AND options_digest = :options_digest AND state = 'open' AND finished_at IS NULL
ORDER BY check_number DESC
"""
GIVE_UP = "UPDATE {at}wacontacts_check SET state = 'expired' WHERE check_id IN :check_ids"
OPEN = """
INSERT INTO {at}wacontacts_check (
    check_id, sender, state, created_at, fresh_after, force_check, dag_id, run_id, task_id, map_index, options_digest,
    package_version
) VALUES (
    :check_id, :sender, 'open', :created_at, :fresh_after, :force_check, :dag_id, :run_id, :task_id, :map_index,
    :options_digest, :package_version
)
"""
ROW = """
SELECT check_id, sender, created_at, filled_at, fresh_after, force_check FROM {at}wacontacts_check
WHERE check_id = :check_id
"""
TIMES = ("created_at", "filled_at", "fresh_after")


class SenderChecks:
    """
    Checks of one sender's numbers, in a store.

    :param sender: what numbers are filed under.
    :param daily_checks: how many numbers the sender may be asked about in a UTC day; only claiming needs it.
    """

    def __init__(self, context: StoreContext, sender: str, *, daily_checks: int = 0) -> None:
        self.context = context
        self.sender = sender
        self.daily_checks = daily_checks

    def open(self, rules: CheckSpec) -> Check:
        """
        Begin a check, or go on with the unfinished one of the same task and options.

        What its earlier tries had claimed is free again. One that had not got all its inputs is begun anew.

        :raises LandingError: the database failed.
        """

        def work(db: Database) -> CheckRow:
            self.context.locks.named(db.connection, "wacontacts check", *rules.task)
            own = {"sender": self.sender, "options_digest": rules.options_digest, **rules.task._asdict()}
            unfinished = db.execute(UNFINISHED, **own).all()
            for check_id in [row.check_id for row in unfinished[:1] if row.filled_at is not None]:
                leases.release_all(db, check_id, check_id)
                return self._kept(db, check_id)
            if unfinished:
                db.execute(GIVE_UP, check_ids=[row.check_id for row in unfinished])
            return self._begin(db, rules, own)

        return Check(self, self.context.run(work), max_checks=rules.max_checks)

    def find(self, check_id: str, *, waiter: str | None = None) -> Check:
        """
        Return a check that was begun.

        :param waiter: who is to wait for it, where several may.
        :raises ConfigError: there is none of this id, or it is another sender's.
        :raises LandingError: the database failed.
        """
        with self.context.read() as db:
            return Check(self, self._kept(db, check_id), waiter=waiter)

    def record_delivered(self, delivered: CheckResults) -> None:
        """
        Keep results that were delivered, where an answer is awaited or the last is out of date.

        Doing so again, or in another order, makes no difference. Those who wait for them are told. Nothing is kept
        about who was erased.
        """

        def work(db: Database) -> None:
            kept = without_erased(db, self.context.suppressions, self.sender, delivered, self.context.now())
            answers.record_delivered(db, self.sender, kept, self.context.now())

        self.context.run(work)

    def budget_left(self) -> int:
        """Return how many numbers may still be asked about today, 0 and up."""
        with self.context.read() as db:
            return max(0, self.daily_checks - budget.spent(db, self.sender, budget.utc_day(self.context.now())))

    def stale(
        self, *, statuses: Sequence[str], not_after: datetime, limit: int, wanted: Iterable[str] | None = None
    ) -> list[str]:
        """
        Find the numbers whose last real check is oldest, and that nobody asks about now.

        :param statuses: they have one of these.
        :param not_after: that check was then or before.
        :param wanted: the only numbers that may be found, in E.164; ``None`` for all.
        :returns: E.164, oldest first, at most ``limit``.
        """
        with self.context.read() as db:
            terms: dict[str, Any] = {"statuses": statuses, "not_after": not_after, "limit": limit}
            return stale.oldest(db, self.sender, **terms, now=self.context.now(), wanted=wanted)

    def _begin(self, db: Database, rules: CheckSpec, own: dict[str, Any]) -> CheckRow:
        check_id = uuid4().hex
        db.execute(
            OPEN,
            check_id=check_id,
            created_at=self.context.now(),
            fresh_after=rules.fresh_after,
            force_check=rules.force_check,
            package_version=rules.package_version,
            **own,
        )
        return self._kept(db, check_id)

    def _kept(self, db: Database, check_id: str) -> CheckRow:
        row = db.execute(ROW, times=TIMES, check_id=check_id).first()
        if row is None:
            raise ConfigError("check_id: the store knows no such check; is it the store that the check was made in?")
        if row.sender != self.sender:
            raise ConfigError("check_id: this check is of another sender than the connection's")
        return CheckRow(row.check_id, row.created_at, row.filled_at is not None, row.fresh_after, bool(row.force_check))
