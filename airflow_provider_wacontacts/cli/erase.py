"""``wacontacts store erase``: people, from the tables and from files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.cli.paragraphs import ParagraphFormatter
from airflow_provider_wacontacts.cli.store_options import add_store_options, airflow_to_stderr, expect_url_env, store_in

if TYPE_CHECKING:
    from airflow_provider_wacontacts.files import ObjectPath

__all__ = ["add_erase"]

HELP = """\
Erases people from all tables of the store, and from files, with all their numbers, and keeps them from coming back.
Reads WhatsApp ids, or numbers with their country code, from standard input, one a line: they are not taken as
arguments, which others on this machine can see. Answers with counts. Safe to run again; with nobody on standard input
it erases from the files whoever was erased before. Two at once must not write below one path.

  wacontacts store erase --path s3://aws_default@bucket/contacts < ids.txt
"""


def add_erase(commands: Any) -> None:
    """Add ``wacontacts store erase`` to the commands."""
    command = commands.add_parser(
        "erase",
        help="erase people from the tables, and from files",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    add_store_options(command)
    add = command.add_argument
    add("--secret-env", metavar="NAME", help="environment variable with the pseudonym_secret, with --url-env only")
    add(
        "--path",
        action="append",
        default=[],
        help="below which files are written anew: a directory, or any path that Airflow's object storage takes, "
        "such as s3://aws_default@bucket/contacts; may be repeated",
    )
    add("--json", action="store_true", help="print the counts as one JSON object")
    command.set_defaults(run=lambda options: _erase(command, options))


def _erase(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    expect_url_env(command, options, "table_schema", "secret_env")
    from airflow_provider_wacontacts.pipelines.erasure import erase_people, people_in

    people = people_in(line for line in map(str.strip, sys.stdin) if line)
    store = store_in(options, secret_env=options.secret_env)
    # Paths of Airflow's look for their file system when they are first used.
    with airflow_to_stderr():
        roots = [_root(path) for path in options.path]
        summary = erase_people(people, store=store, roots=roots).as_dict()
    print(json.dumps(summary) if options.json else "\n".join(f"{n:>9} {name}" for name, n in summary.items()))


def _root(path: str) -> ObjectPath:
    if "://" not in path:
        return Path(path)
    from airflow_provider_wacontacts.hooks.paths import object_path

    return object_path(path, "--path")
