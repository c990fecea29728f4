"""Workers that can be killed, a Turn.io that can fail, and operators between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

import airflow_provider_wacontacts
from airflow_provider_wacontacts.sandbox import Event, Sandbox, World

ROOT = Path(airflow_provider_wacontacts.__file__).parents[1]
PROGRAM = Path(__file__).with_name("worker.py")
NUMBERS = count(1)
TOO_LONG_S = 60.0


class Workers:
    """A program that forks workers; see ``worker.py``."""

    def __init__(self, directory: Path, *features: str) -> None:
        self._directory = directory
        self._program = subprocess.Popen(
            [sys.executable, PROGRAM, *features],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def start(self, **plan: Any) -> Worker:
        """Start a worker that pulls as planned."""
        given = {"store": None, "tick_s": 0, "stop_after": None, "file_format": "jsonl.gz"} | plan
        outcome = self._directory / f"outcome-{next(NUMBERS)}.json"
        told = self.ask(do="start", plan=given | {"outcome": str(outcome)})
        return Worker(self, told["pid"], outcome)

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self._program.stdin
        assert self._program.stdout
        self._program.stdin.write(json.dumps(command) + "\n")
        self._program.stdin.flush()
        answer: dict[str, Any] = json.loads(self._program.stdout.readline())
        return answer

    def stop(self) -> None:
        assert self._program.stdin
        self._program.stdin.close()
        self._program.wait()


class Worker:
    """One process that pulls."""

    def __init__(self, workers: Workers, pid: int, outcome: Path) -> None:
        self._workers = workers
        self._pid = pid
        self._outcome = outcome

    def kill(self) -> None:
        """Kill it at once, and wait until it is gone."""
        os.kill(self._pid, signal.SIGKILL)
        self._workers.ask(do="wait", pid=self._pid)

    def wait_until_stopped(self) -> None:
        """Wait until it has stopped itself."""
        assert self._workers.ask(do="wait", pid=self._pid) == {"stopped": True}, self._outcome.read_text()

    def wake(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def outcome(self) -> dict[str, Any]:
        """Wait for its end, and tell what came of it: a summary, or an error's class and message."""
        assert self._workers.ask(do="wait", pid=self._pid) == {"stopped": False}
        outcome: dict[str, Any] = json.loads(self._outcome.read_text())
        return outcome


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Workers that pull by the jobs."""
    program = Workers(tmp_path_factory.mktemp("workers"))
    yield program
    program.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def either_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh database of either kind."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
def asking() -> Callable[..., list[tuple[Any, ...]]]:
    """Ask a database."""

    def ask(url: str, query: str) -> list[tuple[Any, ...]]:
        engine = create_engine(url)
        with engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(text(query))]
        engine.dispose()
        return rows

    return ask


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is so."""

    def wait(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TOO_LONG_S
        while not is_so():
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.0005)

    return wait


@pytest.fixture
def crowd() -> Callable[[int], World]:
    """Make contacts of Monday, 12 September 2022, three of them a minute at the same time."""

    def make(contacts: int) -> World:
        return World.from_events(
            Event(datetime(2022, 9, 12, *divmod(number // 3, 60), tzinfo=UTC), number, details={"number": number})
            for number in range(contacts)
        )

    return make


@pytest.fixture
def turn() -> Iterator[Sandbox]:
    """A Turn.io early on Tuesday, without contacts."""
    with Sandbox(World(), now="2022-09-13T00:10:00Z") as sandbox:
        yield sandbox
