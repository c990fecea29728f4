"""How the command is called, and what it says when it is called wrongly."""

import subprocess
import sys

import pytest

from airflow_provider_wacontacts import cli


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
