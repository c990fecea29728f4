"""How the directory is found in the tables: by indexes, and in a store that was there before it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.store import ledger, schema, upgrade
from airflow_provider_wacontacts.store.migrations import LATEST, statements

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
BRAZIL, BRAZIL_ID = "5511961234567", "551161234567"


def test_one_person_is_found_by_indexes_in_sqlite(sqlite_landing):
    query = "SELECT * FROM wacontacts_directory WHERE wa_id = '1'"
    steps = [detail for *_, detail in sqlite_landing.rows(f"EXPLAIN QUERY PLAN {query}")]

    assert [step for step in steps if re.fullmatch(r"SCAN (b|h|i|n|o|s)( .*)?", step)] == []
    assert "SEARCH b USING COVERING INDEX wacontacts_body_wa_id (wa_id=?)" in steps


def test_one_person_and_the_first_page_are_found_by_indexes_in_postgresql(postgres_landing):
    plans = []
    with postgres_landing.engine.connect() as connection:
        for way in ("seqscan", "bitmapscan", "sort"):
            connection.execute(text(f"SET enable_{way} = off"))
        for rest in ("WHERE wa_id = '1'", "ORDER BY wa_id LIMIT 100"):
            plan = connection.execute(text(f"EXPLAIN (COSTS OFF) SELECT * FROM wacontacts_directory {rest}"))
            plans.append([line.strip(" ->") for line in plan.scalars()])

    one, page = plans
    assert [line for line in one + page if line.startswith("Seq Scan")] == []
    assert "Index Only Scan using wacontacts_body_wa_id on wacontacts_body b" in one
    merged = page.index("Merge Append")
    assert page[merged + 1].startswith("Sort Key: ")
    assert page[merged + 2] == "Index Only Scan using wacontacts_body_wa_id on wacontacts_body b"


@pytest.mark.parametrize(("many", "known"), [(3, True), (4, False)])
@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_postgresql_knows_how_the_tables_are_filled_once_much_has_landed(
    postgres_landing, book_of, monkeypatch, *, feed, many, known
):
    monkeypatch.setattr(ledger, "ANALYZE_AFTER_ROWS", many)
    if feed == "turn":
        extraction = postgres_landing.begin()
        postgres_landing.land(extraction, *(postgres_landing.record(name) for name in "abc"))
        extraction.finish()
    else:
        book_of(postgres_landing).land(MONDAY, "1@c.us", "2@c.us", "3@c.us")

    counts = """
    SELECT reltuples FROM pg_class WHERE relnamespace = current_schema()::regnamespace
    AND relname IN ('wacontacts_head', 'wacontacts_body', 'wacontacts_sighting')
    """
    assert postgres_landing.rows(counts) == [(3.0 if known else -1.0,)] * 3


def test_nobody_waits_for_somebody_who_looks_at_the_tables_just_now(postgres_landing, book_of, monkeypatch):
    monkeypatch.setattr(ledger, "ANALYZE_AFTER_ROWS", 1)
    with postgres_landing.engine.begin() as other:
        other.execute(text("LOCK TABLE wacontacts_head IN SHARE UPDATE EXCLUSIVE MODE"))
        assert book_of(postgres_landing).land(MONDAY, "1@c.us").state == "complete"


def test_a_store_without_it_is_brought_up_to_date_with_all_that_is_in_it(store_engine, landing_on, monkeypatch):
    version = next(n for n in range(1, LATEST + 1) if any("directory" in one for one in statements("sqlite", "", n)))
    monkeypatch.setattr(schema, "LATEST", version - 1)
    upgrade(store_engine)
    monkeypatch.undo()
    with store_engine.begin() as connection:
        for statement in EARLIER_ROWS:
            connection.execute(text(statement.replace(":", r"\:")))

    found = landing_on(None, store_engine).rows("SELECT wa_id, name, number FROM wacontacts_directory")

    assert found == [(BRAZIL_ID, "Bob", f"+{BRAZIL}")]


TIME = "'2024-01-01T00:00:00.000000Z'"
EARLIER_ROWS = (
    "INSERT INTO wacontacts_account (account_id, source, account) VALUES (1, 'turn', 'main')",
    f"""
    INSERT INTO wacontacts_sighting
        (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
    VALUES (7, 1, {TIME}, {TIME}, {TIME}, 'bob', 'hash')
    """,
    f"""
    INSERT INTO wacontacts_body (version_id, repaired, state, wa_id, payload)
    VALUES (7, false, 'present', '{BRAZIL}', '{{"details":{{"name":"Bob"}}}}')
    """,
    f"""
    INSERT INTO wacontacts_head (version_id, account_id, updated_at, last_seen_at, contact_id, row_hash)
    VALUES (7, 1, {TIME}, {TIME}, 'bob', 'hash')
    """,
    f"""
    INSERT INTO wacontacts_number (sender, number, wa_id, status, answered_at)
    VALUES ('+4400', '+{BRAZIL}', '{BRAZIL_ID}', 'valid', {TIME})
    """,
)
