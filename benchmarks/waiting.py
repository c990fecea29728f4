"""A thousand deferred sensors in a real triggerer, beside a thousand of Airflow's timers in another."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.deferred import SENDER
from benchmarks.server import ROOT
from benchmarks.tables import show
from demo.processes import Processes

__all__ = ["run"]

SECONDS = 130
#: For all triggers to run: a triggerer starts 50 a second at most, and logs how many it has once a minute.
START_SECONDS = 600
TOKEN = "example-token"
BLOCKED = re.compile(r"async thread was blocked for ([0-9.]+) seconds")
RUNNING = re.compile(r"(\d+) triggers currently running")
SHOWN = ("running", "blocked", "longest_s", "per_minute", "per_round", "most_per_s", "cpu_s")
WAYS = (("timers of Airflow's standard provider", "timers"), ("WhatsAppContactsSensor, deferred", "sensors"))


def run(triggers: int) -> dict[str, Any]:
    """Measure each in a triggerer of its own, print the table, and return the figures."""
    figures: dict[str, Any] = {"triggers": triggers, "seconds": SECONDS}
    with tempfile.TemporaryDirectory(prefix="wacontacts-bench-waiting-") as folder, _serving() as server:
        migrated = _Airflow(Path(folder, "migrated"), server.url)
        migrated.run("airflow", "db", "migrate")
        for _, way in WAYS:
            airflow = _Airflow(Path(folder, way), server.url)
            shutil.copytree(migrated.home, airflow.home)
            airflow.run("benchmarks.deferred", way, str(triggers))
            figures[way] = airflow.trigger(triggers) | server.told()
            rounds = figures[way]["numbers"] / triggers
            figures[way]["per_round"] = figures[way]["requests"] / rounds if rounds else 0.0
    show(
        f"{triggers:,} deferred tasks in one triggerer, {SECONDS} s after all ran; a number each, never resolved",
        ("", "triggers", "blocked > 0.2 s", "longest s", "requests/min", "per round", "most in a second", "CPU s"),
        [(title, *(figures[way][name] for name in SHOWN)) for title, way in WAYS],
        notes=[
            "Blocked: what the triggerer itself warns of, from its start on. CPU: of all its processes.",
            "Per round: requests in which each number is checked once.",
        ],
    )
    return figures


class _Airflow:
    """
    An Airflow of which only the triggerer runs.

    :param home: its folder, with its metadata database and the store, both SQLite.
    :param url: of the client that numbers are asked of.
    """

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        contacts = {"conn_type": "whatsapp_business", "host": url, "password": TOKEN}
        extra = {"auth": "bearer", "sender": SENDER}
        self._environment = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_WHATSAPP_BUSINESS_DEFAULT": json.dumps(contacts | {"extra": extra}),
            "AIRFLOW_CONN_WACONTACTS_STORE": json.dumps({"conn_type": "sqlite", "host": str(home / "store.db")}),
            # The settings that Airflow writes down at first hold the folder that it was in.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__TRIGGERER__CAPACITY": "10000",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        }

    def run(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{module} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    def trigger(self, triggers: int) -> dict[str, Any]:
        """Run the triggerer until it has all triggers and for a while longer, and return what it logged."""
        processes = Processes(self.home / "process-logs")
        command = [sys.executable, "-m", "airflow", "triggerer", "--skip-serve-logs"]
        try:
            log = processes.start("triggerer", command, env=self._environment, cwd=ROOT)
            _wait_for_all(triggers, log)
            time.sleep(SECONDS)
            processes.check()
            cpu_s = sum(_cpu_of(process) for process in processes.members())
        finally:
            processes.stop()
        blocked = [float(seconds) for seconds in BLOCKED.findall(log.read_text(errors="replace"))]
        return {
            "running": _running(log),
            "blocked": len(blocked),
            "longest_s": max(blocked, default=None),
            "cpu_s": cpu_s,
        }


def _wait_for_all(triggers: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (running := _running(log)) < triggers:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the triggerer has {running} of {triggers} triggers")
        time.sleep(1)


def _running(log: Path) -> int:
    counts = RUNNING.findall(log.read_text(errors="replace"))
    return int(counts[-1]) if counts else 0


class _Server:
    """A client in a process of its own, which tells when it was asked."""

    def __init__(self, say: IO[str], hear: IO[str]) -> None:
        self._say = say
        self._hear = hear
        self.url = hear.readline().strip()

    def told(self) -> dict[str, Any]:
        """Return how often it was asked."""
        self._say.write("\n")
        self._say.flush()
        calls: list[tuple[float, int]] = json.loads(self._hear.readline())
        moments, numbers = [at for at, _ in calls], sum(size for _, size in calls)
        lasted = max(moments) - min(moments) if moments else 0.0
        return {
            "requests": len(moments),
            "numbers": numbers,
            "per_minute": len(moments) * 60 / lasted if lasted else 0.0,
            "most_per_s": _most_in_a_second(moments),
        }


@contextmanager
def _serving() -> Iterator[_Server]:
    command = [sys.executable, "-m", "benchmarks.waiting"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _Server(process.stdin, process.stdout)
        finally:
            process.stdin.close()


def _serve() -> None:
    from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World

    slow = WhatsAppBehaviour(sender=SENDER, token=TOKEN, processing_share=1.0, resolved_by="never")
    with Sandbox(World(), whatsapp=slow) as sandbox:
        print(sandbox.url, flush=True)
        for _ in sys.stdin:
            print(json.dumps([(call.at, call.size) for call in sandbox.whatsapp.calls]), flush=True)


def _cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _most_in_a_second(moments: list[float]) -> int:
    return max((sum(0 <= other - first < 1 for other in moments) for first in moments), default=0)


if __name__ == "__main__":
    _serve()
