"""``wacontacts sandbox``, mostly in a separate process."""

import json
import re
import shlex
import signal
import subprocess
import sys

import pytest
import requests

from airflow_provider_wacontacts.exceptions import DOCUMENTATION
from airflow_provider_wacontacts.sandbox import Sandbox, bob

SETTINGS = {
    "token": "other-token",
    "page_size": 2,
    "rate_limit": 60,
    "cursor_pages": None,
    "trailing_empty_page": True,
}
COMMAND = [sys.executable, "-m", "airflow_provider_wacontacts.cli"]

HELP_PAGE = f"{DOCUMENTATION}/how-to/troubleshooting.md#configerror"


@pytest.fixture
def running():
    """Start `wacontacts sandbox` with some arguments; gives the process and what it printed first."""
    processes = []

    def start(*arguments):
        process = subprocess.Popen([*COMMAND, "sandbox", *arguments], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process, [process.stdout.readline() for _ in range(5)]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_sandbox_runs_until_ctrl_c_and_prints_a_turn_connection(running):
    process, lines = running("--world", "bob", "--now", "2022-09-13T08:00:00", "--rate", "0", "--set", "last_page=null")
    url = lines[0].split()[-1]
    variable, _, value = shlex.split(lines[2].partition("export ")[2])[0].partition("=")
    connection = json.loads(value)
    headers = {"Authorization": f"Bearer {connection['password']}", "Accept": "application/vnd.v1+json"}
    window = {"from": "2022-09-12T00:00:00Z", "until": "2022-09-13T00:00:00Z"}
    cursors = f"{connection['host']}/v1/data/contacts/cursor"
    cursor = requests.post(cursors, json=window, headers=headers, timeout=60).json()["cursor"]
    answer = requests.get(f"{cursors}/{cursor}", headers=headers, timeout=60).json()
    process.send_signal(signal.SIGINT)

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert (variable, connection) == (
        "AIRFLOW_CONN_TURN_DEFAULT",
        {"conn_type": "turn", "host": url, "password": "example-token"},
    )
    assert ([row["id"] for row in answer["data"]], answer["paging"]) == ([1], None)
    assert process.wait(60) == 0


def test_options_set_the_behaviour_of_the_sandbox(running):
    _, lines = running(
        *("--seed", "3", "--contacts", "5", "--days", "2", "--start", "2022-10-01", "--now", "2022-10-02T12:00:00Z"),
        *("--rate", "0", "--token", "other-token", "--page-size", "2"),
        *(
            "--set",
            "rate_limit=60",
            "--set",
            "cursor_pages=null",
            "--set",
            "trailing_empty_page=true",
        ),
    )
    status = requests.get(f"{lines[0].split()[-1]}/sandbox", timeout=60).json()

    assert (status["now"], status["rate"], status["contacts"]) == ("2022-10-02T12:00:00.000000Z", 0.0, 5)
    assert {name: status["behaviour"][name] for name in SETTINGS} == SETTINGS


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ([], {"login": "example-user", "password": "example-Password-1", "extra": {"sender": "+919876500000"}}),
        (["auth=bearer"], {"password": "example-bearer", "extra": {"auth": "bearer", "sender": "+919876500000"}}),
        (["auth=d360"], {"password": "example-key", "extra": {"auth": "d360", "sender": "+919876500000"}}),
    ],
)
def test_the_sandbox_prints_a_whatsapp_connection(running, settings, fields):
    named = [f"whatsapp.{setting}" for setting in ("sender=+919876500000", "wa_id_with=valid,failed", *settings)]
    _, lines = running(*(argument for setting in named for argument in ("--set", setting)))
    url = lines[0].split()[-1]
    variable, _, value = shlex.split(lines[3].partition("export ")[2])[0].partition("=")
    behaviour = requests.get(f"{url}/sandbox/whatsapp/behaviour", timeout=60).json()

    assert (variable, json.loads(value)) == (
        "AIRFLOW_CONN_WHATSAPP_BUSINESS_DEFAULT",
        {"conn_type": "whatsapp_business", "host": url, **fields},
    )
    assert (behaviour["sender"], behaviour["wa_id_with"]) == ("+919876500000", ["valid", "failed"])


def test_the_sandbox_prints_a_green_api_connection(running):
    named = ["id_instance=110100000001", "token=other/token", "base_path=/v3", "odd_rows=null,17"]
    settings = (argument for setting in named for argument in ("--set", f"green_api.{setting}"))
    _, lines = running("--contacts", "40", "--days", "1", *settings)
    url = lines[0].split()[-1]
    variable, _, value = shlex.split(lines[4].partition("export ")[2])[0].partition("=")
    connection = json.loads(value)
    answer = requests.get(f"{connection['host']}/waInstance110100000001/getContacts/other%2Ftoken", timeout=60)
    status = requests.get(f"{url}/sandbox/green_api", timeout=60).json()

    assert (variable, connection) == (
        "AIRFLOW_CONN_GREEN_API_DEFAULT",
        {"conn_type": "green_api", "host": f"{url}/v3", "login": "110100000001", "password": "other/token"},
    )
    assert len(answer.json()) - 2 == status["contacts"] > 20
    assert status["behaviour"]["odd_rows"] == ["null", "17"]


def test_a_port_in_use_is_an_error(fails_with):
    with Sandbox(bob()) as sandbox:
        port = sandbox.url.rpartition(":")[2]
        error = fails_with("sandbox", "--port", port)

    assert error == (
        f"wacontacts: The sandbox cannot listen on port {port} of 127.0.0.1. Set another --port; 0 finds a free one."
        f" See {HELP_PAGE}\n"
    )


def test_a_missing_extra_is_named(fails_with, monkeypatch):
    for module in ("airflow_provider_wacontacts.sandbox", "airflow_provider_wacontacts.sandbox.server"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert fails_with("sandbox") == (
        "wacontacts: The sandbox needs uvicorn. Install it: pip install 'airflow-provider-wacontacts[sandbox]'. See"
        f" {HELP_PAGE}\n"
    )
