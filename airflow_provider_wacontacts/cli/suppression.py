"""``wacontacts store suppression``: keep a copy of the suppression list, and apply it to a restored store."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter, format_counts
from airflow_provider_wacontacts.cli.private_file import write_private
from airflow_provider_wacontacts.cli.store_options import (
    add_secret_option,
    add_store_options,
    airflow_to_stderr,
    open_store,
    require_url_env,
)
from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["add_suppression"]

HELP = """\
Copies the suppression list of erased people to a file, and applies it to a store that was restored from a backup, or
that another server took over. The file holds keyed hashes. If the store has no pseudonym_secret, it also holds the key
of the hashes, with which numbers can be found by trying all of them. Only its owner can read it.
"""
EXPORT = "Writes the suppression list to a new file."
APPLY = """\
Adds the hashes of a file to the suppression list, then erases the rows of all people on the list from the store. It
reads the whole store, and other tasks do not wait for it. For files, run `wacontacts store erase --path ...` with an
empty standard input. Prints counts.
"""


def add_suppression(commands: Any) -> None:
    """Add ``wacontacts store suppression`` to the commands."""
    command = commands.add_parser(
        "suppression",
        help="export the suppression list, or apply it to a restored store",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    actions = command.add_subparsers(required=True, metavar="ACTION")
    for name, description, run, option in (
        ("export", EXPORT, _export, "--output"),
        ("apply", APPLY, _apply, "--input"),
    ):
        action = actions.add_parser(
            name, help=description.split(".")[0].lower(), description=description, formatter_class=ParagraphFormatter
        )
        add_store_options(action)
        add_secret_option(action)
        action.add_argument(option, required=True, metavar="FILE", help="file of the suppression list")
        action.add_argument("--json", action="store_true", help="print the counts as one JSON object")
        action.set_defaults(run=lambda options, action=action, run=run: run(action, options))


def _export(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema", "secret_env")
    from airflow_provider_wacontacts.pipelines.erasure import export_suppression_list

    with airflow_to_stderr():
        data, count = export_suppression_list(open_store(options, secret_env=options.secret_env))
    write_private(options.output, data)
    _print(options, {"hashes": count})


def _apply(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema", "secret_env")
    from airflow_provider_wacontacts.pipelines.erasure import apply_suppression_list

    try:
        data = Path(options.input).read_bytes()
    except OSError as error:
        raise ConfigError(f"The file of `--input` cannot be read ({type(error).__name__}).") from None
    with airflow_to_stderr():
        counts = apply_suppression_list(open_store(options, secret_env=options.secret_env), data)
    _print(options, counts)


def _print(options: argparse.Namespace, counts: dict[str, int]) -> None:
    print(json.dumps(counts) if options.json else format_counts(counts))
