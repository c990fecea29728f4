"""``wacontacts store status``: how the store stands, for people, for programs and for monitors."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.cli.durations import span, told
from airflow_provider_wacontacts.cli.paragraphs import ParagraphFormatter
from airflow_provider_wacontacts.cli.report import report
from airflow_provider_wacontacts.cli.store_options import (
    add_store_options,
    airflow_to_stderr,
    expect_url_env,
    name_of,
    store_in,
)
from airflow_provider_wacontacts.exceptions import WaContactsError

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.store_status import StoreStatus, Verdict
    from airflow_provider_wacontacts.store.status.model import Selection

__all__ = ["add_status"]

SOURCES = ("turn", "green_api", "whatsapp_business")
NOTHING: dict[str, Any] = {"as_of": None, "schema_version": None, "writes_version": None, "feeds": [], "senders": []}
HELP = """\
Tells how the store stands: how far the contacts of each account reach, gaps and lossy stretches, tries that are not
complete, what was rejected and why; and of each sender its budget, checks, numbers, and users who have changed. Reads
and writes nothing: a user who may SELECT will do.

With --max-age it prints one line instead, for a monitor, and ends with 1 if an account is older. The age is that of the
newest complete pull: since the end of its window, or since the snapshot.

  wacontacts store status --max-age 26h --source turn

Accounts and senders are printed as rows are filed under them: by default the connection's id.
"""
EXIT_CODES = """\
Exit codes: 0 all is well; 1 an account is older than --max-age, or was never pulled, or the store could not be read (a
line says why: with --max-age on standard output, with --json as "problem"); 2 it was called wrongly.
"""


def add_status(commands: Any) -> None:
    """Add ``wacontacts store status`` to the commands."""
    command = commands.add_parser(
        "status",
        help="how the store stands, and how old it is",
        description=HELP,
        epilog=EXIT_CODES,
        formatter_class=ParagraphFormatter,
    )
    add_store_options(command)
    add = command.add_argument
    add("--max-age", type=span, metavar="SPAN", help="the oldest that an account may be: 26h, 90m, 7d, 1d12h")
    add("--source", action="append", default=[], choices=SOURCES, help="only this source; may be repeated")
    add(
        "--account",
        action="append",
        default=[],
        metavar="NAME",
        help="only this account, or this sender; may be repeated",
    )
    add(
        "--late-after",
        type=span,
        metavar="SPAN",
        help="how long after its end a window may be pulled and lose nothing, as the operators have it (default: 1h)",
    )
    add(
        "--whatsapp-business-conn-id",
        action="append",
        default=[],
        metavar="CONN_ID",
        help="Airflow connection whose daily_checks are the limit of its sender, which the store does not know; may be "
        "repeated",
    )
    add("--contacts", action="store_true", help="count the contacts of each account, which takes a while")
    add("--json", action="store_true", help="print all of it as one JSON object")
    command.set_defaults(run=lambda options: _status(command, options))


def _status(command: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    expect_url_env(command, options, "table_schema")
    if options.max_age and {*options.source} == {"whatsapp_business"}:
        command.error("--max-age is about turn and green_api; whatsapp_business has no age")
    status, problem = None, None
    try:
        status = _look(options)
        problem = status.problem
    except WaContactsError as error:
        if not options.json and not options.max_age:
            raise
        problem = str(error)
    verdict = _verdict(status, options)
    print(_printed(options, status, problem, verdict))
    return int(problem is not None or (verdict is not None and not verdict.is_fresh))


def _look(options: argparse.Namespace) -> StoreStatus:
    from airflow_provider_wacontacts.pipelines.store_status import look_at_ages, look_at_store

    store, selection = store_in(options, late_after=options.late_after), _selection(options)
    if options.max_age and not options.json:
        return look_at_ages(store, selection)
    limits = _limits(options.whatsapp_business_conn_id)
    return look_at_store(store, selection, limits=limits, with_contacts=options.contacts)


def _selection(options: argparse.Namespace) -> Selection:
    from airflow_provider_wacontacts.store.status.model import Selection

    return Selection(frozenset(options.source), frozenset(options.account))


def _limits(conn_ids: list[str]) -> dict[str, int]:
    if not conn_ids:
        return {}
    with airflow_to_stderr():
        from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

        return {hook.sender: hook.daily_checks for hook in map(WhatsAppBusinessHook, conn_ids)}


def _verdict(status: StoreStatus | None, options: argparse.Namespace) -> Verdict | None:
    if status is None or status.problem or options.max_age is None:
        return None
    from airflow_provider_wacontacts.pipelines.store_status import verdict_on

    return verdict_on(status, options.max_age, _selection(options))


def _printed(
    options: argparse.Namespace, status: StoreStatus | None, problem: str | None, verdict: Verdict | None
) -> str:
    line = f"FAILED: {problem}" if problem else verdict and _line(verdict, options.max_age)
    if options.json:
        return json.dumps(_object(options, status, verdict) | {"message": line, "problem": problem})
    if status is None or status.problem or verdict:
        return str(line if options.max_age else problem)
    return report(status, name_of(options))


def _object(options: argparse.Namespace, status: StoreStatus | None, verdict: Verdict | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"max_age_s": None, "is_fresh": None}
    if options.max_age:
        is_fresh = verdict is not None and verdict.is_fresh
        asked = {"max_age_s": options.max_age.total_seconds(), "is_fresh": is_fresh}
    return {"store": name_of(options), **asked, "message": None, **(status.as_dict() if status else NOTHING)}


def _line(verdict: Verdict, max_age: timedelta) -> str:
    if verdict.oldest is not None and verdict.is_fresh:
        return f"OK: the oldest account is {told(verdict.oldest)} old, {told(max_age)} are allowed"
    old = [f"{name} {'was never pulled' if age is None else f'is {told(age)} old'}" for name, age in verdict.stale]
    return f"STALE: {', '.join(old) or 'nothing was ever pulled'}; {told(max_age)} are allowed"
