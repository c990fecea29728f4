"""The checks of one sender."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier
from airflow_provider_wacontacts.identifiers.suppression import Named
from airflow_provider_wacontacts.records.identities import IdentifierChange, IdentityChange
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.checks import budget, leases, results
from airflow_provider_wacontacts.store.checks.lifecycle import Check, CheckRow
from airflow_provider_wacontacts.store.checks.model import (
    CACHED_FOR,
    NO_OPT_IN,
    OPTED_OUT,
    CheckResults,
    CheckSpec,
    SenderBudget,
)
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.erasure import erase_named
from airflow_provider_wacontacts.store.identifier_changes import store_identifier_changes
from airflow_provider_wacontacts.store.identities import SenderIdentities
from airflow_provider_wacontacts.store.ledger import LOST, LOST_AFTER

__all__ = ["UNKNOWN_CHECK", "SenderChecks", "read_check_id"]

UNFINISHED = """
SELECT check_id, filled_at IS NOT NULL AND coalesce(deferred_until, opened_at) > :resumable_after AS is_resumable
FROM {at}wacontacts_check
WHERE sender = :sender AND dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id AND map_index = :map_index
    AND coalesce(region_id, '') = coalesce(CAST(:region_id AS text), '')
    AND coalesce(region_index, -1) = coalesce(CAST(:region_index AS integer), -1)
    AND options_digest = :options_digest AND state IN ('open', 'failed') AND finished_at IS NULL
ORDER BY check_number DESC
"""
EXPIRE = "UPDATE {at}wacontacts_check SET state = 'expired' WHERE check_id IN :check_ids"
#: Open checks without a working task, because its heartbeat is too old, and checks without a waiting task: their
#: deadline has passed, or they never had one and the client's cache of their numbers has expired.
ABANDONED = """
UPDATE {at}wacontacts_check SET error = CASE WHEN finished_at IS NULL THEN :lost END,
    state = CASE WHEN finished_at IS NULL THEN 'failed' ELSE 'expired' END
WHERE sender = :sender AND state = 'open' AND coalesce(deferred_until, deadline_at, heartbeat_at) < :silent_since
    AND (finished_at IS NULL OR deadline_at IS NOT NULL OR finished_at < :cached_after)
"""
#: A result that was fresh when the check was first opened may now be stale.
RESUME = """
UPDATE {at}wacontacts_check SET state = 'open', error = NULL, opened_at = :now, heartbeat_at = :now,
    deferred_until = NULL,
    fresh_after = CASE WHEN fresh_after > :fresh_after THEN fresh_after ELSE CAST(:fresh_after AS {time}) END
WHERE check_id = :check_id
"""
ADD = """
INSERT INTO {at}wacontacts_check (
    check_id, sender, state, created_at, opened_at, heartbeat_at, fresh_after, force_check, dag_id, run_id, task_id,
    map_index, region_id, region_index, options_digest, package_version
) VALUES (
    :check_id, :sender, 'open', :now, :now, :now, :fresh_after, :force_check, :dag_id, :run_id, :task_id, :map_index,
    :region_id, :region_index, :options_digest, :package_version
)
"""
ROW = """
SELECT check_id, sender, created_at, filled_at, fresh_after, force_check FROM {at}wacontacts_check
WHERE check_id = :check_id
"""
TIMES = ("created_at", "filled_at", "fresh_after")
IDS = ("check_id",)
UNKNOWN_CHECK = "check_id names no check of this store. Set store_conn_id to the store that the check was made in."
BATCH_SIZE = 1_000
STALE = """
SELECT number, number_id, coalesce(checked_at, answered_at) AS aged_at FROM {at}wacontacts_number
WHERE sender = :sender AND status IN :statuses AND coalesce(checked_at, answered_at) <= :not_after
    AND (leased_until IS NULL OR leased_until <= :now)
"""
AMONG = " AND number IN :numbers"
#: Leaves out numbers whose last check left them out because the contact had opted out.
NOT_OPTED_OUT = """
    AND NOT EXISTS (
        SELECT 1 FROM {at}wacontacts_check_result r JOIN {at}wacontacts_check c ON c.check_id = r.check_id
        WHERE r.number_id = wacontacts_number.number_id AND r.reason IN :opted_out AND NOT EXISTS (
            SELECT 1 FROM {at}wacontacts_check_result l JOIN {at}wacontacts_check o ON o.check_id = l.check_id
            WHERE l.number_id = r.number_id AND o.check_number > c.check_number
                AND (l.reason IS NULL OR l.reason NOT IN :opted_out)
        )
    )
"""
OLDEST_FIRST = " ORDER BY coalesce(checked_at, answered_at), number_id LIMIT :limit"


class SenderChecks:
    """
    The checks of one sender's numbers.

    :param sender: name that the numbers are stored under.
    :param daily_checks: the sender's budget for a UTC day; only used by leases.
    :param monthly_checks: the sender's budget for a UTC month; ``None`` for no limit.
    :ivar budget_name: name of the daily budget in errors.
    """

    def __init__(
        self, context: StoreContext, sender: str, *, daily_checks: int = 0, monthly_checks: int | None = None
    ) -> None:
        self.context = context
        self.sender = sender
        self.daily_checks = daily_checks
        self.monthly_checks = monthly_checks
        self.budget_name = "The sender's daily_checks"

    @classmethod
    def of(cls, context: StoreContext, budget: SenderBudget) -> SenderChecks:
        """Return the checks of a sender with a budget, for example a hook's."""
        return cls(context, budget.sender, daily_checks=budget.daily_checks, monthly_checks=budget.monthly_checks)

    def lower_budget(self, daily_checks: int, name: str) -> None:
        """Allow fewer checks in a day, 0 and up. Checks that were opened before keep their budget."""
        self.daily_checks, self.budget_name = daily_checks, name

    def open(self, spec: CheckSpec) -> Check:
        """
        Open a check, or resume the unfinished one of the same task and options.

        Leases of its earlier attempts are released. A check is not resumed if inputs are missing, or if its results may
        be stale: the last attempt is too old for the store and the client to reuse them. A check that was deferred
        until recently is resumed with all its results, even after a long wait for a budget.

        :raises LandingError: the database failed.
        """

        def work(db: Database) -> CheckRow:
            self.context.locks.named(db.connection, "wacontacts check", *spec.task)
            key: dict[str, Any] = {"sender": self.sender, "options_digest": spec.options_digest, **spec.task._asdict()}
            now = self.context.now(db.connection)
            resumable_after = min(spec.fresh_after, now - CACHED_FOR)
            unfinished = db.execute(UNFINISHED, ids=IDS, resumable_after=resumable_after, **key).all()
            db.execute(
                ABANDONED,
                sender=self.sender,
                lost=LOST,
                silent_since=now - LOST_AFTER,
                cached_after=now - CACHED_FOR,
            )
            if unfinished and unfinished[0].is_resumable:
                return self._resume(db, spec, unfinished[0].check_id, now)
            if unfinished:
                db.execute(EXPIRE, check_ids=[row.check_id for row in unfinished])
            return self._add(db, spec, key, now)

        return self._check(self.context.run(work), max_checks=spec.max_checks)

    def find(self, check_id: str, *, waiter: str | None = None) -> Check:
        """
        Return a check that was opened.

        :param waiter: the task that waits for it, if several may wait.
        :raises ConfigError: the store has no check with this ID, or it belongs to another sender.
        :raises LandingError: the database failed.
        """
        with self.context.read() as db:
            return self._check(self._row(db, read_check_id(check_id)), waiter=waiter)

    def record_delivered(
        self,
        received: CheckResults,
        *,
        verified: bool = False,
        identities: Sequence[IdentityChange] = (),
        identifiers: Sequence[IdentifierChange] = (),
    ) -> None:
        """
        Store a callback in one transaction. A result is stored if one is awaited or the last one is stale.

        Idempotent and order-independent. Nothing about erased people is stored.

        :param verified: whether the callback is authenticated as the client's. If not, WhatsApp IDs in results are
            ignored.
        :param identities: notifications that users have potentially changed.
        :param identifiers: identifiers that users have replaced with new ones.
        :raises LandingError: the database failed.
        """
        users = SenderIdentities(self.context, self.sender)

        def work(db: Database, left_alone: Collection[Named]) -> set[Identifier]:
            suppression_list = self.context.suppression_list.locked(db.connection)
            detected_at = received.answered_at
            if received.arrives_now and (identities or identifiers):
                detected_at = self.context.now(db.connection)
            # Results are stored just before the log of identities, because they take the change log lock.
            store_identifier_changes(db, suppression_list, self.sender, identifiers, detected_at)
            wa_ids = users.store(db, suppression_list, identities, detected_at)
            unlisted = results.record_delivered(
                db,
                self.context,
                self.sender,
                received,
                suppression_list=suppression_list,
                verified=verified,
                left_alone=left_alone,
            )
            users.log(db, wa_ids)
            return unlisted

        erase_named(self.context, work)

    def budget_left(self) -> int:
        """Return how many numbers may still be requested today, 0 and up."""
        with self.context.read() as db:
            today = budget.utc_day(self.context.now(db.connection))
            return max(0, self._limit(db, today) - budget.spent_on(db, self.sender, today))

    def spent_between(self, first: date, end: date) -> int:
        """Return how many checks the sender has spent in some days; the last is the day before ``end``."""
        with self.context.read() as db:
            return budget.spent_between(db, self.sender, first, end)

    def month_is_spent(self) -> bool:
        """Return whether the month's budget has less left than the day's."""
        with self.context.read() as db:
            return self._limit(db, budget.utc_day(self.context.now(db.connection))) < self.daily_checks

    def stale(
        self, *, statuses: Sequence[str], not_after: datetime, limit: int, wanted: Iterable[str] | None = None
    ) -> list[str]:
        """
        Find the numbers with the oldest real checks that no worker has leased.

        :param statuses: statuses of the numbers.
        :param not_after: latest time of the last real check.
        :param wanted: the only numbers to search, in E.164; ``None`` for all, except numbers that the last check left
            out because their contact had opted out.
        :returns: E.164, oldest first, at most ``limit``.
        """
        parameters: dict[str, Any] = {"sender": self.sender, "statuses": list(statuses), "not_after": not_after}
        with self.context.read() as db:
            parameters["now"] = self.context.now(db.connection)
            if wanted is None:
                sql = STALE + NOT_OPTED_OUT + OLDEST_FIRST
                parameters |= {"limit": limit, "opted_out": (OPTED_OUT, NO_OPT_IN)}
                return [row.number for row in db.execute(sql, **parameters)]
            found = {
                (row.aged_at, row.number_id, row.number)
                for numbers in batched(wanted, BATCH_SIZE)
                for row in db.execute(STALE + AMONG, times=("aged_at",), numbers=numbers, **parameters).all()
            }
        return [number for _, _, number in heapq.nsmallest(limit, found)]

    def _limit(self, db: Database, day: date) -> int:
        return budget.limit_of_day(db, self.sender, day, daily=self.daily_checks, monthly=self.monthly_checks)

    def _check(self, row: CheckRow, *, max_checks: int | None = None, waiter: str | None = None) -> Check:
        return Check(
            self.context,
            self.sender,
            row,
            daily_checks=self.daily_checks,
            monthly_checks=self.monthly_checks,
            max_checks=max_checks,
            waiter=waiter,
        )

    def _resume(self, db: Database, spec: CheckSpec, check_id: str, now: datetime) -> CheckRow:
        leases.release_all(db, check_id, check_id)
        db.execute(RESUME, check_id=check_id, now=now, fresh_after=spec.fresh_after)
        return self._row(db, check_id)

    def _add(self, db: Database, spec: CheckSpec, key: dict[str, Any], now: datetime) -> CheckRow:
        check_id = uuid4().hex
        db.execute(
            ADD,
            check_id=check_id,
            now=now,
            fresh_after=spec.fresh_after,
            force_check=spec.force_check,
            package_version=spec.package_version,
            **key,
        )
        return self._row(db, check_id)

    def _row(self, db: Database, check_id: str) -> CheckRow:
        row = db.execute(ROW, times=TIMES, ids=IDS, check_id=check_id).first()
        if row is None:
            raise ConfigError(UNKNOWN_CHECK)
        if row.sender != self.sender:
            raise ConfigError(
                "check_id names a check of another sender than the connection's. Set the connection that made it."
            )
        return CheckRow(row.check_id, row.created_at, row.filled_at is not None, row.fresh_after, bool(row.force_check))


def read_check_id(check_id: str) -> str:
    """
    Return the 32 digits of a check's ID, with or without the dashes that PostgreSQL shows.

    :raises ConfigError: the string is not a check's ID.
    """
    try:
        return UUID(check_id).hex
    except ValueError:
        raise ConfigError(UNKNOWN_CHECK) from None
