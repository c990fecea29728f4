"""``wacontacts store erase``: erase people from the tables and from files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter, format_counts, lines_on_stdin
from airflow_provider_wacontacts.cli.store_options import (
    add_secret_option,
    add_store_options,
    airflow_to_stderr,
    open_store,
    require_url_env,
)

if TYPE_CHECKING:
    from airflow_provider_wacontacts.files import ObjectPath
    from airflow_provider_wacontacts.pipelines.erasure import People

__all__ = ["add_erase", "add_people_options", "local_or_remote", "people_on_stdin"]

HELP = """\
Erases people from all tables of the store and from files, and puts them on the suppression list (GDPR). Reads
identifiers from standard input, one per line: numbers with country code, WhatsApp IDs, LIDs, user IDs, group IDs, or
contact:<ID>. They are not arguments, because other users of this machine can see those. Prints counts. Safe to run
again: with an empty standard input, it erases the whole suppression list from the files. Never run it twice at once for
one path.

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
    add_people_options(command, "files are rewritten")
    add = command.add_argument
    add("--dry-run", action="store_true", help="count what would be erased, and change nothing")
    add("--ignore-unreadable", action="store_true", help="skip and count lines that are not identifiers")
    command.set_defaults(run=lambda options: _erase(command, options))


def add_people_options(command: argparse.ArgumentParser, use_of_path: str) -> None:
    """
    Add the arguments of commands that find people's rows.

    :param use_of_path: effect on files below ``--path``.
    """
    add_store_options(command)
    add_secret_option(command)
    add = command.add_argument
    add(
        "--path",
        action="append",
        default=[],
        help=f"directory or object storage URI below which {use_of_path}, for example "
        "s3://aws_default@bucket/contacts; may be repeated",
    )
    add(
        "--include-variants",
        action="store_true",
        help="include other spellings of numbers of Brazil, Mexico and Argentina",
    )
    add(
        "--max-linked",
        type=int,
        default=3,
        metavar="N",
        help="maximum identifiers beyond the given ones, for each given one (default: %(default)s)",
    )
    add("--json", action="store_true", help="print the counts as one JSON object")


def _erase(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema", "secret_env")
    from airflow_provider_wacontacts.pipelines.erasure import erase_people

    people = people_on_stdin(ignore_unreadable=options.ignore_unreadable)
    store = open_store(options, secret_env=options.secret_env)
    # An ObjectStoragePath opens its file system on first use.
    with airflow_to_stderr():
        roots = [local_or_remote(path) for path in options.path]
        summary = erase_people(
            people,
            store=store,
            roots=roots,
            include_variants=options.include_variants,
            max_linked=options.max_linked,
            dry_run=options.dry_run,
        ).as_dict()
    print(json.dumps(summary) if options.json else format_counts(summary))


def people_on_stdin(*, ignore_unreadable: bool = False) -> People:
    """
    Read identifiers from standard input, one per line.

    :raises ConfigError: a line is not an identifier.
    """
    from airflow_provider_wacontacts.pipelines.erasure import read_people

    return read_people(lines_on_stdin(), ignore_unreadable=ignore_unreadable)


def local_or_remote(path: str) -> ObjectPath:
    """Return a path of a local directory, or of object storage if it has a scheme."""
    if "://" not in path:
        return Path(path)
    from airflow_provider_wacontacts.hooks.object_storage import object_path

    return object_path(path, "--path")
