"""``wacontacts store view``: a view of an account's contacts with a typed column for each custom field."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter, format_counts
from airflow_provider_wacontacts.cli.store_options import (
    add_store_options,
    airflow_to_stderr,
    open_store,
    require_url_env,
)

__all__ = ["add_view"]

HELP = """\
Creates a view of an account's current contacts, or of their history, with one typed column for each custom field of
Turn.io. The fields come from Turn.io's schema, if you name a connection, and from the stored contacts. Run it again
to add the columns of new fields. Columns keep their names and types, also if a field is removed. A value of another
type than its column's is null, and counted in the column type_mismatches. The column missing_fields lists the columns
whose fields the account did not have when the version was last seen.

  wacontacts store view helpline_contacts --account helpline --turn-conn-id turn_default
"""


def add_view(commands: Any) -> None:
    """Add ``wacontacts store view`` to the commands."""
    command = commands.add_parser(
        "view",
        help="create or update a view with typed columns",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    command.add_argument("name", metavar="NAME", help="name of the view: lower-case letters, digits and underscores")
    add_store_options(command)
    add = command.add_argument
    add("--account", required=True, metavar="NAME", help="account of Turn.io, as `wacontacts store status` shows it")
    add("--history", action="store_true", help="show all versions, with valid_from and valid_to")
    add(
        "--turn-conn-id",
        metavar="CONN_ID",
        help="Airflow connection of the account, for the declared types (default: only stored contacts)",
    )
    add("--json", action="store_true", help="print the counts as one JSON object")
    command.set_defaults(run=lambda options: _view(command, options))


def _view(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema")
    from airflow_provider_wacontacts.store.typed_views import ViewSpec, update_view

    store = open_store(options)
    store.prepare()
    schema: list[dict[str, Any]] = []
    if options.turn_conn_id:
        with airflow_to_stderr():
            from airflow_provider_wacontacts.hooks.turn import TurnHook

            schema = TurnHook(options.turn_conn_id).get_schemas()
    result = update_view(store.context, ViewSpec(options.name, options.account, options.history), schema)._asdict()
    print(json.dumps(result) if options.json else format_counts(result))
