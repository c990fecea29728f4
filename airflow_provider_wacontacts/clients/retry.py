"""
What is tried again, and when.

Nothing here sends, sleeps or reads a clock: :func:`pause_before_retry` looks at what came of one request, and says how
long to wait before it is sent again, that the flow has to look at the answer, or raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TypeAlias

from airflow_provider_wacontacts.clients.http import Request, Response
from airflow_provider_wacontacts.exceptions import (
    ApiError,
    NetworkError,
    PermanentError,
    RateLimitedError,
    ServerError,
)

__all__ = ["UNAVAILABLE", "Attempt", "Failure", "Paused", "RetryPolicy", "asked_pause", "pause_before_retry", "unheard"]

TOO_MANY_REQUESTS = 429
UNAVAILABLE = 503
MAX_CREDIBLE = timedelta(days=31)


class Failure(Enum):
    """Why no whole answer came."""

    UNREACHABLE = "the connection could not be made"
    BROKEN = "the connection broke before an answer came"
    TIMED_OUT = "the server took too long"
    CUT_OFF = "the answer broke off before its end"
    NOT_TRUSTED = "the server's certificate is not trusted; extra 'verify' of the connection may name a file of CAs"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    How long one request may be tried.

    :param budget: from the first sending to the last, waits included. What does not fit into it is not waited for.
    :param longest_pause: the longest wait that a worker may sleep through at once.
    :param first_backoff: upper bound of the wait after the first failure, where the server does not ask for one. It
        doubles with each try; half of it is chance.
    :param max_backoff: what that bound grows to.
    """

    budget: timedelta = timedelta(minutes=10)
    longest_pause: timedelta = timedelta(minutes=2)
    first_backoff: timedelta = timedelta(seconds=1)
    max_backoff: timedelta = timedelta(seconds=60)

    def backoff(self, number: int, chance: float) -> timedelta:
        """Return the wait after try ``number``, 1 and up; ``chance`` is of [0, 1)."""
        doublings = min(number - 1, 16)
        bound = min(self.first_backoff * (1 << doublings), self.max_backoff, self.longest_pause)
        return bound * (0.5 + chance / 2)


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One sending of a request, and what came of it.

    :param number: 1 and up.
    :param elapsed: since the first sending.
    :param now: the local time, aware; used where the server does not tell its own.
    :param chance: of [0, 1), for the backoff.
    """

    request: Request
    outcome: Response | Failure
    number: int
    elapsed: timedelta
    now: datetime
    chance: float

    @property
    def is_rate_limited(self) -> bool:
        """Whether the server answered that it is asked too often."""
        return isinstance(self.outcome, Response) and self.outcome.status == TOO_MANY_REQUESTS

    def announce(self, pause: timedelta) -> str:
        """Say, fit for a log, what came and when the next try follows."""
        what = f"HTTP {self.outcome.status}" if isinstance(self.outcome, Response) else self.outcome.value
        following = f"try {self.number + 1} follows in {pause.total_seconds():.1f} s"
        return f"{self.request.operation}: {what}; {following}"


#: Is told of each try that is followed by another, and of the pause in between.
Paused: TypeAlias = Callable[[Attempt, timedelta], None]


def unheard(last: Attempt, pause: timedelta) -> None:
    """Tell nobody."""


def pause_before_retry(policy: RetryPolicy, last: Attempt) -> timedelta | None:
    """
    Judge what came of a request.

    429 and 5xx wait for as long as the server asks, never less, and back off where it does not say; so do failures of
    the network. What is counted is not sent again where it may have been carried out: that is left to whoever counts.

    :returns: how long to wait before sending again, or ``None`` where the flow has to look at the answer.
    :raises RateLimitedError: 429, and the wait is longer than a worker may sleep, or than what is left of the budget.
    :raises ServerError: 5xx, likewise.
    :raises NetworkError: no whole answer came within the budget.
    :raises PermanentError: the server's certificate is not trusted.
    """
    if not _can_change(last.outcome):
        return None
    if last.outcome is Failure.NOT_TRUSTED:
        raise _given_up(last, None)
    asked = asked_pause(last.outcome, last.now) if isinstance(last.outcome, Response) else None
    if last.request.is_counted and _may_be_done(last.outcome):
        raise _given_up(last, asked)
    pause = policy.backoff(last.number, last.chance)
    if asked is not None:
        pause = asked if asked >= policy.first_backoff else max(asked, pause)
    if pause > policy.longest_pause or last.elapsed + pause > policy.budget:
        raise _given_up(last, asked)
    return pause


def asked_pause(response: Response, now: datetime) -> timedelta | None:
    """
    Read how long the server wants to be left alone.

    The greater of ``Retry-After`` (seconds, whole or not, or an HTTP date) and, on 429, ``X-Ratelimit-Reset`` (seconds
    since 1970, whole or not, or an HTTP date). Moments are compared with the server's own ``Date``; with the local time
    where it sends none, or where that makes no sense of them.

    :param now: the local time, aware.
    :returns: zero and up; ``None`` where neither header is there, can be read, and is credible.
    """
    pauses = [_until(response.headers.get("retry-after", ""), response, now, _duration)]
    if response.status == TOO_MANY_REQUESTS:
        pauses.append(_until(response.headers.get("x-ratelimit-reset", ""), response, now, _since_1970))
    return max((pause for pause in pauses if pause is not None), default=None)


def _can_change(outcome: Response | Failure) -> bool:
    return isinstance(outcome, Failure) or outcome.status == TOO_MANY_REQUESTS or outcome.status >= 500


def _may_be_done(outcome: Response | Failure) -> bool:
    """Tell whether a server may have done what it was asked for, although it did not say so."""
    if isinstance(outcome, Response):
        return outcome.status not in (TOO_MANY_REQUESTS, UNAVAILABLE)
    return outcome is not Failure.UNREACHABLE


def _until(
    text: str, response: Response, now: datetime, meaning: Callable[[float, datetime], float]
) -> timedelta | None:
    for clock in (response.date or now, now):
        seconds = _seconds(text, clock, meaning)
        if seconds is not None and seconds <= MAX_CREDIBLE.total_seconds():
            return timedelta(seconds=max(seconds, 0))
    return None


def _seconds(text: str, clock: datetime, meaning: Callable[[float, datetime], float]) -> float | None:
    try:
        return meaning(_finite(text), clock)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - clock).total_seconds()


def _finite(text: str) -> float:
    """
    Read a number.

    :raises ValueError: it is none, or one without an end.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _duration(number: float, clock: datetime) -> float:  # noqa: ARG001
    return math.inf if number < 0 else number


def _since_1970(number: float, clock: datetime) -> float:
    return number - clock.timestamp()


def _given_up(last: Attempt, asked: timedelta | None) -> ApiError:
    source, operation, attempts = last.request.source, last.request.operation, last.number
    outcome = last.outcome
    if outcome is Failure.NOT_TRUSTED:
        return PermanentError(outcome.value, source=source, operation=operation, attempts=attempts)
    if isinstance(outcome, Failure):
        return NetworkError(f"{outcome.value}; try again later", source=source, operation=operation, attempts=attempts)
    kind: type[RateLimitedError | ServerError] = ServerError
    what = "the server failed"
    if outcome.status == TOO_MANY_REQUESTS:
        kind, what = RateLimitedError, "the server's rate limit is reached"
    advice = f"try again in {math.ceil(asked.total_seconds())} s" if asked else "try again later"
    return kind(
        f"{what}; {advice}",
        source=source,
        operation=operation,
        status=outcome.status,
        attempts=attempts,
        retry_after=asked,
    )
