"""PostgreSQL's plans of the documented queries, in tables of realistic size."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, event, text

from airflow_provider_wacontacts.pipelines.callbacks import parse_delivery, record_delivery
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.person_search import CONTACTS, CONTACTS_BEGINNING, PAYLOADS
from tests.docs.pages import query_under
from tests.receiver.load import bodies_of, large_body

#: Each contact has two versions, months apart. A tenth of the contacts belong to the other account.
FILL = """
CREATE TEMPORARY TABLE made AS
SELECT row_number() OVER (ORDER BY at, n) AS k, * FROM (
    SELECT CASE WHEN n % 10 = 0 THEN 2 ELSE 1 END AS account_id, md5(n::text) AS contact_id, n, v,
        timestamptz '2022-01-01' + n * interval '4 minutes' + v * interval '100 days' AS at
    FROM generate_series(1, 100000) n, generate_series(1, 2) v
) versions;
INSERT INTO wacontacts_account (account_id, source, account)
VALUES (1, 'turn', 'turn_default'), (2, 'turn', 'second');
INSERT INTO wacontacts_extraction (
    extraction_id, account_id, source, account, started_at, extracted_at, finished_at, covered_until, window_start,
    window_end, state, resumes, pages, row_count, new_versions, rejected, bytes, uri, dag_id, run_id, task_id,
    map_index, options_digest, package_version
)
SELECT md5(n::text)::uuid, 1, 'turn', 'turn_default', t, t, t, t, t - interval '1 hour', t, 'complete', 0, 1, 1, 1,
    0, 1, 'file:///' || n, 'dag', 'run' || n, 'task', -1, '', '0.1.0'
FROM (SELECT n, timestamptz '2022-01-01' + n * interval '1 hour' AS t FROM generate_series(1, 20000) n) windows;
INSERT INTO wacontacts_contact_version
    (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash)
SELECT ((k / 50 + 1) << 32) + k % 50, account_id, at, at, at, contact_id, decode(md5(k::text), 'hex')
FROM made ORDER BY k;
INSERT INTO wacontacts_contact_payload (version_id, account_id, repaired, state, wa_id, payload)
SELECT ((k / 50 + 1) << 32) + k % 50, account_id, false, 'present', (15550000000 + n)::text, jsonb_build_object(
    'uuid', contact_id,
    'details', jsonb_build_object('name', 'Name ' || n, 'notes', repeat('Prefers voice notes. ', 10))
)
FROM made ORDER BY k;
INSERT INTO wacontacts_contact_current
    (version_id, account_id, updated_at, first_seen_at, last_seen_at, contact_id, row_hash, wa_id)
SELECT ((k / 50 + 1) << 32) + k % 50, account_id, at, at, at, contact_id, decode(md5(k::text), 'hex'),
    (15550000000 + n)::text
FROM made WHERE v = 2 ORDER BY k;
INSERT INTO wacontacts_change_log (account_id, version_id, change_kind)
SELECT account_id, ((k / 50 + 1) << 32) + k % 50, CASE v WHEN 1 THEN 'new' ELSE 'changed' END FROM made ORDER BY k;
DROP TABLE made
"""
LARGE = re.compile(r"Seq Scan on wacontacts_(contact_version|contact_payload|contact_current|change_log)")
BOB = "wa_id = '15550000077'"
ONE = "source = 'turn' AND account = 'turn_default' AND contact_id = md5('77')"
GIVEN = """jsonb_to_recordset('[{"kind": "wa_id", "value": "15550000077"}]') AS given (kind text, value text)"""
SHORT = {
    **{
        f"{view} by wa_id": f"SELECT * FROM wacontacts_{view} WHERE {BOB}" for view in ("current", "version", "history")
    },
    **{f"{view} by contact": f"SELECT * FROM wacontacts_{view} WHERE {ONE}" for view in ("current", "history")},
    "history by user_id": "SELECT * FROM wacontacts_history WHERE user_id = 'BR.1'",
    "current by lid": "SELECT * FROM wacontacts_current WHERE lid = '1@lid'",
    "changed since": "SELECT * FROM wacontacts_version WHERE updated_at >= timestamptz '2023-04-23'",
    "changes since": "SELECT * FROM wacontacts_change WHERE change_id > 190000 ORDER BY change_id LIMIT 100",
    "bob": query_under("history.md", "Bob"),
    "yesterday": query_under("queries.md", "What changed yesterday"),
    "the change log": query_under("store.md", "wacontacts_change"),
    **{
        f"a person who is erased, {name}": sql.replace("{given}", GIVEN).replace("{at}", "")
        for name, sql in (("contacts", CONTACTS), ("identifiers", PAYLOADS))
    },
    "a person who is erased, IDs": CONTACTS_BEGINNING.replace("{at}", "")
    .replace(":low", "'15550000077-'")
    .replace(":high", "'15550000077`'"),
}
LEDGER = {
    "landed": "SELECT 1 FROM wacontacts_extraction WHERE account_id = 1 AND uri = 'file:///7'",
    "covered": """
        SELECT covered_until FROM wacontacts_extraction
        WHERE account_id = 1 AND covered_until IS NOT NULL AND window_start < '2024-01-01'
        ORDER BY covered_until DESC LIMIT 1
    """,
}


@pytest.fixture(scope="module")
def filled(postgres, postgres_engine):
    """A store of 200,000 versions, with psycopg2 and all planner methods enabled."""
    with postgres_engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA plans"))
    engine = create_engine(f"{postgres.url()}?options=-csearch_path%3Dplans")
    Store(engine).prepare()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in FILL.split(";\n"):
            connection.exec_driver_sql(statement.replace("%", "%%"))
        connection.exec_driver_sql("VACUUM ANALYZE")
        yield connection
        connection.exec_driver_sql("DROP SCHEMA plans CASCADE")
    engine.dispose()


def plan(connection, query):
    lines = connection.exec_driver_sql("EXPLAIN (COSTS OFF) " + query.rstrip().rstrip(";").replace("%", "%%")).scalars()
    return [line.strip(" ->") for line in lines]


@pytest.mark.parametrize("name", SHORT)
def test_queries_by_key_or_time_scan_no_large_table(filled, name):
    steps = plan(filled, SHORT[name])
    assert [step for step in steps if LARGE.search(step)] == [], "\n".join(steps)


@pytest.mark.parametrize("name", LEDGER)
def test_the_ledger_is_not_read_as_a_whole_for_each_extraction(filled, name):
    steps = plan(filled, LEDGER[name])
    assert [step for step in steps if "Seq Scan" in step or "Sort" in step] == [], "\n".join(steps)


def test_all_contacts_as_of_a_date_are_read_in_one_scan_of_versions_and_one_of_payloads(filled):
    steps = plan(filled, query_under("queries.md", "As of a date"))
    scans = [found[1] for step in steps if (found := LARGE.search(step))]
    assert len(scans) == len(set(scans)) <= 2, "\n".join(steps)
    assert [step for step in steps if step.startswith(("WindowAgg", "Sort"))] == []


def test_tables_of_unused_columns_are_not_joined(filled):
    steps = plan(filled, "SELECT count(*) FROM wacontacts_current")
    assert [step for step in steps if "payload" in step or "extraction" in step] == []


def test_a_condition_on_names_carries_no_payloads_through_joins(filled):
    lines = filled.exec_driver_sql("EXPLAIN (VERBOSE, COSTS OFF) SELECT 1 FROM wacontacts_directory WHERE name = 'Bob'")
    outputs = [line.strip() for line in lines.scalars() if line.strip().startswith("Output:")]
    assert any("'name'" in output for output in outputs)
    assert [output for output in outputs if re.search(r"[ .]payload(,|$)", output)] == []


def test_a_delivery_to_the_receiver_scans_no_table(postgres_url):
    engine = create_engine(postgres_url)
    store = Store(engine)
    store.prepare()
    scanned = []

    def record(body):
        delivery = parse_delivery(body, "+12015550100")
        record_delivery(store, "+12015550100", delivery, verified=True, received_at=datetime.now(UTC))

    for first in range(0, 3_000, 1_000):
        record(large_body(first))
    # The counts of a session are up to a second old.
    engine.dispose()

    @event.listens_for(engine, "commit")
    def look(connection):
        sql = "SELECT relname FROM pg_stat_xact_user_tables WHERE seq_tup_read > 0"
        scanned.extend(connection.exec_driver_sql(sql).scalars())

    for body in bodies_of(3_010)[3_000:]:
        record(body)

    assert scanned == []
    engine.dispose()
