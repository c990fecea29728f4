"""A thousand sensors that wait in one triggerer's event loop, beside a thousand of Airflow's timers."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from benchmarks.server import ROOT
from benchmarks.tables import show

__all__ = ["run"]

SECONDS = 60
#: As the triggerer measures: it naps so long, and complains where that took so long.
NAP_S = 0.1
BLOCKED_S = 0.2
TOKEN = "example-token"
SENDER = "+12015550100"
SHOWN = ("blocked", "collections", "longest_s", "per_minute", "most_per_s", "cpu_s")
WAYS = (("timers of Airflow's standard provider", "timers"), ("WhatsAppContactsSensor, deferred", "sensors"))


def run(triggers: int) -> dict[str, Any]:
    """Measure each in a process of its own, print the table, and return the figures."""
    figures: dict[str, Any] = {"triggers": triggers, "seconds": SECONDS}
    with tempfile.TemporaryDirectory(prefix="wacontacts-bench-waiting-") as home, _serving() as server:
        for _, way in WAYS:
            figures[way] = _in_a_process(way, triggers, Path(home), server)
    show(
        f"{triggers:,} triggers in one event loop for {SECONDS} s; a number each, which is never resolved",
        ("", "blocked > 0.2 s", "by collections", "longest nap s", "requests/min", "most in a second", "CPU s"),
        [(title, *(figures[way][name] for name in SHOWN)) for title, way in WAYS],
        notes=[
            f"The nap is of {NAP_S} s; more than {BLOCKED_S} s is what the triggerer warns of.",
            "By collections: of those, the ones in which Python went through the whole memory for garbage.",
        ],
    )
    return figures


class _Server:
    """A client in a process of its own, which tells when it was asked."""

    def __init__(self, say: IO[str], hear: IO[str]) -> None:
        self._say = say
        self._hear = hear
        self.url = hear.readline().strip()

    def asked_at(self) -> list[float]:
        self._say.write("\n")
        self._say.flush()
        moments: list[float] = json.loads(self._hear.readline())
        return moments


@contextmanager
def _serving() -> Iterator[_Server]:
    command = [sys.executable, "-m", "benchmarks.waiting", "serve"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _Server(process.stdin, process.stdout)
        finally:
            process.stdin.close()


def serve() -> None:
    from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World

    slow = WhatsAppBehaviour(sender=SENDER, token=TOKEN, processing_share=1.0, resolved_by="never")
    with Sandbox(World(), whatsapp=slow) as sandbox:
        print(sandbox.url, flush=True)
        for _ in sys.stdin:
            print(json.dumps([call.at for call in sandbox.whatsapp.calls]), flush=True)


def _in_a_process(way: str, triggers: int, home: Path, server: _Server) -> dict[str, Any]:
    contacts = {"conn_type": "whatsapp_business", "host": server.url, "password": TOKEN}
    extra = {"auth": "bearer", "sender": SENDER}
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_WHATSAPP_BUSINESS_DEFAULT": json.dumps(contacts | {"extra": extra}),
        "AIRFLOW_CONN_WACONTACTS_STORE": json.dumps({"conn_type": "sqlite", "host": str(home / "store.db")}),
    }
    command = [sys.executable, "-m", "benchmarks.waiting", way, str(triggers)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    took: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    asked = server.asked_at()
    return took | {
        "requests": len(asked),
        "per_minute": len(asked) * 60 / SECONDS,
        "most_per_s": _most_in_a_second(asked),
    }


def _most_in_a_second(moments: list[float]) -> int:
    return max((sum(0 <= other - first < 1 for other in moments) for first in moments), default=0)


def measure(way: str, count: int) -> dict[str, Any]:
    make: Callable[[int], list[Any]] = {"timers": _timers, "sensors": _sensors}[way]
    triggers = make(count)
    # A triggerer that has been running for a while has all this in memory, and has been through it.
    importlib.import_module("airflow.jobs.triggerer_job_runner")
    gc.collect()
    collected: list[float] = []
    gc.callbacks.append(lambda _, about: collected.append(time.monotonic()) if about["generation"] == 2 else None)
    cpu = time.process_time()
    naps = asyncio.run(_watch(triggers))
    blocked = [(begun, ended) for begun, ended in naps if ended - begun > BLOCKED_S]
    return {
        "blocked": len(blocked),
        "collections": sum(any(begun < moment < ended for moment in collected) for begun, ended in blocked),
        "longest_s": max(ended - begun for begun, ended in naps),
        "cpu_s": time.process_time() - cpu,
    }


async def _watch(triggers: list[Any]) -> list[tuple[float, float]]:
    """Start triggers as the triggerer does, and nap as its watchdog does, until the time is over."""
    naps: list[tuple[float, float]] = []
    starting = asyncio.create_task(_start(triggers))
    begun = time.monotonic()
    while time.monotonic() - begun < SECONDS:
        last = time.monotonic()
        await asyncio.sleep(NAP_S)
        naps.append((last, time.monotonic()))
    tasks = await starting
    if any(task.done() for task in tasks):
        raise RuntimeError("a trigger fired before its time")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return naps


async def _start(triggers: list[Any]) -> list[asyncio.Task[Any]]:
    tasks = []
    for trigger in triggers:
        tasks.append(asyncio.create_task(anext(trigger.run())))
        await asyncio.sleep(0)
    return tasks


def _timers(count: int) -> list[Any]:
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger

    return [DateTimeTrigger(moment=datetime.now(UTC) + timedelta(hours=1)) for _ in range(count)]


def _sensors(count: int) -> list[Any]:
    from airflow_provider_wacontacts.triggers.whatsapp_business import WhatsAppContactsTrigger

    deadline = datetime.now(UTC) + timedelta(hours=1)
    return [WhatsAppContactsTrigger(check_id, deadline) for check_id in _checks(count)]


def _checks(count: int) -> list[str]:
    """Make checks whose only number is being processed, in another process: what is measured imports for itself."""
    command = [sys.executable, "-m", "benchmarks.waiting", "checks", str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    made: list[str] = json.loads(done.stdout.splitlines()[-1])
    return made


def make_checks(count: int) -> list[str]:
    from airflow_provider_wacontacts.hooks.store import open_store
    from airflow_provider_wacontacts.landing.sql import Task
    from airflow_provider_wacontacts.landing.sql.numbers.checks import Checks
    from airflow_provider_wacontacts.landing.sql.numbers.model import Answers, Input, Rules

    store = open_store("wacontacts_store")
    store.prepare()
    checks, now, made = Checks(store, SENDER, daily_checks=count), datetime.now(UTC), []
    for index in range(count):
        check = checks.open(Rules(Task("dag", "run", "task", index), "options", "1", now - timedelta(days=7)))
        number = f"+1{201 + index // 10_000}555{index % 10_000:04}"
        check.fill([Input(number, number)])
        for number_ids in check.queue(1):
            check.claim(number_ids)
            check.record(Answers({number: ("processing", None)}, now, now))
        check.finish()
        made.append(check.check_id)
    return made


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    elif sys.argv[1] == "checks":
        print(json.dumps(make_checks(int(sys.argv[2]))))
    else:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
