"""Log why a trigger cannot read the store."""

from __future__ import annotations

import logging

from airflow_provider_wacontacts.clients.errors import describe_origin
from airflow_provider_wacontacts.exceptions import WaContactsError

__all__ = ["Problems"]

log = logging.getLogger(__name__)


class Problems:
    """Logs a problem once, until it changes or is solved."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = ""

    def report(self, error: Exception) -> None:
        """Log why there are currently no events."""
        is_known = isinstance(error, WaContactsError)
        cause = str(error) if is_known else f"{type(error).__name__}, {describe_origin(error)}"
        if cause != self._last:
            log.warning("%s cannot be read currently. The triggerer retries. %s", self._what, cause)
        self._last = cause

    def solved(self) -> None:
        """Log the next problem again."""
        if self._last:
            log.info("%s are read again.", self._what)
        self._last = ""
