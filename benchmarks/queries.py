"""
The queries of the documentation, as its pages show them, on a store of a million people in PostgreSQL.

The store is that of ``directory.py``, and its change log. A plan that scans a large table for a query that has no need
of it is an error. CPU is that of the one process of the server that does the work: on an idle machine, the time is not
much longer. Times depend on the machine, so each is also given by a scan of the payloads, made in the same run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.directory_copy import refresh_directory
from benchmarks.directory import SETTINGS, fill
from benchmarks.landing_postgres import cpu_of
from benchmarks.tables import show
from demo.postgres import PostgresServer
from tests.docs.pages import query_under

__all__ = ["run", "timed"]

CHANGES = """
INSERT INTO wacontacts_change_log (account_id, version_id, change_kind)
SELECT account_id, version_id, CASE WHEN account_id = 1 THEN 'changed' ELSE 'new' END
FROM wacontacts_contact_version ORDER BY version_id
"""
#: What the pages' queries say, and what the store has instead.
INSTEAD = {"turn_default": "main", "2022-09-13": "2026-01-05", "2022-09-14": "2026-01-06", "44623456700": "99900095028"}
YARDSTICK = "SELECT count(*), max(length(payload::text)) FROM wacontacts_contact_payload"
LARGE = re.compile(r"Seq Scan on wacontacts_(contact_\w+|change_log|number|directory_copy)")
ONE = "source = 'turn' AND account = 'main' AND contact_id = 'contact-12'"
PERSON = "99900095028"
RECENT = "updated_at >= timestamptz '2026-01-01' + {rows} * interval '1 second' + interval '2 days' - interval '1 hour'"


class Query(NamedTuple):
    """
    A query.

    :param before: seconds that it took before this layout of the tables, on another machine; ``None`` if unknown.
    :param scans: whether it needs every row of a large table.
    """

    title: str
    sql: str
    before: float | None = None
    scans: bool = False


def _documented(page: str, heading: str) -> str:
    sql = query_under(page, heading).rstrip().rstrip(";")
    for there, here in INSTEAD.items():
        sql = sql.replace(there, here)
    return sql


def _count(sql: str, column: str = "name") -> str:
    """Return a query that computes all rows, and sends their number alone."""
    return f"SELECT count(*), count({column}) FROM ({sql}) found"


def _queries(rows: int) -> Iterator[Query]:
    yield Query("current contacts, all", _count(_documented("queries.md", "Current contacts")), scans=True)
    yield Query("history as of a date, all", _count(_documented("queries.md", "As of a date")), 3.6, scans=True)
    yield Query("history of one contact", f"SELECT * FROM wacontacts_history WHERE {ONE}")
    yield Query("history of one wa_id", f"SELECT * FROM wacontacts_history WHERE wa_id = '{PERSON}'", 3.273)
    yield Query("current, one wa_id", f"SELECT * FROM wacontacts_current WHERE wa_id = '{PERSON}'", 0.482)
    yield Query("what changed on a day", _count(_documented("queries.md", "What changed yesterday"), "became"), 4.5)
    yield Query("changed since an hour", f"SELECT * FROM wacontacts_version WHERE {RECENT.format(rows=rows)}", 0.461)
    follow = _documented("store.md", "wacontacts_change")
    yield Query("change log, the next 10,000", follow.replace("change_id > 0", f"change_id > {rows}"))
    yield Query("directory, one person", _documented("queries.md", "One person over all sources"), 0.005)
    by_number = f"(SELECT person_key FROM wacontacts_number WHERE number = '+{PERSON}' LIMIT 1)"
    yield Query("directory, one number", f"SELECT * FROM wacontacts_directory WHERE person_key = {by_number}")
    yield Query("directory, first page", "SELECT * FROM wacontacts_directory ORDER BY person_key LIMIT 100", 0.012)
    for name in ("directory", "directory_copy"):
        is_view, counted = name == "directory", f"SELECT count(*) FROM wacontacts_{name} WHERE"
        yield Query(f"{name}, count by status", f"{counted} status = 'valid'", 49.0 if is_view else None, scans=True)
        yield Query(f"{name}, count by name", f"{counted} name = 'Name 7'", 59.0 if is_view else None, scans=True)
    must_not = _documented("queries.md", "Contacts that you must not message")
    yield Query("directory, must not message", _count(must_not), 52.0, scans=True)
    yield Query("directory_copy, one wa_id", f"SELECT * FROM wacontacts_directory_copy WHERE wa_id = '{PERSON}'")
    yield Query("directory_copy, one number", f"SELECT * FROM wacontacts_directory_copy WHERE number = '+{PERSON}'")


def run(rows: int, runs: int) -> dict[str, Any]:
    """Fill a store, ask, print the table, and return the figures."""
    with PostgresServer(SETTINGS) as server:
        engine = create_engine(server.url())
        store = Store(engine)
        store.prepare()
        with engine.connect() as connection:
            fill(connection, rows, CHANGES)
        begun = time.perf_counter()
        refresh_directory(store.context)
        refresh_s = time.perf_counter() - begun
        with engine.connect() as connection:
            figures = measure(connection, rows, runs)
        engine.dispose()
    print(f"  Filling the directory's copy took {refresh_s:.1f} s.")
    return {"rows": rows, "runs": runs, "refresh_s": refresh_s, **figures}


def measure(connection: Connection, rows: int, runs: int) -> dict[str, Any]:
    """
    Ask a store that is filled, print the table, and return the figures.

    :raises RuntimeError: a plan scans a large table for a query that does not need it.
    """
    for setting in ("jit = off", "max_parallel_workers_per_gather = 0"):
        connection.execute(text(f"SET {setting}"))
    yardstick = timed(connection, YARDSTICK, runs)
    figures = {query.title: _asked(connection, query, runs) for query in _queries(rows)}
    show(
        f"The documented queries on {rows:,} people in PostgreSQL, {runs} runs",
        ("", "ms, before", "ms, least", "ms of CPU", "CPU, by a scan of payloads"),
        [
            (title, one["before_ms"], one["least_ms"], one["cpu_ms"], one["cpu_ms"] / yardstick["cpu_ms"])
            for title, one in figures.items()
        ],
        notes=[
            f"The scan of payloads takes {yardstick['cpu_ms']:,.0f} ms of CPU here.",
            "'Before' was measured on another machine, with 1,000,000 versions of 500,000 contacts or people.",
        ],
    )
    if unexpected := {title: one["scanned"] for title, one in figures.items() if one["scanned"] and not one["scans"]}:
        raise RuntimeError(f"these queries scan large tables without need: {unexpected}")
    return {"yardstick": yardstick, "queries": figures}


def _asked(connection: Connection, query: Query, runs: int) -> dict[str, Any]:
    plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {query.sql}".replace("%", "%%")).scalars())
    before_ms = query.before and query.before * 1_000
    took = timed(connection, query.sql, runs)
    return {"before_ms": before_ms, **took, "scans": query.scans, "scanned": sorted(set(LARGE.findall(plan)))}


def timed(connection: Connection, sql: str, runs: int) -> dict[str, float]:
    """Ask until the runs are over, or a minute has passed."""
    backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    took: list[float] = []
    cpu = cpu_of(backend)
    while len(took) < runs and sum(took) < 60:
        begun = time.perf_counter()
        connection.exec_driver_sql(sql.replace("%", "%%")).all()
        took.append(time.perf_counter() - begun)
    return {"least_ms": 1_000 * min(took), "cpu_ms": 1_000 * (cpu_of(backend) - cpu) / len(took)}
