"""
Wait for the results of a check: request missing results again until all results are final, or until a deadline.

:class:`PendingCheck` works on the store, and blocks. A worker polls with :func:`poll_results`. A triggerer runs
:func:`wait_for_results`, which blocks in threads only.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Protocol, TypeVar

from airflow_provider_wacontacts.clients.whatsapp_business import MAX_INPUTS
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse, next_pause
from airflow_provider_wacontacts.exceptions import (
    NON_RETRYABLE,
    BudgetExceededError,
    ConfigError,
    LandingError,
    RateLimitedError,
    WaContactsError,
)
from airflow_provider_wacontacts.pipelines.check_results import to_store_results
from airflow_provider_wacontacts.records.arguments import validate_int
from airflow_provider_wacontacts.records.windows import parse_time
from airflow_provider_wacontacts.store.checks.lifecycle import Check
from airflow_provider_wacontacts.store.checks.model import BEGINNING_OF_TIME, CheckTotals
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.schema import prepare

__all__ = [
    "AsyncCheckClient",
    "PendingCheck",
    "count_failure",
    "pause_before_poll",
    "poll_results",
    "read_deadline",
    "wait_for_results",
]

T = TypeVar("T")
log = logging.getLogger(__name__)


class PendingCheck:
    """
    A check with results that are not final.

    :ivar batch_size: numbers in a request.
    :ivar last_totals: the totals when they were last counted; ``None`` before that.
    :param checks: the checks of its sender.
    :param deadline: when to stop waiting, timezone-aware.
    :param recheck_failed: how many times to recheck a failed number, 0 and up.
    :param batch_size: numbers in a request, 1 to 1,000.
    :param waiter: ID of the waiting task, the same in each attempt. Two waiters of one check never release each other's
        leases.
    :param now: timezone-aware.
    :raises ConfigError: a value is out of range.
    """

    def __init__(
        self,
        checks: SenderChecks,
        check_id: str,
        deadline: datetime,
        *,
        recheck_failed: int = 0,
        batch_size: int = 100,
        waiter: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        validate_int("recheck_failed", recheck_failed, 0)
        validate_int("batch_size", batch_size, 1, MAX_INPUTS)
        self.check_id = check_id
        self.deadline = deadline
        self.waiter = waiter
        self.last_totals: CheckTotals | None = None
        self._checks = checks
        self._recheck_failed = recheck_failed
        self.batch_size = batch_size
        self._now = now
        self._batches: Iterator[list[int]] = iter(())
        self._leased: Sequence[str] = ()
        self._leased_at = BEGINNING_OF_TIME

    @cached_property
    def check(self) -> Check:
        """
        The check.

        :raises ConfigError: the store has no such check, or it belongs to another sender.
        """
        prepare(self._checks.context)
        return self._checks.find(self.check_id, waiter=self.waiter)

    @property
    def time_left(self) -> timedelta:
        """The time until the deadline, negative after it."""
        return self.deadline - self._now()

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline has passed."""
        return self.time_left <= timedelta(0)

    def begin(self) -> CheckTotals:
        """Start waiting, or continue after a restart. After the deadline, only count the results."""
        if self.is_overdue:
            return self.count()
        self.last_totals = self.check.start_waiting(self.deadline, recheck_failed=self._recheck_failed)
        return self.last_totals

    def count(self) -> CheckTotals:
        """Count the results. Callbacks and other tasks record results as well."""
        self.last_totals = self.check.totals()
        return self.last_totals

    def expire(self) -> CheckTotals:
        """Stop waiting; results received so far are kept."""
        self.last_totals = self.check.expire()
        return self.last_totals

    def start_round(self) -> None:
        """Start a round of requests for the missing results."""
        self._batches = self.check.waiting(self.batch_size)

    def lease_next(self) -> Sequence[str]:
        """
        Lease the round's next batch of numbers that no other task is checking.

        If the day's budget is spent, numbers with status ``failed`` are no longer rechecked.

        :returns: E.164; empty at the end of the round.
        """
        for number_ids in self._batches:
            leased = self.check.lease_waiting(number_ids)
            if leased.over_budget:
                log.warning("The sender's budget is spent for today. Numbers with status failed are not rechecked.")
                self.check.stop_rechecking()
            if leased.numbers:
                self._leased, self._leased_at = leased.numbers, leased.leased_at
                break
        return self._leased

    def stop_rechecking(self) -> None:
        """Release the leased numbers, and recheck no more failed numbers: the system's own quota is used up."""
        log.warning("The quota of the plan is used up. Numbers with status failed are not rechecked.")
        self.release()
        self.check.stop_rechecking()

    def record(self, response: CheckResponse) -> None:
        """
        Record the results of the leased numbers, and release them.

        :raises ApiError: the server refused some of them; those are still leased.
        """
        self.check.record(to_store_results(response, self._leased, asked_at=self._leased_at))
        self._leased = ()
        if response.error is not None:
            self._leased = response.missing
            raise response.error

    def release(self) -> None:
        """Release the leased numbers. If the store fails, the lease expires."""
        if self._leased:
            with suppress(LandingError):
                self.check.release(self._leased)
            self._leased = ()


def poll_results(
    pending: PendingCheck,
    send_check: Callable[[Sequence[str]], CheckResponse],
) -> CheckTotals:
    """
    Request all missing results once.

    :param send_check: sends a request, without ``force_check``.
    :raises WaContactsError: the results so far are kept, and nothing stays leased.
    """
    pending.start_round()
    try:
        while numbers := pending.lease_next():
            pending.record(send_check(numbers))
    except BudgetExceededError:
        pending.stop_rechecking()
    except BaseException:
        pending.release()
        raise
    return pending.count()


class AsyncCheckClient(Protocol):
    """Sends the requests of all triggers of a connection, and runs their work on the store in threads."""

    async def run_in_thread(self, work: Callable[..., T], *given: object) -> T:
        """Run work that blocks. If it is cancelled, it is awaited."""

    async def wait_unblocked(self) -> None:
        """Wait while the server accepts no requests."""

    async def send_check(self, numbers: Sequence[str], max_numbers: int) -> CheckResponse:
        """Check numbers in requests of limited size, within the rate limit."""


async def wait_for_results(
    pending: PendingCheck,
    client: AsyncCheckClient,
    *,
    max_failures: int = 10,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> CheckTotals:
    """
    Wait on an event loop, and request the missing results with growing pauses.

    :param max_failures: maximum consecutive failed polls, 0 and up.
    :param sleep: sleeps for a number of seconds.
    :param jitter: returns a random number in [0, 1).
    :returns: the totals: the check is resolved, or expired at the deadline.
    :raises WaContactsError: no retry helps, or too many consecutive polls failed.
    """
    validate_int("max_failures", max_failures, 0)
    polls, failures = 0, 0
    while True:
        polls, retry_after = polls + 1, None
        try:
            totals = await _poll(pending, client)
            if totals.state != "open":
                return totals
            failures = 0
        except WaContactsError as error:
            failures = count_failure(error, failures, max_failures)
            retry_after = getattr(error, "retry_after", None)
            log.warning("Check %s: %s: %s", pending.check_id, type(error).__name__, error)
        pause = pause_before_poll(polls, pending.time_left, jitter(), retry_after).total_seconds()
        if pending.last_totals is not None:
            waiting = pending.last_totals.waiting
            log.info("Check %s: waiting for %s numbers, next poll in %.0f s", pending.check_id, waiting, pause)
        await sleep(pause)


async def _poll(pending: PendingCheck, client: AsyncCheckClient) -> CheckTotals:
    if pending.last_totals is None:
        totals = await client.run_in_thread(pending.begin)
    elif pending.is_overdue:
        totals = pending.last_totals
    else:
        totals = await _request_before_deadline(pending, client)
    if totals.state == "open" and pending.is_overdue:
        return await client.run_in_thread(pending.expire)
    return totals


async def _request_before_deadline(pending: PendingCheck, client: AsyncCheckClient) -> CheckTotals:
    try:
        async with asyncio.timeout(pending.time_left.total_seconds()):
            await _request_round(pending, client)
    except TimeoutError:
        log.info("Check %s: the deadline passed during a poll", pending.check_id)
    return await client.run_in_thread(pending.count)


async def _request_round(pending: PendingCheck, client: AsyncCheckClient) -> None:
    pending.start_round()
    try:
        await client.wait_unblocked()
        while numbers := await client.run_in_thread(pending.lease_next):
            await client.run_in_thread(pending.record, await client.send_check(numbers, pending.batch_size))
            await client.wait_unblocked()
    except BudgetExceededError:
        await client.run_in_thread(pending.stop_rechecking)
    except BaseException:
        await client.run_in_thread(pending.release)
        raise


def pause_before_poll(poll: int, left: timedelta, jitter: float, retry_after: timedelta | None = None) -> timedelta:
    """
    Return the pause before the next poll: as the API prescribes, but not past the deadline.

    :param poll: polls so far, 1 and up.
    :param left: time until the deadline. After it, work on the store is retried with the same delays.
    :param jitter: a random number in [0, 1).
    :param retry_after: delay that the server requested.
    """
    pause = next_pause(poll, jitter, retry_after)
    return min(pause, left) if left > timedelta(0) else pause


def count_failure(error: WaContactsError, failures: int, max_failures: int) -> int:
    """
    Count consecutive failed polls. Rate limits do not count.

    :param failures: before this one.
    :raises WaContactsError: the error, if no retry helps or there were too many.
    """
    if isinstance(error, RateLimitedError):
        return failures
    if isinstance(error, NON_RETRYABLE) or failures >= max_failures:
        raise error
    return failures + 1


def read_deadline(value: datetime | str) -> datetime:
    """
    Read a deadline, a timezone-aware ``datetime`` or an ISO 8601 string.

    :returns: UTC.
    :raises ConfigError: it is neither.
    """
    try:
        return parse_time(value.isoformat() if isinstance(value, datetime) else value)
    except (TypeError, ValueError, AttributeError):
        invalid = ConfigError("deadline must be a time with an offset, for example 2024-01-31T08:00:00+00:00.")
    raise invalid
