"""The way of one Turn.io contact and of one number through the package, counted call by call."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, Self

from benchmarks.server import ROOT
from benchmarks.tables import show

__all__ = ["run"]

PACKAGE = "airflow_provider_wacontacts"
MONDAY, TUESDAY = datetime(2022, 9, 13, tzinfo=UTC), datetime(2022, 9, 14, tzinfo=UTC)
WALKS = {"turn": "a Turn.io contact, execute() to its INSERT", "check": "a number, execute() to its result row"}


def run() -> dict[str, Any]:
    """Walk in fresh interpreters with SQLite stores, print the table, and return the figures."""
    figures = {name: _in_a_process(name) for name in WALKS}
    columns = ("calls", "functions", "modules", "module_changes", "room_changes")
    show(
        "The walk of one value: calls of the package's own functions, and how often they change module and room",
        ("", *(column.replace("_", " ") for column in columns), "rooms"),
        [
            (title, *(figures[name][column] for column in columns), len(figures[name]["rooms"]))
            for name, title in WALKS.items()
        ],
    )
    return figures


class Walk:
    """
    Records the calls of the package's own functions, in every thread, in order.

    A change of module or room lies between two calls that follow each other; a room is the first folder or module
    below the package. A generator that resumes counts as a call.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    def figures(self, end: int) -> dict[str, Any]:
        """Return the counts of the first calls."""
        calls = self.calls[:end]
        modules = [module for module, _ in calls]
        rooms = [module.split(".")[1] for module in modules]
        entered = [room for before, room in zip([None, *rooms], rooms, strict=False) if room != before]
        return {
            "calls": len(calls),
            "functions": len(set(calls)),
            "modules": len(set(modules)),
            "module_changes": _changes(modules),
            "room_changes": _changes(rooms),
            "rooms": {room: entered.count(room) for room in sorted(set(rooms))},
        }

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_qualname
        is_own = module.startswith(f"{PACKAGE}.") and not module.startswith(f"{PACKAGE}.sandbox")
        if is_own and name != "<module>":
            with self._lock:
                self.calls.append((module, name))


def _changes(places: list[str]) -> int:
    return sum(before != after for before, after in itertools.pairwise(places))


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Walk once, after another value that imports modules and makes tables; sandbox and Airflow are not counted."""
    _connect("wacontacts_store", conn_type="sqlite", host=str(folder / "store.db"))
    return _walk_turn() if name == "turn" else _walk_check()


def _walk_turn() -> dict[str, Any]:
    from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator
    from airflow_provider_wacontacts.sandbox import Sandbox, bob

    with Sandbox(bob()) as sandbox:
        _connect("turn_default", conn_type="turn", host=sandbox.url, password=sandbox.token)
        first, second = (
            TurnContactsToSqlOperator(task_id="sync", account=account, start=MONDAY, end=TUESDAY)
            for account in ("first", "second")
        )
        first.execute(_context())
        return _counted(second, r"INSERT INTO \S*(sighting|contact_version)\b")


def _walk_check() -> dict[str, Any]:
    from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
    from airflow_provider_wacontacts.sandbox import Sandbox

    with Sandbox() as sandbox:
        whatsapp = sandbox.whatsapp.behaviour
        extra = {"auth": "bearer", "sender": "+12015550100"}
        _connect(
            "whatsapp_business_default",
            conn_type="whatsapp_business",
            host=sandbox.url,
            password=whatsapp.token,
            extra=extra,
        )
        first, second = (
            WhatsAppCheckContactsOperator(task_id=f"check_{number[-1]}", contacts=[number])
            for number in ("+12015550123", "+12015550124")
        )
        first.execute(_context())
        return _counted(second, r"UPDATE \S*check_result\b.*\bwa_id\b")


def _counted(operator: Any, statement: str) -> dict[str, Any]:
    """Execute an operator, and count up to the last execution of a statement."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    wanted, walk = re.compile(statement, re.DOTALL), Walk()
    reached: list[int] = []

    def look(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if wanted.search(sql):
            reached.append(len(walk.calls))

    event.listen(Engine, "before_cursor_execute", look)
    with walk:
        operator.execute(_context())
    if not reached:
        raise RuntimeError("the statement was not reached")
    return walk.figures(reached[-1])


def _connect(conn_id: str, **fields: Any) -> None:
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)


def _context() -> Any:
    ti = SimpleNamespace(dag_id="benchmark", run_id="benchmark", task_id="walk", map_index=-1, try_number=1)
    dag_run = SimpleNamespace(run_id="benchmark", run_after=datetime.now(UTC))
    return {"ti": ti, "dag_run": dag_run, "outlet_events": defaultdict(SimpleNamespace)}


def _in_a_process(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="wacontacts-bench-home-") as home:
        environment = os.environ | {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.walk", name, home],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
