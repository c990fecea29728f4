"""
What contacts take in PostgreSQL after a month of hourly windows, beside one plain table with the same upserts.

One contact in a hundred changes each day. Each window begins ten minutes before the end of the last one, so a sixth of
it is seen twice. VACUUM at the end of each day stands in for autovacuum, which has no month here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts.records.record import Record
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from benchmarks.contacts import WINDOW
from benchmarks.landing_postgres import BATCH, COLUMNS, record, upsert_plain
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["run"]

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB"}
DAYS, HOUR, CHANGED_A_DAY = 30, timedelta(hours=1), 0.01
LOOKBACK = 1 / 6
#: Of each relation: whether it is a table with its keys, or a further index.
SIZES = """
SELECT c.relname, coalesce(t.relname, c.relname) AS "table", i.indexrelid IS NULL OR i.indisunique AS is_own,
    CASE WHEN i.indexrelid IS NULL THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END AS bytes
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i')
"""
CONTACTS = tuple(f"wacontacts_contact_{name}" for name in ("version", "payload", "current"))


def run(contacts: int) -> dict[str, Any]:
    """Load a month, print the table, and return the sizes in MB."""
    with PostgresServer(SETTINGS) as server:
        engine = create_engine(server.url())
        with engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE plain ({COLUMNS}, PRIMARY KEY (contact_id))"))
        store = Store(engine)
        store.prepare()
        for window, records in _windows(contacts):
            _load(store, window, records)
            upsert_plain(engine, records, window.end)
            if window.end.hour == 0:
                _vacuum(engine)
        sizes, versions = _sizes(engine)
        engine.dispose()
    plain = sizes.pop("plain")
    rows = [(name, size, size / plain) for name, size in sizes.items()]
    show(
        f"{contacts:,} contacts in {versions:,} versions after a month of hourly windows, in PostgreSQL",
        ("", "MB", "by a plain table"),
        [("a plain table, latest versions only", plain, None), *rows],
        notes=[
            f"Versions, payloads and current take {1e6 * rows[0][1] / versions:,.0f} bytes for each version.",
            f"The plain table takes {1e6 * plain / contacts:,.0f} bytes for each contact.",
        ],
    )
    return {"contacts": contacts, "versions": versions, "plain_mb": plain, **sizes}


def _windows(contacts: int) -> Iterator[tuple[Window, Sequence[Record]]]:
    """Yield a first day with all contacts, and then the hours of a month with those that have changed."""
    first = Window(*WINDOW)
    yield first, [record(n, first.start + n * (first.end - first.start) / contacts) for n in range(contacts)]
    changed = max(1, int(contacts * CHANGED_A_DAY / 24))
    seen: list[Record] = []
    for hour in range(DAYS * 24):
        start = first.end + hour * HOUR
        numbers = ((hour * changed + n) * 7919 % contacts for n in range(changed))
        new = [record(number, start + n * HOUR / changed) for n, number in enumerate(numbers)]
        yield Window(start, start + HOUR), [*seen[-int(changed * LOOKBACK) :], *new]
        seen = new


def _load(store: Store, window: Window, records: Sequence[Record]) -> None:
    task = TaskInstanceKey("bench", window.start.isoformat(), "sync")
    given: dict[str, Any] = {"options_digest": "", "package_version": "0"}
    extraction = store.begin(source="turn", account="example", window=window, task=task, **given)
    settled = window.end + timedelta(minutes=5)
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        extraction.write(batch, position=None, pages=1, size=0, extracted_at=settled)
    extraction.finish()


def _vacuum(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _sizes(engine: Engine) -> tuple[dict[str, float], int]:
    with engine.connect() as connection:
        rows = connection.execute(text(SIZES)).all()
        versions = connection.execute(text("SELECT count(*) FROM wacontacts_contact_version")).scalar_one()
    groups = {
        "versions, payloads and current, with their keys": [r for r in rows if r.table in CONTACTS and r.is_own],
        "their indexes of identifiers and times": [r for r in rows if r.table in CONTACTS and not r.is_own],
        "the change log": [r for r in rows if r.table == "wacontacts_change_log"],
        "the sync ledger": [r for r in rows if r.table == "wacontacts_extraction"],
        "plain": [r for r in rows if r.table == "plain"],
    }
    return {name: sum(int(r.bytes) for r in found) / 1e6 for name, found in groups.items()}, versions
