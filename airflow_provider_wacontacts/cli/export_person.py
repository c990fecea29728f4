"""``wacontacts store export-person``: write all rows of a person to a private file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_wacontacts.cli.erase import add_people_options, local_or_remote, people_on_stdin
from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter, format_counts
from airflow_provider_wacontacts.cli.private_file import write_private
from airflow_provider_wacontacts.cli.store_options import airflow_to_stderr, open_store, require_url_env

__all__ = ["add_export_person"]

HELP = """\
Writes everything that the store and files hold of a person as JSON to a new file, which only its owner can read
(subject access, GDPR). It finds what `wacontacts store erase` would erase. Reads identifiers from standard input, one
per line, like `wacontacts store erase`. Prints counts.

  wacontacts store export-person --output bob.json --path s3://aws_default@bucket/contacts < ids.txt
"""


def add_export_person(commands: Any) -> None:
    """Add ``wacontacts store export-person`` to the commands."""
    command = commands.add_parser(
        "export-person",
        help="write all rows of a person to a private file",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    add_people_options(command, "files are searched")
    command.add_argument("--output", required=True, metavar="FILE", help="new file for the rows")
    command.set_defaults(run=lambda options: _export(command, options))


def _export(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema", "secret_env")
    from airflow_provider_wacontacts.pipelines.erasure import export_people

    people = people_on_stdin()
    store = open_store(options, secret_env=options.secret_env)
    with airflow_to_stderr():
        exported = export_people(
            people,
            store=store,
            roots=[local_or_remote(path) for path in options.path],
            include_variants=options.include_variants,
            max_linked=options.max_linked,
        )
    write_private(options.output, json.dumps(exported, default=_plain, ensure_ascii=False, indent=1).encode())
    counts = {name: len(rows) for name, rows in exported.items()}
    print(json.dumps(counts) if options.json else format_counts(counts))


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode(errors="replace")
    return dict(value) if isinstance(value, Mapping) else str(value)
