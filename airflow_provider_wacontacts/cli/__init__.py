"""
The command ``wacontacts``: diagnosis of a deployment, mock servers for trying DAGs, and the store's tables.

Each subcommand is a module that adds its own parser, and imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.cli.check import add_check
from airflow_provider_wacontacts.cli.doctor import add_doctor
from airflow_provider_wacontacts.cli.erase import add_erase
from airflow_provider_wacontacts.cli.export_person import add_export_person
from airflow_provider_wacontacts.cli.forget_account import add_forget_account
from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter
from airflow_provider_wacontacts.cli.init import add_init
from airflow_provider_wacontacts.cli.purge import add_purge
from airflow_provider_wacontacts.cli.receiver import add_receiver
from airflow_provider_wacontacts.cli.refresh_directory import add_refresh_directory
from airflow_provider_wacontacts.cli.repseudonymize import add_repseudonymize
from airflow_provider_wacontacts.cli.sandbox import add_sandbox
from airflow_provider_wacontacts.cli.status import add_status
from airflow_provider_wacontacts.cli.suppression import add_suppression
from airflow_provider_wacontacts.cli.upgrade import add_upgrade
from airflow_provider_wacontacts.cli.view import add_view
from airflow_provider_wacontacts.exceptions import WaContactsError, add_help

__all__ = ["main"]

#: Exit code of a shell command that Ctrl-C has ended.
INTERRUPTED = 130
EXIT_CODES = """\
Exit codes: 0 success, 1 failure (one line on standard error gives the reason), 2 usage error. Every command has its own
--help.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: arguments after the program's name. Default: the arguments of this process.
    :returns: the exit code: 0 success, 1 failure, 130 interrupted by Ctrl-C.
    :raises SystemExit: with 2, a usage error; with 0, after printing help.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except WaContactsError as error:
        print(f"wacontacts: {add_help(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wacontacts",
        description="Command-line tools for airflow-provider-wacontacts.",
        epilog=EXIT_CODES,
        formatter_class=ParagraphFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_doctor(commands)
    add_init(commands)
    add_receiver(commands)
    add_sandbox(commands)
    add_check(commands)
    store = commands.add_parser(
        "store",
        help="manage the store's tables",
        description="Manage the tables of a store.",
        epilog=EXIT_CODES,
        formatter_class=ParagraphFormatter,
    )
    store_commands = store.add_subparsers(required=True, metavar="COMMAND")
    add_status(store_commands)
    add_upgrade(store_commands)
    add_erase(store_commands)
    add_forget_account(store_commands)
    add_purge(store_commands)
    add_view(store_commands)
    add_repseudonymize(store_commands)
    add_refresh_directory(store_commands)
    add_export_person(store_commands)
    add_suppression(store_commands)
    return parser
