"""Workers that can be killed, a Turn.io that can fail, and operators between them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, text

import airflow_provider_wacontacts
from airflow_provider_wacontacts.files import complete_prefixes, read_contacts
from airflow_provider_wacontacts.sandbox import Event, Sandbox, TurnBehaviour, World
from airflow_provider_wacontacts.store import upgrade

ROOT = Path(airflow_provider_wacontacts.__file__).parents[1]
PROGRAM = Path(__file__).with_name("worker.py")
NUMBERS = count(1)
TOO_LONG_S = 300.0


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


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(), now="2022-09-13T00:10:00Z") as running:
        yield running


@pytest.fixture
def turn(sandbox: Sandbox) -> Sandbox:
    """A Turn.io early on Tuesday, 13 September 2022, without contacts."""
    sandbox.load(World(), now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour())
    return sandbox


class Pause:
    """A clock on which time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def clock(self) -> Any:
        from airflow_provider_wacontacts.clients.retry import Clock

        return Clock(sleep=self.slept.append, monotonic=lambda: sum(self.slept))


class Task:
    """
    A task instance of one of the operators: each :meth:`run` is a try.

    :ivar kind: ``store`` or ``files``.
    :ivar pause: its clock.
    :ivar database: URL of its store.
    """

    def __init__(self, kind: str, directory: Path, database: str = "") -> None:
        self.kind = kind
        self.pause = Pause()
        self.files_path = directory / "files"
        self.store_path = directory / "store.db"
        self.database = database or f"sqlite:///{self.store_path}"

    def run(self, *, before_page: Callable[[int], None] = lambda _: None, **arguments: Any) -> dict[str, Any]:
        """
        Pull Monday, 12 September 2022.

        :param before_page: is handed each page's number, from 1, before it is asked for.
        """
        operator = self.operator(**arguments)
        operator.__dict__["hook"] = self._hook(before_page)
        summary: dict[str, Any] = operator.execute(self.context())
        return summary

    def _hook(self, before_page: Callable[[int], None]) -> Any:
        from airflow_provider_wacontacts.hooks.turn import TurnHook

        hook, numbers = TurnHook(clock=self.pause.clock()), count(1)
        run = hook.driver.run

        def run_flow(flow: Any, **given: Any) -> Any:
            before_page(next(numbers))
            return run(flow, **given)

        hook.__dict__["driver"] = SimpleNamespace(run=run_flow)
        return hook

    def operator(self, **arguments: Any) -> Any:
        from airflow_provider_wacontacts.operators import turn

        if self.kind == "store":
            return turn.TurnContactsToSqlOperator(task_id="task", **arguments)
        return turn.TurnContactsToObjectStorageOperator(task_id="task", path=f"file://{self.files_path}", **arguments)

    def context(self) -> dict[str, Any]:
        """Give what Airflow hands to a task, as far as an operator may look at it."""
        ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1)
        days = [datetime(2022, 9, day, tzinfo=UTC) for day in (12, 13)]
        interval = dict(zip(("data_interval_start", "data_interval_end"), days, strict=True))
        return {"ti": ti, "dag_run": SimpleNamespace(run_after=days[1]), "outlet_events": {}, **interval}

    def complete(self) -> list[str]:
        """List the complete extractions that are there."""
        if self.kind == "files":
            return [found.manifest.extraction_id for found in complete_prefixes(self.files_path)]
        query = "SELECT extraction_id FROM wacontacts_extraction WHERE state = 'complete'"
        return [str(extraction_id).replace("-", "") for (extraction_id,) in self.ask(query)]

    def landed(self) -> list[str]:
        """List the contacts that are there, once for each state."""
        if self.kind == "files":
            return sorted(contact.record.contact_id for contact in read_contacts(self.files_path))
        return [contact_id for (contact_id,) in self.ask("SELECT contact_id FROM wacontacts_version ORDER BY 1")]

    def ask(self, query: str) -> list[Any]:
        """Ask the store's database."""
        engine = create_engine(self.database)
        with engine.connect() as connection:
            rows = list(connection.execute(text(query)))
        engine.dispose()
        return rows


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare an Airflow connection."""

    def declare(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return declare


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the store's tables: to be copied, which is quicker than to create them."""
    path = tmp_path_factory.mktemp("store") / "store.db"
    engine = create_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(params=["store", "files"])
def task(
    request: pytest.FixtureRequest, turn: Sandbox, connect: Callable[..., None], tmp_path: Path, empty_store: Path
) -> Task:
    """A task of either operator."""
    shutil.copy(empty_store, tmp_path / "store.db")
    connect("turn_default", conn_type="turn", host=turn.url, password=turn.token)
    connect("wacontacts_store", conn_type="sqlite", host=str(tmp_path / "store.db"))
    return Task(request.param, tmp_path)
