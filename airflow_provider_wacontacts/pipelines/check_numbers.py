"""Check numbers: ask about those that are not known, under claim and within the budget, and keep what is answered."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, TypeVar

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
from airflow_provider_wacontacts.clients.requests_driver import Clock
from airflow_provider_wacontacts.clients.retry import UNAVAILABLE, RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business import REQUESTS_A_SECOND, CheckAnswer
from airflow_provider_wacontacts.exceptions import BudgetExceededError, NetworkError, ServerError
from airflow_provider_wacontacts.pipelines.check_options import CheckOptions
from airflow_provider_wacontacts.pipelines.check_results import answers_of
from airflow_provider_wacontacts.store.checks.lifecycle import Check
from airflow_provider_wacontacts.store.checks.model import LeasedNumbers
from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["Stopped", "Surroundings", "ask_about_all"]

T = TypeVar("T")
log = logging.getLogger(__name__)

#: As few as keep the pace: whoever is killed loses what is under way, and what was drawn for it.
AT_ONCE = 4
#: So much of what a batch takes goes into what one takes as a rule.
WEIGHT = 0.1
REPORT_EVERY_S = 10.0
#: How long to leave numbers alone that somebody else asks about; they are free when that claim runs out.
MAX_WAIT_S = 15.0
#: How often a batch is asked about that may have been looked up without an answer; each time draws on the budget.
TRIES = 4
BACKING_OFF = RetryPolicy()


class Stopped(BaseException):
    """The work was told to stop."""


class Asks(Protocol):
    """Whatever asks about numbers, a hook say. It is called from several threads at once."""

    def __call__(self, inputs: Sequence[str], /, *, blocking: str, force_check: bool) -> CheckAnswer:
        """Send one request."""


@dataclass(slots=True)
class Surroundings:
    """
    What asking needs of the world it runs in.

    :param report: is handed how many numbers were asked about so far, about every ten seconds.
    :param retried: is told of each batch that is asked about again because no answer came.
    :param monotonic: seconds, from a clock that never goes back.
    :param stop: set by whoever wants the work to end.
    """

    report: Callable[[int], None]
    retried: Callable[[], None] = lambda: None
    monotonic: Callable[[], float] = time.monotonic
    stop: threading.Event = field(default_factory=threading.Event)

    def sleep(self, seconds: float) -> None:
        """
        Wait.

        :raises Stopped: the work has to end.
        """
        if self.stop.wait(seconds):
            raise Stopped

    def paced(self, a_second: float) -> Callable[[], None]:
        """
        Return what waits for one's turn, of so many a second; threads may share it.

        It raises :class:`Stopped` where the work has to end.
        """
        pacer = RateLimiter(timedelta(seconds=1 / a_second))
        clock = Clock(sleep=self.sleep, monotonic=self.monotonic)

        def turn() -> None:
            self.sleep(0)
            pacer.wait(None, clock)

        return turn

    def through(self, items: Iterable[T]) -> Iterator[T]:
        """
        Go through what is there to do.

        :raises Stopped: the work has to end.
        """
        for item in items:
            self.sleep(0)
            yield item


def ask_about_all(
    check: Check, checks: SenderChecks, *, ask: Asks, check_options: CheckOptions, world: Surroundings
) -> None:
    """
    Ask about every number of a check that has its turn still to come, once.

    Numbers that another one asks about now are waited for: their answers are taken from the store.

    :param ask: sends a request.
    :raises BudgetExceededError: the day's budget did not suffice for all; what was asked is kept, and so is all that
        costs nothing.
    :raises ApiError: of ``ask``; what was answered is kept, and nothing is claimed any more.
    :raises LandingError: the store failed.
    """
    asking = _Asking(check, checks, ask, check_options, world)
    while True:
        went = asking.go_through()
        if went.over_budget:
            asking.take_what_is_free()
            raise asking.spent()
        if not went.leased_elsewhere:
            return
        asking.wait()


class _Asking:
    """Going through the queue of a check, with a few threads where one is too slow for the pace."""

    def __init__(
        self, check: Check, checks: SenderChecks, ask: Asks, check_options: CheckOptions, world: Surroundings
    ) -> None:
        self._check = check
        self._checks = checks
        self._ask = ask
        self._manner = check_options
        self._world = world
        self._turn = world.paced(REQUESTS_A_SECOND)
        self._reported = world.monotonic()
        self._asked = 0
        self._usual_s = 0.0
        self._has_failed = False
        self._pause_s = 0.25

    def go_through(self) -> LeasedNumbers:
        """
        Give every queued number its turn, up to the first that the budget does not suffice for.

        :returns: whether it did not, and how many others were asking about.
        """
        return self._through(self._check.queued(self._manner.batch_size))

    def take_what_is_free(self) -> None:
        """Take all that costs nothing, and wait for what others are asking about now."""
        while self._through(self._check.queued_free(self._manner.batch_size), past_the_budget=True).leased_elsewhere:
            self.wait()

    def wait(self) -> None:
        """Leave alone for a while, longer each time, what others are asking about."""
        self._world.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, MAX_WAIT_S)

    def _through(self, batches: Iterator[list[int]], *, past_the_budget: bool = False) -> LeasedNumbers:
        """Give batches their turn, up to the first that the budget does not suffice for, or all of them."""
        leased_elsewhere, over_budget = 0, False
        with closing(self._in_threads(batches)) as answered:
            for leased in answered:
                leased_elsewhere += leased.leased_elsewhere
                self._tell(len(leased.numbers))
                over_budget |= leased.over_budget
                if over_budget and not past_the_budget:
                    break
        return LeasedNumbers([], over_budget, leased_elsewhere)

    def _in_threads(self, batches: Iterator[list[int]]) -> Generator[LeasedNumbers]:
        """Give batches their turn, as many at once as it takes. Whenever it ends, what is under way ends first."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="wacontacts-check") as threads:
            running: set[Future[LeasedNumbers]] = set()
            try:
                for batch in batches:
                    if self._has_failed:
                        break
                    running.add(threads.submit(self._one, batch))
                    while len(running) >= self._at_once():
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (future.result() for future in done)
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            except (Exception, GeneratorExit):
                threads.shutdown(wait=False, cancel_futures=True)
                raise
            except BaseException:
                self._world.stop.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _at_once(self) -> int:
        """Say how many batches have to be under way so that none waits for another longer than for its turn."""
        # A tenth more, for what lies between two batches.
        return min(AT_ONCE, max(1, math.ceil(self._usual_s * REQUESTS_A_SECOND * 1.1)))

    def _one(self, batch: Sequence[int]) -> LeasedNumbers:
        """Give a batch its turn."""
        # The turn comes first: what is claimed is drawn, and lost to whoever is killed before it is recorded.
        self._turn()
        begun = self._world.monotonic()
        leased = self._ask_until_answered(batch)
        self._usual_s += WEIGHT * (self._world.monotonic() - begun - self._usual_s)
        return leased

    def _ask_until_answered(self, batch: Sequence[int]) -> LeasedNumbers:
        """Ask about a batch, and again where nobody knows whether the server has looked: that draws again."""
        begun, tried = self._world.monotonic(), 0
        while True:
            try:
                return self._ask_about(batch)
            except (ServerError, NetworkError) as error:
                tried += 1
                backoff = BACKING_OFF.backoff(tried, random.random())  # noqa: S311
                pause = max(backoff, error.retry_after or backoff)
                lasts = timedelta(seconds=self._world.monotonic() - begun) + pause
                # What the server surely did not do is sent again by the transport, for as long as that is of use.
                if (
                    tried >= TRIES
                    or error.status == UNAVAILABLE
                    or pause > BACKING_OFF.longest_pause
                    or lasts > BACKING_OFF.budget
                ):
                    self._has_failed = True
                if self._has_failed:
                    raise
                log.info("%s; it is asked, and drawn for, again in %.1f s", error, pause.total_seconds())
            self._world.retried()
            self._world.sleep(pause.total_seconds())
            self._turn()

    def _ask_about(self, batch: Sequence[int]) -> LeasedNumbers:
        """Ask about what of a batch has to be asked."""
        leased = self._check.lease(batch)
        if not leased.numbers:
            return leased
        try:
            asked_at = self._checks.context.now()
            answer = self._ask(leased.numbers, blocking=self._manner.blocking, force_check=self._manner.force_check)
        except BaseException as error:
            # Said at once: giving back may have to wait for the store, and nothing more is to be asked meanwhile.
            self._has_failed |= not isinstance(error, (ServerError, NetworkError))
            self._check.release(leased.numbers)
            raise
        _tell_oddities(answer)
        self._check.record(answers_of(answer, leased.numbers, asked_at=asked_at, forced=self._manner.force_check))
        if answer.error is not None:
            self._has_failed |= not isinstance(answer.error, ServerError)
            self._check.release(answer.missing)
            raise answer.error
        return leased

    def _tell(self, asked: int) -> None:
        self._asked += asked
        now = self._world.monotonic()
        if now - self._reported >= REPORT_EVERY_S:
            self._reported = now
            self._world.report(self._asked)

    def spent(self) -> BudgetExceededError:
        daily, left = self._checks.daily_checks, self._checks.budget_left()
        is_own = left > 0 and self._check.max_checks is not None
        whose = "max_checks is" if is_own else "the sender's daily_checks are"
        limit = self._check.max_checks if is_own else daily
        queued = self._check.totals().queued
        return BudgetExceededError(
            f"{whose} spent for today; not asked about: {queued}; what was answered is kept",
            limit=limit or daily,
            used=(limit or daily) if is_own else daily - left,
            asked=queued,
        )


def _tell_oddities(answer: CheckAnswer) -> None:
    for note in answer.errors:
        log.warning("The answer carries an error beside its results: code %s %s", note.code, note.title)
    if answer.missing or answer.unmatched:
        log.warning(
            "The answer says nothing about %s of the numbers, and has %s entries that belong to none",
            len(answer.missing),
            answer.unmatched,
        )
