"""``wacontacts store repseudonymize``: compute keys again after the secret of pseudonyms was changed."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter
from airflow_provider_wacontacts.cli.store_options import add_store_options, open_store, require_url_env

__all__ = ["add_repseudonymize"]

HELP = """\
Computes the keys of checked numbers and identities again, with the pseudonym_secret that the store's connection has
now. Run it once after the secret was set, changed or removed: until then, tasks that use the store fail. Contacts that
were loaded under pseudonyms keep the old ones: fetch them again, from the systems themselves. Stop all tasks first.
"""


def add_repseudonymize(commands: Any) -> None:
    """Add ``wacontacts store repseudonymize`` to the commands."""
    command = commands.add_parser(
        "repseudonymize",
        help="compute keys again after the pseudonym secret was changed",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    add_store_options(command)
    command.add_argument(
        "--secret-env", metavar="NAME", help="environment variable with the pseudonym_secret; requires --url-env"
    )
    command.add_argument("--json", action="store_true", help="print the count as one JSON object")
    command.set_defaults(run=lambda options: _repseudonymize(command, options))


def _repseudonymize(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema", "secret_env")
    from airflow_provider_wacontacts.store.pseudonym_keys import recompute_keys

    rows = recompute_keys(open_store(options, secret_env=options.secret_env).context)
    print(json.dumps({"rows": rows}) if options.json else f"{rows} numbers and identities have new keys.")
