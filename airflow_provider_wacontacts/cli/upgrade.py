"""``wacontacts store upgrade``: the tables, made or brought up to date."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_provider_wacontacts.cli.paragraphs import ParagraphFormatter
from airflow_provider_wacontacts.cli.store_options import add_store_options, engine_in, expect_url_env, name_of

__all__ = ["add_upgrade"]

HELP = """\
Creates the store's tables, or brings them to what this version of the package writes. Safe to run at any time and by
many at once. Needs the right to create tables, which the DAGs' own user then does not.
"""


def add_upgrade(commands: Any) -> None:
    """Add ``wacontacts store upgrade`` to the commands."""
    command = commands.add_parser(
        "upgrade", help="create or upgrade the tables", description=HELP, formatter_class=ParagraphFormatter
    )
    add_store_options(command)
    command.add_argument("--json", action="store_true", help="print schema_version and was, what it was before")
    command.set_defaults(run=lambda options: _upgrade(command, options))


def _upgrade(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    expect_url_env(command, options, "table_schema")
    from airflow_provider_wacontacts.store import upgrade

    engine, table_schema = engine_in(options)
    try:
        was, now = upgrade(engine, table_schema)
    finally:
        engine.dispose()
    if options.json:
        print(json.dumps({"schema_version": now, "was": was}))
    else:
        print(f"The tables of {name_of(options)} are up to date: {_told(was, now)}.")


def _told(was: int, now: int) -> str:
    if was == now:
        return f"version {now}, as before"
    return f"version {now}, which was {was} before" if was else f"version {now}, made just now"
