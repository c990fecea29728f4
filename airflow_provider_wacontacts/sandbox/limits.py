"""
Rate limits: Turn's window of real time from its first call, and calls a second, which the other two have.

What an answer says of it is told in the sandbox's time, as its ``Date`` is: a client may hold one against the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from email.utils import formatdate

from airflow_provider_wacontacts.sandbox.behaviour import RetryAfter, TurnBehaviour

__all__ = ["Bucket", "Grant", "RateLimit", "retry_after_headers"]

_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Grant:
    """
    Whether a call may be answered.

    :param remaining: calls left in this window.
    :param wait_s: seconds until the window ends.
    """

    allowed: bool
    remaining: int
    wait_s: float

    def headers(self, behaviour: TurnBehaviour, now: float) -> dict[str, str]:
        """
        Give the ``X-Ratelimit-*`` headers of an answer, and ``Retry-After`` if it is a 429.

        :param now: the time that the answer bears, in seconds since the epoch.
        """
        exact = behaviour.retry_after == "fraction"
        reset_at = now + self.wait_s
        headers = {
            "X-Ratelimit-Bucket": "general",
            "X-Ratelimit-Limit": str(behaviour.rate_limit),
            "X-Ratelimit-Remaining": str(self.remaining),
            "X-Ratelimit-Reset": f"{reset_at:.3f}" if exact else str(math.ceil(reset_at)),
        }
        asked_to_wait = {} if self.allowed else retry_after_headers(behaviour.retry_after, now, self.wait_s)
        return {**(headers if behaviour.rate_headers else {}), **asked_to_wait}


class RateLimit:
    """The calls of one number."""

    def __init__(self) -> None:
        self._start = -math.inf
        self._calls = 0

    def ask(self, behaviour: TurnBehaviour, now: float) -> Grant | None:
        """
        Count a call. One that is refused does not count.

        :param now: seconds since the epoch.
        :returns: None where there is no limit.
        """
        if behaviour.rate_limit is None:
            return None
        if now >= self._start + behaviour.rate_window_s:
            self._start, self._calls = now, 0
        allowed = self._calls < behaviour.rate_limit
        self._calls += allowed
        return Grant(allowed, behaviour.rate_limit - self._calls, self._start + behaviour.rate_window_s - now)


class Bucket:
    """Calls that are allowed at a steady rate, and a burst of them after a rest."""

    def __init__(self) -> None:
        self._used = 0.0
        self._at = -math.inf

    def ask(self, rate: float, burst: int, now: float) -> float:
        """
        Count a call. One that is refused does not count.

        :param rate: calls a second.
        :param burst: calls at once, after a rest.
        :param now: seconds since the epoch.
        :returns: seconds until the next call is allowed; 0 if this one is.
        """
        self._used = max(0.0, self._used - (now - self._at) * rate)
        self._at = now
        missing = self._used + 1 - burst
        if missing > _TINY:
            return missing / rate
        self._used += 1
        return 0.0

    def left(self, burst: int) -> int:
        """Tell how many more calls were allowed at once right after the last one."""
        return max(0, int(burst - self._used))


def retry_after_headers(style: RetryAfter, now: float, wait_s: float) -> dict[str, str]:
    """Give ``Retry-After`` as the style writes it, if it does."""
    match style:
        case "integer":
            return {"Retry-After": str(math.ceil(wait_s))}
        case "fraction":
            return {"Retry-After": f"{wait_s:.3f}"}
        case "date":
            return {"Retry-After": formatdate(math.ceil(now + wait_s), usegmt=True)}
        case "missing":
            return {}
