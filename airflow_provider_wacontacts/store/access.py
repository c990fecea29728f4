"""Connection test: the store's server, the version of its tables, and the user's privileges."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import inspect

from airflow_provider_wacontacts.exceptions import ConfigError, PermissionDeniedError
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.migrations import LATEST
from airflow_provider_wacontacts.store.schema import REMEDY, version_of

__all__ = ["describe_access"]

#: Tables on which this user lacks the privileges of a worker.
LACKING = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relname LIKE 'wacontacts\\_%' AND c.relkind = 'r'
    AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
        AND has_table_privilege(c.oid, 'UPDATE'))
"""
MAY_CREATE = """
SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = :schema)
    THEN has_schema_privilege(:schema, 'CREATE') ELSE has_database_privilege(current_database(), 'CREATE') END
"""


def describe_access(context: StoreContext) -> str:
    """
    Connect, and describe the server, the version of the tables, and the user's privileges. It changes nothing.

    :raises ConfigError: tasks could not use the store. The message names the reason and the remedy.
    :raises LandingError: the database cannot be reached.
    """
    transactions = context.transactions
    if not transactions.has_database():
        return _describe_missing_file(context)
    version = version_of(transactions, context.tables)
    if transactions.is_sqlite:
        return f"SQLite file: {_describe_version(context, version)}."
    with context.read() as db:
        server = ".".join(map(str, db.connection.dialect.server_version_info or ()))
        schema = context.tables.table_schema or inspect(db.connection).default_schema_name or "public"
        _require_privileges(context, db, schema, has_tables=version > 0)
    return f"PostgreSQL {server}, schema {schema!r}: {_describe_version(context, version)}."


def _describe_missing_file(context: StoreContext) -> str:
    database = context.transactions.database
    directory = Path(database.address.removeprefix("file:")).parent
    if not os.access(directory, os.W_OK):
        raise ConfigError(
            f"{database.name} points to the file {database.address}, whose directory is missing or may not be written."
            " Create the directory, or correct the path."
        )
    return f"SQLite file: it does not exist yet, and {_describe_version(context, 0)}."


def _describe_version(context: StoreContext, version: int) -> str:
    if version > LATEST:
        return f"the tables have version {version}, which a newer version of this package wrote"
    if version == LATEST:
        return f"the tables have version {version}, and can be read and written"
    if not context.auto_upgrade:
        raise ConfigError(f"The store's tables are missing or old, and auto_upgrade is off: {REMEDY}.")
    return "the first task upgrades the tables" if version else "the first task creates the tables"


def _require_privileges(context: StoreContext, db: Database, schema: str, *, has_tables: bool) -> None:
    database = context.transactions.database
    role = database.url.username or "the_role"
    if has_tables:
        lacking = db.execute(LACKING, schema=schema).scalars().all()
        if lacking:
            raise PermissionDeniedError(
                f"{database.name} may not read and write {len(lacking)} of the store's tables. Run as the owner:"
                f" {database._replace(schema=schema).grants}"
            )
    elif context.auto_upgrade and not db.execute(MAY_CREATE, schema=schema).scalar():
        raise PermissionDeniedError(
            f"{database.name} may not create tables in schema {schema!r}, which PostgreSQL 15 and newer allow only to"
            f" its owner. Run as the database's owner: CREATE SCHEMA contacts AUTHORIZATION {role}; and set extra"
            " 'table_schema' to 'contacts'."
        )
