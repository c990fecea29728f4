"""The page with the auth manager of Flask AppBuilder, whose roles are rows of a database."""

import importlib.util

import pytest

from tests.plugin.server import ApiServer

ROLES = (None, "viewer", "op")
MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"


@pytest.fixture(scope="module")
def server(airflow_with_pages, tmp_path_factory):
    if importlib.util.find_spec("airflow.providers.fab") is None:
        pytest.skip("the FAB provider is not installed")
    home = tmp_path_factory.mktemp("fab")
    (home / "empty.db").touch()
    connections = {"wacontacts_store": {"conn_type": "sqlite", "host": str(home / "empty.db")}}
    env = {"AIRFLOW__CORE__AUTH_MANAGER": MANAGER, "AIRFLOW__WACONTACTS__SHOW_PEOPLE": "True"}
    with ApiServer(home / "airflow", connections=connections, env=env) as server:
        for role in ROLES[1:]:
            names = ("--username", role, "--password", role, "--firstname", role, "--lastname", role)
            server.cli("users", "create", *names, "--email", f"{role}@example.org", "--role", role.title())
        yield server


def test_counts_need_permission_to_read_dags_and_people_to_edit_connections(server):
    sessions = [server.session(role) for role in ROLES]

    def statuses(path):
        return [session.get(f"{server.page}/{path}").status_code for session in sessions]

    assert statuses("") == [401, 503, 503], "the store has no tables, which readers are told"
    assert statuses("people") == [401, 403, 200]
    assert statuses("nowhere") == [401, 404, 404]
