"""
Landing into PostgreSQL, beside the least that could be done with the same rows.

The least is one COPY into a temporary table and one ``INSERT ... ON CONFLICT DO UPDATE`` from it into one plain wide
table, all in one transaction: no history, no ledger, no guard. Ours is the whole landing as the operator does it, in
batches, each committed with its position. Both get the same records, and the server is as durable as by default.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, Engine

from airflow_provider_wacontacts.records.json import canonical
from airflow_provider_wacontacts.records.record import Record, row_hash
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from benchmarks.contacts import WINDOW, contact
from demo.postgres import PostgresServer

__all__ = ["BATCH", "COLUMNS", "cpu_of", "record", "run", "upsert_plain"]

ROWS = 200_000
RUNS = 5
BATCH = 5_000
SETTINGS = {
    "autovacuum": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "max_wal_size": "8GB",
    "shared_buffers": "512MB",
    "synchronous_commit": "on",
}
PLAIN = "contact_id, updated_at, row_hash, wa_id, seen_at, payload"
COLUMNS = "contact_id text, updated_at timestamptz, row_hash bytea, wa_id text, seen_at timestamptz, payload jsonb"


@dataclass(frozen=True, slots=True)
class Took:
    """What one piece of work took: seconds on the wall, of CPU here, and of CPU in the server's backend."""

    wall_s: float
    cpu_s: float
    server_cpu_s: float


def run(rows: int = ROWS, runs: int = RUNS, driver: str = "psycopg2") -> dict[str, Any]:
    """
    Measure, several times, on a server of our own.

    :param driver: ``psycopg2`` or ``psycopg``.
    :returns: medians in seconds, the medians of the ratios within each run, and how the tables grew on the re-pull.
    """
    records = list(_records(rows))
    with PostgresServer(SETTINGS) as server:
        _turn(server.url(driver=driver), records[: rows // 20], plain_first=True)
        turns = [_turn(server.url(driver=driver), records, plain_first=bool(n % 2)) for n in range(runs)]
    first, last = turns[0], ("first_load", "re_pull")
    return {
        "rows": rows,
        "payload_bytes": sum(len(record.payload) for record in records) // rows,
        "runs": runs,
        "driver": driver,
        **{
            f"{who}_{when}": _medians([turn[who][when] for turn in turns]) for who in ("plain", "ours") for when in last
        },
        **{
            f"{what}_ratio_{when}": round(median(_ratio(turn, when, what) for turn in turns), 2)
            for what in ("wall_s", "server_cpu_s")
            for when in last
        },
        **{f"{who}_growth_on_re_pull": round(first[who]["growth"], 3) for who in ("plain", "ours")},
        **{f"{who}_mb": round(first[who]["bytes"] / 1e6, 1) for who in ("plain", "ours")},
        "hashing_s": round(median(turn["hashing"] for turn in turns), 3),
        "wall_s_ratio_first_load_with_hashing": round(median(_with_hashing(turn) for turn in turns), 2),
    }


def _records(rows: int) -> Iterator[Record]:
    step = (WINDOW[1] - WINDOW[0]) / rows
    return (record(number, WINDOW[0] + number * step) for number in range(rows))


def record(number: int, updated_at: datetime) -> Record:
    """Make up a contact, as the client hands it over."""
    one = contact(number, updated_at)
    payload = canonical(json.dumps(one).encode())
    return Record(one["uuid"], updated_at, row_hash(payload), payload, one["details"]["whatsapp_id"])


def _turn(url: str, records: Sequence[Record], *, plain_first: bool) -> dict[str, Any]:
    engine = create_engine(url)
    contenders: list[tuple[str, Callable[[Engine, Sequence[Record], datetime], None], str]] = [
        ("plain", upsert_plain, "plain"),
        ("ours", _ours, "wacontacts"),
    ]
    turn = {
        name: _work(engine, land, prefix, records) for name, land, prefix in contenders[:: 1 if plain_first else -1]
    }
    engine.dispose()
    clock = time.perf_counter()
    for record in records:
        row_hash(canonical(record.payload))
    return {**turn, "hashing": time.perf_counter() - clock}


def _work(engine: Engine, land: Callable[..., None], prefix: str, records: Sequence[Record]) -> dict[str, Any]:
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
        connection.execute(text(f"CREATE TABLE plain ({COLUMNS}, PRIMARY KEY (contact_id))"))
    Store(engine).prepare()
    settle = WINDOW[1] + timedelta(minutes=5)
    first = _timed(engine, lambda: land(engine, records, settle))
    before = _bytes(engine, prefix)
    again = _timed(engine, lambda: land(engine, records, settle + timedelta(days=1)))
    after = _bytes(engine, prefix)
    return {"first_load": first, "re_pull": again, "bytes": before, "growth": after / before}


def _ours(engine: Engine, records: Sequence[Record], extracted_at: datetime) -> None:
    store = Store(engine)
    store.prepare()
    extraction = store.begin(
        source="turn",
        account="example",
        window=Window(*WINDOW),
        task=TaskInstanceKey("bench", extracted_at.isoformat(), "pull"),
        options_digest="",
        package_version="0",
    )
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        extraction.write(
            batch,
            position=batch[-1].updated_at,
            pages=BATCH // 1_000,
            size=0,
            extracted_at=extracted_at,
            number_ids={"1"},
        )
    extraction.finish()


def upsert_plain(engine: Engine, records: Sequence[Record], extracted_at: datetime) -> None:
    """Load contacts into the plain table, where the latest version of each is kept."""
    seen_at = extracted_at.isoformat()
    lines = "".join(
        f"{r.contact_id}\t{r.updated_at.isoformat()}\t\\\\x{r.row_hash.hex()}\t{r.wa_id}\t{seen_at}\t"
        + r.payload.decode().replace("\\", "\\\\")
        + "\n"
        for r in records
    ).encode()
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TEMPORARY TABLE given ({COLUMNS}) ON COMMIT DROP"))
        _copy(connection, f"COPY given ({PLAIN}) FROM STDIN", lines)
        connection.execute(
            text(
                f"INSERT INTO plain ({PLAIN}) SELECT {PLAIN} FROM given ON CONFLICT (contact_id) DO UPDATE "
                "SET updated_at = excluded.updated_at, row_hash = excluded.row_hash, wa_id = excluded.wa_id, "
                "seen_at = excluded.seen_at, payload = excluded.payload"
            )
        )


def _copy(connection: Connection, sql: str, lines: bytes) -> None:
    cursor: Any = connection.connection.cursor()
    if hasattr(cursor, "copy_expert"):
        cursor.copy_expert(sql, BytesIO(lines))
        return
    with cursor.copy(sql) as copy:
        copy.write(lines)


def _timed(engine: Engine, work: Callable[[], None]) -> Took:
    with engine.connect() as connection:
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    server, here, clock = cpu_of(backend), time.process_time(), time.perf_counter()
    work()
    return Took(time.perf_counter() - clock, time.process_time() - here, cpu_of(backend) - server)


def cpu_of(process: Any) -> float:
    """Seconds of CPU of another process; the pool hands out the one backend again and again."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _bytes(engine: Engine, prefix: str) -> int:
    sizes = text(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname LIKE :prefix || '%'"
    )
    with engine.connect() as connection:
        return int(connection.execute(sizes, {"prefix": prefix}).scalar() or 0)


def _medians(all_took: Sequence[Took]) -> dict[str, float]:
    return {name: round(median(getattr(took, name) for took in all_took), 3) for name in asdict(all_took[0])}


def _ratio(turn: dict[str, dict[str, Any]], when: str, what: str) -> float:
    return float(getattr(turn["ours"][when], what) / getattr(turn["plain"][when], what))


def _with_hashing(turn: dict[str, Any]) -> float:
    """Return the ratio of the first load where ours has to bring each contact into canonical form and hash it, too."""
    ours, plain = (turn[who]["first_load"].wall_s for who in ("ours", "plain"))
    return float((ours + turn["hashing"]) / plain)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--driver", choices=("psycopg2", "psycopg"), default="psycopg2")
    print(json.dumps(run(**vars(options.parse_args())), indent=2))


if __name__ == "__main__":
    main()
