"""
Syncs of one Turn.io number that run at the same time, each with a cursor of its own, under the number's rate limit.

The mock server runs in a process of its own; ``python -m benchmarks.cursors LIMIT`` prints its URL, serves, and prints
the number of requests that it allowed for each line of its standard input.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import IO, Any

import requests
from sqlalchemy import create_engine

from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.retry import Clock, RetryLoop
from airflow_provider_wacontacts.pipelines.stop import Stopped, StopSignal
from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec, sync_to_store
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from benchmarks.contacts import WINDOW
from benchmarks.landing_postgres import SETTINGS
from benchmarks.server import ROOT
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["run"]

#: Rate limits in requests a minute, and how many cursors are tried under each.
TRIED = ((600, (1, 3)), (60, (1,)))
#: The mock server counts requests in minutes, from the first request on.
SECONDS = 59.0
DELAY_S = 0.25
PAGE_SIZE = 100
TOKEN = "example-token"


def run() -> dict[str, Any]:
    """Measure each for a minute, print the table, and return the figures."""
    figures = [_minute(limit, cursors) for limit, tried in TRIED for cursors in tried]
    names = ("limit", "cursors", "requests", "of_limit", "contacts")
    show(
        f"Syncs of one number for a minute, {PAGE_SIZE} contacts a page, each page {DELAY_S * 1000:.0f} ms on its way",
        ("limit a minute", *names[1:3], "of the limit", "contacts loaded"),
        [[one[name] for name in names] for one in figures],
    )
    return {"seconds": SECONDS, "page_size": PAGE_SIZE, "delay_ms": DELAY_S * 1000, "minutes": figures}


def _minute(limit: int, cursors: int) -> dict[str, Any]:
    print(f"  {limit} requests a minute, {cursors} at a time", file=sys.stderr, flush=True)
    with PostgresServer(SETTINGS) as server, _serving(limit) as (url, ask):
        engine = create_engine(server.url())
        store, stop = Store(engine), StopSignal()
        store.prepare()
        window = Window(*WINDOW)
        length = (window.end - window.start) / cursors
        syncs = [threading.Thread(target=_sync, args=(url, store, part, stop)) for part in window.split(length)]
        for sync in syncs:
            sync.start()
        stop.wait(SECONDS)
        requests_allowed = ask()
        stop.set()
        for sync in syncs:
            sync.join()
        with engine.connect() as connection:
            contacts = connection.exec_driver_sql("SELECT count(*) FROM wacontacts_current").scalar()
        engine.dispose()
    return {
        "limit": limit,
        "cursors": cursors,
        "requests": requests_allowed,
        "of_limit": requests_allowed / limit,
        "contacts": contacts,
    }


def _sync(url: str, store: Store, window: Window, stop: StopSignal) -> None:
    """Sync a part of the window until the minute is over, as a task of its own does."""
    session = requests.Session()
    session.headers["authorization"] = f"Bearer {TOKEN}"
    task = TaskInstanceKey("bench", window.start.isoformat(), "sync")
    spec = SyncSpec("example", window, task, "0", lookback=timedelta(0))
    driver = Driver(session, url, RetryLoop(clock=Clock(sleep=stop.sleep)))
    with suppress(Stopped):
        sync_to_store(spec, run=driver.run, store=store, uri="x:", stop=stop)


@contextmanager
def _serving(limit: int) -> Iterator[tuple[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.cursors", str(limit)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        say, hear = _pipes(process)

        def ask() -> int:
            say.write("\n")
            say.flush()
            return int(hear.readline())

        try:
            yield hear.readline().strip(), ask
        finally:
            say.close()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _serve(limit: int) -> None:
    from airflow_provider_wacontacts.sandbox import Event, Fault, Sandbox, TurnBehaviour, World

    contacts = limit * PAGE_SIZE * 3 // 2
    step = (WINDOW[1] - WINDOW[0]) / contacts
    world = World.from_events(Event(WINDOW[0] + n * step, n + 1) for n in range(contacts))
    behaviour = TurnBehaviour(rate_limit=limit, page_size=PAGE_SIZE)
    with Sandbox(world, now=WINDOW[1] + timedelta(minutes=10), behaviour=behaviour) as sandbox:
        sandbox.fail(Fault(kind="delay", on="page", delay_s=DELAY_S, every=1))
        print(sandbox.url, flush=True)
        for _ in sys.stdin:
            print(sandbox.requests.count(outcome=200), flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
