"""
One row for each WhatsApp ID over all feeds, requested by its ID and page by page, in a store of a million people.

The store is made in the database by ``generate_series``: every person is in Turn.io, some in a second account; half of
them are in a GREEN-API address book, and half were checked. A fifth of the checked numbers differ from the WhatsApp ID.
Another address book lists a tenth of the people by their linked IDs alone, which checks returned with their WhatsApp
IDs. The main account's contacts have two versions each.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.store import Store
from benchmarks.server import ROOT
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["SETTINGS", "fill", "run"]

PLANS = ROOT / "benchmarks" / "output" / "directory_plans.txt"
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB"}
#: Digits of nobody's: 999 is no country's code. Every tenth number has a 9 that its WhatsApp id has not.
PEOPLE = """
CREATE TEMPORARY TABLE people AS
SELECT n, CASE WHEN n % 10 = 0 THEN '9999' || spread ELSE '999' || spread END AS digits, '999' || spread AS wa_id,
    timestamptz '2026-01-01' + n * interval '1 second' AS at
FROM (SELECT n, lpad((n::bigint * 7919 % 100000000)::text, 8, '0') AS spread FROM generate_series(1, :rows) n) numbers
"""
STATES = """
CREATE TEMPORARY TABLE states AS
SELECT row_number() OVER (ORDER BY state, account_id, n) AS version_id, * FROM (
    SELECT 1 AS account_id, 'contact-' || n AS contact_id, 1 AS state, people.* FROM people
    UNION ALL SELECT 1, 'contact-' || n, 2, people.* FROM people
    UNION ALL SELECT 2, 'other-' || n, 2, people.* FROM people WHERE n % 20 = 1
    UNION ALL SELECT 3, wa_id || '@c.us', 2, people.* FROM people WHERE n % 2 = 0
    UNION ALL SELECT 4, wa_id || '@lid', 2, people.* FROM people WHERE n % 10 = 1
) all_states
"""
FILL = (
    """
    INSERT INTO wacontacts_account (account_id, source, account)
    VALUES (1, 'turn', 'main'), (2, 'turn', 'second'), (3, 'green_api', 'office'), (4, 'green_api', 'shop')
    """,
    """
    INSERT INTO wacontacts_contact_version
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
    SELECT version_id, account_id, at + state * interval '1 day', at + state * interval '1 day',
        at + state * interval '1 day', contact_id, decode(md5(version_id::text), 'hex')
    FROM states
    """,
    """
    INSERT INTO wacontacts_contact_payload (version_id, account_id, repaired, state, wa_id, lid, payload)
    SELECT version_id, account_id, false, 'present', CASE WHEN account_id < 4 THEN wa_id END,
        CASE WHEN account_id = 4 THEN contact_id END, CASE
        WHEN account_id <= 2 THEN jsonb_build_object(
            'uuid', contact_id, 'updated_at', at, 'number_id', 1, 'details', jsonb_build_object(
                'name', 'Name ' || n, 'surname', 'Surname', 'whatsapp_id', wa_id, 'language', 'eng', 'opted_in', true,
                'current_savings', n * state % 1000, 'notes', repeat('Prefers voice notes. ', 10)
            )
        )
        ELSE jsonb_build_object('id', contact_id, 'name', 'n' || n, 'contactName', 'Book ' || n, 'type', 'user')
    END
    FROM states
    """,
    """
    INSERT INTO wacontacts_contact_current
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, wa_id, lid, person_key)
    SELECT version_id, account_id, at + interval '2 days', at + interval '2 days', at + interval '2 days', contact_id,
        decode(md5(version_id::text), 'hex'), CASE WHEN account_id < 4 THEN wa_id END,
        CASE WHEN account_id = 4 THEN contact_id END, CASE WHEN account_id = 4 THEN wa_id END
    FROM states WHERE state = 2
    """,
    """
    INSERT INTO wacontacts_number
        (sender, number, wa_id, lid, status, checked_at, answered_at, asked_at, number_key, wa_id_key, lid_key,
        person_key)
    SELECT '+12015550100', '+' || digits, wa_id, lid, 'valid', at, at, at, digits, wa_id, lid, wa_id
    FROM (SELECT *, CASE WHEN n % 10 = 1 THEN wa_id || '@lid' END AS lid FROM people) found
    WHERE n % 10 IN (0, 1, 2, 4, 6)
    """,
    """
    INSERT INTO wacontacts_identity (sender, wa_id, hash, created_at, detected_at, wa_id_key, person_key)
    SELECT '+12015550100', wa_id, md5(wa_id), at, at, wa_id, wa_id FROM people WHERE n % 100 = 0
    """,
)
PERSON = "SELECT * FROM wacontacts_directory WHERE person_key = '999{:08}'"
QUERIES = (
    ("one WhatsApp id, in all feeds", PERSON.format(12 * 7919)),
    ("one that differs from the number", PERSON.format(10 * 7919)),
    ("one that nobody has", PERSON.format(0)),
    ("the first hundred", "SELECT * FROM wacontacts_directory ORDER BY person_key LIMIT 100"),
    (
        "a hundred after one",
        "SELECT * FROM wacontacts_directory WHERE person_key > '9995' ORDER BY 1 LIMIT 100",
    ),
    ("the first thousand", "SELECT * FROM wacontacts_directory ORDER BY person_key LIMIT 1000"),
)
ALL = ("all of them, once", "SELECT count(*), count(name), count(status), sum(accounts) FROM wacontacts_directory")


def run(rows: int, runs: int) -> dict[str, Any]:
    """Fill a store, ask, print the table, keep the plans in a file, and return the figures."""
    with PostgresServer(SETTINGS) as server:
        engine = create_engine(server.url())
        Store(engine).prepare()
        with engine.connect() as connection:
            fill(connection, rows)
            figures = {title: _asked(connection, query, runs) for title, query in QUERIES}
            figures[ALL[0]] = _asked(connection, ALL[1], 1)
            _keep_plans(connection, PLANS)
        engine.dispose()
    show(
        f"The directory of {rows:,} contacts in PostgreSQL, {runs} runs",
        ("", "rows", "ms, the first time", "ms, median", "ms, longest"),
        [
            (title, *(took[name] for name in ("rows", "first_ms", "ms", "longest_ms")))
            for title, took in figures.items()
        ],
        notes=[f"The plans are in {PLANS.relative_to(ROOT)}."],
    )
    return {"rows": rows, "runs": runs, **figures}


def fill(connection: Connection, rows: int, *further: str) -> None:
    """
    Fill a store.

    :param further: statements to execute afterwards.
    """
    for statement in (PEOPLE, STATES, *FILL, *further):
        given = {"rows": rows} if statement is PEOPLE else {}
        escaped = statement if given else statement.replace("::", r"\:\:")
        connection.execute(text(escaped), given)
    connection.commit()
    # What autovacuum does by itself, some time after a table has grown.
    connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")


def _asked(connection: Connection, query: str, runs: int) -> dict[str, Any]:
    took, found = [], 0
    for _ in range(runs):
        begun = time.perf_counter()
        found = len(connection.exec_driver_sql(query).all())
        took.append((time.perf_counter() - begun) * 1_000)
    return {"rows": found, "first_ms": took[0], "ms": median(took), "longest_ms": max(took)}


def _keep_plans(connection: Connection, path: Path) -> None:
    written = []
    for title, query in QUERIES:
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}").scalars()
        written.append("\n".join((f"-- {title}", query, "", *plan, "")))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(written))
