"""Processes that are started together and of which none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

__all__ = ["ProcessEndedError", "Processes", "exit_on_signals", "tail"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Reads process ids until whoever writes them is gone, however it went, and then ends what is left of them.
WATCHER = """
import os, signal, sys, time
pids = [int(line) for line in sys.stdin]
for end, number, pause in ((os.kill, signal.SIGTERM, 5), (os.killpg, signal.SIGKILL, 0)):
    for pid in pids:
        try:
            end(pid, number)
        except OSError:
            pass
    time.sleep(pause)
"""


class ProcessEndedError(RuntimeError):
    """A process that was meant to stay has ended; the message holds the last lines it wrote."""


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a file, indented; a word where there is nothing."""
    text = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(f"    {line}" for line in text[-lines:]) or "    (nothing was written)"


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an ordinary exit of this process, so that what is open is closed."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def holding_signals() -> Iterator[None]:
    """Keep what would end this process until the block is done, then let it arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    previous = {number: signal.signal(number, lambda n, _: arrived.append(n)) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


@dataclass(frozen=True)
class _Started:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Processes:
    """
    Starts each process in a session of its own and ends whole sessions: a process with all it started in turn.

    :param logs: folder for one ``<name>.log`` each; made where it is missing.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._watcher: subprocess.Popen[bytes] | None = None
        self._started: list[_Started] = []
        self._sessions: set[int] = set()

    def start(self, name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Path:
        """
        Start a process that stays until :meth:`stop`.

        :returns: the file it writes to.
        """
        started = self._start(name, argv, env, cwd)
        self._watch(started.process.pid)
        return started.log

    def run(self, name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> str:
        """
        Run a process to its end.

        :param timeout: seconds.
        :returns: what it wrote, both streams.
        :raises ProcessEndedError: it failed, or was not done in time.
        """
        begun = _size(self.logs / f"{name}.log")
        started = self._start(name, argv, env, cwd)
        try:
            code = started.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessEndedError(f"{name} was not done after {timeout:.0f} s:\n{tail(started.log)}") from None
        self._started.remove(started)
        self._sessions.remove(started.process.pid)
        if code:
            raise ProcessEndedError(f"{name} failed with exit code {code}:\n{tail(started.log)}")
        return started.log.read_bytes()[begun:].decode(errors="replace")

    def check(self) -> None:
        """
        Make sure that everything started is still running.

        :raises ProcessEndedError: something is not.
        """
        for started in self._started:
            if (code := started.process.poll()) is not None:
                raise ProcessEndedError(f"{started.name} ended with exit code {code}:\n{tail(started.log)}")

    def members(self, name: str | None = None) -> list[psutil.Process]:
        """List every living process of the sessions, or of one that was started, and theirs in turn, in no order."""
        of_name = {started.process.pid for started in self._started if started.name == name}
        return _living(self._sessions if name is None else of_name)

    def kill(self, name: str) -> None:
        """End one that was started, and all it started in turn, as a machine that fails would: at once."""
        (killed,) = [started for started in self._started if started.name == name]
        with holding_signals():
            while left := _living({killed.process.pid}):
                for process in left:
                    _kill(process)
                killed.process.poll()
            self._started.remove(killed)
            self._sessions.remove(killed.process.pid)

    def stop(self, grace: float = 4) -> None:
        """
        End every process of every session: first by SIGTERM to those that were started, then by SIGKILL to all.

        :param grace: seconds to end by themselves in.
        """
        with holding_signals():
            for started in self._started:
                if started.process.poll() is None:
                    started.process.terminate()
            deadline = time.monotonic() + grace
            while self._reap() and time.monotonic() < deadline:
                time.sleep(0.1)
            while left := self._reap():
                for process in left:
                    _kill(process)
                time.sleep(0.05)
            self._started.clear()
            self._sessions.clear()
            if self._watcher:
                self._watcher.kill()
                self._watcher.communicate()
                self._watcher = None

    def _start(self, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> _Started:
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        with holding_signals(), log.open("ab") as out:
            process = subprocess.Popen(
                argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
            self._sessions.add(process.pid)
            self._started.append(_Started(name, process, log))
        return self._started[-1]

    def _watch(self, pid: int) -> None:
        """Have the process ended even where this one is killed and can end nothing."""
        if self._watcher is None:
            argv = [sys.executable, "-ISc", WATCHER]
            self._watcher = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)
        assert self._watcher.stdin is not None
        self._watcher.stdin.write(b"%d\n" % pid)
        self._watcher.stdin.flush()

    def _reap(self) -> list[psutil.Process]:
        for started in self._started:
            started.process.poll()
        return self.members()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _living(sessions: Collection[int]) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _session(process.pid) in sessions and _lives(process)]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()
