"""``wacontacts store status``: the status of a store, as tables, as JSON, or as one line for a monitor."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter, parse_duration
from airflow_provider_wacontacts.cli.report import format_status
from airflow_provider_wacontacts.cli.store_options import (
    add_store_options,
    airflow_to_stderr,
    open_store,
    require_url_env,
    store_name,
)
from airflow_provider_wacontacts.exceptions import WaContactsError
from airflow_provider_wacontacts.records.windows import format_duration

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.store_status import Freshness, StoreStatus
    from airflow_provider_wacontacts.store.status import Selection

__all__ = ["add_status"]

SOURCES = ("turn", "green_api", "whatsapp_business")
NOTHING: dict[str, Any] = {
    "as_of": None,
    "schema_version": None,
    "writes_version": None,
    "feeds": [],
    "senders": [],
    "field_changes": [],
}
HELP = """\
Prints the status of the store. For each account: watermark, coverage gaps, lossy intervals, unfinished extractions,
rejected rows and schema drift. For each sender: daily check budget, checks, numbers and pending identity changes. It
needs only SELECT, and writes nothing.

With --max-age it prints one line for a monitor, and exits with 1 if an account is older. The age is the time since the
end of the newest complete window, or since the newest complete snapshot.

  wacontacts store status --max-age 26h --source turn

Accounts and senders are the names that rows are stored under: by default, the connection's ID.
"""
EXIT_CODES = """\
Exit codes: 0 success; 1 an account is older than --max-age or was never synced, or the store could not be read (one
line gives the reason: with --max-age on standard output, with --json as "problem"); 2 usage error.
"""


def add_status(commands: Any) -> None:
    """Add ``wacontacts store status`` to the commands."""
    command = commands.add_parser(
        "status",
        help="print the status and age of the store's contacts",
        description=HELP,
        epilog=EXIT_CODES,
        formatter_class=ParagraphFormatter,
    )
    add_store_options(command)
    add = command.add_argument
    add(
        "--max-age",
        type=parse_duration,
        metavar="DURATION",
        help="maximum age of an account, for example 26h, 90m, 7d or 1d12h",
    )
    add("--source", action="append", default=[], choices=SOURCES, help="only this source; may be repeated")
    add(
        "--account",
        action="append",
        default=[],
        metavar="NAME",
        help="only this account or sender; may be repeated",
    )
    add(
        "--late-after",
        type=parse_duration,
        metavar="DURATION",
        help="sync lag from which a window is lossy; use the operators' late_after (default: 1h)",
    )
    add(
        "--whatsapp-business-conn-id",
        action="append",
        default=[],
        metavar="CONN_ID",
        help="Airflow connection whose daily_checks is shown as the limit of its sender; may be repeated",
    )
    add("--contacts", action="store_true", help="count the contacts of each account, which scans all of them")
    add("--json", action="store_true", help="print the status as one JSON object")
    command.set_defaults(run=lambda options: _status(command, options))


def _status(command: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    require_url_env(command, options, "table_schema")
    if options.max_age and {*options.source} == {"whatsapp_business"}:
        command.error("--max-age applies to turn and green_api; whatsapp_business has no age")
    status, problem = None, None
    try:
        status = _read(options)
        problem = status.problem
    except WaContactsError as error:
        if not options.json and not options.max_age:
            raise
        problem = str(error)
    freshness = _freshness(status, options)
    print(_format(options, status, problem, freshness))
    return int(problem is not None or (freshness is not None and not freshness.is_fresh))


def _read(options: argparse.Namespace) -> StoreStatus:
    from airflow_provider_wacontacts.pipelines.store_status import read_ages, read_status

    store, selection = open_store(options, late_after=options.late_after), _selection(options)
    if options.max_age and not options.json:
        return read_ages(store, selection)
    limits = _limits(options.whatsapp_business_conn_id)
    return read_status(store, selection, limits=limits, with_contacts=options.contacts)


def _selection(options: argparse.Namespace) -> Selection:
    from airflow_provider_wacontacts.store.status import Selection

    return Selection(frozenset(options.source), frozenset(options.account))


def _limits(conn_ids: list[str]) -> dict[str, int]:
    if not conn_ids:
        return {}
    with airflow_to_stderr():
        from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

        return {hook.sender: hook.budget.daily_checks for hook in map(WhatsAppBusinessHook, conn_ids)}


def _freshness(status: StoreStatus | None, options: argparse.Namespace) -> Freshness | None:
    if status is None or status.problem or options.max_age is None:
        return None
    from airflow_provider_wacontacts.pipelines.store_status import check_freshness

    return check_freshness(status, options.max_age, _selection(options))


def _format(
    options: argparse.Namespace, status: StoreStatus | None, problem: str | None, freshness: Freshness | None
) -> str:
    line = f"FAILED: {problem}" if problem else freshness and _format_freshness(freshness, options.max_age)
    if options.json:
        return json.dumps(_to_json(options, status, freshness) | {"message": line, "problem": problem})
    if status is None or status.problem or freshness:
        return str(line if options.max_age else problem)
    return format_status(status, store_name(options))


def _to_json(options: argparse.Namespace, status: StoreStatus | None, freshness: Freshness | None) -> dict[str, Any]:
    monitored: dict[str, Any] = {"max_age_s": None, "is_fresh": None}
    if options.max_age:
        is_fresh = freshness is not None and freshness.is_fresh
        monitored = {"max_age_s": options.max_age.total_seconds(), "is_fresh": is_fresh}
    return {"store": store_name(options), **monitored, "message": None, **(status.as_dict() if status else NOTHING)}


def _format_freshness(freshness: Freshness, max_age: timedelta) -> str:
    limit = f"maximum age {format_duration(max_age)}"
    if freshness.oldest is not None and freshness.is_fresh:
        return f"OK: the oldest account is {format_duration(freshness.oldest)} old; {limit}"
    return f"STALE: {', '.join(freshness.describe_stale())}; {limit}"
