"""``wacontacts store refresh-directory``: refresh the copy of the directory."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter
from airflow_provider_wacontacts.cli.store_options import add_store_options, open_store, require_url_env

__all__ = ["add_refresh_directory"]

HELP = """\
Refreshes wacontacts_directory_copy, a table with the rows of the view wacontacts_directory. Index, join and scan the
copy where the view is too slow. Only rows that differ are written, in one transaction: readers see the copy as it was
until it commits. In SQLite, tasks that write wait meanwhile.
"""


def add_refresh_directory(commands: Any) -> None:
    """Add ``wacontacts store refresh-directory`` to the commands."""
    command = commands.add_parser(
        "refresh-directory",
        help="refresh the table with a copy of the directory",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    add_store_options(command)
    command.add_argument("--json", action="store_true", help="print the counts people, written and deleted as JSON")
    command.set_defaults(run=lambda options: _refresh_directory(command, options))


def _refresh_directory(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema")
    from airflow_provider_wacontacts.store.directory_copy import refresh_directory

    refreshed = refresh_directory(open_store(options).context)
    shown = "{people} people: {written} rows written, {deleted} deleted.".format(**refreshed._asdict())
    print(json.dumps(refreshed._asdict()) if options.json else shown)
