"""Faults of processes: attempts that are killed, and attempts that run twice at once."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from airflow_provider_wacontacts.exceptions import WaContactsError
from airflow_provider_wacontacts.pipelines.stop import Stopped
from tests.faults.subjects import Fault, Subject

__all__ = ["PROCESSES", "HungError", "KilledError"]


class HungError(BaseException):
    """An attempt took too long."""


class KilledError(Exception):
    """An attempt's process was killed."""


def _kill(name: str, number: int) -> Fault:
    def strike(subject: Subject) -> None:
        pid = os.fork()
        if pid == 0:
            _attempt_and_exit(subject)
        time.sleep(subject.chance.uniform(0, 0.5))
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        _wait(pid)
        raise KilledError

    return Fault(f"kill: {name}", strike, lambda *_: True)


def _attempt_and_exit(subject: Subject) -> None:
    signal.signal(signal.SIGTERM, lambda *_: subject.stop.interrupt())
    status = 1
    try:
        with suppress(WaContactsError, Stopped):
            subject.attempt()
        status = 0
    finally:
        os._exit(status)


def _wait(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except HungError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _twice(subject: Subject) -> None:
    """Make the same attempt in two processes, as when a task is cleared while a zombie of it runs."""
    pid = os.fork()
    if pid == 0:
        _attempt_and_exit(subject)
    try:
        subject.attempt()
    finally:
        _wait(pid)


PROCESSES = (
    Fault("process: the same run twice at once", _twice, lambda *_: True),
    _kill("SIGKILL", signal.SIGKILL),
    _kill("SIGTERM", signal.SIGTERM),
)
