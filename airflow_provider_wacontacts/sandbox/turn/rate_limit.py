"""
Turn.io's rate limit: a number of requests in a minute of real time from the first request.

Headers use the sandbox's time, like ``Date``, because clients may compare them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_wacontacts.sandbox.core.rate_limits import retry_after_headers
from airflow_provider_wacontacts.sandbox.turn.behaviour import TurnBehaviour

__all__ = ["Grant", "RateLimit"]

_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Grant:
    """
    Whether a call is within the limit.

    :param remaining: calls left in this window.
    :param wait_s: seconds until the window ends.
    """

    allowed: bool
    remaining: int
    wait_s: float

    def headers(self, behaviour: TurnBehaviour, now: float) -> dict[str, str]:
        """
        Return the ``X-Ratelimit-*`` headers of a response, and ``Retry-After`` for a 429.

        :param now: time of the response, in seconds since the epoch.
        """
        exact = behaviour.retry_after == "fraction"
        reset_at = now + self.wait_s
        headers = {
            "X-Ratelimit-Bucket": "general",
            "X-Ratelimit-Limit": str(behaviour.rate_limit),
            "X-Ratelimit-Remaining": str(self.remaining),
            "X-Ratelimit-Reset": f"{reset_at:.3f}" if exact else str(math.ceil(reset_at)),
        }
        retry_after = {} if self.allowed else retry_after_headers(behaviour.retry_after, now, self.wait_s)
        return {**headers, **retry_after}


class RateLimit:
    """The calls of one number."""

    def __init__(self) -> None:
        self._start = -math.inf
        self._calls = 0

    def ask(self, behaviour: TurnBehaviour, now: float) -> Grant | None:
        """
        Count a call. Refused calls do not count.

        :param now: seconds since the epoch.
        :returns: None if there is no limit.
        """
        if behaviour.rate_limit is None:
            return None
        if now >= self._start + _WINDOW_S:
            self._start, self._calls = now, 0
        allowed = self._calls < behaviour.rate_limit
        self._calls += allowed
        return Grant(allowed, behaviour.rate_limit - self._calls, self._start + _WINDOW_S - now)
