"""`wacontacts store upgrade`."""

import json
import sys
import types

import pytest

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.exceptions import DOCUMENTATION, ConfigError


class Upgrades:
    """Stands for the store: remembers what is upgraded."""

    def __init__(self, monkeypatch):
        self.done = []
        self.was = 5
        self.disposed = 0
        self.error = None
        store = types.ModuleType("airflow_provider_wacontacts.hooks.store")
        store.read_store_connection = lambda conn_id: types.SimpleNamespace(
            engine=self, table_schema=f"schema of {conn_id}", file_mode=0o640
        )
        landing = types.ModuleType("airflow_provider_wacontacts.store")
        landing.upgrade = self.upgrade
        monkeypatch.setitem(sys.modules, store.__name__, store)
        monkeypatch.setitem(sys.modules, landing.__name__, landing)

    def upgrade(self, engine, table_schema, file_mode=0o600):
        if self.error:
            raise self.error
        self.done.append((str(getattr(engine, "url", "airflow")), table_schema))
        return self.was, 5

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
        "The tables of lake are up to date: version 5, unchanged.\n"
        "The tables of wacontacts_store are up to date: version 5, unchanged.\n"
    )


def test_the_store_of_a_url_in_the_environment_is_upgraded(upgrades, monkeypatch):
    monkeypatch.setenv("STORE_URL", "sqlite://")

    assert cli.main(["store", "upgrade", "--url-env", "STORE_URL", "--table-schema", "contacts"]) == 0
    assert upgrades.done == [("sqlite://", "contacts")]


def test_a_failed_upgrade_prints_one_line_and_closes_its_connections(fails_with, upgrades):
    upgrades.error = ConfigError("the tables are of a newer version")

    error = fails_with("store", "upgrade")
    page = f"{DOCUMENTATION}/how-to/troubleshooting.md#configerror"
    assert error == f"wacontacts: the tables are of a newer version. See {page}\n"
    assert upgrades.disposed == 1


@pytest.mark.parametrize(
    ("was", "said"),
    [(0, "version 5, created"), (3, "version 5, upgraded from version 3"), (5, "version 5, unchanged")],
)
def test_the_previous_version_is_printed(upgrades, capsys, was, said):
    upgrades.was = was

    assert (cli.main(["store", "upgrade", "--conn-id", "lake"]), capsys.readouterr().out) == (
        0,
        f"The tables of lake are up to date: {said}.\n",
    )


def test_json_has_both_versions(upgrades, capsys):
    upgrades.was = 3

    assert cli.main(["store", "upgrade", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema_version": 5, "was": 3}
