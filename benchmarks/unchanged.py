"""
A Turn.io sync into PostgreSQL of contacts of 9 KB that have not changed since the last one, beside a script.

The script fetches the same pages with ``requests``, decodes and encodes each contact with ``json``, and hashes it. It
compares nothing, and needs no database.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from hashlib import blake2b
from statistics import median
from typing import Any

import requests
from sqlalchemy import create_engine

from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec, sync_to_store
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from benchmarks.contacts import WINDOW
from benchmarks.contenders.copy import BODY, PATH
from benchmarks.landing_postgres import SETTINGS
from benchmarks.server import serving
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["run"]

MORE_FIELDS = 300
#: Of so many contacts of other benchmarks, there is one: each is about ten times as large.
SHARE = 20


def run(rows: int, runs: int) -> dict[str, Any]:
    """Sync, turn by turn, print the table, and return the figures."""
    rows = max(rows // SHARE, 1)
    with serving(rows, more_fields=MORE_FIELDS) as export, PostgresServer(SETTINGS) as server:
        engine = create_engine(server.url())
        store = Store(engine)
        if _sync(store, export.url) != (rows, rows):
            raise RuntimeError("the first sync did not load each contact")
        turns = [_turn(store, export.url, rows) for _ in range(runs)]
        engine.dispose()
    figures = {name: median(turn[name] for turn in turns) for name in turns[0]}
    show(
        f"{rows:,} contacts of {export.size / rows / 1000:.1f} kB that have not changed, medians of {runs}",
        ("", "CPU s here", "µs each"),
        [
            ("requests, json, hashlib: nothing is compared", figures["script_s"], figures["script_s"] / rows * 1e6),
            ("ours: sync_to_store, PostgreSQL", figures["ours_s"], figures["ours_s"] / rows * 1e6),
        ],
        [f"Ours takes {figures['by_script']:.2f} of the CPU of the script, the median of {runs} turns."],
    )
    return {"rows": rows, "bytes": export.size, "runs": runs, **figures}


def _turn(store: Store, url: str, rows: int) -> dict[str, float]:
    script_s, hashes = _cpu(lambda: _script(url))
    ours_s, found = _cpu(lambda: _sync(store, url))
    if (len(hashes), found) != (rows, (rows, 0)):
        raise RuntimeError(f"of {rows} unchanged contacts, the script hashed {len(hashes)}, and the sync found {found}")
    return {"script_s": script_s, "ours_s": ours_s, "by_script": ours_s / script_s}


def _cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    done = work()
    return time.process_time() - begun, done


def _sync(store: Store, url: str) -> tuple[int, int]:
    session = requests.Session()
    session.headers["authorization"] = "Bearer example-token"
    spec = SyncSpec("example", Window(*WINDOW), TaskInstanceKey("bench", "run", "sync"), "0", lookback=timedelta(0))
    summary = sync_to_store(spec, run=Driver(session, url).run, store=store, uri="x:")
    return summary.rows, summary.new_versions


def _script(url: str) -> set[bytes]:
    hashes = set()
    with requests.Session() as session:
        session.headers["authorization"] = "Bearer example-token"
        cursor = session.post(url + PATH, json=BODY, timeout=60).json()["cursor"]
        while cursor:
            page = session.get(f"{url}{PATH}/{cursor}", timeout=60).json()
            hashes.update(map(_hash, page["data"]))
            cursor = page["paging"]["next"]
    return hashes


def _hash(contact: dict[str, Any]) -> bytes:
    details = {name: value for name, value in contact["details"].items() if value is not None}
    text = json.dumps(contact | {"details": details}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return blake2b(text.encode(), digest_size=16).digest()
