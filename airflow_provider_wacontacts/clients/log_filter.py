"""
Keeps urllib3 quiet about what this package sends.

At DEBUG urllib3 logs the path of every request, and with some broken answers the whole URL at WARNING: both hold a
cursor, or a token.
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
    """Drops the records of a thread for as long as that thread sends; those of others pass."""

    def __init__(self) -> None:
        super().__init__()
        self.sending = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        return not getattr(self.sending, "depth", 0)


_FILTER = _WhileSending()


@contextmanager
def quiet_urllib3() -> Iterator[None]:
    """Let no record of urllib3 pass that this thread makes in the block."""
    for logger in LOGGERS:
        # Each time, as a logging configuration that is loaded later may have thrown it out; it does nothing twice.
        logger.addFilter(_FILTER)
    sending = _FILTER.sending
    sending.depth = getattr(sending, "depth", 0) + 1
    try:
        yield
    finally:
        sending.depth -= 1
