"""How the tables come to be, who may make them, and which are refused."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
from sqlalchemy import create_engine, event, text

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.store import Store, schema, upgrade
from airflow_provider_wacontacts.store.migrations import LATEST

NAMES = [
    "wacontacts_account",
    "wacontacts_body",
    "wacontacts_budget",
    "wacontacts_check",
    "wacontacts_check_result",
    "wacontacts_current",
    "wacontacts_directory",
    "wacontacts_erased",
    "wacontacts_erased_key",
    "wacontacts_extraction",
    "wacontacts_head",
    "wacontacts_history",
    "wacontacts_identity",
    "wacontacts_meta",
    "wacontacts_number",
    "wacontacts_reject",
    "wacontacts_sighting",
    "wacontacts_version",
]


def rows_of(engine, query):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def write(engine, *statements):
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def names_in(engine, schema="current_schema()"):
    if engine.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name LIKE 'wacontacts%' ORDER BY 1"
    else:
        query = f"SELECT table_name FROM information_schema.tables WHERE table_schema = {schema} ORDER BY 1"
    return [name for (name,) in rows_of(engine, query)]


@pytest.fixture
def statements(store_engine):
    """What the engine has been asked since, in order."""
    seen = []
    event.listen(store_engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    return seen


def test_a_store_makes_its_tables_by_itself(store_engine):
    Store(store_engine).prepare()
    assert names_in(store_engine) == NAMES
    assert rows_of(store_engine, "SELECT schema_version FROM wacontacts_meta") == [(n,) for n in range(1, LATEST + 1)]


def test_a_store_connects_to_nothing_before_it_is_prepared(store_engine, statements):
    Store(store_engine)
    assert statements == []


def test_tables_that_are_up_to_date_cost_two_queries(store_engine, statements):
    Store(store_engine).prepare()
    statements.clear()
    Store(store_engine, auto_upgrade=False).prepare()
    assert len([statement for statement in statements if not statement.startswith("PRAGMA busy_timeout")]) == 2


def test_upgrade_makes_the_tables_and_may_be_run_again(store_engine):
    upgrade(store_engine)
    upgrade(store_engine)
    Store(store_engine, auto_upgrade=False).prepare()
    assert rows_of(store_engine, "SELECT count(*) FROM wacontacts_meta") == [(LATEST,)]


def test_without_auto_upgrade_the_error_names_the_command(store_engine):
    with pytest.raises(ConfigError, match=r"auto_upgrade is off.*`wacontacts store upgrade`"):
        Store(store_engine, auto_upgrade=False).prepare()
    assert names_in(store_engine) == []


@pytest.mark.parametrize("auto_upgrade", [True, False])
def test_tables_of_a_newer_package_are_refused(store_engine, auto_upgrade):
    upgrade(store_engine)
    write(store_engine, f"UPDATE wacontacts_meta SET schema_version = 99 WHERE schema_version = {LATEST}")
    with pytest.raises(ConfigError, match=f"version 99 and this package writes version {LATEST}"):
        Store(store_engine, auto_upgrade=auto_upgrade).prepare()
    with pytest.raises(ConfigError, match=f"version 99 and this package writes version {LATEST}"):
        upgrade(store_engine)


def test_a_store_of_the_version_before_is_brought_up_to_date_with_all_that_is_in_it(store_engine, monkeypatch):
    monkeypatch.setattr(schema, "LATEST", 1)
    upgrade(store_engine)
    rejected = "INSERT INTO wacontacts_reject (extraction_id, reason, body) VALUES ('{}', 'no id', '{}')"
    write(store_engine, rejected.format("first", "one"), rejected.format("second", "two"))
    monkeypatch.undo()

    upgrade(store_engine)

    kept = rows_of(
        store_engine, "SELECT extraction_id, check_id, reason, body FROM wacontacts_reject ORDER BY reject_id"
    )
    kept = [(*row, bytes(body, "ascii") if isinstance(body, str) else bytes(body)) for *row, body in kept]
    assert kept == [("first", None, "no id", b"one"), ("second", None, "no id", b"two")]
    assert names_in(store_engine) == NAMES


def test_a_migration_that_fails_leaves_nothing_behind(store_engine):
    write(store_engine, "CREATE TABLE wacontacts_head (mine integer)")
    with pytest.raises(LandingError, match="the store's database failed"):
        Store(store_engine).prepare()
    assert names_in(store_engine) == ["wacontacts_head"]


def prepare(url):
    engine = create_engine(url)
    Store(engine).prepare()
    engine.dispose()


def test_six_workers_may_prepare_at_once(store_url, store_engine):
    with ProcessPoolExecutor(6, multiprocessing.get_context("spawn")) as workers:
        list(workers.map(prepare, [store_url] * 6))
    assert names_in(store_engine) == NAMES
    assert rows_of(store_engine, "SELECT schema_version FROM wacontacts_meta") == [(n,) for n in range(1, LATEST + 1)]


def test_sqlite_lets_readers_and_a_writer_go_on_side_by_side(sqlite_landing):
    assert sqlite_landing.rows("PRAGMA journal_mode") == [("wal",)]


def test_sqlite_has_no_schemas(sqlite_url):
    with pytest.raises(ConfigError, match="table_schema"):
        Store(create_engine(sqlite_url), table_schema="contacts")
    with pytest.raises(ConfigError, match="table_schema"):
        upgrade(create_engine(sqlite_url), "contacts")


@pytest.mark.parametrize("name", ["contacts", 'Od"d na.me; --', "select"])
def test_a_schema_of_any_name_is_made_and_used(postgres_url, dump_store, name):
    engine = create_engine(postgres_url)
    Store(engine, table_schema=name).prepare()
    Store(engine, table_schema=name, auto_upgrade=False).prepare()
    quoted = name.replace("'", "''")
    assert names_in(engine, f"'{quoted}'") == NAMES
    assert names_in(engine, "'public'") == []
    engine.dispose()


@pytest.fixture
def guest(postgres, postgres_database):
    """A user who may connect to a fresh database, and nothing else; and its owner."""
    owner = create_engine(postgres.url(database=postgres_database))
    write(
        owner,
        "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )
    guest = create_engine(owner.url.set(username="guest"))
    yield guest, owner
    guest.dispose()
    owner.dispose()


@pytest.mark.parametrize("table_schema", [None, "contacts"])
def test_without_rights_the_error_names_the_command(guest, table_schema):
    engine, owner = guest
    with pytest.raises(ConfigError, match=r"no.* create.*`wacontacts store upgrade`"):
        Store(engine, table_schema=table_schema).prepare()
    upgrade(owner, table_schema)
    with pytest.raises(ConfigError, match=r"may not read.*`wacontacts store upgrade`"):
        Store(engine, table_schema=table_schema).prepare()


def test_rights_to_read_and_write_are_enough_where_the_tables_are(guest, landing_on):
    engine, owner = guest
    upgrade(owner, "contacts")
    write(
        owner,
        "GRANT USAGE ON SCHEMA contacts TO guest",
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA contacts TO guest",
    )
    landing = landing_on(Store(engine, table_schema="contacts"))
    extraction = landing.begin()
    assert landing.land(extraction, landing.record()) == 1
    assert extraction.finish().rows == 1


def test_a_schema_that_is_there_needs_no_right_to_create_schemas(guest):
    engine, owner = guest
    write(owner, "CREATE SCHEMA contacts", "GRANT USAGE, CREATE ON SCHEMA contacts TO guest")
    Store(engine, table_schema="contacts").prepare()
    assert names_in(owner, "'contacts'") == NAMES


def test_a_sqlite_file_that_may_not_be_written_names_the_command(sqlite_url):
    create_engine(sqlite_url).connect().close()
    with pytest.raises(ConfigError, match="`wacontacts store upgrade`"):
        Store(create_engine(f"{sqlite_url.replace('///', '///file:')}?mode=ro&uri=true")).prepare()


def test_a_database_in_another_encoding_is_refused(postgres, postgres_engine):
    maintenance = postgres_engine.execution_options(isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.execute(text("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"))
    engine = create_engine(postgres.url(database="latin"))
    with pytest.raises(ConfigError, match="LATIN1"):
        Store(engine).prepare()
    engine.dispose()
    with maintenance.connect() as connection:
        connection.execute(text("DROP DATABASE latin"))


def test_another_database_is_refused():
    class Dialect:
        name = "mysql"
        driver = "mysqldb"

    class Engine:
        dialect = Dialect()

    with pytest.raises(ConfigError, match="store_conn_id leads to mysql by mysqldb"):
        Store(Engine())
