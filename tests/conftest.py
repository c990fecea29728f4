"""
Fixtures of all tests.

No test uses an existing Airflow: before Airflow is imported, it gets a home directory of its own. Databases are new,
on a PostgreSQL server that runs during the session.
"""

import atexit
import importlib.util
import json
import os
import re
import shutil
import signal
import tempfile
from datetime import UTC
from decimal import Decimal
from itertools import count
from uuid import UUID

import hypothesis
import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.records.windows import parse_time
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

# In the background of a script Ctrl-C is ignored, also by all that is started from here, and some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: How long an example takes is the machine's doing, and all examples of a test share its store on purpose.
CALM = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
}
hypothesis.settings.register_profile("here", **CALM)
hypothesis.settings.register_profile("ci", **CALM, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

NUMBERS = count(1)
#: The newer driver where it is installed. The environments of the matrix up to Airflow 3.2 have the older one alone.
POSTGRES_DRIVER = "psycopg" if importlib.util.find_spec("psycopg") else "psycopg2"
#: Folders whose tests share one running Airflow each. One worker has them all, first and one after the other.
DEPLOYMENTS = ("tests/deployed/", "tests/fleet/")
#: Folders with files that take long: they are next, so that no worker is alone with one of them in the end.
LONG = ("tests/newcomer/", "tests/packaging/", "tests/plugin/", "tests/faults/", "tests/leaks/", "tests/properties/")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each worker of pytest-xdist whole files, in the order of the collection but for the deployments."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "deployments" if nodeid.startswith(DEPLOYMENTS) else super()._split_scope(nodeid)

    config.option.loadscopereorder = False
    return Scheduler(config, log)


def pytest_collection_modifyitems(items):
    """Move the deployments to the front for pytest-xdist, and then what else takes long."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: (not item.nodeid.startswith(DEPLOYMENTS), not item.nodeid.startswith(LONG)))


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


@pytest.fixture(scope="session")
def postgres_engine(postgres):
    """An engine of the server's superuser."""
    engine = create_engine(postgres.url())
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_database(postgres_engine):
    """The name of a fresh database, dropped after the test."""
    name = f"test_{next(NUMBERS)}"
    maintenance = postgres_engine.execution_options(isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield name
    with maintenance.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgres_url(postgres, postgres_database):
    """URL of a fresh PostgreSQL database, by psycopg2."""
    return postgres.url(database=postgres_database)


@pytest.fixture
def sqlite_url(tmp_path):
    """URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(params=["sqlite", POSTGRES_DRIVER])
def store_url(request):
    """URL of a place without tables, in SQLite and in a schema of PostgreSQL."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite_url")
    server, name = request.getfixturevalue("postgres"), f"test_{next(NUMBERS)}"
    with request.getfixturevalue("postgres_engine").begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    return f"{server.url(driver=request.param)}?options=-csearch_path%3D{name}"


@pytest.fixture
def store_engine(store_url):
    """An engine on a place without tables."""
    engine = create_engine(store_url)
    yield engine
    engine.dispose()


@pytest.fixture
def dump_store():
    """Read what a store promises of one account: the rows of its three names, in order, in Python's types."""
    return _dump


def plain_id(value):
    """Read a UUID, which the databases and drivers return in three ways, as 32 hexadecimal digits."""
    is_uuid = isinstance(value, UUID) or (isinstance(value, str) and re.fullmatch(r"\w{8}(-\w{4}){3}-\w{12}", value))
    return str(value).replace("-", "") if is_uuid else value


def _dump(engine, account):
    return {name: _rows(engine, name, account) for name in ("version", "current", "history")}


def _rows(engine, name, account):
    columns = "source, account, contact_id, updated_at, row_hash, state, first_seen_at, last_seen_at, wa_id, repaired"
    columns += ", CAST(payload AS text) AS payload" + (", valid_from, valid_to" if name == "history" else "")
    query = text(f"SELECT {columns} FROM wacontacts_{name} WHERE account = :account")
    with engine.connect() as connection:
        found = [_read(dict(row)) for row in connection.execute(query, {"account": account}).mappings()]
    return sorted(found, key=lambda row: (row["contact_id"], row["updated_at"], row["last_seen_at"], row["row_hash"]))


def _read(row):
    times = {name for name in row if name.endswith("_at") or name.startswith("valid_")}
    for name in times:
        moment = row[name]
        row[name] = parse_time(moment) if isinstance(moment, str) else moment and moment.astimezone(UTC)
    payload = json.loads(row["payload"], parse_float=Decimal)
    return row | {"row_hash": bytes(row["row_hash"]), "repaired": bool(row["repaired"]), "payload": payload}
