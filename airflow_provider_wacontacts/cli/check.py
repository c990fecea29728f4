"""``wacontacts check --dry-run``: what a check would cost."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.cli.formatting import (
    ParagraphFormatter,
    format_counts,
    lines_on_stdin,
    parse_duration,
)
from airflow_provider_wacontacts.cli.store_options import (
    add_store_options,
    airflow_to_stderr,
    open_store,
    require_url_env,
)

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

__all__ = ["add_check"]

HELP = """\
Counts what a check of numbers would do: how many were given, are duplicates, have a fresh result, are being checked by
another task, and would be requested, and what would be left of today's budget. Sends nothing, and stores nothing. Reads
numbers from standard input, one per line. They are not arguments, because other users of this machine can see those.

  wacontacts check --dry-run --whatsapp-business-conn-id whatsapp_business_default < numbers.txt

Numbers are checked by tasks only: see WhatsAppCheckContactsOperator and GreenApiCheckContactsOperator.
"""


def add_check(commands: Any) -> None:
    """Add ``wacontacts check`` to the commands."""
    command = commands.add_parser(
        "check", help="count what a check of numbers would cost", description=HELP, formatter_class=ParagraphFormatter
    )
    add = command.add_argument
    add("--dry-run", action="store_true", required=True, help="required: this command only counts")
    sender = command.add_mutually_exclusive_group(required=True)
    sender.add_argument("--whatsapp-business-conn-id", metavar="ID", help="Airflow connection of the sender")
    sender.add_argument("--green-api-conn-id", metavar="ID", help="Airflow connection of the GREEN-API instance")
    add_store_options(command)
    add(
        "--fresh-for",
        type=parse_duration,
        default=timedelta(days=7),
        metavar="AGE",
        help="maximum age of a result that is reused, for example 7d (default: 7d)",
    )
    add("--default-region", metavar="CC", help="two letters, for numbers without a plus sign")
    add("--force-check", action="store_true", help="reuse no results")
    add("--reuse-across-senders", action="store_true", help="reuse fresh results of other senders, too")
    add("--json", action="store_true", help="print the counts as one JSON object")
    command.set_defaults(run=lambda options: _check(command, options))


def _check(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_url_env(command, options, "table_schema")
    from airflow_provider_wacontacts.identifiers.numbers import validate_region
    from airflow_provider_wacontacts.pipelines.check_inputs import parse_inputs
    from airflow_provider_wacontacts.pipelines.check_preview import preview_check
    from airflow_provider_wacontacts.pipelines.check_results import is_shareable
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

    region = validate_region(options.default_region) if options.default_region else None
    store = open_store(options)
    with airflow_to_stderr():
        hook = _hook(options)
        hook.validate_connection()
        preview = preview_check(
            parse_inputs(lines_on_stdin(), region or getattr(hook, "region", None)),
            SenderChecks.of(store.context, hook.budget),
            fresh_after=datetime.now(UTC) - options.fresh_for,
            force_check=options.force_check,
            is_shareable=is_shareable if options.reuse_across_senders else None,
        ).as_dict()
    if options.json:
        print(json.dumps(preview))
        return
    del preview["sender"]
    print(format_counts(preview))


def _hook(options: argparse.Namespace) -> WhatsAppBusinessHook | GreenApiHook:
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

    if options.green_api_conn_id:
        return GreenApiHook(options.green_api_conn_id)
    return WhatsAppBusinessHook(options.whatsapp_business_conn_id)
