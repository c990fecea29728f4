"""How the directory is found in the tables: by indexes, and in a store that was there before it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.store import ledger

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def test_one_person_is_found_by_indexes_in_sqlite(sqlite_landing):
    query = "SELECT * FROM wacontacts_directory WHERE wa_id = '1'"
    steps = [detail for *_, detail in sqlite_landing.rows(f"EXPLAIN QUERY PLAN {query}")]

    assert [step for step in steps if re.fullmatch(r"SCAN (b|h|i|n|o|s)( .*)?", step)] == []
    assert "SEARCH b USING COVERING INDEX wacontacts_contact_payload_wa_id (wa_id=?)" in steps


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
    assert "Index Only Scan using wacontacts_contact_payload_wa_id on wacontacts_contact_payload b" in one
    merged = page.index("Merge Append")
    assert page[merged + 1].startswith("Sort Key: ")
    assert page[merged + 2] == "Index Only Scan using wacontacts_contact_payload_wa_id on wacontacts_contact_payload b"


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
    AND relname IN ('wacontacts_contact_current', 'wacontacts_contact_payload', 'wacontacts_contact_version')
    """
    assert postgres_landing.rows(counts) == [(3.0 if known else -1.0,)] * 3


def test_nobody_waits_for_somebody_who_looks_at_the_tables_just_now(postgres_landing, book_of, monkeypatch):
    monkeypatch.setattr(ledger, "ANALYZE_AFTER_ROWS", 1)
    with postgres_landing.engine.begin() as other:
        other.execute(text("LOCK TABLE wacontacts_contact_current IN SHARE UPDATE EXCLUSIVE MODE"))
        assert book_of(postgres_landing).land(MONDAY, "1@c.us").state == "complete"
