"""Follows README step by step, until a step fails."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import singledispatchmethod
from types import TracebackType
from typing import Self

from airflow_provider_wacontacts.sandbox import Sandbox, seeded_world
from tests.newcomer.place import Place
from tests.newcomer.readme import Command, Dag, Query, Step

__all__ = ["StepFailedError", "Walk"]

WEEK = timedelta(days=7)
#: How long before midnight the hour is over in which most contacts of the mock server change.
BROADCAST = timedelta(hours=14)
ASK = """\
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute(sys.stdin.read()).fetchmany(3):
    print(*row, sep=" | ")
"""


class StepFailedError(Exception):
    """A step came to a bad end; what it printed stands above."""


class Walk(AbstractContextManager["Walk"]):
    """
    One shell, in a clone, to which a page's commands are given as they are written.

    What it does otherwise than the page it says: the DAG meets a mock server of Turn.io, as the token that is shown is
    nobody's, and the store is in the place's home.

    :param skip: commands in which it is found are not run.
    :param say: shows a line.
    """

    def __init__(self, place: Place, *, skip: str | None = None, say: Callable[[str], None] = print) -> None:
        self._place = place
        self._skip = re.compile(skip) if skip else None
        self._say = say
        self._environment = place.environment()
        self._store = place.home / "contacts.db"
        self._directory = place.clone
        self._led: set[str] = set()
        now = datetime.now(UTC)
        self._today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        self._turn = Sandbox(seeded_world(start=self._today - WEEK, days=8), now=now)

    def __enter__(self) -> Self:
        self._turn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turn.stop()

    def follow(self, steps: Iterable[Step]) -> None:
        """
        Do what a page says.

        :raises StepFailedError: of the first step that failed.
        """
        for step in steps:
            self._do(step)

    @singledispatchmethod
    def _do(self, step: Step) -> None:
        raise TypeError(f"{step} is no step")

    @_do.register
    def _(self, step: Command) -> None:
        if self._skip and self._skip.search(step.text):
            self._say(f"$ {step.text}\n  skipped")
            return
        self._run("$", step.text)
        self._lead_to_the_stand_in()

    @_do.register
    def _(self, step: Dag) -> None:
        dags = self._place.home / "airflow" / "dags"
        dags.mkdir(parents=True, exist_ok=True)
        (dag_id,) = re.findall(r'DAG\(\s*"(\w+)"', step.text)
        (dags / f"{dag_id}.py").write_text(step.text)
        self._say(f"# the DAG of line {step.line}, in {dags.name}/")
        self._run("+", "airflow db migrate")
        self._trigger(dag_id)

    @_do.register
    def _(self, step: Query) -> None:
        ask = [self._place.airflow / "bin" / "python", "-c", ASK, self._store]
        self._timed("?", step.text, lambda: subprocess.run(ask, input=step.text, text=True, check=False).returncode)

    def _trigger(self, dag_id: str) -> None:
        self._run("+", f"airflow dags test {dag_id} {self._today - BROADCAST:%Y-%m-%dT%H:%M:%SZ}")

    def _run(self, mark: str, command: str) -> None:
        self._timed(mark, command, lambda: self._shell(command))

    def _timed(self, mark: str, text: str, work: Callable[[], int]) -> None:
        self._say(f"{mark} {text}")
        began = time.monotonic()
        code = work()
        self._say(f"  {time.monotonic() - began:.1f} s")
        if code:
            raise StepFailedError(f"{text}: exit code {code}")

    def _shell(self, command: str) -> int:
        """Run a command, and remember what it exports."""
        exports = self._place.home / ".exports"
        lines = f"{command}\ncode=$?\nenv -0 >{exports}\nexit $code"
        done = subprocess.run(["bash", "-c", lines], cwd=self._directory, env=self._environment, check=False)
        pairs = (pair.partition("=") for pair in exports.read_text().split("\0") if pair)
        self._environment = {name: value for name, _, value in pairs}
        exports.unlink()
        return done.returncode

    def _lead_to_the_stand_in(self) -> None:
        self._lead("AIRFLOW_CONN_TURN_DEFAULT", lambda: self._turn.url)
        self._lead("AIRFLOW_CONN_WACONTACTS_STORE", lambda: str(self._store))

    def _lead(self, name: str, where: Callable[[], str]) -> None:
        """Let a connection lead elsewhere, once it is exported."""
        if name in self._environment and name not in self._led:
            connection = json.loads(self._environment[name]) | {"host": where()}
            self._say(f"# otherwise than written: the host of {name} is {connection['host']}")
            self._environment[name] = json.dumps(connection)
            self._led.add(name)
