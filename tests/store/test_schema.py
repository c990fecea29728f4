"""Creation of the tables: required privileges, and refused versions."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import pytest
from sqlalchemy import create_engine, event, text

from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError
from airflow_provider_wacontacts.store import Store, rules, upgrade
from airflow_provider_wacontacts.store.migrations import LATEST, checks, contacts
from tests.store.conftest import PROCESSES

NAMES = [
    "wacontacts_account",
    "wacontacts_budget",
    "wacontacts_change",
    "wacontacts_change_log",
    "wacontacts_check",
    "wacontacts_check_result",
    "wacontacts_contact_current",
    "wacontacts_contact_payload",
    "wacontacts_contact_version",
    "wacontacts_current",
    "wacontacts_directory",
    "wacontacts_directory_copy",
    "wacontacts_erased",
    "wacontacts_erased_key",
    "wacontacts_extraction",
    "wacontacts_field",
    "wacontacts_field_change",
    "wacontacts_history",
    "wacontacts_identifier_change",
    "wacontacts_identity",
    "wacontacts_identity_change",
    "wacontacts_identity_change_log",
    "wacontacts_number",
    "wacontacts_reject",
    "wacontacts_rejected_row",
    "wacontacts_schema_version",
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
    """Collect the engine's statements in order."""
    seen = []
    event.listen(store_engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    return seen


def test_a_store_creates_its_tables(store_engine):
    Store(store_engine).prepare()
    assert names_in(store_engine) == NAMES
    assert rows_of(store_engine, "SELECT schema_version FROM wacontacts_schema_version") == [
        (n,) for n in range(1, LATEST + 1)
    ]


def test_a_store_connects_to_nothing_before_it_is_prepared(store_engine, statements):
    Store(store_engine)
    assert statements == []


def test_tables_that_are_up_to_date_need_three_queries(store_engine, statements):
    Store(store_engine).prepare()
    statements.clear()
    Store(store_engine, auto_upgrade=False).prepare()
    asked = [s for s in statements if "set_config" not in s and not s.startswith("PRAGMA busy_timeout")]
    assert len(asked) == 3  # the version, the suppression list, and a number to check the secret of its key


def test_upgrade_creates_the_tables_and_can_be_repeated(store_engine):
    upgrade(store_engine)
    upgrade(store_engine)
    Store(store_engine, auto_upgrade=False).prepare()
    assert rows_of(store_engine, "SELECT count(*) FROM wacontacts_schema_version") == [(LATEST,)]


def test_without_auto_upgrade_the_error_names_the_command(store_engine):
    with pytest.raises(ConfigError, match=r"auto_upgrade is off.*`wacontacts store upgrade`"):
        Store(store_engine, auto_upgrade=False).prepare()
    assert names_in(store_engine) == []


@pytest.mark.parametrize("auto_upgrade", [True, False])
def test_tables_that_only_a_newer_package_may_write_are_refused(store_engine, auto_upgrade):
    upgrade(store_engine)
    write(store_engine, "UPDATE wacontacts_schema_version SET schema_version = 99, writable_from = '98.7'")
    with pytest.raises(ConfigError, match=f"version 99, and this package writes version {LATEST}.* 98.7 or newer"):
        Store(store_engine, auto_upgrade=auto_upgrade).prepare()
    with pytest.raises(ConfigError, match=f"version 99, and this package writes version {LATEST}"):
        upgrade(store_engine)


def test_newer_tables_that_this_package_may_write_are_unchanged(store_engine, landing_on):
    upgrade(store_engine)
    write(store_engine, "UPDATE wacontacts_schema_version SET schema_version = 99, writable_from = '0.1.0'")
    landing = landing_on(Store(store_engine), store_engine)
    assert landing.land(landing.begin(), landing.record()) == 1
    assert upgrade(store_engine) == (99, 99)


@pytest.mark.parametrize("auto_upgrade", [True, False])
def test_tables_of_an_unreleased_package_are_refused_and_unchanged(store_engine, auto_upgrade):
    write(
        store_engine,
        "CREATE TABLE wacontacts_meta (schema_version integer)",
        "INSERT INTO wacontacts_meta VALUES (5)",
        "CREATE TABLE wacontacts_head (contact_id text)",
    )
    with pytest.raises(ConfigError, match=r"unreleased.*ContactFilesToSqlOperator"):
        Store(store_engine, auto_upgrade=auto_upgrade).prepare()
    with pytest.raises(ConfigError, match=r"unreleased.*ContactFilesToSqlOperator"):
        upgrade(store_engine)
    assert names_in(store_engine) == ["wacontacts_head", "wacontacts_meta"]


def test_a_failed_migration_changes_nothing(store_engine):
    write(store_engine, "CREATE VIEW wacontacts_history AS SELECT 1 AS mine")
    with pytest.raises(WaContactsError, match=r"^The store (failed|has another object)"):
        Store(store_engine).prepare()
    assert names_in(store_engine) == ["wacontacts_history"]


def prepare(url):
    engine = create_engine(url)
    Store(engine).prepare()
    engine.dispose()


def test_six_workers_may_prepare_concurrently(store_url, store_engine):
    with ProcessPoolExecutor(6, PROCESSES) as workers:
        list(workers.map(prepare, [store_url] * 6))
    assert names_in(store_engine) == NAMES
    assert rows_of(store_engine, "SELECT schema_version FROM wacontacts_schema_version") == [
        (n,) for n in range(1, LATEST + 1)
    ]


def test_sqlite_readers_and_a_writer_do_not_block_each_other(sqlite_landing):
    assert sqlite_landing.rows("PRAGMA journal_mode") == [("wal",)]


def test_sqlite_has_no_schemas(sqlite_url):
    with pytest.raises(ConfigError, match="table_schema"):
        Store(create_engine(sqlite_url), table_schema="contacts")
    with pytest.raises(ConfigError, match="table_schema"):
        upgrade(create_engine(sqlite_url), "contacts")


@pytest.mark.parametrize("name", ["contacts", 'Od"d na.me; --', "select", "100%", "%s", "a :b", "ü" * 31])
def test_a_schema_with_any_name_is_created_and_used(postgres_url, dump_store, name):
    engine = create_engine(postgres_url)
    Store(engine, table_schema=name).prepare()
    Store(engine, table_schema=name, auto_upgrade=False).prepare()
    quoted = name.replace("'", "''").replace(":", r"\:")
    assert names_in(engine, f"'{quoted}'") == NAMES
    assert names_in(engine, "'public'") == []
    engine.dispose()


def test_a_schema_name_that_postgresql_would_truncate_is_refused(postgres_url):
    with pytest.raises(ConfigError, match="63 bytes"):
        Store(create_engine(postgres_url), table_schema="ü" * 32)


@pytest.fixture
def guest(postgres, postgres_database):
    """A user that may only connect to a new database, and the database's owner."""
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
def test_without_privileges_the_error_names_the_command(guest, table_schema):
    engine, owner = guest
    with pytest.raises(ConfigError, match=r"CREATE SCHEMA contacts AUTHORIZATION guest;.*`wacontacts store upgrade`"):
        Store(engine, table_schema=table_schema).prepare()
    upgrade(owner, table_schema)
    schema = table_schema or "public"
    with pytest.raises(ConfigError, match=rf"lacks a privilege.*GRANT USAGE ON SCHEMA {schema} TO guest;"):
        Store(engine, table_schema=table_schema).prepare()


def test_privileges_to_read_and_write_suffice_if_the_tables_exist(guest, landing_on):
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


def test_an_existing_schema_needs_no_privilege_to_create_schemas(guest):
    engine, owner = guest
    write(owner, "CREATE SCHEMA contacts", "GRANT USAGE, CREATE ON SCHEMA contacts TO guest")
    Store(engine, table_schema="contacts").prepare()
    assert names_in(owner, "'contacts'") == NAMES


def test_a_sqlite_file_that_may_not_be_written_is_named(sqlite_url):
    create_engine(sqlite_url).connect().close()
    with pytest.raises(ConfigError, match=r"may not write the file .*store\.db"):
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


def test_queries_and_views_have_the_same_rules():
    assert (rules.IS_PENDING, rules.VALID_TO) == (checks.IS_PENDING, contacts.VALID_TO)


def test_another_database_is_refused():
    class Dialect:
        name = "mysql"
        driver = "mysqldb"

    class Engine:
        dialect = Dialect()
        url = None

    with pytest.raises(ConfigError, match="The store points to mysql by mysqldb"):
        Store(Engine())
