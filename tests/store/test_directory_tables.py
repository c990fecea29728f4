"""Query plans of the directory: it uses indexes in tables of realistic size."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.store import Store, ledger

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


#: All of 40,000 people are in Turn.io, half are in GREEN-API and have a number, and every tenth number is renamed. A
#: fifth of the contacts of GREEN-API have no WhatsApp ID.
FILL = """
CREATE TEMPORARY TABLE people AS
SELECT n, '999' || lpad((n * 7919 % 100000)::text, 5, '0') AS person_key, CASE WHEN n % 2 = 0 THEN 2 ELSE 1 END AS feeds
FROM generate_series(1, 40000) n;
INSERT INTO wacontacts_account (account_id, source, account) VALUES (1, 'turn', 'main'), (2, 'green_api', 'phone');
INSERT INTO wacontacts_contact_current
    (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, wa_id, lid, person_key)
SELECT n * 2 + a, a, now(), now(), now(), 'contact ' || n, ''::bytea, CASE WHEN NOT is_hidden THEN person_key END,
    CASE WHEN is_hidden THEN n || '@lid' END, CASE WHEN is_hidden THEN person_key END
FROM people, generate_series(1, 2) a, LATERAL (SELECT a = 2 AND n % 5 = 0 AS is_hidden) h WHERE a <= feeds;
INSERT INTO wacontacts_contact_version
    (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
SELECT version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash
FROM wacontacts_contact_current;
INSERT INTO wacontacts_contact_payload (version_id, account_id, repaired, state, wa_id, payload)
SELECT version_id, account_id, false, 'present', wa_id, jsonb_build_object('notes', repeat('Voice notes. ', 20))
FROM wacontacts_contact_current;
INSERT INTO wacontacts_number (sender, number, number_key, person_key, status)
SELECT '+4400', '+' || person_key, CASE WHEN n % 10 = 0 THEN '0' || person_key ELSE person_key END, person_key, 'valid'
FROM people WHERE feeds = 2
"""


@pytest.fixture(scope="module")
def filled(postgres, postgres_engine):
    """A store with many people and vacuumed tables."""
    with postgres_engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA directory_plans"))
    url = f"{postgres.url()}?options=-csearch_path%3Ddirectory_plans"
    engine = create_engine(url)
    Store(engine).prepare()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in FILL.split(";\n"):
            connection.exec_driver_sql(statement.replace("%", "%%"))
        connection.exec_driver_sql("VACUUM ANALYZE")
        yield connection
        connection.exec_driver_sql("DROP SCHEMA directory_plans CASCADE")
    engine.dispose()


def test_one_person_is_found_by_indexes_in_sqlite(sqlite_landing):
    query = "SELECT * FROM wacontacts_directory WHERE person_key = '1'"
    steps = [detail for *_, detail in sqlite_landing.rows(f"EXPLAIN QUERY PLAN {query}")]

    scanned = {found[1] for step in steps if (found := re.fullmatch(r"SCAN (\w+)( .*)?", step))}
    assert scanned <= {"r", "p", "a", "s", "CONSTANT"}, "\n".join(steps)
    assert [step for step in steps if "wacontacts_contact_current_person (person_key=?" in step]


OF_NUMBER = "(SELECT person_key FROM wacontacts_number WHERE number = '+99907919' LIMIT 1)"


@pytest.mark.parametrize(
    "condition",
    ["WHERE person_key = '99907919'", "WHERE person_key = 'nobody'", f"WHERE person_key = {OF_NUMBER}"],
)
def test_one_person_is_found_by_indexes_in_postgresql(filled, condition):
    steps = plan(filled, f"SELECT * FROM wacontacts_directory {condition}")

    assert [step for step in steps if re.search(r"Seq Scan on wacontacts_(contact|number)", step)] == []


@pytest.mark.parametrize("condition", ["", "WHERE person_key > '99950000'"])
def test_a_page_merges_the_indexes_in_postgresql(filled, condition):
    steps = plan(filled, f"SELECT * FROM wacontacts_directory {condition} ORDER BY person_key LIMIT 100")

    assert "Merge Append" in steps, "\n".join(steps)
    assert [step for step in steps if re.search(r"Seq Scan on wacontacts_(contact|number)", step)] == []


def test_a_condition_on_any_column_reads_each_table_once_in_postgresql(filled):
    steps = plan(filled, "SELECT count(*) FROM wacontacts_directory WHERE status = 'valid'")

    merged = [step for step in steps if re.search(r"on wacontacts_contact_current", step) and "Scan" in step]
    assert len([step for step in merged if "_1" not in step and "_2" not in step]) <= 1, "\n".join(steps)


def plan(connection, query):
    return [line.strip(" ->") for line in connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {query}").scalars()]


@pytest.mark.parametrize(("many", "known"), [(3, True), (4, False)])
@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_postgresql_has_statistics_after_many_rows_are_loaded(
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


def test_large_tables_are_analyzed_when_a_tenth_of_the_rows_is_new(postgres_landing, monkeypatch):
    monkeypatch.setattr(ledger, "ANALYZE_AFTER_ROWS", 1)
    counts = "SELECT reltuples FROM pg_class WHERE oid = 'wacontacts_contact_version'::regclass"

    def known_after(run, *names):
        extraction = postgres_landing.begin(run)
        postgres_landing.land(extraction, *map(postgres_landing.record, names))
        extraction.finish()
        return postgres_landing.rows(counts)

    assert known_after("first", *(f"contact-{n}" for n in range(30))) == [(30.0,)]
    assert known_after("second", "a", "b") == [(30.0,)]
    assert known_after("third", "c", "d", "e") == [(35.0,)]


def test_gathering_statistics_does_not_wait_for_locks(postgres_landing, book_of, monkeypatch):
    monkeypatch.setattr(ledger, "ANALYZE_AFTER_ROWS", 1)
    with postgres_landing.engine.begin() as other:
        other.execute(text("LOCK TABLE wacontacts_contact_current IN SHARE UPDATE EXCLUSIVE MODE"))
        assert book_of(postgres_landing).land(MONDAY, "1@c.us").state == "complete"
