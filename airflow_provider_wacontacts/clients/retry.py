"""
Retries, backoff and renewal of credentials: the loop that both drivers run.

Nothing here sends, sleeps or blocks. :class:`RetryLoop` wraps a flow and yields the next step of the driver.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count
from threading import Event
from typing import Any, Protocol, TypeAlias, TypeVar

from airflow_provider_wacontacts.clients.errors import ErrorSpec, contract_error, describe_origin
from airflow_provider_wacontacts.clients.failures import CONFIGURATION, UNSENT, Failure
from airflow_provider_wacontacts.clients.http import AuthFlow, Call, Flow, Request, Response, Send, Sleep, Steps
from airflow_provider_wacontacts.exceptions import (
    ApiError,
    ConfigError,
    NetworkError,
    RateLimitedError,
    ServerError,
    TransientError,
    WaContactsError,
)

__all__ = [
    "DEFAULT_POLICY",
    "SYSTEM_CLOCK",
    "UNAVAILABLE",
    "Attempt",
    "Auth",
    "BeforeSleep",
    "Clock",
    "RetryLoop",
    "RetryPolicy",
    "pause_before_retry",
    "read_retry_after",
]

T = TypeVar("T")
log = logging.getLogger(__name__)

UNAUTHORIZED = 401
TOO_MANY_REQUESTS = 429
UNAVAILABLE = 503
MAX_CREDIBLE = timedelta(days=31)
RATE_LIMITED = ErrorSpec(RateLimitedError, "The server's rate limit is reached.")
SERVER_FAILED = ErrorSpec(ServerError, "The server failed.")


@dataclass(frozen=True, slots=True)
class Clock:
    """
    A clock.

    :param sleep: sleeps for a number of seconds; ``asyncio.sleep`` on an event loop.
    :param monotonic: seconds of a monotonic clock.
    :param now: the current time, timezone-aware.
    """

    sleep: Callable[[float], Any] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    How long one request is retried.

    :param budget: maximum time from the first attempt to the last, including pauses. A pause that exceeds it is not
        started.
    :param max_pause: maximum length of a single pause of a worker.
    :param first_backoff: upper bound of the pause after the first failure. It doubles with each attempt; half of it is
        jitter.
    :param max_backoff: maximum of this upper bound.
    :param connect_budget: the budget while no connection is made to a server that has not responded before: its host,
        port or proxy may be wrong.
    """

    budget: timedelta = timedelta(minutes=10)
    max_pause: timedelta = timedelta(minutes=2)
    first_backoff: timedelta = timedelta(seconds=1)
    max_backoff: timedelta = timedelta(seconds=60)
    connect_budget: timedelta = timedelta(seconds=30)

    def backoff(self, number: int, jitter: float) -> timedelta:
        """Return the pause after attempt ``number``, 1 and up; ``jitter`` is in [0, 1)."""
        doublings = min(number - 1, 16)
        bound = min(self.first_backoff * (1 << doublings), self.max_backoff, self.max_pause)
        return bound * (0.5 + jitter / 2)


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One attempt to send a request, and its outcome.

    :param number: 1 and up.
    :param elapsed: time since the first attempt.
    :param now: the local time, timezone-aware; used if the server does not send its own.
    :param jitter: a random number in [0, 1).
    :param connection: see :class:`RetryLoop`.
    :param has_responded: whether the server has responded to any request before.
    """

    request: Request
    outcome: Response | Failure
    number: int
    elapsed: timedelta
    now: datetime
    jitter: float
    connection: str = ""
    has_responded: bool = False

    @property
    def is_rate_limited(self) -> bool:
        """Whether the response is 429 Too Many Requests."""
        return isinstance(self.outcome, Response) and self.outcome.status == TOO_MANY_REQUESTS

    def describe_retry(self, pause: timedelta) -> str:
        """Describe the outcome and the next attempt, for a log."""
        what = f"HTTP {self.outcome.status}." if isinstance(self.outcome, Response) else self.outcome.value
        return f"{self.request.operation}: {what} Attempt {self.number + 1} follows in {pause.total_seconds():.1f} s."


#: Called with each attempt that will be retried, and the pause before the retry.
BeforeSleep: TypeAlias = Callable[[Attempt, timedelta], None]


class Auth(Protocol):
    """
    Authentication, as flows: a login is an ordinary request, but without credentials.

    Threads, or the tasks of an event loop, may share it.
    """

    def headers(self) -> AuthFlow[Mapping[str, str]]:
        """Return the headers that authenticate, in lower case; called before each attempt."""

    def renew(self, sent: Mapping[str, str]) -> AuthFlow[bool]:
        """
        Renew the headers after 401 Unauthorized.

        :param sent: the headers that the server did not accept.
        :returns: whether the headers have changed.
        """


SYSTEM_CLOCK = Clock()
DEFAULT_POLICY = RetryPolicy()


@dataclass(frozen=True, slots=True)
class RetryLoop:
    """
    Turns flows into steps for a driver: send, sleep, call.

    :param auth: ``None`` for requests that carry their own credentials, or need none.
    :param normalize: corrects a response's status before it is evaluated; ``None`` for no correction.
    :param jitter: returns a random number in [0, 1).
    :param before_sleep: called before each pause; ``None`` for no call.
    :param connection: names of the connection, its host and its port in errors.
    :ivar responded: set once the server has responded.
    """

    auth: Auth | None = None
    policy: RetryPolicy = DEFAULT_POLICY
    clock: Clock = SYSTEM_CLOCK
    normalize: Callable[[Response], Response] | None = None
    jitter: Callable[[], float] = random.random
    before_sleep: BeforeSleep | None = None
    connection: str = ""
    responded: Event = field(default_factory=Event, init=False, compare=False)

    def run(self, flow: Flow[T]) -> Steps[T]:
        """
        Run a flow to its end.

        An error of :func:`pause_before_retry` is thrown into the flow, which may handle it.

        :returns: what the flow returns.
        :raises WaContactsError: raised by the flow. Any other exception of the flow becomes a :class:`.ContractError`.
        """
        return self._run(flow, self.auth)

    def _run(self, flow: AuthFlow[T], auth: Auth | None) -> Steps[T]:
        attempts, operation = 0, str(getattr(flow, "__name__", ""))
        result: Any = None
        with closing(flow):
            try:
                while True:
                    wanted = _advance(flow, result, operation)
                    operation = wanted.operation if isinstance(wanted, Request) else operation
                    result, number = yield from self._result(wanted, auth)
                    attempts = number or attempts
            except StopIteration as stop:
                value: T = stop.value
                return value
            except ApiError as error:
                error.attempts = error.attempts or attempts
                error.connection = error.connection or self.connection
                raise

    def _result(self, wanted: Request | Call, auth: Auth | None) -> Steps[tuple[Any, int]]:
        """Return a result or an error, and the number of attempts."""
        try:
            return (yield from self._send(wanted, auth)) if isinstance(wanted, Request) else ((yield wanted), 0)
        except WaContactsError as error:
            return error, 0

    def _send(self, request: Request, auth: Auth | None) -> Steps[tuple[Response, int]]:
        begun = self.clock.monotonic()
        can_renew = auth is not None
        for number in count(1):
            sent = (yield from self._run(auth.headers(), None)) if auth else {}
            headers = {name.lower(): value for name, value in request.headers.items()} | dict(sent)
            outcome: Response | Failure = yield Send(replace(request, headers=headers))
            if isinstance(outcome, Response):
                self.responded.set()
                outcome = self.normalize(outcome) if self.normalize else outcome
            if auth and can_renew and isinstance(outcome, Response) and outcome.status == UNAUTHORIZED:
                can_renew = False
                if (yield from self._run(auth.renew(sent), None)):
                    continue
            elapsed = timedelta(seconds=self.clock.monotonic() - begun)
            now, jitter, responded = self.clock.now(), self.jitter(), self.responded.is_set()
            attempt = Attempt(request, outcome, number, elapsed, now, jitter, self.connection, responded)
            pause = pause_before_retry(self.policy, attempt)
            if pause is None and isinstance(outcome, Response):
                return outcome, number
            yield from self._pause(attempt, pause or timedelta(0))
        raise AssertionError  # pragma: no cover - for mypy: count() has no end

    def _pause(self, attempt: Attempt, pause: timedelta) -> Steps[None]:
        log.info("%s", attempt.describe_retry(pause))
        if self.before_sleep:
            self.before_sleep(attempt, pause)
        yield Sleep(pause.total_seconds())


def _advance(flow: AuthFlow[T], result: Any, operation: str) -> Request | Call:
    """
    Send a flow its result, and return its next action.

    :raises ContractError: the flow raised an error that is not of this package. Its text may contain data.
    """
    try:
        return flow.throw(result) if isinstance(result, WaContactsError) else flow.send(result)
    except (StopIteration, WaContactsError):
        raise
    except Exception as error:  # noqa: BLE001 - see above
        origin = f"{type(error).__name__} {describe_origin(error)}"
    raise contract_error(f"The response could not be read: {origin}.", operation)


def pause_before_retry(policy: RetryPolicy, last: Attempt) -> timedelta | None:
    """
    Decide whether a request is retried.

    429, 5xx and network failures are retried with a growing backoff. ``Retry-After`` is a lower bound of the pause. A
    request that is not idempotent is retried only if the server certainly did not process it.

    :returns: the pause before the next attempt; ``None`` if the flow handles the response.
    :raises RateLimitedError: 429, and the pause exceeds ``max_pause`` or the rest of the budget.
    :raises ServerError: 5xx, under the same condition.
    :raises NetworkError: no complete response arrived within the budget.
    :raises ConfigError: TLS failed, or the host name is unknown.
    :raises ContractError: no valid HTTP response arrived within the budget.
    """
    if not _is_retryable(last.outcome):
        return None
    retry_after = read_retry_after(last.outcome, last.now) if isinstance(last.outcome, Response) else None
    if not last.request.idempotent and _may_be_processed(last.outcome, retry_after):
        raise _gave_up(last, retry_after)
    if last.outcome in CONFIGURATION:
        raise _gave_up(last, None)
    if retry_after is not None and retry_after > policy.max_pause:
        raise _gave_up(last, retry_after)
    spread = (retry_after or timedelta(0)) * (1 + last.jitter / 10)
    pause = min(max(policy.backoff(last.number, last.jitter), spread), policy.max_pause)
    if last.elapsed + pause > _budget(policy, last):
        raise _gave_up(last, retry_after)
    return pause


def _budget(policy: RetryPolicy, last: Attempt) -> timedelta:
    is_unreached = last.outcome in UNSENT and not last.has_responded
    return min(policy.budget, policy.connect_budget) if is_unreached else policy.budget


def read_retry_after(response: Response, now: datetime) -> timedelta | None:
    """
    Read the delay that the server requests.

    The greater of ``Retry-After`` (seconds, whole or not, or an HTTP date) and, on 429, ``X-Ratelimit-Reset`` (seconds
    since 1970, whole or not, or an HTTP date). Times are compared with the server's own ``Date``, or with the local
    time if that is missing or implausible.

    :param now: the local time, timezone-aware.
    :returns: zero and up; ``None`` if neither header is valid.
    """
    pauses = [_until(response.headers.get("retry-after", ""), response, now, _duration)]
    if response.status == TOO_MANY_REQUESTS:
        pauses.append(_until(response.headers.get("x-ratelimit-reset", ""), response, now, _since_1970))
    return max((pause for pause in pauses if pause is not None), default=None)


def _is_retryable(outcome: Response | Failure) -> bool:
    return isinstance(outcome, Failure) or outcome.status == TOO_MANY_REQUESTS or outcome.status >= 500


def _may_be_processed(outcome: Response | Failure, retry_after: timedelta | None) -> bool:
    """
    Return whether the server may have processed the request without saying so.

    Gateways also respond with 503 Service Unavailable after they forwarded a request, but then without ``Retry-After``.
    """
    if isinstance(outcome, Failure):
        return outcome not in UNSENT
    is_refused = outcome.status == UNAVAILABLE and (outcome.is_refusal or retry_after is not None)
    return outcome.status != TOO_MANY_REQUESTS and not is_refused


def _until(
    text: str, response: Response, now: datetime, convert: Callable[[float, datetime], float]
) -> timedelta | None:
    for clock in (response.date or now, now):
        seconds = _seconds(text, clock, convert)
        if seconds is not None and seconds <= MAX_CREDIBLE.total_seconds():
            return timedelta(seconds=max(seconds, 0))
    return None


def _seconds(text: str, clock: datetime, convert: Callable[[float, datetime], float]) -> float | None:
    try:
        return convert(_finite(text), clock)
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

    :raises ValueError: the text is not a finite number.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _duration(number: float, clock: datetime) -> float:  # noqa: ARG001
    return math.inf if number < 0 else number


def _since_1970(number: float, clock: datetime) -> float:
    return number - clock.timestamp()


def _gave_up(last: Attempt, retry_after: timedelta | None) -> WaContactsError:
    error = _make_error(last, retry_after)
    if isinstance(error, ApiError):
        error.attempts = last.number
    if isinstance(error, TransientError):
        error.retry_after = retry_after
        error.may_be_processed = _may_be_processed(last.outcome, retry_after)
    return error


def _make_error(last: Attempt, retry_after: timedelta | None) -> WaContactsError:
    outcome, operation = last.outcome, last.request.operation
    if isinstance(outcome, Response):
        spec = RATE_LIMITED if outcome.status == TOO_MANY_REQUESTS else SERVER_FAILED
        advice = f"Try again in {math.ceil(retry_after.total_seconds())} s." if retry_after else "Try again later."
        return ErrorSpec(spec.kind, f"{spec.message} {advice}").error(operation, outcome.status)
    if outcome in CONFIGURATION or outcome is Failure.UNKNOWN_HOST:
        where = f"{operation}, {last.connection}" if last.connection else operation
        return ConfigError(f"{where}: {outcome.value}")
    if outcome is Failure.MALFORMED:
        return contract_error(outcome.value, operation)
    error = ErrorSpec(NetworkError, outcome.value).error(operation)
    if isinstance(error, NetworkError):
        error.timed_out = outcome is Failure.TIMED_OUT
    return error
