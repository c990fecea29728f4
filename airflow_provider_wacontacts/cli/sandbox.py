"""``wacontacts sandbox``: mock servers of the three systems, for trying DAGs."""

from __future__ import annotations

import argparse
import json
import shlex
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter
from airflow_provider_wacontacts.exceptions import ConfigError

if TYPE_CHECKING:
    from airflow_provider_wacontacts.sandbox import ContactList, Sandbox, World

__all__ = ["add_sandbox"]

EXTRA = ("starlette", "uvicorn")
WHATSAPP = "whatsapp."
GREEN_API = "green_api."
LISTS = ("whatsapp.wa_id_with", "green_api.odd_rows")
HELP = """\
Starts mock servers on this machine: of Turn.io's contacts API, with invented contacts that keep changing, of the
WhatsApp Business API, and of GREEN-API, with the same people in its contact list, and groups. Runs until Ctrl-C. The
first line of output ends with its address. Its clock starts at this machine's time and runs at the same speed. Set the
clock, add faults and compare with the truth through its control routes:

  curl -X POST URL/sandbox/clock -d '{"advance_s": 86400}'
  curl -X POST URL/sandbox/faults -d '{"kind": "status", "on": "page", "status": 503, "times": 3}'
  curl URL/sandbox/truth
  curl URL/sandbox/whatsapp/numbers
  curl -X POST URL/sandbox/green_api/behaviour -d '{"state": "notAuthorized"}'

All routes: python -m pydoc airflow_provider_wacontacts.sandbox.control
"""


def add_sandbox(commands: Any) -> None:
    """Add ``wacontacts sandbox`` to the commands."""
    command = commands.add_parser(
        "sandbox",
        help="mock servers of Turn.io, WhatsApp Business and GREEN-API for trying DAGs",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    add = command.add_argument
    add("--port", type=int, default=0, help="port to listen on (default: a free one)")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s). Every client that reaches it can change its behavior: use "
        "another address in isolated networks only",
    )
    add("--world", choices=("seeded", "bob"), default="seeded", help="invented contacts, or the documentation's Bob")
    add("--seed", type=int, default=0, help="the same seed gives the same contacts and changes (default: 0)")
    add("--contacts", type=_count, default=300, metavar="N", help="number of contacts (default: 300)")
    since = command.add_mutually_exclusive_group()
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="accept requests to this host name; may be repeated. Requests to IP addresses, and to names without a "
        "dot, are always accepted",
    )
    since.add_argument("--start", type=_time, metavar="ISO", help="time of the first change of a contact")
    since.add_argument(
        "--past",
        type=_count,
        default=14,
        metavar="N",
        help="or days since the first change (default: 14)",
    )
    add(
        "--hidden",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of contacts that have a username and hide their number, 0 to 1 (default: 0)",
    )
    add("--days", type=_count, default=28, metavar="N", help="number of days in which contacts change (default: 28)")
    add(
        "--now",
        type=_time,
        metavar="ISO",
        help="start of the sandbox's clock (default: the machine's time)",
    )
    add(
        "--rate",
        type=float,
        default=1.0,
        metavar="X",
        help="sandbox seconds in a real second; 0 stops the clock (default: 1)",
    )
    add("--token", default="example-token", help="token that the mock servers accept (default: example-token)")
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
    command.set_defaults(run=lambda options: _run(command, options))


def _run(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    try:
        sandbox = _sandbox(options)
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise ConfigError(
            f"The sandbox needs {error.name}. Install it: pip install 'airflow-provider-wacontacts[sandbox]'"
        ) from None
    except ValueError as error:
        command.error(str(error))
    try:
        sandbox.start()
    except (OSError, OverflowError):
        raise ConfigError(
            f"The sandbox cannot listen on port {options.port} of {options.host}. Set another --port; 0 finds a free"
            " one."
        ) from None
    try:
        print(_greeting(sandbox), flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    finally:
        sandbox.stop()


def _sandbox(options: argparse.Namespace) -> Sandbox:
    from airflow_provider_wacontacts.sandbox import GreenApiBehaviour, Sandbox, TurnBehaviour, WhatsAppBehaviour
    from airflow_provider_wacontacts.sandbox.core.options import changed

    now = options.now or datetime.now(UTC)
    given = dict(options.set)
    whatsapp, green_api = _taken(given, WHATSAPP), _taken(given, GREEN_API)
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
        host=options.host,
        port=options.port,
        allowed_hosts=options.allow_host,
    )


def _taken(settings: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Remove the settings with a prefix from all settings, and return them without it."""
    return {name.removeprefix(prefix): settings.pop(name) for name in list(settings) if name.startswith(prefix)}


def _people(options: argparse.Namespace, now: datetime) -> tuple[World, ContactList]:
    from airflow_provider_wacontacts.sandbox import bob, example_contact_list, seeded_contact_list, seeded_world

    if options.world == "bob":
        return bob(), example_contact_list()
    start = options.start or now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=options.past)
    size = {"contacts": options.contacts, "start": start, "days": options.days, "hidden": options.hidden}
    return seeded_world(options.seed, **size), seeded_contact_list(options.seed, **size)


def _greeting(sandbox: Sandbox) -> str:
    turn = json.dumps({"conn_type": "turn", "host": sandbox.url, "password": sandbox.token})
    whatsapp = json.dumps(_whatsapp_connection(sandbox))
    green_api = json.dumps(_green_api_connection(sandbox))
    first, last = (f"{moment:%Y-%m-%d %H:%M}" if moment else "never" for moment in _span(sandbox))
    return (
        f"Turn.io, WhatsApp Business and GREEN-API mock servers on {sandbox.url}\n"
        f"  {len(sandbox.world)} contacts, changing from {first} to {last} UTC; the clock shows "
        f"{sandbox.clock.now():%Y-%m-%d %H:%M} UTC\n"
        f"  for Airflow: export AIRFLOW_CONN_TURN_DEFAULT={shlex.quote(turn)}\n"
        f"  for Airflow: export AIRFLOW_CONN_WHATSAPP_BUSINESS_DEFAULT={shlex.quote(whatsapp)}\n"
        f"  for Airflow: export AIRFLOW_CONN_GREEN_API_DEFAULT={shlex.quote(green_api)}\n"
        f"  Press Ctrl-C to stop"
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
    return name, value.split(",") if name in LISTS else value
