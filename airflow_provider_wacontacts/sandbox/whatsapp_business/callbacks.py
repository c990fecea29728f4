"""
Callbacks: the client posts them to the business until it gets 200 OK, at least once.

Public source: Meta's page on webhooks (https://developers.facebook.com/docs/whatsapp/on-premises/webhooks).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Callback", "Callbacks"]

_MAX_BACKOFF_S = 900.0
_TIMEOUT_S = 5.0
_TICK_S = 0.02


@dataclass(slots=True, eq=False)
class Callback:
    """
    One callback.

    :ivar url: URL to post it to; None to only log it.
    :ivar due: real time of the next attempt.
    :ivar backoff_s: seconds until the retry after the next failure; each failure doubles them.
    :ivar copies: number of deliveries that must still succeed.
    :ivar outcomes: outcomes of the attempts so far: a status, or 0 for no response.
    """

    body: bytes
    url: str | None
    due: float
    backoff_s: float
    copies: int = 1
    outcomes: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return its body and its outcomes."""
        return {"url": self.url, "body": json.loads(self.body), "outcomes": list(self.outcomes)}


class Callbacks:
    """
    The log of callbacks, and the thread that posts them.

    :param lock: held for each access to the log.
    :param is_watching: returns whether callbacks may become due.
    :param collect: adds due callbacks to the log; called repeatedly while ``is_watching`` returns ``True``.
    """

    def __init__(
        self,
        lock: threading.RLock,
        real_time: Callable[[], float],
        is_watching: Callable[[], bool],
        collect: Callable[[], None],
    ) -> None:
        self.log: list[Callback] = []
        self._open: list[Callback] = []
        self._changed = threading.Condition(lock)
        self._real_time = real_time
        self._is_watching = is_watching
        self._collect = collect
        self._is_stopped = False
        self._thread: threading.Thread | None = None

    def add(self, *callbacks: Callback) -> None:
        """Add callbacks to the log, and post them if they have a URL."""
        with self._changed:
            self.log.extend(callbacks)
            self._open.extend(callback for callback in callbacks if callback.url is not None)
            self._changed.notify_all()

    def clear(self) -> None:
        """Clear all callbacks, delivered or not."""
        with self._changed:
            self.log.clear()
            self._open.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the log in JSON types."""
        return [callback.to_json() for callback in self.log]

    def wake(self) -> None:
        """Check again whether callbacks may become due."""
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, count: int, outcome: int = 200, timeout_s: float = 10.0) -> bool:
        """
        Wait until a number of attempts had an outcome; return False after the timeout.

        :param outcome: a status, or 0 for no response.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._count(outcome) >= count, timeout_s)

    def start(self) -> None:
        """Start posting."""
        self._thread = threading.Thread(target=self._run, name="sandbox-callbacks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop posting after the current request."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _count(self, outcome: int) -> int:
        return sum(callback.outcomes.count(outcome) for callback in self.log)

    def _run(self) -> None:
        while (callback := self._next()) is not None:
            outcome = _post(callback)
            with self._changed:
                callback.outcomes.append(outcome)
                if outcome == 200:
                    callback.copies -= 1
                else:
                    callback.due = self._real_time() + callback.backoff_s
                    callback.backoff_s = min(callback.backoff_s * 2, _MAX_BACKOFF_S)
                if not callback.copies and callback in self._open:
                    self._open.remove(callback)
                self._changed.notify_all()

    def _next(self) -> Callback | None:
        """Wait for a callback that can be posted now; None after :meth:`stop`."""
        with self._changed:
            while not self._is_stopped:
                if self._is_watching():
                    self._collect()
                now = self._real_time()
                ready = next((each for each in self._open if each.due <= now), None)
                if ready is not None:
                    return ready
                self._changed.wait(_TICK_S if self._open or self._is_watching() else None)
        return None


def _post(callback: Callback) -> int:
    """Post a callback without following redirects; return the status, or 0 for no response."""
    url = urlsplit(callback.url or "")
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=_TIMEOUT_S)
    try:
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("POST", target, callback.body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()
