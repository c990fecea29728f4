"""
The command ``wacontacts``: stand-ins of the three systems to try DAGs on, and the store's tables.

Exit codes: 0 it is done, 1 it could not be done (one line on standard error says why), 2 it was called wrongly.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from airflow_provider_wacontacts.landing.objects import ObjectPath
    from airflow_provider_wacontacts.landing.sql import Store
    from airflow_provider_wacontacts.sandbox import ContactList, Sandbox, World

__all__ = ["main"]

_STORE_CONN_ID = "wacontacts_store"
_SANDBOX_EXTRA = ("starlette", "uvicorn")
_WHATSAPP = "whatsapp."
_GREEN_API = "green_api."
_LISTS = ("hostile", "whatsapp.wa_id_with", "green_api.ready_states", "green_api.odd_rows", "green_api.hostile")
_SANDBOX_HELP = """\
Starts a stand-in of Turn.io's contacts API on this machine, with invented contacts that keep changing, one of the
WhatsApp Business API client, which knows who is on WhatsApp, and one of GREEN-API, whose account has the same people in
its list, and groups. Runs until Ctrl-C. The first line that it prints ends with its address. Its clock starts at this
machine's time and keeps pace; move it, break things and look at the truth through its control routes:

  curl -X POST URL/sandbox/clock -d '{"advance_s": 86400}'
  curl -X POST URL/sandbox/faults -d '{"kind": "status", "on": "page", "status": 503, "times": 3}'
  curl URL/sandbox/truth
  curl URL/sandbox/whatsapp/numbers
  curl -X POST URL/sandbox/green_api/behaviour -d '{"state": "notAuthorized"}'

All of them: python -m pydoc airflow_provider_wacontacts.sandbox.control, and the same with whatsapp_control and
green_api_control
"""
_UPGRADE_HELP = """\
Creates the store's tables, or brings them to what this version of the package writes. Safe to run at any time and by
many at once. Needs the right to create tables, which the DAGs' own user then does not.
"""

_ERASE_HELP = """\
Erases people from all tables of the store, and from files, with all their numbers, and keeps them from coming back.
Reads WhatsApp ids, or numbers with their country code, from standard input, one a line: they are not taken as
arguments, which others on this machine can see. Answers with counts. Safe to run again; with nobody on standard input
it erases from the files whoever was erased before. Two at once must not write below one path.

  wacontacts store erase --path s3://aws_default@bucket/contacts < ids.txt
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: what follows the program's name; that of this process by default.
    :returns: the exit code, 0 or 1.
    :raises SystemExit: with 2, called wrongly; with 0, asked for help.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except WaContactsError as error:
        print(f"wacontacts: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wacontacts", description="WhatsApp contacts for Airflow: what runs beside it."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_sandbox(commands)
    store = commands.add_parser("store", help="the tables that contacts are kept in")
    of_store = store.add_subparsers(required=True, metavar="COMMAND")
    _add_upgrade(of_store)
    _add_erase(of_store)
    return parser


def _add_sandbox(commands: Any) -> None:
    command = commands.add_parser(
        "sandbox",
        help="stand-ins of Turn.io, WhatsApp Business and GREEN-API to try DAGs on",
        description=_SANDBOX_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    add("--world", choices=("seeded", "bob"), default="seeded", help="invented contacts, or the documentation's Bob")
    add("--seed", type=int, default=0, help="the same seed gives the same contacts and changes (default: 0)")
    add("--contacts", type=_count, default=300, metavar="N", help="how many (default: 300)")
    add("--start", type=_time, metavar="ISO", help="when they begin to change (default: midnight, two weeks ago)")
    add("--days", type=_count, default=28, metavar="N", help="for how long they change (default: 28)")
    add("--now", type=_time, metavar="ISO", help="what the sandbox's clock starts at (default: the machine's time)")
    add(
        "--rate",
        type=float,
        default=1.0,
        metavar="X",
        help="sandbox seconds in a real one; 0 stands still (default: 1)",
    )
    add("--token", default="example-token", help="the token that it takes (default: example-token)")
    add("--page-size", type=int, metavar="N", help="contacts on a page (default: 100)")
    add(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="any field of sandbox.TurnBehaviour, such as cursor_kind=offset or rate_limit=60, of "
        "sandbox.WhatsAppBehaviour, such as whatsapp.version=v2.45.1, or of sandbox.GreenApiBehaviour, such as "
        "green_api.empty_answers=2; may be repeated",
    )
    command.set_defaults(run=lambda options: _run_sandbox(command, options))


def _add_upgrade(commands: Any) -> None:
    command = commands.add_parser(
        "upgrade",
        help="create or upgrade the tables",
        description=_UPGRADE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_place(command)
    command.set_defaults(run=lambda options: _upgrade(command, options))


def _add_erase(commands: Any) -> None:
    command = commands.add_parser(
        "erase",
        help="erase people from the tables, and from files",
        description=_ERASE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_place(command)
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


def _add_place(command: argparse.ArgumentParser) -> None:
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--conn-id",
        default=_STORE_CONN_ID,
        help="Airflow connection of the store; its extra table_schema counts (default: %(default)s)",
    )
    where.add_argument(
        "--url-env",
        metavar="NAME",
        help="environment variable with a SQLAlchemy URL, to do without Airflow's connections. URLs hold passwords, so "
        "they are not taken as arguments",
    )
    command.add_argument("--table-schema", metavar="NAME", help="PostgreSQL schema, with --url-env only")


def _run_sandbox(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    try:
        sandbox = _sandbox(options)
    except ModuleNotFoundError as error:
        if error.name not in _SANDBOX_EXTRA:
            raise
        raise ConfigError(
            f"the sandbox needs {error.name}: pip install 'airflow-provider-wacontacts[sandbox]'"
        ) from None
    except ValueError as error:
        command.error(str(error))
    try:
        sandbox.start()
    except (OSError, OverflowError):
        raise ConfigError(f"port {options.port} of 127.0.0.1 is not to be had; --port 0 finds a free one") from None
    try:
        print(_greeting(sandbox), flush=True)
        threading.Event().wait()
    finally:
        sandbox.stop()


def _sandbox(options: argparse.Namespace) -> Sandbox:
    from airflow_provider_wacontacts.sandbox import GreenApiBehaviour, Sandbox, TurnBehaviour, WhatsAppBehaviour
    from airflow_provider_wacontacts.sandbox.behaviour import changed

    now = options.now or datetime.now(UTC)
    given = dict(options.set)
    whatsapp, green_api = _taken(given, _WHATSAPP), _taken(given, _GREEN_API)
    settings = {"token": options.token, **given}
    if options.page_size is not None:
        settings["page_size"] = options.page_size
    behaviour = changed(TurnBehaviour(), settings, strict=False)
    world, contact_list = _people(options, now)
    return Sandbox(
        world,
        now=now,
        rate=options.rate,
        behaviour=behaviour,
        whatsapp=changed(WhatsAppBehaviour(), whatsapp, strict=False),
        green_api=changed(GreenApiBehaviour(), green_api, strict=False),
        contact_list=contact_list,
        port=options.port,
    )


def _taken(settings: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Take those with a prefix out of all settings, and give them without it."""
    return {name.removeprefix(prefix): settings.pop(name) for name in list(settings) if name.startswith(prefix)}


def _people(options: argparse.Namespace, now: datetime) -> tuple[World, ContactList]:
    from airflow_provider_wacontacts.sandbox import bob, example_contact_list, seeded_contact_list, seeded_world

    if options.world == "bob":
        return bob(), example_contact_list()
    start = options.start or now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=14)
    size = {"contacts": options.contacts, "start": start, "days": options.days}
    return seeded_world(options.seed, **size), seeded_contact_list(options.seed, **size)


def _greeting(sandbox: Sandbox) -> str:
    turn = json.dumps({"conn_type": "turn", "host": sandbox.url, "password": sandbox.token})
    whatsapp = json.dumps(_whatsapp_connection(sandbox))
    green_api = json.dumps(_green_api_connection(sandbox))
    first, last = (f"{moment:%Y-%m-%d %H:%M}" if moment else "never" for moment in _span(sandbox))
    return (
        f"Turn.io, WhatsApp Business and GREEN-API stand-ins on {sandbox.url}\n"
        f"  {len(sandbox.world)} contacts, changing from {first} to {last} UTC; its time is "
        f"{sandbox.clock.now():%Y-%m-%d %H:%M} UTC\n"
        f"  for Airflow: export AIRFLOW_CONN_TURN_DEFAULT={shlex.quote(turn)}\n"
        f"  for Airflow: export AIRFLOW_CONN_WHATSAPP_BUSINESS_DEFAULT={shlex.quote(whatsapp)}\n"
        f"  for Airflow: export AIRFLOW_CONN_GREEN_API_DEFAULT={shlex.quote(green_api)}\n"
        f"  Ctrl-C ends it"
    )


def _whatsapp_connection(sandbox: Sandbox) -> dict[str, Any]:
    behaviour = sandbox.whatsapp.behaviour
    ways: dict[str, dict[str, Any]] = {
        "bearer": {"password": behaviour.token, "extra": {"auth": "bearer"}},
        "d360": {"password": behaviour.api_key, "extra": {"auth": "d360"}},
    }
    login = {"login": behaviour.username, "password": behaviour.password, "extra": {}}
    way = ways.get(behaviour.auth, login)
    extra = {**way["extra"], "sender": behaviour.sender}
    return {"conn_type": "whatsapp_business", "host": sandbox.url, **way, "extra": extra}


def _green_api_connection(sandbox: Sandbox) -> dict[str, Any]:
    behaviour = sandbox.green_api.behaviour
    host = sandbox.url + behaviour.base_path
    return {"conn_type": "green_api", "host": host, "login": behaviour.id_instance, "password": behaviour.token}


def _span(sandbox: Sandbox) -> tuple[datetime | None, datetime | None]:
    return next((event.at for event in sandbox.world), None), sandbox.world.end


def _upgrade(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    _expect_url_env(command, options, "table_schema")
    from airflow_provider_wacontacts.landing.sql import upgrade

    if options.url_env:
        engine, table_schema, place = _engine_of(options.url_env), options.table_schema, options.url_env
    else:
        from airflow_provider_wacontacts.hooks.store import store_engine

        store = store_engine(options.conn_id)
        engine, table_schema, place = store.engine, store.table_schema, options.conn_id
    try:
        upgrade(engine, table_schema)
    finally:
        engine.dispose()
    print(f"The tables of {place} are up to date.")


def _erase(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    _expect_url_env(command, options, "table_schema")
    _expect_url_env(command, options, "secret_env")
    from airflow_provider_wacontacts.jobs.erasure import erase_people, people_in

    people = people_in(line for line in map(str.strip, sys.stdin) if line)
    store = _store(options)
    summary = erase_people(people, store=store, roots=[_root(path) for path in options.path]).as_dict()
    print(json.dumps(summary) if options.json else "\n".join(f"{n:>9} {name}" for name, n in summary.items()))


def _store(options: argparse.Namespace) -> Store:
    if not options.url_env:
        from airflow_provider_wacontacts.hooks.store import open_store

        return open_store(options.conn_id)
    from airflow_provider_wacontacts.landing.sql import Store

    secret = _variable(options.secret_env).encode() if options.secret_env else None
    engine = _engine_of(options.url_env)
    return Store(engine, table_schema=options.table_schema, auto_upgrade=False, secret=secret)


def _root(path: str) -> ObjectPath:
    if "://" not in path:
        return Path(path)
    from airflow_provider_wacontacts.hooks.paths import object_path

    return object_path(path)


def _expect_url_env(command: argparse.ArgumentParser, options: argparse.Namespace, name: str) -> None:
    if getattr(options, name) and not options.url_env:
        command.error(f"--{name.replace('_', '-')} goes with --url-env; a connection has it as an extra")


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"the environment variable {name} is not set")
    return value


def _engine_of(name: str) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    url = _variable(name)
    # What SQLAlchemy says of a URL may quote it, password and all.
    try:
        return create_engine(url)
    except (SQLAlchemyError, ValueError):
        raise ConfigError(f"the environment variable {name} holds no database URL that SQLAlchemy knows") from None
    except ModuleNotFoundError as error:
        raise ConfigError(f"the database of {name} needs the Python module {error.name}") from None


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_time.__name__ = "ISO 8601 time"


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return count


_count.__name__ = "number"


def _setting(text: str) -> tuple[str, str | list[str]]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value.split(",") if name in _LISTS else value


if __name__ == "__main__":
    sys.exit(main())
