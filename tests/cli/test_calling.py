"""Calls of the command: usage errors, help, version, interruption and imports."""

import subprocess
import sys

import pytest

from airflow_provider_wacontacts import __version__, cli


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "COMMAND"),
        (["store"], "COMMAND"),
        (["sandbox", "--now", "noon"], "--now"),
        (["sandbox", "--contacts", "0"], "--contacts"),
        (["sandbox", "--start", "2022-09-12", "--past", "3"], "--past"),
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
        (["store", "status", "--table-schema", "contacts"], "--table-schema"),
        (["store", "status", "--max-age", "26"], "26h"),
        (["store", "status", "--late-after", "soon"], "--late-after"),
        (["store", "status", "--source", "slack"], "green_api"),
        (["store", "status", "--max-age", "26h", "--source", "whatsapp_business"], "--max-age"),
        (["check", "--dry-run"], "--green-api-conn-id"),
        (["check", "--green-api-conn-id", "a"], "--dry-run"),
        (["store", "erase", "--secret-env", "SECRET"], "--secret-env"),
    ],
)
def test_a_usage_error_exits_with_2_and_names_the_argument(capsys, arguments, named):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert (ended.value.code, named in capsys.readouterr().err) == (2, True)


HELPS = [[], ["sandbox"], ["check"], ["store"], ["store", "status"], ["store", "upgrade"], ["store", "erase"]]


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_help_fits_a_narrow_terminal_except_for_examples(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    lines = capsys.readouterr().out.splitlines()

    assert (ended.value.code, lines[0].startswith("usage: wacontacts")) == (0, True)
    assert [line for line in lines if len(line) > 80 and not line.startswith("  ")] == []


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert (ended.value.code, capsys.readouterr().out) == (0, f"wacontacts {__version__}\n")


def test_ctrl_c_exits_with_130(monkeypatch):
    def interrupted(_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("airflow_provider_wacontacts.cli.status._read", interrupted)

    assert cli.main(["store", "status"]) == 130


def test_importing_the_command_imports_neither_airflow_nor_a_server():
    code = (
        "import sys, airflow_provider_wacontacts.cli; print({'airflow', 'starlette', 'sqlalchemy'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "set()\n"
