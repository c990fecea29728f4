"""``wacontacts doctor``: find out why a deployment does not work."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter
from airflow_provider_wacontacts.cli.store_options import STORE_CONN_ID, airflow_to_stderr

__all__ = ["add_doctor"]

HELP = """\
Checks the deployment on this machine: the connections of Turn.io, GREEN-API and WhatsApp Business (type, extras,
host, login, webhook), the store (server, privileges, version, lost attempts, bloat), the receiver, Airflow's pools and
triggerer, and the versions of installed packages. Prints one line for each check, with a remedy where something is
wrong. It changes nothing, and prints no secrets and no personal data. Run it where your workers run.

  wacontacts doctor
"""
EXIT_CODES = "Exit codes: 0 nothing is wrong; 1 something is wrong; 2 usage error."


def add_doctor(commands: Any) -> None:
    """Add ``wacontacts doctor`` to the commands."""
    command = commands.add_parser(
        "doctor",
        help="find out why a deployment does not work",
        description=HELP,
        epilog=EXIT_CODES,
        formatter_class=ParagraphFormatter,
    )
    add = command.add_argument
    add(
        "--conn-id",
        action="append",
        default=[],
        help="only this connection of a feed; may be repeated (default: the default IDs, and all connections of these "
        "types in Airflow's database)",
    )
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--store-conn-id", default=STORE_CONN_ID, help="Airflow connection of the store (default: %(default)s)"
    )
    where.add_argument("--no-store", action="store_true", help="the deployment has no store, only files")
    add("--receiver-url", metavar="URL", help="check the receiver, for example at http://127.0.0.1:8091")
    add("--json", action="store_true", help="print the findings as one JSON object")
    command.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    with airflow_to_stderr():
        from airflow_provider_wacontacts.cli.diagnosis import diagnose

        findings = diagnose(options.conn_id, None if options.no_store else options.store_conn_id, options.receiver_url)
    wrong = sum(not finding.is_ok for finding in findings)
    if options.json:
        print(json.dumps({"ok": not wrong, "findings": [finding._asdict() for finding in findings]}))
    else:
        for finding in findings:
            print(f"{'OK   ' if finding.is_ok else 'WRONG'}  {finding.subject}: {finding.message}")
        print(f"{wrong} of {len(findings)} checks found something wrong." if wrong else "Nothing is wrong.")
    return int(wrong > 0)
