"""The command `wacontacts`, mostly as a process of its own."""

import dataclasses
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import types
from datetime import UTC, datetime, timedelta

import pytest
import requests
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.jobs.erasure import ErasureSummary
from airflow_provider_wacontacts.landing.objects import ObjectExtraction, read_contacts
from airflow_provider_wacontacts.landing.sql import Task, upgrade
from airflow_provider_wacontacts.protocol.turn_rows import parse_page
from airflow_provider_wacontacts.protocol.windows import Window
from airflow_provider_wacontacts.sandbox import Sandbox, bob

SETTINGS = {
    "token": "other-token",
    "page_size": 2,
    "rate_limit": 60,
    "cursor_pages": None,
    "extra_keys": True,
    "hostile": ["nul", "deep"],
}
COMMAND = [sys.executable, "-m", "airflow_provider_wacontacts.cli"]


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


def fails_with(capsys, *arguments):
    code = cli.main(arguments)
    printed = capsys.readouterr()

    assert (code, printed.out, printed.err.count("\n")) == (1, "", 1)
    return printed.err


def test_the_sandbox_runs_until_ctrl_c_and_says_how_to_connect(running):
    process, lines = running("--world", "bob", "--now", "2022-09-13T08:00:00", "--rate", "0", "--set", "last_page=null")
    url = lines[0].split()[-1]
    variable, _, value = shlex.split(lines[2].partition("export ")[2])[0].partition("=")
    connection = json.loads(value)
    headers = {"Authorization": f"Bearer {connection['password']}", "Accept": "application/vnd.v1+json"}
    window = {"from": "2022-09-12T00:00:00Z", "until": "2022-09-13T00:00:00Z"}
    cursors = f"{connection['host']}/v1/data/contacts/cursor"
    cursor = requests.post(cursors, json=window, headers=headers, timeout=10).json()["cursor"]
    answer = requests.get(f"{cursors}/{cursor}", headers=headers, timeout=10).json()
    process.send_signal(signal.SIGINT)

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert (variable, connection) == (
        "AIRFLOW_CONN_TURN_DEFAULT",
        {"conn_type": "turn", "host": url, "password": "example-token"},
    )
    assert ([row["id"] for row in answer["data"]], answer["paging"]) == ([1], None)
    assert process.wait(10) == 0


def test_the_sandboxs_settings_reach_it(running):
    _, lines = running(
        *("--seed", "3", "--contacts", "5", "--days", "2", "--start", "2022-10-01", "--now", "2022-10-02T12:00:00Z"),
        *("--rate", "0", "--token", "other-token", "--page-size", "2"),
        *(
            "--set",
            "rate_limit=60",
            "--set",
            "cursor_pages=null",
            "--set",
            "extra_keys=true",
            "--set",
            "hostile=nul,deep",
        ),
    )
    status = requests.get(f"{lines[0].split()[-1]}/sandbox", timeout=10).json()

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
def test_the_sandbox_says_how_to_connect_to_whatsapp(running, settings, fields):
    named = [f"whatsapp.{setting}" for setting in ("sender=+919876500000", "wa_id_with=valid,failed", *settings)]
    _, lines = running(*(argument for setting in named for argument in ("--set", setting)))
    url = lines[0].split()[-1]
    variable, _, value = shlex.split(lines[3].partition("export ")[2])[0].partition("=")
    behaviour = requests.get(f"{url}/sandbox/whatsapp/behaviour", timeout=10).json()

    assert (variable, json.loads(value)) == (
        "AIRFLOW_CONN_WHATSAPP_BUSINESS_DEFAULT",
        {"conn_type": "whatsapp_business", "host": url, **fields},
    )
    assert (behaviour["sender"], behaviour["wa_id_with"]) == ("+919876500000", ["valid", "failed"])


def test_the_sandbox_says_how_to_connect_to_green_api(running):
    named = ["id_instance=110100000001", "token=other/token", "base_path=/v3", "ready_states=authorized,sleepMode"]
    settings = (argument for setting in named for argument in ("--set", f"green_api.{setting}"))
    _, lines = running("--contacts", "40", "--days", "1", *settings)
    url = lines[0].split()[-1]
    variable, _, value = shlex.split(lines[4].partition("export ")[2])[0].partition("=")
    connection = json.loads(value)
    answer = requests.get(f"{connection['host']}/waInstance110100000001/getContacts/other%2Ftoken", timeout=10)
    status = requests.get(f"{url}/sandbox/green_api", timeout=10).json()

    assert (variable, connection) == (
        "AIRFLOW_CONN_GREEN_API_DEFAULT",
        {"conn_type": "green_api", "host": f"{url}/v3", "login": "110100000001", "password": "other/token"},
    )
    assert len(answer.json()) == status["contacts"] > 20
    assert status["behaviour"]["ready_states"] == ["authorized", "sleepMode"]


def test_a_port_that_is_taken_is_a_failure(capsys):
    with Sandbox(bob()) as sandbox:
        port = sandbox.url.rpartition(":")[2]
        error = fails_with(capsys, "sandbox", "--port", port)

    assert error == f"wacontacts: port {port} of 127.0.0.1 is not to be had; --port 0 finds a free one\n"


def test_a_missing_extra_is_named(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "airflow_provider_wacontacts.sandbox.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert fails_with(capsys, "sandbox") == (
        "wacontacts: the sandbox needs uvicorn: pip install 'airflow-provider-wacontacts[sandbox]'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "COMMAND"),
        (["store"], "COMMAND"),
        (["sandbox", "--now", "noon"], "--now"),
        (["sandbox", "--contacts", "0"], "--contacts"),
        (["sandbox", "--set", "cursor_kind"], "NAME=VALUE"),
        (["sandbox", "--set", "cursor_king=offset"], "cursor_king"),
        (["sandbox", "--page-size", "0"], "page_size"),
        (["sandbox", "--set", "rate_limit=many"], "rate_limit"),
        (["sandbox", "--set", "whatsapp.versoin=2"], "versoin"),
        (["sandbox", "--set", "whatsapp.sender=100"], "sender"),
        (["sandbox", "--set", "green_api.toke=2"], "toke"),
        (["sandbox", "--set", "green_api.base_path=v3"], "base_path"),
        (["store", "upgrade", "--conn-id", "a", "--url-env", "B"], "--url-env"),
        (["store", "upgrade", "--table-schema", "contacts"], "--table-schema"),
        (["store", "erase", "--table-schema", "contacts"], "--table-schema"),
        (["store", "erase", "--secret-env", "SECRET"], "--secret-env"),
    ],
)
def test_what_is_called_wrongly_exits_with_2_and_names_it(capsys, arguments, named):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert (ended.value.code, named in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    "command", [["--help"], ["sandbox", "--help"], ["store", "upgrade", "--help"], ["store", "erase", "--help"]]
)
def test_help_is_printed(capsys, command):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])

    assert (ended.value.code, capsys.readouterr().out.startswith("usage: wacontacts")) == (0, True)


def test_importing_the_command_imports_neither_airflow_nor_a_server():
    code = (
        "import sys, airflow_provider_wacontacts.cli; print({'airflow', 'starlette', 'sqlalchemy'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "set()\n"


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


def test_an_upgrade_that_fails_is_one_line_and_leaves_no_connection(upgrades, capsys):
    upgrades.error = ConfigError("the tables are of a newer version")

    assert fails_with(capsys, "store", "upgrade") == "wacontacts: the tables are of a newer version\n"
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
def test_a_url_that_is_none_is_not_repeated(upgrades, capsys, monkeypatch, url, said):
    monkeypatch.delenv("STORE_URL", raising=False)
    if url is not None:
        monkeypatch.setitem(os.environ, "STORE_URL", url)

    assert fails_with(capsys, "store", "upgrade", "--url-env", "STORE_URL") == f"wacontacts: {said}\n"


def test_a_missing_database_driver_is_named(upgrades, capsys, monkeypatch):
    monkeypatch.setenv("STORE_URL", "mysql://user:secret-word@host/db")
    monkeypatch.setitem(sys.modules, "MySQLdb", None)

    assert fails_with(capsys, "store", "upgrade", "--url-env", "STORE_URL") == (
        "wacontacts: the database of STORE_URL needs the Python module MySQLdb\n"
    )


BOB, EVE = "12015550123", "12015550124"
MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
COUNTS = [field.name for field in dataclasses.fields(ErasureSummary)]


@pytest.fixture
def erase(tmp_path, monkeypatch, capsys):
    """Run `wacontacts store erase` on a store of its own, with lines on standard input."""
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("STORE_URL", url)
    upgrade(create_engine(url))

    def run(*arguments, lines="", place=("--url-env", "STORE_URL")):
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        code = cli.main(["store", "erase", *place, *arguments])
        return code, *capsys.readouterr()

    return run


def hashes(tmp_path):
    with create_engine(f"sqlite:///{tmp_path}/store.db").connect() as connection:
        return connection.execute(text("SELECT count(*) FROM wacontacts_erased")).scalar()


def test_ids_on_standard_input_are_erased_and_counted(erase, tmp_path):
    code, out, _ = erase("--json", lines=f"{BOB}\n\n +1 (201) 555-0124 \n{EVE}@c.us\n")

    assert (code, hashes(tmp_path)) == (0, 2)
    assert json.loads(out) == dataclasses.asdict(ErasureSummary(people=2))


def test_the_counts_are_for_people_by_default(erase):
    assert erase(lines=BOB)[:2] == (0, "\n".join(f"{int(name == 'people'):>9} {name}" for name in COUNTS) + "\n")


def test_files_below_each_path_are_written_anew(erase, tmp_path):
    for name in ("one", "two"):
        with ObjectExtraction(
            tmp_path / name,
            source="turn",
            account="main",
            window=Window(MONDAY, MONDAY + timedelta(days=1)),
            task=Task("dag", "run", "task"),
            package_version="1",
        ) as extraction:
            known = {"updated_at": "2022-09-12T08:00:00Z"}
            rows = [{"uuid": one, "details": {"whatsapp_id": one}} | known for one in (BOB, EVE)]
            extraction.land(parse_page(json.dumps({"data": rows}).encode()))
            extraction.finish(extracted_at=MONDAY, finished_at=MONDAY, lossy=False)

    _, out, _ = erase("--json", "--path", f"{tmp_path}/one", "--path", f"file://{tmp_path}/two", lines=BOB)

    assert {name: count for name, count in json.loads(out.splitlines()[-1]).items() if count} == {
        "people": 1,
        "extractions": 2,
        "files": 2,
        "file_rows": 2,
    }
    kept = [contact.record.wa_id for name in ("one", "two") for contact in read_contacts(tmp_path / name)]
    assert kept == [EVE, EVE]


def test_the_store_of_a_connection_has_its_own_secret(erase, tmp_path, monkeypatch):
    extra = {"pseudonym_secret": "example-secret"}
    connection = {"conn_type": "sqlite", "host": f"{tmp_path}/store.db", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(connection))
    monkeypatch.setenv("SECRET", "example-secret")
    place = ("--conn-id", "lake")

    assert erase(lines=BOB, place=place)[0] == 0
    assert erase("--secret-env", "SECRET", lines=EVE)[0] == 0
    code, out, err = erase(lines=EVE)
    assert (code, out, "pseudonym_secret" in err, hashes(tmp_path)) == (1, "", True, 2)


@pytest.mark.parametrize("line", ["bob", "020 7946 0958", "123", f"{BOB}x"])
def test_a_line_that_is_no_id_erases_nobody_and_is_not_repeated(erase, tmp_path, line):
    code, out, err = erase(lines=f"{BOB}\n{line}\n")

    assert (code, out, hashes(tmp_path)) == (1, "", 0)
    assert err.startswith("wacontacts: 1 of the 2 that were given are neither")
    assert BOB not in err
    assert line not in err.replace("nobody", "")


def test_an_erasure_makes_no_tables(erase, monkeypatch, tmp_path):
    monkeypatch.setenv("STORE_URL", f"sqlite:///{tmp_path}/typo.db")
    code, _, err = erase(lines=BOB)
    assert (code, "wacontacts store upgrade" in err) == (1, True)


def test_a_path_that_nothing_can_read_is_named_by_its_kind(erase):
    code, _, err = erase("--path", "nosuch://user:secret-word@host/people", lines=BOB)
    assert (code, err) == (1, "wacontacts: a path begins with nosuch://, which nothing installed here can read\n")
