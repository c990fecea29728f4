"""The store is emptied, replaced or moved while the receiver runs."""

from pathlib import Path

import pytest
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from airflow_provider_wacontacts.receiver import application, recorder
from tests.receiver.conftest import connection_to
from tests.receiver.load import bodies_of

BODIES = bodies_of(9)
until_true = retry(retry=retry_if_result(lambda result: not result), stop=stop_after_delay(60), wait=wait_fixed(0.1))


def is_available(receiver):
    return requests.get(f"{receiver.url}/health", timeout=60).json()["store"] == "available"


@until_true
def is_recorded(receiver, body):
    return receiver.deliver(body).status_code == 200


def test_tables_that_are_gone_are_created_again(run_receiver, postgres_url):
    engine = create_engine(postgres_url)
    receiver = run_receiver(postgres_url, engine)
    assert receiver.deliver(BODIES[1]).status_code == 200
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))

    assert receiver.deliver(BODIES[2]).status_code == 503
    assert receiver.deliver(BODIES[2]).status_code == 200

    assert len(receiver.rows("SELECT * FROM wacontacts_number")) == 1
    engine.dispose()


def test_a_store_without_tables_is_unavailable_until_they_are_created(run_receiver, postgres_url, monkeypatch):
    monkeypatch.setattr(recorder, "HEALTH_CACHED_FOR_S", 0)
    engine = create_engine(postgres_url)
    receiver = run_receiver(postgres_url, engine)
    assert is_available(receiver)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))

    assert not is_available(receiver)
    assert is_available(receiver)
    engine.dispose()


def test_a_file_that_was_replaced_is_opened_again(run_receiver, sqlite_url, monkeypatch):
    monkeypatch.setattr(application, "REFRESH_SECONDS", 0.1)
    engine = create_engine(sqlite_url)
    receiver = run_receiver(sqlite_url, engine)
    assert receiver.deliver(BODIES[1]).status_code == 200
    for suffix in ("", "-wal", "-shm"):
        Path(make_url(sqlite_url).database + suffix).unlink(missing_ok=True)
    engine.dispose()

    assert is_recorded(receiver, BODIES[2])
    assert len(receiver.rows("SELECT * FROM wacontacts_number")) == 1
    engine.dispose()


@pytest.fixture
def moved(postgres_url, postgres_engine):
    """Another database of the server."""
    name = f"{make_url(postgres_url).database}_moved"
    autocommit = postgres_engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_url).set(database=name)
    with autocommit.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def test_a_connection_that_was_changed_is_used(run_receiver, connect, postgres_url, moved, monkeypatch):
    monkeypatch.setattr(application, "REFRESH_SECONDS", 0.1)
    engine = create_engine(moved)
    receiver = run_receiver(postgres_url, engine)
    assert receiver.deliver(BODIES[1]).status_code == 200

    connect("wacontacts_store", **connection_to(moved))

    @until_true
    def is_there(receiver):
        receiver.deliver(BODIES[2])
        with engine.connect() as connection:
            return connection.execute(text("SELECT to_regclass('wacontacts_number') IS NOT NULL")).scalar()

    assert is_there(receiver)
    engine.dispose()


def test_a_connection_that_cannot_be_read_stays_as_it_was(run_receiver, connect, sqlite_url, monkeypatch, caplog):
    receiver = run_receiver(sqlite_url)
    current = application.CurrentStore("wacontacts_store")
    store = current.store
    monkeypatch.delenv("AIRFLOW_CONN_WACONTACTS_STORE")

    assert not current.reopen(anyway=True)
    assert current.store is store
    assert "Connection 'wacontacts_store' cannot be read" in caplog.text
    assert receiver.deliver(BODIES[1]).status_code == 200
