"""The store of a command: a URL in an environment variable, or an Airflow connection."""

import os
import subprocess
import sys

import pytest
from sqlalchemy import create_engine

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.exceptions import DOCUMENTATION
from airflow_provider_wacontacts.store import upgrade

COMMANDS = ["upgrade", "status"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "Environment variable STORE_URL is not set."),
        ("", "Environment variable STORE_URL is not set."),
        ("user:secret-word", "Environment variable STORE_URL is not a valid SQLAlchemy URL."),
        (
            "nosuchbase://user:secret-word@host/db",
            "Environment variable STORE_URL is not a valid SQLAlchemy URL.",
        ),
        (
            "postgresql://user:secret-word@host:port/db",
            "Environment variable STORE_URL is not a valid SQLAlchemy URL.",
        ),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_invalid_url_is_not_shown(fails_with, monkeypatch, command, url, said):
    monkeypatch.delenv("STORE_URL", raising=False)
    if url is not None:
        monkeypatch.setitem(os.environ, "STORE_URL", url)

    assert fails_with("store", command, "--url-env", "STORE_URL").startswith(f"wacontacts: {said} See https://")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_database_driver_is_named(fails_with, monkeypatch, command):
    monkeypatch.setenv("STORE_URL", "mysql://user:secret-word@host/db")
    monkeypatch.setitem(sys.modules, "MySQLdb", None)

    assert fails_with("store", command, "--url-env", "STORE_URL").startswith(
        "wacontacts: The database of STORE_URL needs the Python module MySQLdb. Install it. See https://"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_an_undefined_connection_is_named(capsys, command):
    code = cli.main(("store", command, "--conn-id", "nosuch"))

    # Airflow 2 says before that its own database, which nobody has made here, has no connections.
    last = capsys.readouterr().err.splitlines()[-1]
    assert (code, last.startswith("wacontacts: Connection 'nosuch' is not defined. Create it")) == (1, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_in_a_missing_directory_is_a_one_line_error(fails_with, monkeypatch, command):
    monkeypatch.setenv("STORE_URL", "sqlite:////nonexistent/store.db")

    assert fails_with("store", command, "--url-env", "STORE_URL").lower().startswith("wacontacts: the store")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unreachable_server_is_a_one_line_error_without_its_password(fails_with, monkeypatch, command):
    monkeypatch.setenv("STORE_URL", "postgresql://user:secret-word@127.0.0.1:1/db")

    assert fails_with("store", command, "--url-env", "STORE_URL") == (
        "wacontacts: The store cannot reach 127.0.0.1:1: the connection was refused. Check host and port, and that"
        f" PostgreSQL is running. See {DOCUMENTATION}/how-to/troubleshooting.md#retryablestoreerror\n"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_with_a_url_airflow_is_not_imported(tmp_path, command):
    url = f"sqlite:///{tmp_path}/store.db"
    upgrade(create_engine(url))
    code = (
        "import sys; from airflow_provider_wacontacts.cli import main; "
        f"main(['store', '{command}', '--url-env', 'STORE_URL']); "
        "print({'airflow', 'phonenumbers', 'pyarrow', 'requests'} & set(sys.modules))"
    )
    environment = os.environ | {"STORE_URL": url}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)

    assert run.stdout.splitlines()[-1] == "set()"


def test_a_connection_in_airflows_database_is_found(tmp_path):
    own = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN")} | own

    def run(module, *arguments):
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    run("airflow", "db", "migrate")
    run("airflow", "connections", "add", "kept", "--conn-type", "sqlite", "--conn-host", f"{tmp_path}/store.db")

    assert run("airflow_provider_wacontacts.cli", "store", "upgrade", "--conn-id", "kept").startswith(
        "The tables of kept are up to date: "
    )
    assert "kept: tables of version " in run("airflow_provider_wacontacts.cli", "store", "status", "--conn-id", "kept")
