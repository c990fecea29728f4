"""A real API server of Airflow with the page, over a store of generated people; and Chromium."""

from importlib.metadata import version

import pytest

from tests.browser import browser
from tests.plugin.seeds import Seeds
from tests.plugin.server import ROLES, ApiServer

__all__ = ["browser"]

RELEASE = [int(part) for part in version("apache-airflow").split(".")[:2]]
HAS_TEAMS = RELEASE >= [3, 3]


@pytest.fixture(scope="session")
def airflow_with_pages():
    """Airflow shows external views."""
    if RELEASE < [3, 1]:
        pytest.skip("Airflow shows external views from 3.1 on")


@pytest.fixture(scope="session")
def teams(server):
    """Airflow has teams."""
    if not HAS_TEAMS:
        pytest.skip("Airflow has teams from 3.3 on")


@pytest.fixture(scope="session")
def seeds(postgres, postgres_engine):
    """A store in PostgreSQL."""
    maintenance = postgres_engine.execution_options(isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE page")
    seeds = Seeds(postgres.url(database="page")).everything()
    yield seeds
    seeds.engine.dispose()


@pytest.fixture(scope="session")
def server(airflow_with_pages, seeds, tmp_path_factory):
    """The API server, under a path. It shows a store, one that is down, one without tables, and one not defined."""
    home = tmp_path_factory.mktemp("api-server")
    url = seeds.engine.url
    store = {"conn_type": "postgres", "host": url.host, "port": url.port, "schema": url.database, "login": url.username}
    connections = {
        "wacontacts_store": store,
        "store_down": store | {"host": "192.0.2.1", "password": "example-password-of-a-store"},
        "store_empty": {"conn_type": "sqlite", "host": str(home / "empty.db")},
    }
    (home / "empty.db").touch()
    env = {
        "AIRFLOW__CORE__MULTI_TEAM": str(HAS_TEAMS),
        "AIRFLOW__WACONTACTS__STORE_CONN_IDS": "wacontacts_store,store_down,store_empty,store_undefined,store_of_team",
        "AIRFLOW__WACONTACTS__SHOW_PEOPLE": "True",
    }
    with ApiServer(
        home / "airflow",
        connections=connections,
        path="/some/path",
        users=[*(f"{role}:{role}" for role in ROLES), *(["member:op:sales", "stranger:op:support"] * HAS_TEAMS)],
        env=env,
    ) as server:
        if HAS_TEAMS:
            server.add_connection_of_team("store_of_team", "sales", store)
        yield server
