"""The arguments that name a store, shared by its commands, and how the store is opened."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.exceptions import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from airflow_provider_wacontacts.store import Store

__all__ = [
    "add_secret_option",
    "add_store_options",
    "airflow_to_stderr",
    "create_store_engine",
    "open_store",
    "require_url_env",
    "store_name",
]

STORE_CONN_ID = "wacontacts_store"
#: Allows Airflow to read connections from its database, as ``airflow connections`` does.
CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


def add_store_options(command: argparse.ArgumentParser) -> None:
    """Add the arguments that name the store."""
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--conn-id",
        default=STORE_CONN_ID,
        help="Airflow connection of the store (default: %(default)s)",
    )
    where.add_argument(
        "--url-env",
        metavar="NAME",
        help="environment variable with a SQLAlchemy URL, instead of a connection. A URL is not an argument, because "
        "it holds a password",
    )
    command.add_argument("--table-schema", metavar="NAME", help="PostgreSQL schema; requires --url-env")


def add_secret_option(command: argparse.ArgumentParser) -> None:
    """Add the argument that names the store's secret of pseudonyms."""
    command.add_argument(
        "--secret-env", metavar="NAME", help="environment variable with the pseudonym_secret; requires --url-env"
    )


def require_url_env(command: argparse.ArgumentParser, options: argparse.Namespace, *names: str) -> None:
    """Exit with 2 if one of these arguments is given without ``--url-env``."""
    for name in names:
        if getattr(options, name) and not options.url_env:
            command.error(f"--{name.replace('_', '-')} requires --url-env; with a connection, set its extra instead")


def store_name(options: argparse.Namespace) -> str:
    """Return the connection's ID, or the environment variable's name."""
    return str(options.url_env or options.conn_id)


def create_store_engine(options: argparse.Namespace) -> tuple[Engine, str | None, dict[str, int]]:
    """
    Return the store's engine and table schema, and the connection's ``file_mode`` if there is one, without connecting.

    :raises ConfigError: the connection or the URL is missing or invalid.
    """
    if options.url_env:
        return _create_engine(options.url_env), options.table_schema, {}
    with airflow_to_stderr():
        from airflow_provider_wacontacts.hooks.store import read_store_connection

        store = read_store_connection(options.conn_id)
    return store.engine, store.table_schema, {"file_mode": store.file_mode}


def open_store(
    options: argparse.Namespace, *, secret_env: str | None = None, late_after: timedelta | None = None
) -> Store:
    """
    Return the store, without connecting.

    :param secret_env: environment variable with the ``pseudonym_secret``; a connection has its own.
    :param late_after: sync lag from which a window is lossy. Default: the store's.
    :raises ConfigError: the connection or the URL is missing or invalid.
    """
    if not options.url_env:
        with airflow_to_stderr():
            from airflow_provider_wacontacts.hooks import store as store_hook

            return store_hook.open_store(options.conn_id, late_after=late_after)
    from airflow_provider_wacontacts.store import Store

    secret = _read_variable(secret_env).encode() if secret_env else None
    engine = _create_engine(options.url_env)
    given: dict[str, Any] = {} if late_after is None else {"late_after": late_after}
    return Store(engine, table_schema=options.table_schema, auto_upgrade=False, secret=secret, **given)


@contextmanager
def airflow_to_stderr() -> Iterator[None]:
    """Use Airflow as its own commands do, with connections from its database, and its logs on standard error."""
    before = os.environ.get(CONTEXT)
    os.environ.setdefault(CONTEXT, "server")
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if before is None:
            del os.environ[CONTEXT]


def _read_variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"Environment variable {name} is not set.")
    return value


def _create_engine(name: str) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    url = _read_variable(name)
    # SQLAlchemy's messages may quote the URL with its password.
    try:
        return create_engine(url)
    except (SQLAlchemyError, ValueError):
        raise ConfigError(f"Environment variable {name} is not a valid SQLAlchemy URL.") from None
    except ModuleNotFoundError as error:
        raise ConfigError(f"The database of {name} needs the Python module {error.name}. Install it.") from None
