"""``wacontacts store forget-account``: remove an account of a feed from the store."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter, format_counts
from airflow_provider_wacontacts.cli.store_options import add_store_options, open_store, require_url_env

__all__ = ["add_forget_account"]

HELP = """\
Removes an account of Turn.io or GREEN-API from the store: its contacts, their history, its extractions and rejected
rows. Use it after a typing error, or when an account is not synced any more, so that monitors do not wait for it. Files
stay. Nothing is added to the suppression list: the next sync of the account brings its contacts back.

  wacontacts store forget-account --source turn --account turn_tset --dry-run
"""


def add_forget_account(commands: Any) -> None:
    """Add ``wacontacts store forget-account`` to the commands."""
    command = commands.add_parser(
        "forget-account",
        help="remove an account with its contacts and history",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    add_store_options(command)
    add = command.add_argument
    add("--source", required=True, choices=("turn", "green_api"), help="source of the account")
    add("--account", required=True, metavar="NAME", help="name of the account, as `wacontacts store status` shows it")
    add("--dry-run", action="store_true", help="only count the rows")
    add("--json", action="store_true", help="print the counts as one JSON object")
    command.set_defaults(run=lambda options: _forget(command, options))


def _forget(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema")
    from airflow_provider_wacontacts.store.forget_account import forget_account

    store = open_store(options)
    rows = forget_account(store.context, options.source, options.account, dry_run=options.dry_run)._asdict()
    if options.json:
        print(json.dumps(rows | {"dry_run": options.dry_run}))
        return
    print(format_counts(rows))
    if options.dry_run:
        print("Nothing was removed (--dry-run).")
