"""Databases for tests: a PostgreSQL server for the session, and fresh databases on it."""

from __future__ import annotations

import importlib.util
from itertools import count

import pytest
from sqlalchemy import create_engine

from demo.postgres import NoPostgresError, PostgresServer

NUMBERS = count(1)


@pytest.fixture(scope="session")
def postgres():
    """A running server, stopped when the session ends, however it ends."""
    try:
        server = PostgresServer()
        server.start()
    except NoPostgresError as missing:
        pytest.skip(str(missing))
    yield server
    server.stop()


@pytest.fixture
def postgres_database(postgres):
    """The name of a fresh database, dropped after the test."""
    name = f"test_{next(NUMBERS)}"
    maintenance = create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield name
    with maintenance.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    maintenance.dispose()


@pytest.fixture
def postgres_url(postgres, postgres_database):
    """URL of a fresh PostgreSQL database, by psycopg2."""
    return postgres.url(database=postgres_database)


@pytest.fixture
def sqlite_url(tmp_path):
    """URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(params=["sqlite", "psycopg2", "psycopg"])
def store_url(request):
    """URL of a fresh database, by each driver that the store is written for."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite_url")
    if not importlib.util.find_spec(request.param):
        pytest.skip(f"{request.param} is not installed")
    server, name = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_database")
    return server.url(driver=request.param, database=name)


@pytest.fixture
def store_engine(store_url):
    """An engine on a fresh database, by each driver that the store is written for."""
    engine = create_engine(store_url)
    yield engine
    engine.dispose()
