"""``wacontacts store purge``: remove rows of the store that are older than an age."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter, format_counts, parse_duration
from airflow_provider_wacontacts.cli.store_options import add_store_options, open_store, require_url_env
from airflow_provider_wacontacts.records.retention import DEFAULT_KINDS, KINDS

__all__ = ["add_purge"]

HELP = """\
Removes rows of the store that are older than a retention period: checks with their results, rejected rows, and
extractions that have ended. Superseded versions of contacts are removed only with --include versions; the current
version of a contact never is. Syncs and checks do not wait for it. Safe to run again after an interruption.

  wacontacts store purge --max-age 365d --include versions --dry-run
"""


def add_purge(commands: Any) -> None:
    """Add ``wacontacts store purge`` to the commands."""
    command = commands.add_parser(
        "purge", help="remove rows older than an age", description=HELP, formatter_class=ParagraphFormatter
    )
    add_store_options(command)
    add = command.add_argument
    add(
        "--max-age",
        type=parse_duration,
        required=True,
        metavar="DURATION",
        help="retention period, for example 365d; at least 1d",
    )
    add(
        "--include",
        action="append",
        choices=KINDS,
        help="only this kind of rows; may be repeated (default: checks, rejects and extractions)",
    )
    add("--dry-run", action="store_true", help="only count the rows")
    add("--json", action="store_true", help="print the counts as one JSON object")
    command.set_defaults(run=lambda options: _purge(command, options))


def _purge(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema")
    from airflow_provider_wacontacts.store.purge import purge

    store, kinds = open_store(options), options.include or DEFAULT_KINDS
    store.prepare()
    rows = purge(store.context, options.max_age, kinds, dry_run=options.dry_run)._asdict()
    if options.json:
        print(json.dumps(rows | {"dry_run": options.dry_run}))
        return
    print(format_counts(rows))
    if options.dry_run:
        print("Nothing was removed (--dry-run).")
