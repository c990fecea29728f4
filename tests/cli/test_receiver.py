"""``wacontacts receiver`` in a separate process."""

import json
import os
import signal
import socket
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


def test_the_receiver_runs_until_it_is_stopped_and_logs_no_secret(connections, tmp_path):
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
            requests.post(f"{url}/signs_nothing/{PATH}", b"{}", timeout=60).status_code,
            requests.post(f"{url}/{PATH}", b"{}", timeout=60).status_code,
            requests.get(f"{url}/health", timeout=60).status_code,
        ]
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60) as connection:
            # One byte more than h11 takes: more would stay unread, and break the connection before its response.
            connection.sendall(b"GET /health HTTP/1.1\r\nX-Example: ".ljust(16 * 1024 + 1, b"x"))
            endless_header = connection.recv(100)
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()

    assert (statuses, process.returncode) == ([200, 401, 200], -signal.SIGTERM)
    assert endless_header.startswith(b"HTTP/1.1 400 ")
    assert "POST signs_nothing 200" in log
    assert PATH not in log
    if not version("apache-airflow").startswith("3.1."):
        assert "RFC3986" not in "".join(lines)


def test_the_error_of_a_missing_secret_has_a_remedy(fails_with, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WHATSAPP_BUSINESS_DEFAULT", json.dumps({"conn_type": "whatsapp_business"}))

    assert "Set it to the secret that the client signs with" in fails_with("receiver")


def test_a_missing_package_is_named(fails_with, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert "pip install 'airflow-provider-wacontacts[receiver]'" in fails_with("receiver")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-rate", value) for value in ("many", "0", "-5", "nan", "inf")]
    + [("--port", value) for value in ("x", "65536", "-1")],
)
def test_an_invalid_rate_or_port_is_a_usage_error(capsys, option, value):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["receiver", option, value])

    assert stopped.value.code == 2
    assert f"argument {option}: {value!r} is not a" in capsys.readouterr().err


def test_a_port_in_use_is_an_error(connections, monkeypatch, capsys):
    for conn_id, connection in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = cli.main(["receiver", "--conn-id", "signs_nothing", "--port", str(port)])

    expected = f"wacontacts: The receiver cannot listen on port {port} of 127.0.0.1. Set another --host or --port. See"
    assert (code, expected in capsys.readouterr().err) == (1, True)
