"""
Wait for the answers of a check: ask again about what is not resolved, until all is, or until a deadline.

One round of asking is the same in a worker, which pokes, and in a triggerer, which must not block: :class:`Wait` and
:class:`Round` do the work with the database, :func:`ask_again` and :class:`Waiting` do the asking in between.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from airflow_provider_wacontacts.clients.whatsapp_business import MAX_INPUTS, CheckAnswer, next_pause
from airflow_provider_wacontacts.exceptions import (
    NON_RETRYABLE,
    ConfigError,
    LandingError,
    RateLimitedError,
    WaContactsError,
)
from airflow_provider_wacontacts.pipelines.check_results import answers_of
from airflow_provider_wacontacts.records.arguments import validate_int
from airflow_provider_wacontacts.records.windows import parse_time
from airflow_provider_wacontacts.store.checks.lifecycle import Check
from airflow_provider_wacontacts.store.checks.model import CheckTotals
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.schema import prepare

__all__ = [
    "Round",
    "SharedClient",
    "Wait",
    "WaitOptions",
    "Waiting",
    "ask_again",
    "count_failure",
    "is_late",
    "pause_before",
    "read_deadline",
]

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """
    How long to wait for a check, and how to ask meanwhile.

    :param deadline: aware.
    :param recheck_failed: how often to ask again about a number that failed, 0 and up.
    :param batch_size: numbers in a request, 1 to 1,000.
    :param max_failures: how many rounds in a row may fail, 0 and up; rate limits are not failures.
    :param waiter: who waits, the same for each of its tries; two who wait for one check let go of none of each other's
        numbers.
    :raises ConfigError: a figure that cannot be.
    """

    check_id: str
    deadline: datetime
    recheck_failed: int = 0
    batch_size: int = 100
    max_failures: int = 10
    waiter: str | None = None

    def __post_init__(self) -> None:
        validate_int("batch_size", self.batch_size, 1, MAX_INPUTS)
        for name in ("recheck_failed", "max_failures"):
            validate_int(name, getattr(self, name), 0)


class Wait:
    """
    A check that somebody waits for. Its methods block.

    :param checks: those of the check's sender.
    """

    def __init__(self, checks: SenderChecks, terms: WaitOptions) -> None:
        self.terms = terms
        self._checks = checks
        self._check: Check | None = None

    @property
    def check(self) -> Check:
        """
        The check.

        :raises ConfigError: the store knows none of this id, or it is another sender's.
        """
        if self._check is None:
            prepare(self._checks.context)
            self._check = self._checks.find(self.terms.check_id, waiter=self.terms.waiter)
        return self._check

    def begin(self) -> CheckTotals:
        """Wait from now on, or go on after a restart; what an earlier try had claimed is free again."""
        return self.check.start_waiting(self.terms.deadline, recheck_failed=self.terms.recheck_failed)

    def look(self) -> CheckTotals:
        """Count how it stands: an answer may also have been delivered, or somebody else may have asked."""
        return self.check.totals()

    def expire(self) -> CheckTotals:
        """Give up; what came in stays."""
        return self.check.expire()

    def round(self) -> Round:
        """Begin to ask about all that is not resolved."""
        return Round(self.check, self.terms.batch_size)


class Round:
    """One go through the numbers that are to be asked about again, a batch at a time."""

    def __init__(self, check: Check, batch_size: int) -> None:
        self._check = check
        self._batches = check.waiting(batch_size)
        self._leased: Sequence[str] = ()

    def lease(self) -> Sequence[str]:
        """
        Take the next numbers that nobody else asks about now.

        Those that had failed are left at that where the day's budget is spent.

        :returns: E.164; empty when all have had their turn.
        """
        for number_ids in self._batches:
            leased = self._check.lease_waiting(number_ids)
            if leased.over_budget:
                log.warning("The budget of today is spent: numbers that failed are not asked about again")
                self._check.stop_rechecking()
            if leased.numbers:
                self._leased = leased.numbers
                break
        return self._leased

    def keep(self, asked_at: datetime, answer: CheckAnswer) -> None:
        """
        Keep what was answered about the numbers that were taken last.

        :raises ApiError: the others of them were refused; they are still taken.
        """
        self._check.record(answers_of(answer, self._leased, asked_at=asked_at))
        self._leased = ()
        if answer.error is not None:
            self._leased = answer.missing
            raise answer.error

    def release(self) -> None:
        """Let others ask about what was taken and not answered. Where that fails, it is free again after a while."""
        if self._leased:
            with suppress(LandingError):
                self._check.release(self._leased)


def ask_again(
    wait: Wait, ask: Callable[[Sequence[str]], CheckAnswer], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> CheckTotals:
    """
    Ask once about all that is not resolved, batch after batch.

    :param ask: sends a request, without ``force_check``.
    :param now: aware.
    :raises WaContactsError: what was answered before is kept, and nothing is claimed any more.
    """
    asking = wait.round()
    try:
        while numbers := asking.lease():
            asking.keep(now(), ask(numbers))
    except BaseException:
        asking.release()
        raise
    return wait.look()


class SharedClient(Protocol):
    """Where a triggerer does what would block, and sends what all its triggers send."""

    @property
    def checks(self) -> SenderChecks:
        """Those of the connection's sender."""

    async def in_thread(self, work: Callable[..., T], *given: object) -> T:
        """Do what blocks; who is cancelled stays until it is done."""

    async def ready(self) -> None:
        """Wait while nothing may be sent."""

    async def ask(self, numbers: Sequence[str]) -> tuple[datetime, CheckAnswer]:
        """Send a request when it is its turn; also tell when that was."""


class Waiting:
    """
    A wait on an event loop.

    :ivar totals: how the check stood when it was last looked at; ``None`` before that.
    :param now: aware.
    :param sleep: waits, in seconds.
    :param chance: of [0, 1).
    """

    def __init__(
        self,
        terms: WaitOptions,
        room: SharedClient,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.totals: CheckTotals | None = None
        self._terms = terms
        self._room = room
        self._wait = Wait(room.checks, terms)
        self._now = now
        self._sleep = sleep
        self._chance = chance

    async def until_answered(self) -> CheckTotals:
        """
        Look, and ask about what is open, with growing pauses in between.

        :returns: how the check stands: it is resolved, or the deadline has come and it is expired.
        :raises WaContactsError: it is of no use to go on, or too many rounds have failed one after another.
        """
        looks, failures = 0, 0
        while True:
            looks, retry_after = looks + 1, None
            try:
                totals = self.totals = await self._look()
                if totals.state != "open":
                    return totals
                failures = 0
            except WaContactsError as error:
                failures = count_failure(error, failures, self._terms.max_failures)
                retry_after = getattr(error, "retry_after", None)
                log.warning("Check %s: %s: %s", self._terms.check_id, type(error).__name__, error)
            pause = pause_before(looks, self._terms.deadline - self._now(), self._chance(), retry_after).total_seconds()
            if self.totals is not None:
                waiting = self.totals.waiting
                log.info("Check %s: %s numbers wait; the next look is in %.0f s", self._terms.check_id, waiting, pause)
            await self._sleep(pause)

    async def _look(self) -> CheckTotals:
        """Do what is due now, and tell how the check stands."""
        if self.totals is None:
            totals = await self._room.in_thread(self._wait.begin)
        elif is_late(self._terms, self._now()):
            totals = self.totals
        else:
            totals = await self._ask_in_time()
        if totals.state == "open" and is_late(self._terms, self._now()):
            return await self._room.in_thread(self._wait.expire)
        return totals

    async def _ask_in_time(self) -> CheckTotals:
        left = self._terms.deadline - self._now()
        try:
            async with asyncio.timeout(left.total_seconds()):
                await self._ask()
        except TimeoutError:
            log.info("Check %s: the deadline has come in the middle of a round", self._terms.check_id)
        return await self._room.in_thread(self._wait.look)

    async def _ask(self) -> None:
        room, asking = self._room, self._wait.round()
        try:
            await room.ready()
            while numbers := await room.in_thread(asking.lease):
                await room.in_thread(asking.keep, *await room.ask(numbers))
                await room.ready()
        except BaseException:
            await room.in_thread(asking.release)
            raise


def is_late(terms: WaitOptions, now: datetime) -> bool:
    """Tell whether the deadline has come."""
    return now >= terms.deadline


def pause_before(look: int, left: timedelta, chance: float, retry_after: timedelta | None = None) -> timedelta:
    """
    Say how long to wait before looking again: as the protocol says, but not past the deadline.

    :param look: how often was looked so far, 1 and up.
    :param left: until the deadline; what is left to do after it is tried again and again.
    :param chance: of [0, 1).
    :param retry_after: what the server asked for.
    """
    pause = next_pause(look, chance, retry_after)
    return min(pause, left) if left > timedelta(0) else pause


def count_failure(error: WaContactsError, failures: int, most: int) -> int:
    """
    Count the failures in a row; a rate limit is none, for it is kept to.

    :param failures: before this one.
    :param most: so many are borne.
    :raises WaContactsError: this one is not: it is one too many, or no waiting mends it.
    """
    if isinstance(error, RateLimitedError):
        return failures
    if isinstance(error, NON_RETRYABLE) or failures >= most:
        raise error
    return failures + 1


def read_deadline(value: datetime | str) -> datetime:
    """
    Read a deadline: an aware time, or its ISO text.

    :returns: UTC.
    :raises ConfigError: it is neither.
    """
    try:
        return parse_time(value.isoformat() if isinstance(value, datetime) else value)
    except (TypeError, ValueError, AttributeError):
        wrong = ConfigError("deadline is no time with an offset, such as 2024-01-31T08:00:00+00:00")
    raise wrong
