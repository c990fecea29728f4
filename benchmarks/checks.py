"""Checking numbers for WhatsApp by the operator, in batches of 100, and waiting for those that take a while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from benchmarks.server import ROOT
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["run"]

BATCH_SIZE = 100
ALLOWED_A_SECOND = 20
SENDER = "+12015550100"
TOKEN = "example-token"
STORES = (("SQLite", "sqlite"), ("PostgreSQL", "postgres"))
FIGURES = ("reading_s", "asking_s", "total_s", "by_limit", "cpu_s", "requests", "full", "most_asked", "waiting_s")


def run(rows: int) -> dict[str, Any]:
    """Check once with each store, print the table, and return the figures."""
    allowed_s = rows / BATCH_SIZE / ALLOWED_A_SECOND
    figures: dict[str, Any] = {"rows": rows, "batch_size": BATCH_SIZE, "allowed_s": allowed_s}
    for _, kind in STORES:
        with _serving() as url, _store(kind) as store:
            figures[kind] = _in_a_process(url, store, rows)
    show(
        f"Checking {rows:,} numbers in batches of {BATCH_SIZE}, a tenth of them slow;"
        f" {ALLOWED_A_SECOND} requests a second allow {allowed_s:.0f} s",
        (
            *("", "reading s", "asking s", "both s", "by allowed", "CPU s", "requests", "of them full"),
            *("most a number", "waiting s more"),
        ),
        [(title, *(figures[kind][name] for name in FIGURES)) for title, kind in STORES],
    )
    return figures


def measure(url: str, store: dict[str, Any], rows: int) -> dict[str, Any]:
    """Check numbers that are not known, then wait for those that are ``processing``."""
    from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
    from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

    extra = {"auth": "bearer", "sender": SENDER, "daily_checks": rows}
    _connect("whatsapp_business_default", conn_type="whatsapp_business", host=url, password=TOKEN, extra=extra)
    _connect("wacontacts_store", **store)
    context = _context()
    operator = WhatsAppCheckContactsOperator(task_id="check", contacts=_numbers(rows), batch_size=BATCH_SIZE)
    begun, cpu_begun = time.time(), time.process_time()
    summary = operator.execute(context)
    ended, cpu_s = time.time(), time.process_time() - cpu_begun
    first = _told(url, "numbers")
    sensor = WhatsAppContactsSensor(task_id="wait", check_id=summary["check_id"], batch_size=BATCH_SIZE, timeout=3600)
    while not sensor.poke(context).is_done:
        time.sleep(1)
    waited_s = time.time() - ended
    _hold(rows, summary, first, _told(url, "numbers"))
    reading_s = first["calls"][0]["at"] - begun
    return {
        "reading_s": reading_s,
        "asking_s": ended - begun - reading_s,
        "total_s": ended - begun,
        "by_limit": (ended - begun) / (rows / BATCH_SIZE / ALLOWED_A_SECOND),
        "cpu_s": cpu_s,
        "requests": len(first["calls"]),
        "full": sum(call["size"] == BATCH_SIZE for call in first["calls"]),
        "most_asked": max(first["asked"].values()),
        "waiting_s": waited_s,
        "processing": summary["processing"],
    }


def _hold(rows: int, summary: dict[str, Any], first: dict[str, Any], last: dict[str, Any]) -> None:
    """Make sure that all were asked once, and those that were not resolved once more."""
    times = Counter(last["asked"].values())
    if len(first["asked"]) != rows or set(first["asked"].values()) != {1}:
        raise RuntimeError("not every number was asked once")
    if times != {1: rows - summary["processing"], 2: summary["processing"]}:
        raise RuntimeError("others were asked again than those that were not resolved")


def _numbers(rows: int) -> Iterator[dict[str, Any]]:
    """Rows of a team's table: numbers in four spellings, each once, with a key."""
    for row in range(rows):
        digits = f"212{2_000_000 + row}"
        area, first, last = digits[:3], digits[3:6], digits[6:]
        number = (
            f"+1{digits}",
            f"+1 {area}-{first}-{last}",
            f"({area}) {first}-{last}",
            f"tel:+1-{area}-{first}-{last}",
        )
        yield {"contact_key": str(row), "number": number[row % 4], "opted_in": True}


def _connect(conn_id: str, **fields: Any) -> None:
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)


def _context() -> Any:
    ti = SimpleNamespace(dag_id="benchmark", run_id="benchmark", task_id="check", map_index=-1, try_number=1)
    run = SimpleNamespace(run_id="benchmark", run_after=datetime.now(UTC))
    return {"ti": ti, "dag_run": run, "outlet_events": defaultdict(SimpleNamespace)}


def _told(url: str, what: str) -> Any:
    with urlopen(f"{url}/sandbox/whatsapp/{what}") as answer:
        return json.load(answer)


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


@contextmanager
def _serving() -> Iterator[str]:
    """Serve a WhatsApp Business API client in a process of its own for as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.checks", "serve"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def _serve() -> None:
    from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World

    behaviour = WhatsAppBehaviour(sender=SENDER, token=TOKEN, processing_share=0.1, rate_limit=ALLOWED_A_SECOND)
    with Sandbox(World(), now=datetime.now(UTC), rate=1.0, whatsapp=behaviour) as sandbox:
        print(sandbox.url, flush=True)
        sys.stdin.read()


def _in_a_process(url: str, store: dict[str, Any], rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.checks", url, json.dumps(store), str(rows)]
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, "figures.json")
        own = {"AIRFLOW_HOME": home, "AIRFLOW__CORE__UNIT_TEST_MODE": "True", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        subprocess.run([*command, path], cwd=ROOT, env=os.environ | own, stdout=subprocess.DEVNULL, check=True)
        took: dict[str, Any] = json.loads(path.read_text())
        return took


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        Path(sys.argv[4]).write_text(json.dumps(measure(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))))
