"""Collects what Airflow stores of a task, at DEBUG, and searches it for secrets and personal data."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_wacontacts.exceptions import WaContactsError
from airflow_provider_wacontacts.sandbox import Fault

__all__ = ["Capture", "Case", "Recorder", "Subject", "error_headers", "leaks_in", "log_everything", "respond"]

LAST_MESSAGE = "this was logged last"
#: Airflow keeps these quieter than the root logger.
QUIET_LOGGERS = (
    *("airflow", "airflow.task", "aiohttp.client", "asyncio", "httpx"),
    *("sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool", "urllib3"),
)
#: Loggers of the mock server, which runs in this process.
SERVER_LOGGERS = ("uvicorn.access", "uvicorn.error")


@dataclass(frozen=True)
class Case:
    """
    One run of a task.

    :param behaviour: what differs in the mock server.
    :param connection: fields of the source's connection that differ.
    :param store: the store's connection, where it is not the default one.
    :param arguments: of the operator.
    :param before: called with the subject before the task's first request, or before each request with its number.
    :param outcome: ``success``, or the class of the exception or one of its bases; empty where the case leaves it open.
    """

    name: str
    faults: Sequence[Fault] = ()
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    store: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[Any, int], None] = lambda _subject, _request: None
    outcome: str = "BaseException"


class Subject(Protocol):
    """An operator, sensor or trigger with a mock server and a store that hold secrets and personal data."""

    def prepare(self, case: Case) -> None:
        """Set up the mock server, the connections and the store for a case."""

    def execute(self, case: Case, capture: Capture) -> object:
        """Run the task and return its summary."""

    def secrets(self) -> Collection[str]:
        """List every text that must not be found."""

    def stored(self) -> Mapping[str, str]:
        """Read what is stored beside the contacts: the ledger, manifests, names of files."""


def error_headers(echo: str, token: str) -> dict[str, str]:
    """Return response headers that repeat what was sent."""
    return {"x-echo": echo, "set-cookie": f"session={token}", "www-authenticate": f'Bearer realm="{echo}"'}


def respond(on: Any, status: int, body: str, headers: Mapping[str, str], **more: str) -> Fault:
    """Answer every request of a kind with one response."""
    return Fault(kind="body", on=on, status=status, body=body, headers={**headers, **more}, every=1)


def leaks_in(places: Mapping[Any, str], pattern: re.Pattern[str]) -> dict[str, set[str]]:
    """Search texts by where they are kept; returns what was found in those that hold any."""
    return {str(place): found for place, text in places.items() if (found := set(pattern.findall(text)))}


class Recorder(logging.Handler):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def log_everything(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Record every message at DEBUG, except those of the mock server in this process."""
    for name in SERVER_LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    root, recorder = logging.getLogger(), Recorder()
    for name in QUIET_LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    monkeypatch.setattr(root, "level", logging.DEBUG)
    monkeypatch.setattr(root, "handlers", [*root.handlers, recorder])
    root.manager._clear_cache()
    return recorder


class Capture:
    """Log records, standard streams, the error and its causes, triggers, events, summaries, templates, asset extras."""

    def __init__(self, recorder: Recorder, capfd: pytest.CaptureFixture[str]) -> None:
        self._recorder = recorder
        self._capfd = capfd
        self._places: dict[str, str] = {}

    def clear(self) -> None:
        """Forget what was logged and written so far."""
        self._recorder.records.clear()
        self._capfd.readouterr()

    def add(self, place: str, kept: object) -> None:
        """Keep a text, or what an object shows of itself."""
        self._places[place] = self._places.get(place, "") + (kept if isinstance(kept, str) else repr(kept))

    def run(self, task: Callable[[], object]) -> tuple[str, ...]:
        """Run a task; returns ``("success",)``, or the names of the exception's class and of its bases."""
        try:
            self.add("summary", task())
        except (WaContactsError, AirflowException, TaskDeferred) as error:
            self.error(error)
            return tuple(each.__name__ for each in type(error).__mro__)
        return ("success",)

    def operator(self, operator: Any) -> None:
        """Keep rendered template fields."""
        self.add("templates", {name: getattr(operator, name) for name in operator.template_fields})

    def trigger(self, trigger: Any) -> None:
        """Keep the arguments of a trigger, which are rows of Airflow's database."""
        self.add("trigger", trigger.serialize())

    def event(self, trigger: Any) -> Any:
        """Run a trigger to its event, and keep and return the payload."""

        async def first() -> Any:
            return await anext(aiter(trigger.run()))

        payload = json.loads(json.dumps(asyncio.run(first()).payload))
        self.add("event", payload)
        return payload

    def error(self, error: BaseException) -> None:
        """Keep an error with everything that it was raised from and while."""
        self.add("traceback", "".join(traceback.format_exception(error)))
        self.add("errors", [(each, str(each), each.args, vars(each)) for each in _chain(error)])
        if isinstance(error, TaskDeferred):
            self.trigger(error.trigger)
            self.add("trigger", (error.kwargs, error.method_name))

    def places(self) -> dict[str, str]:
        """Return all that is kept, with what was logged and written until now."""
        logging.getLogger("airflow_provider_wacontacts").debug(LAST_MESSAGE)
        out, err = self._capfd.readouterr()
        records = repr([(record.getMessage(), vars(record)) for record in self._recorder.records])
        assert LAST_MESSAGE in records
        return self._places | {"stdout": out, "stderr": err, "records": records}


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    seen: list[BaseException] = []
    while following is not None and following not in seen:
        yield following
        seen.append(following)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
