"""
The command ``wacontacts``: mock servers of the three systems for trying DAGs, and the store's tables.

Each of its commands is a module, which adds itself to the commands and imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.cli.erase import add_erase
from airflow_provider_wacontacts.cli.paragraphs import ParagraphFormatter
from airflow_provider_wacontacts.cli.sandbox import add_sandbox
from airflow_provider_wacontacts.cli.status import add_status
from airflow_provider_wacontacts.cli.upgrade import add_upgrade
from airflow_provider_wacontacts.exceptions import WaContactsError

__all__ = ["main"]

#: As shells have it.
INTERRUPTED = 130
EXIT_CODES = """\
Exit codes: 0 it is done, 1 it could not be done (one line on standard error says why), 2 it was called wrongly. Each
command has a --help of its own.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: what follows the program's name; that of this process by default.
    :returns: the exit code: 0, 1, or 130 where it was interrupted by Ctrl-C.
    :raises SystemExit: with 2, called wrongly; with 0, asked for help.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except WaContactsError as error:
        print(f"wacontacts: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wacontacts",
        description="WhatsApp contacts for Airflow: what runs beside it.",
        epilog=EXIT_CODES,
        formatter_class=ParagraphFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_sandbox(commands)
    store = commands.add_parser(
        "store", help="the tables that contacts are kept in", epilog=EXIT_CODES, formatter_class=ParagraphFormatter
    )
    of_store = store.add_subparsers(required=True, metavar="COMMAND")
    add_status(of_store)
    add_upgrade(of_store)
    add_erase(of_store)
    return parser
