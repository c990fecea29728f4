"""Snapshots of one account by the operator: the first, and one in which a hundredth of the contacts has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from benchmarks.contacts import NAMES, SURNAMES
from benchmarks.memory import peak_mb, resident_mb
from benchmarks.server import ROOT
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["run"]

STORES = (("SQLite", "sqlite"), ("PostgreSQL", "postgres"))
#: Of so many contacts, one changes, and one is missing.
CHANGED, MISSING = 100, 1_000
WARM_UP = 999  # contacts of another instance: its size must not be one that is measured
SETTINGS = b'{"stateInstance": "authorized", "historySyncProgress": 100}'
FIRST_AT = datetime(2026, 1, 5, tzinfo=UTC)


def run(rows: int) -> dict[str, Any]:
    """Take both snapshots of a quarter, of half and of all of the contacts; print the table, return the figures."""
    figures: dict[str, Any] = {"rows": rows}
    for _, kind in STORES:
        figures[kind] = [_in_a_process(kind, part) for part in (rows // 4, rows // 2, rows)]
    show(
        f"Snapshots of up to {rows:,} contacts in one answer, 1 in {CHANGED} changed since the first",
        ("", "contacts", "body MB", "first s", "changed s", "by first", "changed µs each", "peak MB more", "by body"),
        [(title, *(size[name] for name in COLUMNS)) for title, kind in STORES for size in figures[kind]],
    )
    return figures


COLUMNS = ("rows", "body_mb", "first_s", "changed_s", "by_first", "changed_us", "peak_mb", "by_body")


def measure(url: str, store: dict[str, Any], rows: int) -> dict[str, Any]:
    """Take both snapshots, each contact in turn from the same server."""
    from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
    from airflow_provider_wacontacts.hooks import green_api
    from airflow_provider_wacontacts.operators.green_api import GreenApiContactsToSqlOperator

    green_api.RATE_LIMITERS = RateLimiters(timedelta(0))  # a second between the two requests is no work
    _connect("green_api_default", conn_type="green_api", host=url, login=str(rows), password="example-token")
    _connect("warm_up", conn_type="green_api", host=url, login=str(WARM_UP), password="example-token")
    _connect("wacontacts_store", **store)

    def take(conn_id: str) -> tuple[float, dict[str, Any]]:
        begun = time.perf_counter()
        summary = GreenApiContactsToSqlOperator(task_id="take", green_api_conn_id=conn_id).execute(_context())
        return time.perf_counter() - begun, summary

    take("warm_up")
    before_mb = resident_mb()
    first_s, first = take("green_api_default")
    changed_s, changed = take("green_api_default")
    more_mb, body_mb = peak_mb() - before_mb, changed["bytes"] / 1e6
    _hold(rows, first, changed)
    return {
        "rows": rows,
        "body_mb": body_mb,
        "first_s": first_s,
        "changed_s": changed_s,
        "by_first": changed_s / first_s,
        "changed_us": changed_s / rows * 1e6,
        "peak_mb": more_mb,
        "by_body": more_mb / body_mb,
    }


def _hold(rows: int, first: dict[str, Any], changed: dict[str, Any]) -> None:
    """Make sure that what was changed was found, and nothing else."""
    missing = len(range(1, rows, MISSING))
    found = (first["new_versions"], changed["rows"], changed["gone"], changed["new_versions"])
    if found != (rows, rows - missing, missing, missing + len(range(0, rows, CHANGED))):
        raise RuntimeError(f"other contacts have changed than those that were changed: {found}")


def body(rows: int, *, is_first: bool) -> bytes:
    """Write the list of an account, of some 80 bytes a contact."""
    return b"[%s]" % b",".join(
        _row(row, is_changed=not is_first and row % CHANGED == 0)
        for row in range(rows)
        if is_first or row % MISSING != 1
    )


def _row(row: int, *, is_changed: bool) -> bytes:
    dice = blake2b(row.to_bytes(8, "big"), digest_size=4).digest()
    name = f"{NAMES[dice[0] % len(NAMES)]}{' at work' if is_changed else ''}"
    told = {"id": f"999{row:09}@c.us", "name": name if dice[1] % 4 else "", "type": "user"}
    if dice[2] % 4 or is_changed:
        told["contactName"] = f"{name} {SURNAMES[dice[3] % len(SURNAMES)]}"
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


class _Api(BaseHTTPRequestHandler):
    """Answers as an instance does, whose id is how many contacts it has; each of its lists is a day later."""

    protocol_version = "HTTP/1.1"
    bodies: dict[tuple[int, bool], bytes]
    days: defaultdict[int, int]

    def do_GET(self) -> None:
        rows, method = int(self.path.split("/")[1].removeprefix("waInstance")), self.path.split("/")[2]
        answer = SETTINGS
        if method == "getContacts":
            answer = self.bodies[rows, self.days[rows] == 0]
            self.days[rows] += 1
        self.send_response_only(200)
        self.send_header("Date", format_datetime(FIRST_AT + timedelta(days=self.days[rows]), usegmt=True))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def _serving(rows: int) -> Iterator[str]:
    bodies = {(size, is_first): body(size, is_first=is_first) for size in (rows, WARM_UP) for is_first in (True, False)}
    api = type("Api", (_Api,), {"bodies": bodies, "days": defaultdict(int)})
    with ThreadingHTTPServer(("127.0.0.1", 0), api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def _store(kind: str) -> Iterator[dict[str, Any]]:
    """Give the fields of a connection to an empty database, as durable as by default."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as directory:
            yield {"conn_type": "sqlite", "host": f"{directory}/store.db"}
        return
    with PostgresServer({"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}) as server:
        url = urlsplit(server.url())
        place = {"host": url.hostname, "port": url.port, "login": url.username, "schema": url.path.strip("/")}
        yield {"conn_type": "postgres", **place}


def _in_a_process(kind: str, rows: int) -> dict[str, Any]:
    with _serving(rows) as url, _store(kind) as store, tempfile.TemporaryDirectory() as home:
        given = json.dumps({"url": url, "store": store, "rows": rows})
        environment = os.environ | {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        command = [sys.executable, "-m", "benchmarks.snapshots", given]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    took: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return took


def _connect(conn_id: str, **fields: Any) -> None:
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)


def _context() -> Any:
    ti = SimpleNamespace(dag_id="benchmark", run_id="benchmark", task_id="take", map_index=-1)
    return {"ti": ti, "dag_run": SimpleNamespace(), "outlet_events": {}}


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
