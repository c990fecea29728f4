"""
The store in PostgreSQL, plain and partitioned by account: load, vacuum, query, and remove an account.

The tables of contacts have the account first in every key, so that they can be partitioned by a list of accounts and
the package works on them unchanged. The rows are made in the database by ``generate_series``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import parse_record
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["run"]

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB", "maintenance_work_mem": "256MB"}
ACCOUNTS = 20
LANDED = 10_000
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
TABLES = tuple(f"wacontacts_contact_{name}" for name in ("version", "payload", "current"))
FILL = (
    """
    INSERT INTO wacontacts_contact_version
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
    SELECT :first + n, :account, '2026-01-01', '2026-01-01', '2026-01-01', 'contact-' || n, decode(md5(n::text), 'hex')
    FROM generate_series(1, :rows) n
    """,
    """
    INSERT INTO wacontacts_contact_payload (version_id, account_id, repaired, state, wa_id, payload)
    SELECT :first + n, :account, false, 'present', '999' || lpad(n::text, 8, '0'), jsonb_build_object(
        'uuid', 'contact-' || n, 'details', jsonb_build_object('notes', repeat(md5(n::text), 8))
    )
    FROM generate_series(1, :rows) n
    """,
    """
    INSERT INTO wacontacts_contact_current
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, wa_id)
    SELECT v.version_id, v.account_id, v.updated_at, v.first_seen_at, v.last_seen_at, v.contact_id, v.row_hash, p.wa_id
    FROM wacontacts_contact_version v
    JOIN wacontacts_contact_payload p ON p.account_id = v.account_id AND p.version_id = v.version_id
    WHERE v.account_id = :account
    """,
)
QUERIES = {
    "one contact's history": (
        "SELECT * FROM wacontacts_history WHERE account = 'account 7' AND contact_id = 'contact-99'"
    ),
    "a WhatsApp ID": "SELECT * FROM wacontacts_current WHERE wa_id = '99900000099'",
    "count of an account": "SELECT count(*) FROM wacontacts_current WHERE account = 'account 7'",
}


NAME = re.compile(r"(wacontacts_contact_(?:version|payload|current))\b")
CREATE = re.compile(r"CREATE TABLE \S*wacontacts_contact_(version|payload|current) \(")

#: With storage parameters, which a partitioned table has not.
END = re.compile(r"\)(\s*WITH \([^)]*\))?\s*$")


def run(contacts: int) -> dict[str, Any]:
    """Measure both, and return seconds by layout."""
    figures = {name: _measure(contacts, partitioned=name == "partitioned") for name in ("plain", "partitioned")}
    rows = [[name, *(figures[layout][name] for layout in figures)] for name in figures["plain"]]
    show(f"{contacts:,} contacts in {ACCOUNTS} accounts, in PostgreSQL (s)", ("", *figures), rows)
    return figures


def _measure(contacts: int, *, partitioned: bool) -> dict[str, float]:
    with PostgresServer(SETTINGS) as server:
        engine = create_engine(server.url())
        if partitioned:
            event.listen(engine, "before_cursor_execute", _partition, retval=True)
        Store(engine).prepare()
        each = contacts // ACCOUNTS
        figures = {"load": _timed(lambda: [_fill(engine, number, each, own=partitioned) for number in range(ACCOUNTS)])}
        if partitioned:
            figures["of it, attach"] = _timed(lambda: _attach(engine, range(ACCOUNTS)))
        else:
            figures["of it, attach"] = 0.0
        figures["vacuum all"] = _timed(lambda: _alone(engine, *(f"VACUUM ANALYZE {name}" for name in TABLES)))
        figures["vacuum one account"] = _timed(
            lambda: _alone(engine, *(f"VACUUM {_part(name, 7) if partitioned else name}" for name in TABLES))
        )
        for name, query in QUERIES.items():
            figures[name] = min(_timed(lambda query=query: _rows(engine, query)) for _ in range(3))
        figures[f"land {LANDED:,}"] = _timed(lambda: _land(Store(engine)))
        figures["remove one account"] = _timed(lambda: _remove(engine, 3, partitioned=partitioned))
        engine.dispose()
    return figures


def _partition(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
    """Partition the tables of contacts as they are created, as an edited dump of the schema does."""
    if CREATE.search(statement):
        statement = END.sub(") PARTITION BY LIST (account_id)", statement)
    return statement, parameters


def _fill(engine: Engine, number: int, rows: int, *, own: bool) -> None:
    """Load an account: in a partitioned store, into tables that are attached afterwards."""
    account = 1_000 + number
    given = {"account": account, "rows": rows, "first": (number + 1) << 32}
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO wacontacts_account (account_id, source, account) VALUES (:id, 'turn', :name)"),
            {"id": account, "name": f"account {number}"},
        )
        for name in TABLES if own else ():
            connection.execute(text(f"CREATE TABLE {_part(name, number)} (LIKE {name} INCLUDING ALL)"))
        for statement in FILL:
            own_table = rf"\1_{number}" if own else r"\1"
            connection.execute(text(NAME.sub(own_table, statement)), given)


def _attach(engine: Engine, numbers: Iterable[int]) -> None:
    with engine.begin() as connection:
        for name in TABLES:
            for number in numbers:
                connection.execute(
                    text(f"ALTER TABLE {name} ATTACH PARTITION {_part(name, number)} FOR VALUES IN ({1_000 + number})")
                )
            connection.execute(text(f"CREATE TABLE {name}_others PARTITION OF {name} DEFAULT"))


def _land(store: Store) -> None:
    """Load new contacts into an account of the store."""
    named = {"source": "turn", "account": "account 7", "task": TaskInstanceKey("dag", "run", "task"), "uri": "x:"}
    extraction = store.begin(
        window=Window(MONDAY, MONDAY + timedelta(days=1)), options_digest="", package_version="0", **named
    )
    contacts = ({"uuid": f"new-{n}", "updated_at": MONDAY.isoformat(), "details": {}} for n in range(LANDED))
    records = [parse_record(json.dumps(contact).encode()) for contact in contacts]
    extraction.write(records, position=None, pages=1, size=1, extracted_at=MONDAY)
    extraction.finish()


def _remove(engine: Engine, number: int, *, partitioned: bool) -> None:
    if partitioned:
        _alone(engine, *(f"DROP TABLE {_part(name, number)}" for name in TABLES))
    else:
        _alone(engine, *(f"DELETE FROM {name} WHERE account_id = {1_000 + number}" for name in TABLES))
        _alone(engine, *(f"VACUUM {name}" for name in TABLES))


def _part(table: str, number: int) -> str:
    return f"{table}_{number}"


def _alone(engine: Engine, *statements: str) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
