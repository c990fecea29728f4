"""``wacontacts store erase``: erase people from the tables and from files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter
from airflow_provider_wacontacts.cli.store_options import (
    add_store_options,
    airflow_to_stderr,
    open_store,
    require_url_env,
)

if TYPE_CHECKING:
    from airflow_provider_wacontacts.files import ObjectPath

__all__ = ["add_erase"]

HELP = """\
Erases people from all tables of the store and from files, and puts them on the suppression list (GDPR). Reads WhatsApp
IDs, or numbers with country code, from standard input, one per line. They are not arguments, because other users of
this machine can see those. Prints counts. Safe to run again: with an empty standard input, it erases the whole
suppression list from the files. Never run it twice at once for one path.

  wacontacts store erase --path s3://aws_default@bucket/contacts < ids.txt
"""


def add_erase(commands: Any) -> None:
    """Add ``wacontacts store erase`` to the commands."""
    command = commands.add_parser(
        "erase",
        help="erase people from the tables and from files",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    add_store_options(command)
    add = command.add_argument
    add("--secret-env", metavar="NAME", help="environment variable with the pseudonym_secret; requires --url-env")
    add(
        "--path",
        action="append",
        default=[],
        help="directory or object storage URI below which files are rewritten, for example "
        "s3://aws_default@bucket/contacts; may be repeated",
    )
    add("--json", action="store_true", help="print the counts as one JSON object")
    command.set_defaults(run=lambda options: _erase(command, options))


def _erase(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema", "secret_env")
    from airflow_provider_wacontacts.pipelines.erasure import erase_people, parse_people

    people = parse_people(line for line in map(str.strip, sys.stdin) if line)
    store = open_store(options, secret_env=options.secret_env)
    # An ObjectStoragePath opens its file system on first use.
    with airflow_to_stderr():
        roots = [_root(path) for path in options.path]
        summary = erase_people(people, store=store, roots=roots).as_dict()
    print(json.dumps(summary) if options.json else "\n".join(f"{n:>9} {name}" for name, n in summary.items()))


def _root(path: str) -> ObjectPath:
    if "://" not in path:
        return Path(path)
    from airflow_provider_wacontacts.hooks.arguments import object_path

    return object_path(path, "--path")
