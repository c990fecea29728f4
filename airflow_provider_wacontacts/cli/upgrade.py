"""``wacontacts store upgrade``: create or upgrade the tables."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter
from airflow_provider_wacontacts.cli.store_options import (
    add_store_options,
    create_store_engine,
    require_url_env,
    store_name,
)

__all__ = ["add_upgrade"]

HELP = """\
Creates the store's tables, or upgrades them to the version that this package writes. Safe to run repeatedly and
concurrently. It needs the privilege to create tables; the user of your DAGs then does not.
"""


def add_upgrade(commands: Any) -> None:
    """Add ``wacontacts store upgrade`` to the commands."""
    command = commands.add_parser(
        "upgrade", help="create or upgrade the tables", description=HELP, formatter_class=ParagraphFormatter
    )
    add_store_options(command)
    command.add_argument(
        "--json", action="store_true", help="print as JSON: schema_version, and was, the earlier version"
    )
    command.set_defaults(run=lambda options: _upgrade(command, options))


def _upgrade(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema")
    from airflow_provider_wacontacts.store import upgrade

    engine, table_schema, given = create_store_engine(options)
    try:
        was, now = upgrade(engine, table_schema, **given)
    finally:
        engine.dispose()
    if options.json:
        print(json.dumps({"schema_version": now, "was": was}))
    else:
        print(f"The tables of {store_name(options)} are up to date: {_format_versions(was, now)}.")


def _format_versions(was: int, now: int) -> str:
    if was == now:
        return f"version {now}, unchanged"
    return f"version {now}, upgraded from version {was}" if was else f"version {now}, created"
