"""Failures of a store's database: retries of conflicts and dropped connections, and errors without row data."""

from __future__ import annotations

import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, event, text

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store import transactions as sessions

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
SECRET = "example-password"


@pytest.fixture(params=["psycopg2", "psycopg"])
def postgres_landing(request, postgres, landing_on):
    pytest.importorskip(request.param)
    engine = create_engine(postgres.url(driver=request.param), pool_size=1)
    schema = f"failures_{request.param}"
    yield landing_on(Store(engine, table_schema=schema), engine)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


def contacts(landing):
    return [
        one
        for (one,) in landing.rows(f"SELECT contact_id FROM {landing.store.context.tables.prefix}wacontacts_current")
    ]


def everything_said(error):
    return "".join(traceback.format_exception(error, chain=True)) + repr(error.__context__) + repr(error.__cause__)


@pytest.fixture
def attempts(postgres_landing):
    """Count how often a batch is sent."""
    sent = []
    event.listen(
        postgres_landing.engine,
        "before_cursor_execute",
        lambda *given: sent.append(1) if "widened AS (" in given[2] else None,
    )
    return sent


def test_the_victim_of_a_deadlock_is_retried(postgres_landing, postgres_engine, attempts):
    landing, head = postgres_landing, f"{postgres_landing.store.context.tables.prefix}wacontacts_contact_current"
    landing.land(landing.begin(), landing.record("a"), landing.record("z"))
    attempts.clear()
    with postgres_engine.begin() as other:
        other.execute(text("SET LOCAL deadlock_timeout = '1h'"))
        other.execute(text(f"UPDATE {head} SET version_id = version_id WHERE contact_id = 'z'"))
        later = {"extracted_at": MONDAY + timedelta(days=9)}
        records = landing.record("a"), landing.record("z")
        worker = threading.Thread(target=landing.land, args=(landing.begin("later"), *records), kwargs=later)
        worker.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%widened AS (%'"
        while not other.execute(text(waiting)).scalar():
            other.execute(text("SELECT pg_stat_clear_snapshot()"))
        other.execute(text(f"UPDATE {head} SET version_id = version_id WHERE contact_id = 'a'"))
    worker.join()

    seen = landing.rows(f"SELECT DISTINCT last_seen_at FROM {head}")
    assert (seen, len(attempts)) == ([(later["extracted_at"],)], 2)


def test_of_two_workers_that_add_a_contact_concurrently_one_retries(postgres_landing, postgres_engine, attempts):
    landing, barrier = postgres_landing, threading.Barrier(2)

    def meet(*given):
        if "widened AS (" in given[2] and len(attempts) <= 2:
            barrier.wait(300)

    event.listen(postgres_landing.engine, "after_cursor_execute", meet)
    engine = create_engine(landing.engine.url)
    event.listen(
        engine, "before_cursor_execute", lambda *given: attempts.append(2) if "widened AS (" in given[2] else 0
    )
    event.listen(engine, "after_cursor_execute", meet)
    other = Store(engine, table_schema=landing.store.context.tables.table_schema)
    seconds = other.begin(**landing.given("second"))
    worker = threading.Thread(target=landing.land, args=(landing.begin("first"), landing.record("a")))
    worker.start()
    landing.land(seconds, landing.record("a"))
    worker.join()
    engine.dispose()
    assert (contacts(landing), len(attempts)) == (["a"], 3)


def test_a_connection_dropped_before_the_commit_is_retried(postgres_landing, postgres_engine, attempts):
    landing = postgres_landing
    extraction = landing.begin()
    (((backend,),)) = landing.rows("SELECT pg_backend_pid()")
    with postgres_engine.begin() as other:
        other.execute(text("SELECT pg_terminate_backend(:backend, 60000)"), {"backend": backend})

    assert landing.land(extraction, landing.record("a")) == 1
    assert contacts(landing) == ["a"]
    assert extraction.finish().rows == 1


def test_a_connection_dropped_during_the_commit_is_an_error(postgres_landing, postgres_engine):
    landing = postgres_landing
    extraction = landing.begin()

    def break_the_line(connection):
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with postgres_engine.begin() as other:
            other.execute(text("SELECT pg_terminate_backend(:backend, 60000)"), {"backend": backend})

    event.listen(landing.engine, "commit", break_the_line, once=True)
    with pytest.raises(LandingError, match="lost while it committed"):
        landing.land(extraction, landing.record("a"))
    assert contacts(landing) == []


def test_waiting_for_the_lock_of_a_frozen_worker_is_limited(postgres_landing, postgres_engine, monkeypatch):
    landing, ledger = postgres_landing, f"{postgres_landing.store.context.tables.prefix}wacontacts_extraction"
    landing.begin()
    monkeypatch.setattr(sessions, "BUSY_TIMEOUT_S", 1)
    with postgres_engine.begin() as frozen:
        frozen.execute(text(f"SELECT * FROM {ledger} FOR UPDATE"))
        with pytest.raises(LandingError, match="locked by another session"):
            landing.begin()
    assert landing.begin().resumes == 1


def test_a_frozen_worker_loses_its_locks(postgres_landing, postgres_engine, monkeypatch):
    landing, frozen = postgres_landing, []
    extraction = landing.begin()
    monkeypatch.setattr(sessions, "MAX_IDLE_S", 1)

    def freeze(connection):
        if not frozen:
            frozen.append(connection.execute(text("SELECT pg_backend_pid()")).scalar())
            with postgres_engine.execution_options(isolation_level="AUTOCOMMIT").connect() as other:
                while other.execute(
                    text("SELECT 1 FROM pg_stat_activity WHERE pid = :pid"), {"pid": frozen[0]}
                ).scalar():
                    time.sleep(0.05)

    event.listen(landing.engine, "commit", freeze)
    with pytest.raises(LandingError, match="lost while it committed"):
        landing.land(extraction, landing.record("a"))
    assert contacts(landing) == []


def test_the_error_of_an_unreachable_server_has_its_address_and_no_password(landing_on):
    engine = create_engine(f"postgresql+psycopg2://somebody:{SECRET}@127.0.0.1:1/contacts")
    with pytest.raises(LandingError, match=r"^The store cannot reach 127\.0\.0\.1:1: the connection was") as raised:
        landing_on(Store(engine), engine)
    assert SECRET not in everything_said(raised.value)


def test_an_unknown_host_is_retried_only_within_its_time_limit(monkeypatch):
    monkeypatch.setattr(sessions, "UNKNOWN_HOST_S", 0)
    engine = create_engine("postgresql+psycopg2://etl@db.invalid/contacts")
    attempts = []
    event.listen(engine, "do_connect", lambda *_: attempts.append(1))

    with pytest.raises(ConfigError, match="the host name is unknown"):
        Store(engine).prepare()

    assert len(attempts) == 1


def test_a_store_that_lost_commits_is_detected(landing):
    extraction = landing.begin()
    landing.land(extraction, landing.record("a"), position=MONDAY)
    with landing.engine.begin() as connection:
        connection.execute(text("UPDATE wacontacts_extraction SET row_count = 0, position = NULL"))
    with pytest.raises(LandingError, match="lost contacts that were committed"):
        landing.land(extraction, landing.record("b"))
    with pytest.raises(LandingError, match="lost contacts that were committed"):
        extraction.finish()
    assert landing.begin().resume_from is None


def test_errors_quote_no_row_data(landing):
    extraction, one = landing.begin(), landing.record("example-person", name="example-name")
    head = "DROP TABLE wacontacts_contact_current CASCADE" if landing.engine.dialect.name == "postgresql" else None
    with landing.engine.begin() as connection:
        for statement in (head,) if head else ("DROP VIEW wacontacts_current", "DROP TABLE wacontacts_contact_current"):
            connection.execute(text(statement))
    with pytest.raises(ConfigError, match="has no table or view") as raised:
        landing.land(extraction, one)
    said = everything_said(raised.value)
    assert [word for word in ("example-", "INSERT") if word in said] == []
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


def test_a_sqlite_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="its directory is missing"):
        Store(create_engine(f"sqlite:///{tmp_path}/missing/store.db")).prepare()


def test_the_time_limit_of_a_transaction_does_not_affect_the_next(sqlite_url, monkeypatch):
    monkeypatch.setattr(sessions, "STEPS", 1)
    engine = create_engine(sqlite_url)
    store = Store(engine, max_wait=timedelta(seconds=60))
    store.prepare()
    an_hour_later = time.monotonic() + 3_600
    # Not the whole process's clock: event loops of other threads would sleep for an hour.
    monkeypatch.setattr(sessions, "time", SimpleNamespace(monotonic=lambda: an_hour_later))

    assert store.context.run(lambda db: db.execute("SELECT 1").scalar()) == 1
    engine.dispose()


def test_a_writer_waits_for_another_within_its_limit(sqlite_url):
    engine, statements = create_engine(sqlite_url), []
    store = Store(engine, max_wait=timedelta(seconds=3))
    store.prepare()
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    store.context.run(lambda db: db.execute("SELECT 1").scalar())

    assert {each for each in statements if "busy_timeout" in each} == {"PRAGMA busy_timeout = 3000"}
    engine.dispose()
