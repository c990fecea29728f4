"""
A sync into PostgreSQL from a server that takes its time for each page, beside fetching alone and loading alone.

Loading alone is the same sync from a server that takes no time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from statistics import median
from typing import Any

import psutil
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.turn_export import Export
from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec, sync_to_store
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from benchmarks.contacts import PAGE, WINDOW
from benchmarks.landing_postgres import SETTINGS
from benchmarks.server import serving
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["run"]

ROWS = 40_000
RUNS = 3
DELAY_S = 0.25
MB = 1e6


def run() -> dict[str, Any]:
    """Measure, turn by turn, print the table, and return the figures."""
    with serving(ROWS, DELAY_S) as slow, serving(ROWS) as fast, PostgresServer(SETTINGS) as server:
        engine = create_engine(server.url())
        turns = [_turn(slow.url, fast.url, engine) for _ in range(RUNS)]
        engine.dispose()
    figures = {name: median(turn[name] for turn in turns) for name in turns[0]}
    show(
        f"{ROWS:,} contacts, {PAGE:,} a page, each page {DELAY_S * 1000:.0f} ms on its way; medians of {RUNS}",
        ("fetch s", "load s", "sync s", "by the longer", "peak of the sync, MB more"),
        [[figures[name] for name in ("fetch_s", "load_s", "sync_s", "by_longer", "more_mb")]],
    )
    return {"rows": ROWS, "runs": RUNS, "delay_ms": DELAY_S * 1000, **figures}


def _turn(slow: str, fast: str, engine: Engine) -> dict[str, float]:
    fetch_s, _ = _timed(lambda: _fetch(slow))
    load_s, _ = _timed(lambda: _sync(fast, engine))
    with _peak() as more:
        sync_s, rows = _timed(lambda: _sync(slow, engine))
    if rows != _count(engine):
        raise RuntimeError(f"the store has {_count(engine)} of {rows} contacts")
    return {
        "fetch_s": fetch_s,
        "load_s": load_s,
        "sync_s": sync_s,
        "by_longer": sync_s / max(fetch_s, load_s),
        "more_mb": max(more),
    }


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    clock = time.perf_counter()
    done = work()
    return time.perf_counter() - clock, done


def _run(url: str) -> Callable[..., Any]:
    session = requests.Session()
    session.headers["authorization"] = "Bearer example-token"
    return Driver(session, url).run


def _fetch(url: str) -> None:
    export, run_flow = Export(Window(*WINDOW)), _run(url)
    while not export.done:
        run_flow(export.next_page())


def _sync(url: str, engine: Engine) -> int:
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    store = Store(engine)
    store.prepare()
    task = TaskInstanceKey("bench", "run", "sync")
    spec = SyncSpec("example", Window(*WINDOW), task, "0", lookback=timedelta(0))
    return sync_to_store(spec, run=_run(url), store=store, uri="x:").rows


def _count(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM wacontacts_current")).scalar() or 0)


@contextmanager
def _peak() -> Iterator[list[float]]:
    """Yield a list of how much more memory is resident than at first, which grows while the block lasts."""
    process, ended = psutil.Process(), threading.Event()
    before, more = process.memory_info().rss, [0.0]

    def look() -> None:
        while not ended.wait(0.05):
            more.append((process.memory_info().rss - before) / MB)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield more
    finally:
        ended.set()
        thread.join()
