"""Follows a tutorial, with the mock server that it starts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import singledispatchmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demo.postgres import free_port
from tests.newcomer.place import Place
from tests.newcomer.readme import Command, Dag, Step, steps_of
from tests.newcomer.walk import Walk

__all__ = ["TUTORIALS", "TutorialWalk", "steps_of_tutorial"]

TUTORIALS = ("getting_started", "first_check", "first_snapshot")
FIRST = TUTORIALS[0]
#: Sections of the first tutorial: those that the others begin with, and the one that needs an account of Turn.io.
INSTALL, ACCOUNT = re.compile(r"^## 3\.", re.MULTILINE), re.compile(r"^## 6\..*?(?=^## )", re.MULTILINE | re.DOTALL)
PORT, STORE = "8484", "/tmp/contacts.db"
START = "wacontacts sandbox"
#: Between changes of the mock server's contacts, the page says to trigger the DAG.
CHANGE = "curl --fail -X POST"


def steps_of_tutorial(docs: Path, name: str) -> Iterator[Step]:
    """Read the steps of a tutorial, with those of the first one that it says to do before."""
    first = (docs / "tutorials" / f"{FIRST}.md").read_text()
    if name == FIRST:
        yield from steps_of(ACCOUNT.sub("", first))
        return
    yield from steps_of(INSTALL.split(first)[0])
    yield from steps_of((docs / "tutorials" / f"{name}.md").read_text())


class TutorialWalk(Walk):
    """
    One shell, to which a tutorial's commands are given; the mock server runs in the background, on a free port.

    :param place: a walk through each tutorial leaves its store there, ``NAME.db``.
    """

    def __init__(self, place: Place, name: str, **options: Any) -> None:
        super().__init__(place, **options)
        self._directory, self._store = place.home, place.home / f"{name}.db"
        self._server: subprocess.Popen[str] | None = None
        self._dag_id = ""
        self._port = str(free_port())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.communicate()

    @singledispatchmethod
    def _do(self, step: Step) -> None:
        super()._do(step)

    @_do.register
    def _(self, step: Command) -> None:
        command = step.text.replace(PORT, self._port).replace(STORE, str(self._store))
        if command.startswith(START):
            self._start(command)
            return
        super()._do(Command(step.line, command))
        if command.startswith(CHANGE):
            self._trigger(self._dag_id)

    @_do.register
    def _(self, step: Dag) -> None:
        (self._dag_id,) = re.findall(r'DAG\(\s*"(\w+)"', step.text)
        super()._do(step)

    def _start(self, command: str) -> None:
        self._say(f"$ {command} &")
        self._server = subprocess.Popen(
            f"exec {command}", shell=True, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout is not None
        self._say(f"  {self._server.stdout.readline().rstrip()}")

    def _lead(self, name: str, where: Any) -> None:
        """Leave connections as the page has them: its mock server runs, and its store is this place's."""
