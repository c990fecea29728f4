"""
What all tests stand on.

Nothing here touches the Airflow of whoever runs them: before it is imported, it gets a home of its own. Databases are
fresh ones, on a PostgreSQL server that lasts for the session.
"""

import atexit
import importlib.util
import os
import shutil
import tempfile
from itertools import count

import hypothesis
import pytest
from sqlalchemy import create_engine

from demo.postgres import NoPostgresError, PostgresServer

HOME = tempfile.mkdtemp(prefix="wacontacts-tests-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
}

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

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
