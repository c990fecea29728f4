"""
Erasing one contact beside many, and beside rejects, while four workers load contacts into PostgreSQL.

Most rows are made in the database by ``generate_series``. The workers are processes; each loads windows of its own
account again and again, and the contact that is erased is in each of them. What a transaction waited for a lock is
sampled from the server, and the longest landing is the workers' own. Afterwards every window, the files and a callback
come again, and the contact is searched for in all tables.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.files import ExtractionWriter
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.pipelines.erasure import People, erase_people
from airflow_provider_wacontacts.pipelines.import_files import ImportSpec, import_files
from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.records.turn import parse_page
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.erasure import find
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["QUIET_S", "SETTINGS", "WORKERS", "run", "watched", "workers"]

SETTINGS = {"fsync": "on", "synchronous_commit": "on", "shared_buffers": "512MB", "max_wal_size": "8GB"}
WORKERS = 4
BATCH = 1_000
REJECTS = 300_000
QUIET_S = 20
WINDOW = Window(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
#: A number that nobody has: 999 is no country code.
BOB = "99900000077"
FILL = (
    "INSERT INTO wacontacts_account (account_id, source, account) VALUES (1000, 'turn', 'large')",
    """
    INSERT INTO wacontacts_contact_version
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
    SELECT n, 1000, '2026-01-01', '2026-01-01', '2026-01-01', 'contact-' || n, decode(md5(n::text), 'hex')
    FROM generate_series(1, :rows) n
    """,
    """
    INSERT INTO wacontacts_contact_payload (version_id, account_id, repaired, state, wa_id, payload)
    SELECT n, 1000, false, 'present', '999' || lpad(n::text, 8, '0'), jsonb_build_object(
        'uuid', 'contact-' || n, 'details', jsonb_build_object(
            'whatsapp_id', '999' || lpad(n::text, 8, '0'), 'notes', repeat('Prefers voice notes. ', 10)
        )
    )
    FROM generate_series(1, :rows) n
    """,
    """
    INSERT INTO wacontacts_contact_current
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, wa_id)
    SELECT version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash,
        '999' || lpad(version_id::text, 8, '0')
    FROM wacontacts_contact_version
    """,
    """
    INSERT INTO wacontacts_rejected_row (extraction_id, reason, body)
    SELECT gen_random_uuid(), 'no updated_at', convert_to(
        '{"uuid":"' || gen_random_uuid() || '","details":{"whatsapp_id":"999' || lpad(n::text, 8, '0') || '","notes":"'
        || repeat('Called at 10.30 on 2026-01-05. ', 20) || '"}}', 'UTF8'
    )
    FROM generate_series(1, :rejects) n
    """,
)
WAITS = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - w.waitstart)), 0)
FROM pg_locks w JOIN pg_stat_activity a ON a.pid = w.pid
WHERE NOT w.granted AND w.waitstart IS NOT NULL AND a.application_name LIKE 'worker%'
"""
COLUMNS = "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'wacontacts%' AND table_type = :kind"


def run(rows: int, rejects: int = REJECTS) -> dict[str, Any]:
    """Fill a store, let workers load, erase a contact, and return the figures."""
    with PostgresServer(SETTINGS) as server, tempfile.TemporaryDirectory() as folder:
        engine = create_engine(server.url())
        store = Store(engine)
        store.prepare()
        _fill(engine, rows, rejects)
        root = _write_files(Path(folder))
        with workers(server.url(), WORKERS) as landings:
            before = watched(engine, landings, lambda: time.sleep(QUIET_S))
            people = People(frozenset({Identifier(Kind.WA_ID, BOB)}))
            during = watched(engine, landings, lambda: erase_people(people, store=store, roots=[root]))
        _bring_back(engine, store, root)
        left = _left(engine) + sum(map(len, _keys(store)))
        engine.dispose()
    figures = {"rows": rows, "rejects": rejects, "workers": WORKERS, "left": left, "before": before, "during": during}
    show(
        f"Erasing one of {rows:,} contacts beside {rejects:,} rejects and {WORKERS} workers",
        ("", "seconds", "landings", "longest landing, s", "longest wait for a lock, s"),
        [(name, *figures[name].values()) for name in ("before", "during")],
        notes=[f"Rows of the contact afterwards, with every window, file and callback again: {left}."],
    )
    return figures


def _fill(engine: Engine, rows: int, rejects: int) -> None:
    with engine.begin() as connection:
        for statement in FILL:
            sizes = {"rows": rows, "rejects": rejects}
            given = {name: size for name, size in sizes.items() if f":{name})" in statement}
            connection.execute(text(statement), given)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _write_files(root: Path) -> Path:
    page = parse_page(_body(0, 200))
    own = {"source": "turn", "account": "files", "window": WINDOW, "package_version": "1"}
    with ExtractionWriter(root, task=TaskInstanceKey("dag", "run", "files"), **own) as extraction:
        extraction.write(page)
        extraction.finish(extracted_at=WINDOW.end, finished_at=WINDOW.end, lossy=False)
    return root


def _body(start: int, count: int) -> bytes:
    """Make a page of contacts, with the one that is erased among them."""
    people = [BOB, *(f"999{start + n:08}" for n in range(count))]
    contacts = [
        {"uuid": f"contact-{wa_id}", "updated_at": "2026-01-05T12:00:00Z", "details": {"whatsapp_id": wa_id}}
        for wa_id in people
    ]
    return json.dumps({"data": contacts}).encode()


@contextmanager
def workers(url: str, count: int) -> Iterator[Any]:
    """Let processes load contacts; gives a queue of the seconds of each landing."""
    context = multiprocessing.get_context("spawn")
    landings, stop = context.Queue(), context.Event()
    processes = [context.Process(target=_land, args=(url, n, landings, stop), daemon=True) for n in range(count)]
    for process in processes:
        process.start()
    for _ in processes:
        landings.get()
    try:
        yield landings
    finally:
        stop.set()
        for process in processes:
            process.join(60)


def _land(url: str, number: int, landings: Any, stop: Any) -> None:
    engine = create_engine(url, connect_args={"application_name": f"worker {number}"})
    store, turn = Store(engine), 0
    while not stop.is_set():
        records, _ = parse_page(_body(50_000_000 + number * 1_000_000 + turn % 100 * BATCH, BATCH)).records()
        begun = time.perf_counter()
        _load(store, f"worker {number}", f"run {turn}", records)
        landings.put(time.perf_counter() - begun)
        turn += 1
    engine.dispose()


def _load(store: Store, account: str, run_id: str, records: Any) -> None:
    extraction = store.begin(
        source="turn",
        account=account,
        window=WINDOW,
        task=TaskInstanceKey("dag", run_id, account),
        options_digest="",
        package_version="1",
    )
    reject = Reject("no uuid", json.dumps({"phone": BOB}).encode())
    extraction.write(records, [reject], position=None, pages=1, size=1, extracted_at=WINDOW.end + timedelta(minutes=5))
    extraction.finish()


def watched(engine: Engine, landings: Any, work: Any) -> dict[str, Any]:
    """Do work while landings are counted, and waits for locks sampled."""
    while not landings.empty():
        landings.get()
    longest, done = [0.0], Event()

    def sample() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not done.wait(0.01):
                longest.append(float(connection.execute(text(WAITS)).scalar_one()))

    sampler = Thread(target=sample)
    sampler.start()
    begun = time.perf_counter()
    try:
        work()
    finally:
        took = time.perf_counter() - begun
        # A landing that began meanwhile counts, too.
        time.sleep(2)
        done.set()
        sampler.join()
    times = [landings.get() for _ in range(landings.qsize())]
    return {"s": took, "landings": len(times), "longest_landing_s": max(times), "longest_wait_s": max(longest)}


def _bring_back(engine: Engine, store: Store, root: Path) -> None:
    for number in range(WORKERS):
        records, _ = parse_page(_body(50_000_000 + number * 1_000_000, BATCH)).records()
        _load(store, f"worker {number}", "again", records)
    import_files(ImportSpec(TaskInstanceKey("dag", "again", "import"), "1"), root=root, store=store)
    result = {"input": f"+{BOB}", "status": "valid", "wa_id": BOB}
    record_callback(engine, "+12015550100", json.dumps({"contacts": [result]}))


def _keys(store: Store) -> list[list[Any]]:
    found = find(store.context, {Identifier(Kind.WA_ID, BOB)})[1]
    return [found.contacts, found.numbers, found.results, found.keyed, found.identities, found.rejects]


def _left(engine: Engine) -> int:
    """Count the rows of all tables in which the contact's digits occur."""
    with engine.connect() as connection:
        names = connection.execute(text(COLUMNS), {"kind": "BASE TABLE"}).scalars().all()
        counts = [
            connection.execute(
                text(f"SELECT count(*) FROM {name} t WHERE CAST(t AS text) LIKE :bob OR CAST(t AS text) LIKE :hex"),
                {"bob": f"%{BOB}%", "hex": f"%{BOB.encode().hex()}%"},
            ).scalar_one()
            for name in names
        ]
    return int(sum(counts))
