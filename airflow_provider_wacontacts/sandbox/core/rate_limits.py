"""Rate limits in requests a second, and ``Retry-After``."""

from __future__ import annotations

import math
from email.utils import formatdate

from airflow_provider_wacontacts.sandbox.core.options import RetryAfter

__all__ = ["Bucket", "retry_after_headers"]

_TINY = 1e-9


class Bucket:
    """A token bucket: calls are allowed at a steady rate, with a burst after a pause."""

    def __init__(self) -> None:
        self._used = 0.0
        self._at = -math.inf

    def ask(self, rate: float, burst: int, now: float) -> float:
        """
        Count a call. Refused calls do not count.

        :param rate: calls a second.
        :param burst: maximum calls at once, after a pause.
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
        """Return the number of calls left in the burst after the last one."""
        return max(0, int(burst - self._used))


def retry_after_headers(style: RetryAfter, now: float, wait_s: float) -> dict[str, str]:
    """Return ``Retry-After`` in a style; empty if the style has none."""
    match style:
        case "integer":
            return {"Retry-After": str(math.ceil(wait_s))}
        case "fraction":
            return {"Retry-After": f"{wait_s:.3f}"}
        case "date":
            return {"Retry-After": formatdate(math.ceil(now + wait_s), usegmt=True)}
        case "missing":
            return {}
