"""
A view with 300 typed columns over the contacts of an account in PostgreSQL, each of which has 30 of the 300 fields.

Beside it the same questions to the payload itself, with one expression of JSON for each field that is read.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.typed_views import ViewSpec, update_view
from benchmarks.queries import timed
from benchmarks.tables import show
from demo.postgres import PostgresServer

__all__ = ["run"]

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB"}
FIELDS = 300
TYPES = ("STRING", "INTEGER", "BOOLEAN", "DATETIME")
#: A value of a field's type, by its number.
VALUE = """
CASE f % 4 WHEN 0 THEN to_jsonb('Prefers voice notes ' || n) WHEN 1 THEN to_jsonb(n) WHEN 2 THEN to_jsonb(n % 2 = 0)
    ELSE to_jsonb(to_char(timestamp '2024-01-01' + n * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) END
"""
FILL = (
    "INSERT INTO wacontacts_account (account_id, source, account) VALUES (1000, 'turn', 'large')",
    """
    INSERT INTO wacontacts_contact_version
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
    SELECT n, 1000, moment, moment, moment, 'contact-' || n, decode(md5(n::text), 'hex')
    FROM generate_series(1, :contacts) n
    CROSS JOIN LATERAL (SELECT timestamptz '2024-01-01' + n * interval '1 second' AS moment) m
    """,
    f"""
    INSERT INTO wacontacts_contact_payload (version_id, account_id, repaired, state, wa_id, payload)
    SELECT n, 1000, false, 'present', NULL, jsonb_build_object('uuid', 'contact-' || n, 'details', d.details)
    FROM generate_series(1, :contacts) n CROSS JOIN LATERAL (
        SELECT jsonb_object_agg('field_' || f, {VALUE}) AS details
        FROM (SELECT (n + 10 * i) % {FIELDS} AS f FROM generate_series(0, 29) i) fields
    ) d
    """,
    """
    INSERT INTO wacontacts_contact_current
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
    SELECT version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash
    FROM wacontacts_contact_version
    """,
)
PAYLOADS = """
wacontacts_contact_current c
JOIN wacontacts_contact_payload p ON p.account_id = c.account_id AND p.version_id = c.version_id
"""
CONDITION = "CAST(p.payload->'details'->>'field_2' AS boolean)"
#: What is read, from the view and from the payload.
QUERIES = {
    "one contact, all columns": (
        "SELECT * FROM contacts WHERE contact_id = 'contact-4711'",
        f"SELECT p.payload FROM {PAYLOADS} WHERE c.account_id = 1000 AND c.contact_id = 'contact-4711'",
    ),
    "all contacts, the sum of one number": (
        "SELECT sum(field_1) FROM contacts",
        f"SELECT sum(CAST(p.payload->'details'->>'field_1' AS numeric)) FROM {PAYLOADS} WHERE c.account_id = 1000",
    ),
    "all contacts, counted by one condition": (
        "SELECT count(*) FROM contacts WHERE field_2",
        f"SELECT count(*) FROM {PAYLOADS} WHERE c.account_id = 1000 AND {CONDITION}",
    ),
    "5,000 contacts, all columns": (
        "SELECT * FROM contacts LIMIT 5000",
        f"SELECT p.payload FROM {PAYLOADS} LIMIT 5000",
    ),
}


def run(contacts: int, runs: int) -> dict[str, Any]:
    """Fill a store, make the view, and return the figures."""
    schema = [{"name": f"field_{field}", "type": TYPES[field % 4]} for field in range(FIELDS)]
    with PostgresServer(SETTINGS) as server:
        engine = create_engine(server.url())
        store = Store(engine)
        store.prepare()
        with engine.begin() as connection:
            for statement in FILL:
                connection.execute(text(statement), {"contacts": contacts} if ":contacts" in statement else {})
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            begun = time.perf_counter()
            made = update_view(store.context, ViewSpec("contacts", "large"), schema)
            created_s = time.perf_counter() - begun
            figures = {title: [timed(connection, sql, runs) for sql in both] for title, both in QUERIES.items()}
        engine.dispose()
    show(
        f"A view of {made.columns} fields over {contacts:,} contacts; made in {created_s:.1f} s",
        ("", "ms, view", "ms of CPU", "ms, payload", "ms of CPU"),
        [(title, *view.values(), *payload.values()) for title, (view, payload) in figures.items()],
    )
    return {"columns": made.columns, "created_s": created_s, "queries": figures}
