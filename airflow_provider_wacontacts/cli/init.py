"""``wacontacts init``: write a first DAG, and print what to set up for it."""

from __future__ import annotations

import argparse
import re
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter
from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["add_init"]

HELP = """\
Writes a first DAG into a directory, and prints the commands for its connections and pool, and what to do next. It never
overwrites a file. Use your DAG folder, or any other directory.

  wacontacts init dags --feed turn

With --example, it copies one of the example DAGs instead.
"""
STORE = "airflow connections add wacontacts_store --conn-type wacontacts_store --conn-host /absolute/path/contacts.db"
DAG = '''\
"""
{about}

Connections: {conn_id}, wacontacts_store. Pool: {pool}. Documentation: docs/how-to/choosing_operators.md of
airflow-provider-wacontacts.
"""

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_wacontacts.operators.{module} import {operator}

with DAG(
    "{name}",
    schedule=CronDataIntervalTimetable("0 1 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={{"pool": "{pool}", "retries": 3, "retry_delay": timedelta(minutes=5)}},
):
    {call}
'''
SYNC = '{operator}(task_id="sync_contacts")'
CHECK = """{operator}(
        task_id="check_numbers",
        # Replace the numbers by your own, or use contacts_sql and contacts_conn_id.
        contacts=["+12015550123"],
    )"""


class FirstDag(NamedTuple):
    """A first DAG, and the commands that its connection needs."""

    about: str
    operator: str
    connection: str
    call: str = SYNC


DAGS = {
    "turn": FirstDag(
        "Sync the contacts of Turn.io that were updated in a day into the store.",
        "TurnContactsToSqlOperator",
        "airflow connections add turn_default --conn-type turn --conn-host https://whatsapp.turn.io"
        ' --conn-password "$TURN_TOKEN"',
    ),
    "green_api": FirstDag(
        "Sync all contacts of a GREEN-API account into the store.",
        "GreenApiContactsToSqlOperator",
        "airflow connections add green_api_default --conn-type green_api --conn-host https://api.green-api.com"
        ' --conn-login "$ID_INSTANCE" --conn-password "$API_TOKEN_INSTANCE"',
    ),
    "whatsapp_business": FirstDag(
        "Check which numbers are on WhatsApp.",
        "WhatsAppCheckContactsOperator",
        "airflow connections add whatsapp_business_default --conn-type whatsapp_business --conn-host"
        ' https://your-client.example --conn-login admin --conn-password "$PASSWORD"'
        """ --conn-extra '{"sender": "+12015550100", "daily_checks": 1000}'""",
        CHECK,
    ),
}
#: Connections and pools that an example DAG names in its description or code.
CONN_ID = re.compile(r"\b(?:turn|green_api|whatsapp_business)_default\b")
POOL = re.compile(r"""pool["']?\s*[=:]\s*["'](\w+)["']""")


def add_init(commands: Any) -> None:
    """Add ``wacontacts init`` to the commands."""
    command = commands.add_parser(
        "init", help="write a first DAG", description=HELP, formatter_class=ParagraphFormatter
    )
    command.add_argument("directory", type=Path, metavar="DIRECTORY", help="directory of the DAG; created if missing")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--feed", choices=tuple(DAGS), help="system that the first DAG reads")
    what.add_argument("--example", metavar="NAME", help="example DAG to copy: " + ", ".join(_examples()))
    command.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> None:
    name, source = _example(options.example) if options.example else _first_dag(options.feed)
    path = options.directory / f"{name}.py"
    _write(path, source)
    print(f"Wrote {path}.\n\nSet up, in the shell of your Airflow:\n")
    for command in _commands(source):
        print(f"  {command}")
    print("\nThen check the set-up, and start the DAG:\n")
    for command in ("wacontacts doctor", f"airflow dags unpause {name}"):
        print(f"  {command}")
    print("\nTo try it without an account, start mock servers with `wacontacts sandbox`, and use their URL as host.")


def _first_dag(feed: str) -> tuple[str, str]:
    dag = DAGS[feed]
    name = f"{feed}_contacts"
    source = DAG.format(
        about=dag.about,
        conn_id=f"{feed}_default",
        pool=feed,
        module=feed,
        operator=dag.operator,
        name=name,
        call=dag.call.format(operator=dag.operator),
    )
    return name, source


def _commands(source: str) -> list[str]:
    """Return the commands for the connections and pools that a DAG names."""
    named = {found.removesuffix("_default") for found in CONN_ID.findall(source)}
    connections = [DAGS[feed].connection for feed in DAGS if feed in named]
    pools = [f'airflow pools set {pool} 1 "one task at a time"' for pool in sorted({*POOL.findall(source)})]
    return [*connections, STORE, *pools]


def _examples() -> dict[str, Any]:
    """Return the files of the example DAGs by name: from the wheel, or from a source tree."""
    shipped = files("airflow_provider_wacontacts") / "example_dags"
    folder: Any = shipped if shipped.is_dir() else Path(__file__).parents[2] / "dags"
    found = {file.name.removesuffix(".py"): file for file in folder.iterdir() if file.name.endswith(".py")}
    return {name: found[name] for name in sorted(found) if name != "__init__"}


def _example(name: str) -> tuple[str, str]:
    examples = _examples()
    if name not in examples:
        raise ConfigError(f"There is no example {name!r}. Choose one of {', '.join(examples)}.")
    return name, examples[name].read_text(encoding="utf-8")


def _write(path: Path, source: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(source)
    except FileExistsError:
        problem = "exists, and is never overwritten. Move it, or use another directory"
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
    else:
        return
    raise ConfigError(f"{path} {problem}.")
