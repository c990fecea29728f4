"""`wacontacts store upgrade`."""

import os
import sys
import types

import pytest

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.exceptions import ConfigError


class Upgrades:
    """Stands for the store: remembers what is upgraded."""

    def __init__(self, monkeypatch):
        self.done = []
        self.disposed = 0
        self.error = None
        store = types.ModuleType("airflow_provider_wacontacts.hooks.store")
        store.store_engine = lambda conn_id: types.SimpleNamespace(engine=self, table_schema=f"schema of {conn_id}")
        landing = types.ModuleType("airflow_provider_wacontacts.landing.sql")
        landing.upgrade = self.upgrade
        monkeypatch.setitem(sys.modules, store.__name__, store)
        monkeypatch.setitem(sys.modules, landing.__name__, landing)

    def upgrade(self, engine, table_schema):
        if self.error:
            raise self.error
        self.done.append((str(getattr(engine, "url", "airflow")), table_schema))

    def dispose(self):
        self.disposed += 1


@pytest.fixture
def upgrades(monkeypatch):
    return Upgrades(monkeypatch)


def test_the_store_of_a_connection_is_upgraded(upgrades, capsys):
    assert cli.main(["store", "upgrade", "--conn-id", "lake"]) == 0
    assert cli.main(["store", "upgrade"]) == 0
    assert upgrades.done == [("airflow", "schema of lake"), ("airflow", "schema of wacontacts_store")]
    assert capsys.readouterr().out == (
        "The tables of lake are up to date.\nThe tables of wacontacts_store are up to date.\n"
    )


def test_the_store_of_a_url_in_the_environment_is_upgraded(upgrades, monkeypatch):
    monkeypatch.setenv("STORE_URL", "sqlite://")

    assert cli.main(["store", "upgrade", "--url-env", "STORE_URL", "--table-schema", "contacts"]) == 0
    assert upgrades.done == [("sqlite://", "contacts")]


def test_an_upgrade_that_fails_is_one_line_and_leaves_no_connection(fails_with, upgrades):
    upgrades.error = ConfigError("the tables are of a newer version")

    assert fails_with("store", "upgrade") == "wacontacts: the tables are of a newer version\n"
    assert upgrades.disposed == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "the environment variable STORE_URL is not set"),
        ("", "the environment variable STORE_URL is not set"),
        ("user:secret-word", "the environment variable STORE_URL holds no database URL that SQLAlchemy knows"),
        (
            "nosuchbase://user:secret-word@host/db",
            "the environment variable STORE_URL holds no database URL that SQLAlchemy knows",
        ),
        (
            "postgresql://user:secret-word@host:port/db",
            "the environment variable STORE_URL holds no database URL that SQLAlchemy knows",
        ),
    ],
)
def test_a_url_that_is_none_is_not_repeated(fails_with, upgrades, monkeypatch, url, said):
    monkeypatch.delenv("STORE_URL", raising=False)
    if url is not None:
        monkeypatch.setitem(os.environ, "STORE_URL", url)

    assert fails_with("store", "upgrade", "--url-env", "STORE_URL") == f"wacontacts: {said}\n"


def test_a_missing_database_driver_is_named(fails_with, upgrades, monkeypatch):
    monkeypatch.setenv("STORE_URL", "mysql://user:secret-word@host/db")
    monkeypatch.setitem(sys.modules, "MySQLdb", None)

    assert fails_with("store", "upgrade", "--url-env", "STORE_URL") == (
        "wacontacts: the database of STORE_URL needs the Python module MySQLdb\n"
    )
