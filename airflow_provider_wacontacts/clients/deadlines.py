"""
A deadline for a whole HTTP exchange with requests.

The timeouts of requests apply to each packet: a server that sends one byte a second never exceeds them.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests_toolbelt.adapters.socket_options import TCPKeepAliveAdapter

__all__ = ["Deadline", "DeadlineAdapter", "deadline"]

_CURRENT = threading.local()


class Deadline:
    """A deadline by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """The time left; negative after the deadline."""
        return self._at - time.monotonic()


@contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Limit how long this thread reads from connections of a :class:`DeadlineAdapter` in the block."""
    _CURRENT.deadline = Deadline(seconds)
    try:
        yield _CURRENT.deadline
    finally:
        _CURRENT.deadline = None


class DeadlineAdapter(TCPKeepAliveAdapter):  # type: ignore[misc]
    """Keeps connections alive like HttpHook's own adapter, and observes :func:`deadline`."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return a pool whose connections observe the deadline."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, _ConnectionWithDeadline):
            pool.ConnectionCls = type("Connection", (_ConnectionWithDeadline, pool.ConnectionCls), {})
        return pool


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(sock, self.fp.detach()))


class _ConnectionWithDeadline:
    response_class = _Response


class _Reader(io.RawIOBase):
    """Reads from a socket, but not for longer than the thread's deadline allows."""

    def __init__(self, sock: Any, source: io.RawIOBase) -> None:
        self._sock = sock
        self._source = source
        self._timeout: float | None = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        limit: Deadline | None = getattr(_CURRENT, "deadline", None)
        if limit is None:
            return self._source.readinto(buffer)
        if limit.seconds_left <= 0:
            raise TimeoutError
        self._sock.settimeout(min(limit.seconds_left, self._timeout or limit.seconds_left))
        try:
            return self._source.readinto(buffer)
        finally:
            self._sock.settimeout(self._timeout)

    def close(self) -> None:
        self._source.close()
        super().close()
