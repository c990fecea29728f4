"""Where the store is: arguments that the commands for it share, and what they open."""

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

__all__ = ["add_store_options", "airflow_to_stderr", "engine_in", "expect_url_env", "name_of", "store_in"]

STORE_CONN_ID = "wacontacts_store"
#: Whether Airflow may look into its database; ``airflow connections`` sets it likewise.
CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


def add_store_options(command: argparse.ArgumentParser) -> None:
    """Add the arguments that tell where the store is."""
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--conn-id",
        default=STORE_CONN_ID,
        help="Airflow connection of the store; its extra table_schema counts (default: %(default)s)",
    )
    where.add_argument(
        "--url-env",
        metavar="NAME",
        help="environment variable with a SQLAlchemy URL, to do without Airflow's connections. URLs hold passwords, so "
        "they are not taken as arguments",
    )
    command.add_argument("--table-schema", metavar="NAME", help="PostgreSQL schema, with --url-env only")


def expect_url_env(command: argparse.ArgumentParser, options: argparse.Namespace, *names: str) -> None:
    """End with 2 where an argument is given that only counts beside ``--url-env``."""
    for name in names:
        if getattr(options, name) and not options.url_env:
            command.error(f"--{name.replace('_', '-')} goes with --url-env; a connection has it as an extra")


def name_of(options: argparse.Namespace) -> str:
    """Return what the place is called: the connection's id, or the variable's name."""
    return str(options.url_env or options.conn_id)


def engine_in(options: argparse.Namespace) -> tuple[Engine, str | None]:
    """
    Return the engine of the place, and the schema of its tables.

    :raises ConfigError: there is none.
    """
    if options.url_env:
        return _engine_of(options.url_env), options.table_schema
    with airflow_to_stderr():
        from airflow_provider_wacontacts.hooks.store import store_engine

        store = store_engine(options.conn_id)
    return store.engine, store.table_schema


def store_in(
    options: argparse.Namespace, *, secret_env: str | None = None, late_after: timedelta | None = None
) -> Store:
    """
    Open the store of the place, without connecting.

    :param secret_env: the environment variable with the secret of pseudonyms; a connection has its own.
    :param late_after: how long after its end a window may be pulled in time; the store's own choice by default.
    :raises ConfigError: there is none.
    """
    if not options.url_env:
        with airflow_to_stderr():
            from airflow_provider_wacontacts.hooks.store import open_store

            return open_store(options.conn_id, late_after=late_after)
    from airflow_provider_wacontacts.store import Store

    secret = _variable(secret_env).encode() if secret_env else None
    engine = _engine_of(options.url_env)
    own: dict[str, Any] = {} if late_after is None else {"late_after": late_after}
    return Store(engine, table_schema=options.table_schema, auto_upgrade=False, secret=secret, **own)


@contextmanager
def airflow_to_stderr() -> Iterator[None]:
    """
    Use Airflow as its own commands do: connections that are kept in its database count, from 3.1 on, too.

    It logs to standard output where nobody tells it otherwise; here that is standard error.
    """
    before = os.environ.get(CONTEXT)
    os.environ.setdefault(CONTEXT, "server")
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if before is None:
            del os.environ[CONTEXT]


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
