"""
`wacontacts receiver` with PostgreSQL: 100 deliveries a second, bodies of 1,000 results, and a store that is down.

In the end, the store must have each delivery once.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from benchmarks.tables import show
from demo.postgres import PostgresServer
from tests.receiver.load import Outcome, bodies_of, deliver_all, differences, large_body

__all__ = ["run"]

PER_SECOND = 100
WARM_UP_S = 2
SECRET = "example-secret-of-the-webhook"
CONN_ID = "whatsapp_business_default"
LARGE = 20
#: How long clients deliver before and after the store is down.
AROUND_OUTAGE_S = 5


def run(seconds: int, outage_s: int) -> dict[str, Any]:
    """
    Deliver for some seconds, then large bodies one by one, then while the store is down.

    :raises RuntimeError: the store lacks a delivery, or has one twice.
    """
    with PostgresServer() as server, _receiving(server.url()) as (url, process):
        small = bodies_of((WARM_UP_S + seconds + outage_s + 2 * AROUND_OUTAGE_S) * PER_SECOND)
        first, last = WARM_UP_S * PER_SECOND, (WARM_UP_S + seconds) * PER_SECOND
        asyncio.run(_deliver(url, small[:first]))
        before = _cpu_s(process)
        steady = asyncio.run(_deliver(url, small[first:last]))
        cpu = (_cpu_s(process) - before) / seconds
        large_bodies = [large_body(len(small) + number * 1_000) for number in range(LARGE)]
        large = asyncio.run(_deliver(url, large_bodies, per_second=1))
        outage = asyncio.run(_with_outage(server, url, small[last:], outage_s))
        _require_all(server.url(), [*small, *large_bodies])
    figures = {
        "deliveries": len(steady.milliseconds),
        "median_ms": steady.percentile(0.5),
        "p99_ms": steady.percentile(0.99),
        "slowest_ms": max(steady.milliseconds),
        "cpu_share": cpu,
        "large_median_ms": large.percentile(0.5),
        "large_slowest_ms": max(large.milliseconds),
        "outage_deliveries": len(outage.milliseconds),
        "outage_refused": outage.statuses[503],
        "outage_limited": outage.statuses[429],
        "outage_unanswered": outage.statuses[0],
    }
    table = [[name, value] for name, value in figures.items()]
    show(f"The receiver: {PER_SECOND} deliveries a second", ["figure", "value"], table)
    return figures


@contextmanager
def _receiving(store: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    parts = make_url(store)
    fields = {"host": parts.host, "port": parts.port, "schema": parts.database, "login": parts.username}
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {
            "AIRFLOW_HOME": home,
            "AIRFLOW_CONN_WACONTACTS_STORE": json.dumps({"conn_type": "wacontacts_store", **fields}),
            "AIRFLOW_CONN_WHATSAPP_BUSINESS_DEFAULT": json.dumps(
                {"conn_type": "whatsapp_business", "extra": {"sender": "+12015550100", "webhook_secret": SECRET}}
            ),
        }
        command = [sys.executable, "-m", "airflow_provider_wacontacts.cli", "receiver", "--port", "0"]
        log = open(f"{home}/log", "w")  # noqa: SIM115, PTH123 - of the process
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stderr
        while "running on" not in (line := process.stderr.readline()):
            if process.poll() is not None:
                raise RuntimeError("the receiver did not start")
        forward = subprocess.Popen(["cat"], stdin=process.stderr, stdout=log)
        try:
            yield line.partition("running on ")[2].split()[0], process
        finally:
            process.terminate()
            process.wait()
            forward.wait()
            log.close()


async def _deliver(url: str, bodies: list[bytes], per_second: float = PER_SECOND) -> Outcome:
    return await deliver_all(f"{url}/{CONN_ID}", bodies, secret=SECRET, per_second=per_second)


async def _with_outage(server: PostgresServer, url: str, bodies: list[bytes], outage_s: int) -> Outcome:
    delivering = asyncio.create_task(_deliver(url, bodies))
    await asyncio.sleep(AROUND_OUTAGE_S)
    await asyncio.to_thread(server.crash)
    await asyncio.sleep(outage_s)
    await asyncio.to_thread(server.restart)
    return await delivering


def _require_all(url: str, bodies: list[bytes]) -> None:
    engine = create_engine(url)
    missing, surplus = differences(engine, bodies)
    engine.dispose()
    if missing or surplus:
        raise RuntimeError(f"the store lacks {missing} of the results and changes, and has {surplus} too many")


def _cpu_s(process: subprocess.Popen[str]) -> float:
    fields = open(f"/proc/{process.pid}/stat").read().rpartition(") ")[2].split()  # noqa: SIM115, PTH123
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
