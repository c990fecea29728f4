"""``wacontacts receiver``: receive the webhook deliveries of WhatsApp Business API clients."""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from typing import Any

from airflow_provider_wacontacts.cli.formatting import ParagraphFormatter
from airflow_provider_wacontacts.cli.store_options import STORE_CONN_ID, airflow_to_stderr
from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["add_receiver"]

EXTRA = ("starlette", "uvicorn")
#: Seconds in which pending deliveries are recorded when the receiver is stopped.
STOP_WITHIN_S = 20
#: Airflow's logger of connections.
CONNECTION_LOGGER = "airflow.models.connection"
HELP = """\
Receives the webhook deliveries of WhatsApp Business API clients over HTTP, and records results of checks, identity
changes and changed numbers in the store. Other deliveries, above all messages, are acknowledged and not stored. Runs
until Ctrl-C or SIGTERM. Run it beside Airflow, behind a reverse proxy with TLS.

Clients deliver to http://HOST:PORT/CONNECTION_ID. The connection has the secret that they sign with in its extra
webhook_secret. For a client that signs nothing, set the extra webhook_path to a random string, and let the client
deliver to http://HOST:PORT/CONNECTION_ID/WEBHOOK_PATH. GET /health returns the state of the store.
"""


def add_receiver(commands: Any) -> None:
    """Add ``wacontacts receiver`` to the commands."""
    command = commands.add_parser(
        "receiver",
        help="receive webhook deliveries of WhatsApp Business API clients",
        description=HELP,
        formatter_class=ParagraphFormatter,
    )
    add = command.add_argument
    add(
        "--conn-id",
        action="append",
        default=[],
        help="connection of type whatsapp_business; may be repeated (default: whatsapp_business_default)",
    )
    add("--store-conn-id", default=STORE_CONN_ID, help="Airflow connection of the store (default: %(default)s)")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_parse_port, default=8091, help="port to listen on; 0 for a free one (default: %(default)s)")
    add(
        "--max-rate",
        type=_parse_rate,
        default=200.0,
        metavar="N",
        help="maximum verified deliveries per second and connection; others get 429 Too Many Requests (default: 200)",
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    _silence_connection_types()
    with airflow_to_stderr():
        try:
            import uvicorn

            from airflow_provider_wacontacts.receiver import create_app
            from airflow_provider_wacontacts.receiver.protocol import LimitedProtocol
        except ModuleNotFoundError as error:
            if error.name not in EXTRA:
                raise
            raise ConfigError(
                f"The receiver needs {error.name}. Install it: pip install 'airflow-provider-wacontacts[receiver]'"
            ) from None
        application = create_app(
            options.conn_id or ("whatsapp_business_default",),
            store_conn_id=options.store_conn_id,
            max_deliveries_per_second=options.max_rate,
        )
        _log_to_stderr()
        # uvicorn's own access log has whole URLs.
        config = uvicorn.Config(
            application,
            host=options.host,
            port=options.port,
            access_log=False,
            log_config=None,
            http=LimitedProtocol,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=STOP_WITHIN_S,
        )
        try:
            uvicorn.Server(config).run()
        except SystemExit:
            # The server has logged the cause.
            raise ConfigError(
                f"The receiver cannot listen on port {options.port} of {options.host}. Set another --host or --port."
            ) from None
    return 0


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _parse_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number greater than zero")
    return rate


def _silence_connection_types() -> None:
    """
    Keep Airflow's warning about connection types with an underscore out of the log: the receiver reads them often.

    It must be called before Airflow is imported. Airflow 3.1 logs the warning nevertheless.
    """
    logging.getLogger(CONNECTION_LOGGER).setLevel(logging.ERROR)
    if "airflow" not in sys.modules:
        os.environ.setdefault("AIRFLOW__LOGGING__NAMESPACE_LEVELS", f"{CONNECTION_LOGGER}=ERROR")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("airflow_provider_wacontacts", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
