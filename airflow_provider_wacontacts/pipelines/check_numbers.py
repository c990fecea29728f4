"""Check numbers: lease those without a fresh result, spend the budget, send requests, and record the results."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business_login import LOGIN
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    BudgetExceededError,
    ConfigError,
    NetworkError,
    ServerError,
    TransientError,
)
from airflow_provider_wacontacts.pipelines.check_results import to_store_results
from airflow_provider_wacontacts.pipelines.stop import StopSignal
from airflow_provider_wacontacts.store.checks.budget import next_month, utc_day
from airflow_provider_wacontacts.store.checks.lifecycle import Check
from airflow_provider_wacontacts.store.checks.model import LeasedNumbers
from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["CheckRun", "NumberClient"]

log = logging.getLogger(__name__)

#: A killed worker loses the budget of its requests in flight, so this is low.
MAX_THREADS = 4
#: Weight of the latest batch in the moving average of durations.
SMOOTHING = 0.1
REPORT_EVERY_S = 10.0
MIN_WAIT_S, MAX_WAIT_S = 0.25, 15.0
#: For batches without a response. Each attempt counts against the budget.
MAX_ATTEMPTS = 4
RETRY_POLICY = RetryPolicy()
COUNTS_AGAIN = " (counts against the budget again)"


class NumberClient(Protocol):
    """A client that checks numbers at one system. Several threads may use it at once."""

    @property
    def requests_a_second(self) -> float:
        """The system's rate limit."""

    @property
    def batch_size(self) -> int:
        """Maximum numbers in a request, 1 and up."""

    def check_numbers(self, numbers: Sequence[str]) -> CheckResponse:
        """
        Send one request.

        :param numbers: E.164.
        :raises BudgetExceededError: the system's own quota is used up.
        :raises ApiError: there was no response with results.
        """


@dataclass(kw_only=True)
class CheckRun:
    """
    Checks every queued number of a check once, with a few threads if the server is slower than the rate limit.

    :param checks: checks of the sender.
    :param client: sends the requests.
    :param force_check: whether ``client`` bypasses the system's cache.
    :param on_progress: called with the numbers checked so far, about every ten seconds.
    :param on_retry: called before a batch without a response is sent again.
    :param stop: ends the run early.
    :param monotonic: seconds.
    """

    check: Check
    checks: SenderChecks
    client: NumberClient
    force_check: bool = False
    on_progress: Callable[[int], None] = lambda _: None
    on_retry: Callable[[], None] = lambda: None
    stop: StopSignal = field(default_factory=StopSignal)
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._reported_at = self.monotonic()
        self._checked = 0
        self._average_s = 0.0
        self._failed = False
        self._pause_s = MIN_WAIT_S

    def run(self) -> None:
        """
        Check the numbers. Results of numbers that another task is checking are taken from the store.

        :raises BudgetExceededError: the day's budget is spent. Numbers that cost nothing are done.
        :raises ApiError: the client's error; nothing stays leased.
        :raises LandingError: the store failed.
        :raises Stopped: the run was stopped.
        """
        while True:
            batch = self._run_batches(self.check.queued(self.client.batch_size))
            if batch.over_budget:
                self._drain_free()
                raise self._budget_exceeded()
            if not batch.leased_elsewhere:
                return
            self._wait_for_others()

    def _drain_free(self) -> None:
        """Take all results that cost nothing, and wait for results that other tasks are fetching."""
        while self._run_batches(self.check.queued_free(self.client.batch_size), past_budget=True).leased_elsewhere:
            self._wait_for_others()

    def _wait_for_others(self) -> None:
        self.stop.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, MAX_WAIT_S)

    def _run_batches(self, batches: Iterator[list[int]], *, past_budget: bool = False) -> LeasedNumbers:
        """
        Run all batches, or stop when the budget is spent.

        :returns: whether the budget is spent, and how many numbers other tasks have leased.
        """
        leased_elsewhere, over_budget = 0, False
        with closing(self._run_in_threads(batches)) as done:
            for leased in done:
                leased_elsewhere += leased.leased_elsewhere
                self._report_progress(len(leased.numbers))
                over_budget |= leased.over_budget
                if over_budget and not past_budget:
                    break
        return LeasedNumbers([], over_budget, leased_elsewhere)

    def _run_in_threads(self, batches: Iterator[list[int]]) -> Generator[LeasedNumbers]:
        """Run batches, some of them concurrently. Batches in flight finish before the generator does."""
        with ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="wacontacts-check") as threads:
            running: set[Future[LeasedNumbers]] = set()
            try:
                for batch in batches:
                    if self._failed:
                        break
                    limit = self._concurrency()
                    running.add(threads.submit(self._run_batch, batch))
                    while len(running) >= limit:
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (future.result() for future in done)
                        limit = self._concurrency()
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            except (Exception, GeneratorExit):
                threads.shutdown(wait=False, cancel_futures=True)
                raise
            except BaseException:
                self.stop.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _concurrency(self) -> int:
        """Return the number of concurrent batches that uses the whole rate limit."""
        # A tenth more, for the time between two batches.
        return min(MAX_THREADS, max(1, math.ceil(self._average_s * self.client.requests_a_second * 1.1)))

    def _run_batch(self, batch: Sequence[int]) -> LeasedNumbers:
        self.stop.sleep(0)
        started_at = self.monotonic()
        leased = self._check_with_retries(batch)
        self._average_s += SMOOTHING * (self.monotonic() - started_at - self._average_s)
        return leased

    def _check_with_retries(self, batch: Sequence[int]) -> LeasedNumbers:
        """Check a batch, and retry if the server did not respond. Attempts that it may have processed count again."""
        started_at, attempts = self.monotonic(), 0
        while True:
            try:
                return self._check_batch(batch)
            except (ServerError, NetworkError) as error:
                attempts += 1
                backoff = RETRY_POLICY.backoff(attempts, random.random())  # noqa: S311
                pause = max(backoff, error.retry_after or backoff)
                elapsed = timedelta(seconds=self.monotonic() - started_at) + pause
                # The duration includes the client's own retries.
                if attempts >= MAX_ATTEMPTS or pause > RETRY_POLICY.max_pause or elapsed > RETRY_POLICY.budget:
                    self._failed = True
                if self._failed:
                    raise
                cost = COUNTS_AGAIN if error.may_be_processed else ""
                log.info("%s; retrying in %.1f s%s", error, pause.total_seconds(), cost)
            self.on_retry()
            self.stop.sleep(pause.total_seconds())

    def _check_batch(self, batch: Sequence[int]) -> LeasedNumbers:
        leased = self.check.lease(batch)
        if not leased.numbers:
            return leased
        try:
            response = self.client.check_numbers(leased.numbers)
        except BaseException as error:
            # Set before the release, which may wait for the store, so that no other batch starts meanwhile.
            self._failed |= not isinstance(error, (ServerError, NetworkError))
            self.check.release(leased.numbers)
            if _has_checked_nothing(error):
                self.check.refund(leased)
            raise
        _log_response_errors(response)
        self.check.record(
            to_store_results(response, leased.numbers, asked_at=leased.leased_at, forced=self.force_check)
        )
        if response.error is not None:
            self._failed |= not isinstance(response.error, ServerError)
            self.check.release(response.missing)
            raise response.error
        return leased

    def _report_progress(self, checked: int) -> None:
        self._checked += checked
        now = self.monotonic()
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            self.on_progress(self._checked)

    def _budget_exceeded(self) -> BudgetExceededError:
        checks, left, today = self.checks, self.checks.budget_left(), utc_day(self.checks.context.now())
        tomorrow, max_checks, monthly_checks = today + timedelta(days=1), self.check.max_checks, checks.monthly_checks
        if left > 0 and max_checks is not None:
            name, limit, used, period, resets_on = "The task's max_checks", max_checks, max_checks, "today", tomorrow
        elif monthly_checks is not None and checks.month_is_spent():
            name, limit, used, period = "The sender's monthly_checks", monthly_checks, monthly_checks, "this month"
            resets_on = next_month(today)
        else:
            name, limit, period, resets_on = checks.budget_name, checks.daily_checks, "today", tomorrow
            used = limit - left
        queued = self.check.totals().queued
        return BudgetExceededError(
            f"{name} ({limit}) are spent for {period}. {queued} numbers were not checked; the results so far"
            f" are kept. Set on_budget='defer' to continue on {resets_on}, UTC, or raise the limit.",
            limit=limit,
            used=used,
            asked=queued,
            resets_at=datetime.combine(resets_on, datetime.min.time(), UTC),
        )


def _has_checked_nothing(error: BaseException) -> bool:
    """Return whether the system certainly looked no number up."""
    if isinstance(error, TransientError) and not error.may_be_processed:
        return True
    return isinstance(error, (AuthError, ConfigError)) or getattr(error, "operation", "") == LOGIN


def _log_response_errors(response: CheckResponse) -> None:
    for code in response.error_codes:
        log.warning("The response has an error in addition to its results: code %s", code)
    if response.missing or response.unmatched:
        log.warning(
            "The response has no result for %s of the numbers, and %s results that match no number",
            len(response.missing),
            response.unmatched,
        )
