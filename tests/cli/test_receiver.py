"""`wacontacts receiver`, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest
import requests

from airflow_provider_wacontacts import cli

COMMAND = [sys.executable, "-m", "airflow_provider_wacontacts.cli", "receiver", "--port", "0"]
PATH = "example-path-of-a-client-that-signs-nothing"


@pytest.fixture
def connections(tmp_path):
    return {
        "signs_nothing": {"conn_type": "whatsapp_business", "extra": {"webhook_path": PATH}},
        "wacontacts_store": {"conn_type": "wacontacts_store", "host": f"{tmp_path}/store.db"},
    }


def test_it_receives_until_it_is_stopped_and_logs_no_secret(connections, tmp_path):
    (tmp_path / "connections.json").write_text(json.dumps(connections))
    # As Airflow's database does, this returns connections that Airflow warns of.
    environment = {
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": f"{tmp_path}/connections.json"}),
    }
    command = [*COMMAND, "--conn-id", "signs_nothing"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        lines = []
        while "running on" not in (line := process.stderr.readline()):
            assert process.poll() is None, lines
            lines.append(line)
        url = line.partition("running on ")[2].split()[0]
        statuses = [
            requests.post(f"{url}/signs_nothing/{PATH}", b"{}", timeout=10).status_code,
            requests.post(f"{url}/{PATH}", b"{}", timeout=10).status_code,
            requests.get(f"{url}/health", timeout=10).status_code,
        ]
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()

    assert (statuses, process.returncode) == ([200, 401, 200], -signal.SIGTERM)
    assert "POST signs_nothing 200" in log
    assert PATH not in log
    if not version("apache-airflow").startswith("3.1."):
        assert "RFC3986" not in "".join(lines)


def test_without_a_secret_it_says_what_to_do(fails_with, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WHATSAPP_BUSINESS_DEFAULT", json.dumps({"conn_type": "whatsapp_business"}))

    assert "Set it to the secret that the client signs with" in fails_with("receiver")


def test_a_package_that_is_missing_is_named(fails_with, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert "pip install 'airflow-provider-wacontacts[receiver]'" in fails_with("receiver")


def test_the_rate_must_be_a_number(capsys):
    with pytest.raises(SystemExit):
        cli.main(["receiver", "--max-rate", "many"])
    assert "--max-rate" in capsys.readouterr().err
