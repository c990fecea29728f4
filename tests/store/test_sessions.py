"""Sessions of the store work the same with any configuration of database, role and pooler."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import create_engine, event, text

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.store import Store, transactions
from airflow_provider_wacontacts.store.erasure import erase
from tests.store.conftest import MONDAY

#: Settings of a database that conflict with the settings that the store relies on.
SETTINGS = {
    "default_transaction_isolation": "'repeatable read'",
    "synchronous_commit": "off",
    "DateStyle": "'German, DMY'",
    "TimeZone": "'America/St_Johns'",
    "standard_conforming_strings": "off",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
    "IntervalStyle": "sql_standard",
    "search_path": "nowhere",
    "statement_timeout": "'7s'",
    "lock_timeout": "'7s'",
    "idle_in_transaction_session_timeout": "'7s'",
}


@pytest.fixture(params=["psycopg2", "psycopg"])
def odd_landing(request, postgres, postgres_engine, postgres_database, landing_on):
    """A store in a database with all these settings, for each driver."""
    pytest.importorskip(request.param)
    with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name, value in SETTINGS.items():
            connection.exec_driver_sql(f"ALTER DATABASE {postgres_database} SET {name} = {value}")
    engine = create_engine(postgres.url(driver=request.param, database=postgres_database))
    yield landing_on(Store(engine, table_schema="contacts"), engine)
    engine.dispose()


def read(landing, query):
    with landing.store.context.transactions.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_contacts_are_written_and_read_with_any_settings_of_the_database(odd_landing):
    odd_landing.store.prepare()
    extraction = odd_landing.begin()
    odd_landing.land(extraction, odd_landing.record("é\\ '", MONDAY, name="“ü”\\"), position=MONDAY)
    assert odd_landing.begin().resume_from == MONDAY
    query = "SELECT contact_id, updated_at, payload->>'name' FROM contacts.wacontacts_current"
    assert read(odd_landing, query) == [("é\\ '", MONDAY, "“ü”\\")]


def test_each_transaction_has_the_settings_that_the_store_relies_on(odd_landing):
    expected = {
        "transaction_isolation": "read committed",
        "synchronous_commit": "on",
        "DateStyle": "ISO, DMY",
        "TimeZone": "UTC",
        "client_encoding": "UTF8",
        "search_path": '"contacts"',
        "statement_timeout": "10min",
        "lock_timeout": "1min",
        "idle_in_transaction_session_timeout": "5min",
    }
    query = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in expected))
    runs = odd_landing.store.context.transactions
    with runs.read() as connection:
        assert tuple(connection.execute(query).one()) == tuple(expected.values())
    assert tuple(runs.run(lambda connection: connection.execute(query).one())) == tuple(expected.values())


def test_no_state_remains_in_a_session_that_a_pooler_shares(odd_landing):
    """Settings of the store end with the transaction, and no statement is prepared in the session."""
    settings = ("TimeZone", "search_path", "synchronous_commit", "lock_timeout")
    shown = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in settings))
    left = []

    @event.listens_for(odd_landing.engine, "checkin")
    def note(connection, _record):
        cursor = connection.cursor()
        cursor.execute(str(shown))
        left.append(cursor.fetchone())
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        left.append(cursor.fetchone())
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        left.append(cursor.fetchone())
        connection.rollback()

    for _ in range(8):
        odd_landing.land(odd_landing.begin(), odd_landing.record("bob"))
    assert set(left) == {("America/St_Johns", "nowhere", "off", "7s"), (0,)}


def test_contacts_erased_during_a_load_do_not_stay(odd_landing):
    """The landing reads the suppression list just before the erasure commits it."""
    extraction, bob = odd_landing.begin(), odd_landing.record("bob", wa_id="27821234567")
    landing = threading.Thread(target=odd_landing.land, args=(extraction, bob))

    @event.listens_for(odd_landing.engine, "commit")
    def land_first(_connection):
        if landing.ident is None:
            landing.start()
            landing.join()

    erase(odd_landing.store.context, [Identifier(Kind.WA_ID, "27821234567")])
    assert read(odd_landing, "SELECT contact_id FROM contacts.wacontacts_current") == []


def test_two_workers_that_begin_one_extraction_concurrently_leave_one_running(odd_landing):
    barrier = threading.Barrier(4)

    def begin():
        barrier.wait()
        odd_landing.begin()

    workers = [threading.Thread(target=begin) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    query = "SELECT count(*) FROM contacts.wacontacts_extraction WHERE state = 'running'"
    assert read(odd_landing, query) == [(1,)]


def test_a_setting_that_a_session_may_not_change_is_named(postgres_landing, monkeypatch):
    monkeypatch.setitem(transactions.SETTINGS, "no_setting_of_postgresql", "on")
    with pytest.raises(ConfigError, match="does not let a session set 'no_setting_of_postgresql'"):
        postgres_landing.store.prepare()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("53100", "has no disk space left"),
        ("57014", "canceled a statement"),
        ("25006", "read-only"),
    ],
)
def test_a_full_disk_a_timeout_and_a_read_only_database_are_named(postgres_landing, state, expected):
    trouble = f"DO $$ BEGIN RAISE EXCEPTION 'example-person' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(LandingError, match=expected) as raised:
        postgres_landing.store.context.transactions.run(lambda connection: connection.exec_driver_sql(trouble))
    assert (state in str(raised.value), "example-person" in str(raised.value)) == (True, False)


def test_a_search_path_without_a_schema_is_named(postgres, postgres_engine):
    with postgres_engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS nowhere"))
    engine = create_engine(f"{postgres.url()}?options=-csearch_path%3Dnowhere")
    with pytest.raises(ConfigError, match=r"has no schema\. Correct extra 'table_schema'"):
        Store(engine).prepare()
    engine.dispose()


def test_a_full_disk_under_sqlite_is_named(sqlite_landing):
    extraction = sqlite_landing.begin()

    def work(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        connection.exec_driver_sql("CREATE TABLE more AS SELECT zeroblob(100000) AS bytes")

    with pytest.raises(LandingError, match=r"has no disk space left.*SQLITE_FULL"):
        sqlite_landing.store.context.transactions.run(work)
    sqlite_landing.engine.dispose()
    assert sqlite_landing.land(extraction, sqlite_landing.record("bob")) == 1


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_sqlite_file_that_is_deleted_during_an_attempt_fails_it(sqlite_landing, tmp_path, is_replaced):
    extraction = sqlite_landing.begin()
    for path in tmp_path.glob("store.db*"):
        path.rename(tmp_path / f"moved-{path.name}")
    if is_replaced:
        Store(create_engine(f"sqlite:///{tmp_path}/store.db")).prepare()
    with pytest.raises(LandingError, match="deleted or replaced"):
        sqlite_landing.land(extraction, sqlite_landing.record("bob"))
    with pytest.raises(LandingError, match="deleted or replaced"):
        sqlite_landing.store.prepare()
