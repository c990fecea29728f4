"""
The page in Airflow's UI over two years of hourly windows: its calendar, and 200 viewers at once.

Viewers open the calendar of two years at once while windows are written to the store. Meanwhile Airflow's own REST API
is asked for its DAGs: the page must not hold it up.
"""

from __future__ import annotations

import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from airflow_provider_wacontacts.plugin.parameters import Parameters
from airflow_provider_wacontacts.plugin.rendering import render
from airflow_provider_wacontacts.plugin.views import VIEWS
from benchmarks.tables import show
from demo.postgres import PostgresServer
from tests.plugin.seeds import DAY, HOUR, Seeds
from tests.plugin.server import ApiServer

__all__ = ["run"]

TWO_YEARS = "coverage?weeks=105"


def run(viewers: int, runs: int) -> dict[str, Any]:
    """Measure; ``viewers`` ask at once, and the calendar is made ``runs`` times."""
    with tempfile.TemporaryDirectory() as folder:
        database = PostgresServer()
        database.start()
        try:
            seeds = Seeds(database.url())
            seeds.contacts()
            seeds.windows(1, "turn", "helpline", HOUR, seeds.midnight - 730 * DAY, trouble=0.002)
            figures = {"calendar_ms": _calendar(seeds, runs), **_crowd(seeds, Path(folder), viewers)}
        finally:
            database.stop()
    rows = [[name, value] for name, value in figures.items()]
    show(f"The page: 17,520 hourly windows, {viewers} viewers at once", ["figure", "value"], rows)
    return figures


def _calendar(seeds: Seeds, runs: int) -> float:
    """Return the milliseconds to read and to draw two years of hourly windows, the median of some runs."""
    view = next(view for view in VIEWS if view.path == "/coverage")
    took = []
    for _ in range(max(runs, 5)):
        begun = time.perf_counter()
        values = view.read(seeds.store, Parameters({}, {"weeks": "105"}, datetime.now(UTC).date()))
        render(view.template, "wacontacts_store", **values)
        took.append((time.perf_counter() - begun) * 1_000)
    return median(took)


def _crowd(seeds: Seeds, folder: Path, viewers: int) -> dict[str, Any]:
    url = seeds.engine.url
    store = {"conn_type": "postgres", "host": url.host, "port": url.port, "schema": url.database, "login": url.username}
    with ApiServer(folder / "airflow", connections={"wacontacts_store": store}) as server:
        viewer, api = server.session("viewer"), server.session("admin")
        viewer.get(f"{server.page}/{TWO_YEARS}", timeout=60)
        quiet = median(_dags(api, server) for _ in range(5))
        is_over = threading.Event()
        longest = [0.0]

        def ask_airflow() -> None:
            while not is_over.is_set():
                longest[0] = max(longest[0], _dags(api, server))

        def write_windows() -> None:
            end = seeds.midnight - 800 * DAY
            while not is_over.is_set():
                seeds.write([seeds._window(1, "turn", "helpline", end - HOUR, end, timedelta())])  # noqa: SLF001 - ours
                end -= HOUR

        beside = [threading.Thread(target=ask_airflow), threading.Thread(target=write_windows)]
        for thread in beside:
            thread.start()
        cookies = viewer.cookies.get_dict()

        def look(_: int) -> tuple[int, float]:
            begun = time.perf_counter()
            session = server.session(None)
            status = session.get(f"{server.page}/{TWO_YEARS}", cookies=cookies, timeout=120).status_code
            return status, time.perf_counter() - begun

        with ThreadPoolExecutor(viewers) as crowd:
            answers = list(crowd.map(look, range(viewers)))
        is_over.set()
        for thread in beside:
            thread.join()
    return {
        "shown": sum(status == 200 for status, _ in answers),
        "busy": sum(status == 503 for status, _ in answers),
        "last_viewer_s": max(took for _, took in answers),
        "dags_alone_s": quiet,
        "dags_longest_s": longest[0],
    }


def _dags(session: Any, server: ApiServer) -> float:
    begun = time.perf_counter()
    session.get(f"{server.url}/api/v2/dags", timeout=120).raise_for_status()
    return time.perf_counter() - begun
