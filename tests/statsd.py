"""A StatsD server on loopback, and Airflow's own client that sends to it."""

from __future__ import annotations

import inspect
import os
import queue
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Self
from uuid import uuid4

import pytest

__all__ = ["StatsdServer", "configure_stats"]

LOOPBACK = "127.0.0.1"
DATAGRAM = r"airflow\.wacontacts\.([^:,]+)[^:]*:([0-9.]+)\|(c|ms|g)"


class StatsdServer:
    """
    Keeps every datagram that arrives, in order.

    :ivar port: of UDP, on loopback.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._socket.bind((LOOPBACK, 0))
        self.port = self._socket.getsockname()[1]
        self._datagrams: list[str] = []
        self._marks: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._mark("end")
        self._reader.join()
        self._socket.close()

    @property
    def settings(self) -> dict[str, str]:
        """What Airflow is told by its environment, so that it sends here, and nothing but this package's."""
        section = "AIRFLOW__METRICS__"
        return {
            f"{section}STATSD_ON": "True",
            f"{section}STATSD_HOST": LOOPBACK,
            f"{section}STATSD_PORT": str(self.port),
            f"{section}METRICS_ALLOW_LIST": "wacontacts",
        }

    def datagrams(self) -> list[str]:
        """Return what was sent since this was asked last: what is sent to a socket comes out of it in that order."""
        mark = f"mark {uuid4()}"
        self._mark(mark)
        assert self._marks.get(timeout=120) == mark
        arrived, self._datagrams = self._datagrams, []
        return arrived

    def told(self) -> dict[str, Any]:
        """Return the sum of each counter, and all values of timers and gauges, of what was sent since then."""
        sums: dict[str, Any] = defaultdict(int)
        values: dict[str, list[float]] = defaultdict(list)
        for datagram in self.datagrams():
            name, value, kind = re.fullmatch(DATAGRAM, datagram).groups()
            if kind == "c":
                sums[name] += int(value)
            else:
                values[name].append(float(value))
        return {**sums, **values}

    def _mark(self, text: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), (LOOPBACK, self.port))

    def _read(self) -> None:
        while (datagram := self._socket.recv(65_536).decode()) != "end":
            if datagram.startswith("mark "):
                self._marks.put(datagram)
            else:
                self._datagrams.append(datagram)


def configure_stats(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """
    Have this process's Stats read its configuration again, as a task's process does when it begins.

    :returns: what does it once more, when the configuration is another.
    """
    from airflow.providers.common.compat.sdk import Stats

    try:
        from airflow.sdk.observability.metrics import stats_utils
    except ImportError:
        _configure_before_3_2(Stats, monkeypatch)
        return lambda: None
    own = {"export_legacy_names": False}
    takes = inspect.signature(Stats.initialize).parameters

    def initialize() -> None:
        given = [Stats] if inspect.signature(stats_utils.get_stats_factory).parameters else []
        factory = stats_utils.get_stats_factory(*given)
        Stats.initialize(factory=factory, **{name: value for name, value in own.items() if name in takes})

    initialize()
    return initialize


def _configure_before_3_2(stats: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.metrics import statsd_logger

    monkeypatch.setattr(stats, "instance", statsd_logger.get_statsd_logger(stats), raising=False)
    monkeypatch.setattr(stats, "_instance_pid", os.getpid(), raising=False)
