"""
Suppresses urllib3's logs of the requests of this package.

urllib3 logs the path of each request at DEBUG and, after some invalid responses, the whole URL at WARNING. Both can
hold a cursor or a token.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_urllib3"]

LOGGERS = tuple(
    logging.getLogger(f"urllib3.{module}")
    for module in ("connection", "connectionpool", "poolmanager", "response", "util.retry")
)


class _WhileSending(logging.Filter):
    """Drops log records of threads that are sending."""

    def __init__(self) -> None:
        super().__init__()
        self.sending = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        return not getattr(self.sending, "depth", 0)


_FILTER = _WhileSending()


@contextmanager
def quiet_urllib3() -> Iterator[None]:
    """Drop urllib3's log records of this thread in the block."""
    for logger in LOGGERS:
        # Each time, because a logging configuration that is loaded later may remove it. Adding it twice has no effect.
        logger.addFilter(_FILTER)
    sending = _FILTER.sending
    sending.depth = getattr(sending, "depth", 0) + 1
    try:
        yield
    finally:
        sending.depth -= 1
