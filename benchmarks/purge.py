"""
Purging a million rows of a store in PostgreSQL while four workers load contacts into it.

The rows are made in the database by ``generate_series``: superseded versions, rejected rows and results of checks. The
workers, and how their waits are measured, are those of the erasure.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts.records.retention import KINDS
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.purge import purge
from benchmarks.erasure import QUIET_S, SETTINGS, WORKERS, watched, workers
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["run"]

#: Shares of the rows; the rest are results of checks, a hundred each.
VERSIONS, REJECTS = 0.5, 0.3
FILL = (
    "INSERT INTO wacontacts_account (account_id, source, account) VALUES (1000, 'turn', 'large')",
    # Two versions of each contact, of which one is superseded.
    """
    INSERT INTO wacontacts_contact_version
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
    SELECT 2 * n + age, 1000, moment, moment, moment, 'contact-' || n, decode(md5((2 * n + age)::text), 'hex')
    FROM generate_series(1, :versions) n
    CROSS JOIN (VALUES (0, timestamptz '2020-01-01'), (1, timestamptz '2020-02-01')) ages (age, moment)
    """,
    """
    INSERT INTO wacontacts_contact_payload (version_id, account_id, repaired, state, wa_id, payload)
    SELECT version_id, 1000, false, 'present', '999' || lpad((version_id / 2)::text, 8, '0'), jsonb_build_object(
        'uuid', contact_id, 'details', jsonb_build_object('notes', repeat('Prefers voice notes. ', 10))
    )
    FROM wacontacts_contact_version
    """,
    """
    INSERT INTO wacontacts_contact_current
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, wa_id)
    SELECT version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash,
        '999' || lpad((version_id / 2)::text, 8, '0')
    FROM wacontacts_contact_version WHERE version_id % 2 = 1
    """,
    """
    INSERT INTO wacontacts_rejected_row (extraction_id, reason, body, received_at)
    SELECT gen_random_uuid(), 'no updated_at', convert_to(repeat('Called at 10.30. ', 30), 'UTF8'), '2020-01-01'
    FROM generate_series(1, :rejects) n
    """,
    """
    INSERT INTO wacontacts_check (
        check_id, sender, state, created_at, opened_at, fresh_after, force_check, dag_id, run_id, task_id, map_index,
        options_digest, package_version
    )
    SELECT md5(n::text)::uuid, '+12015550100', 'resolved', '2020-01-01', '2020-01-01', '2020-01-01', false, 'dag',
        'run ' || n, 'task', -1, '', '1'
    FROM generate_series(1, :results / 100) n
    """,
    """
    INSERT INTO wacontacts_check_result (check_id, ordinal, input, number, status)
    SELECT check_id, n, '+1201555' || lpad(n::text, 4, '0'), '+1201555' || lpad(n::text, 4, '0'), 'valid'
    FROM wacontacts_check CROSS JOIN generate_series(0, 99) n
    """,
)


def run(rows: int) -> dict[str, Any]:
    """Fill a store, let workers load, purge, and return the figures."""
    with PostgresServer(SETTINGS) as server:
        engine = create_engine(server.url())
        store = Store(engine)
        store.prepare()
        _fill(engine, rows)
        with workers(server.url(), WORKERS) as landings:
            before = watched(engine, landings, lambda: time.sleep(QUIET_S))
            purged: list[int] = []
            during = watched(engine, landings, lambda: purged.extend(purge(store.context, timedelta(days=365), KINDS)))
        engine.dispose()
    figures = {"rows": sum(purged), "workers": WORKERS, "before": before, "during": during}
    show(
        f"Purging {figures['rows']:,} rows beside {WORKERS} workers",
        ("", "seconds", "landings", "longest landing, s", "longest wait for a lock, s"),
        [("before", *before.values()), ("during", *during.values())],
    )
    return figures


def _fill(engine: Engine, rows: int) -> None:
    versions, rejects = int(rows * VERSIONS), int(rows * REJECTS)
    sizes = {"versions": versions, "rejects": rejects, "results": rows - versions - rejects}
    with engine.begin() as connection:
        for statement in FILL:
            given = {name: size for name, size in sizes.items() if f":{name}" in statement}
            connection.execute(text(statement), given)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
