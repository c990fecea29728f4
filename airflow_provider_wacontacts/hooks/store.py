"""The store, through an Airflow connection: opened for the package's own work, and as a hook for any SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.sql.hooks.sql import DbApiHook
from asgiref.sync import sync_to_async
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError, add_help
from airflow_provider_wacontacts.hooks.connections import (
    field_behaviour,
    form_widgets,
    read_connection,
    read_connection_async,
    read_extras,
)
from airflow_provider_wacontacts.hooks.store_connection import (
    CONN_TYPE,
    StoreConnection,
    parse_store_connection,
    read_secret,
)

if TYPE_CHECKING:
    from airflow_provider_wacontacts.store import Store
    from airflow_provider_wacontacts.store.transactions import Transactions

__all__ = [
    "StoreHook",
    "create_store",
    "open_store",
    "pseudonym_key",
    "read_store_connection",
    "read_store_connection_async",
]

#: A pooler between us and the server makes up the process ID that it states when a client connects. It may give each
#: transaction another session, so the path is then set for the transaction only.
SET_SEARCH_PATH = """
SELECT set_config('search_path', concat_ws(', ', quote_ident(%s), nullif(current_setting('search_path'), '')), pooled)
    AS search_path, pooled FROM (SELECT pg_backend_pid() <> %s AS pooled) AS connection
"""


def open_store(conn_id: str, *, late_after: timedelta | None = None, max_wait: timedelta | None = None) -> Store:
    """
    Open the store of a connection, without connecting; see :func:`read_store_connection`.

    :param late_after: how long after its end a window may be synced without being lossy; ``None``: the store's default.
    :param max_wait: how long a connection, a lock or a statement may take; ``None`` for a task's limits.
    """
    return create_store(read_store_connection(conn_id), late_after=late_after, max_wait=max_wait)


def create_store(
    connection: StoreConnection, *, late_after: timedelta | None = None, max_wait: timedelta | None = None
) -> Store:
    """Open the store of a parsed connection, see :func:`open_store`."""
    from airflow_provider_wacontacts.store import Store

    options: dict[str, Any] = {} if late_after is None else {"late_after": late_after}
    return Store(
        connection.engine,
        table_schema=connection.table_schema,
        auto_upgrade=connection.auto_upgrade,
        file_mode=connection.file_mode,
        secret=connection.secret,
        max_wait=max_wait,
        name=f"Connection {connection.conn_id!r}",
        **options,
    )


def pseudonym_key(conn_id: str) -> bytes:
    """
    Read the secret for pseudonyms: extra ``pseudonym_secret`` of a connection, whatever its type.

    :raises ConfigError: the connection is not defined, or has no secret.
    """
    secret = read_secret(read_extras(read_connection(conn_id)))
    if secret is None:
        raise ConfigError(
            f"Connection {conn_id!r}: extra 'pseudonym_secret' is missing or empty. Set it to a secret of at least 16"
            " bytes."
        )
    return secret


def read_store_connection(conn_id: str) -> StoreConnection:
    """
    Read a connection of type ``wacontacts_store``, ``postgres`` or ``sqlite``, without connecting.

    :raises ConfigError: the connection is not defined, of another type or invalid, or its provider or driver is not
        installed.
    """
    return parse_store_connection(read_connection(conn_id))


async def read_store_connection_async(conn_id: str) -> StoreConnection:
    """Read the store's connection without blocking the event loop, see :func:`read_store_connection`."""
    connection = await read_connection_async(conn_id)
    # In Airflow's thread: masking calls the supervisor, which would block the event loop.
    return await sync_to_async(parse_store_connection)(connection)


class StoreHook(DbApiHook):
    """
    Runs SQL on the store, for the operators, checks and sensors of Airflow's common SQL provider.

    The store's tables need no schema before their names: ``table_schema`` comes first on PostgreSQL's search path.
    Statements are not logged, because their parameters may be personal data; ``log_sql=True`` logs them.

    :param store_conn_id: connection of type ``wacontacts_store``, ``postgres`` or ``sqlite``.
    :param kwargs: of ``DbApiHook``. Airflow's SQL operators pass the connection's extras, too, which are ignored.
    """

    conn_name_attr = "store_conn_id"
    default_conn_name = "wacontacts_store"
    conn_type = CONN_TYPE
    hook_name = "WhatsApp contacts store"
    supports_executemany = True

    def __init__(self, store_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**{"log_sql": False, **kwargs, self.conn_name_attr: store_conn_id})

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form fields of the extras, for Airflow before 3.2."""
        return form_widgets(cls.conn_type)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the standard fields look, for Airflow before 3.2."""
        return field_behaviour(cls.conn_type)

    @property
    def supports_autocommit(self) -> bool:  # type: ignore[override]
        """Whether the database has an autocommit mode: PostgreSQL does."""
        return not self._is_sqlite

    @property
    def placeholder(self) -> str:
        """The placeholder of a parameter in SQL: ``?`` in SQLite, ``%s`` in PostgreSQL."""
        return "?" if self._is_sqlite else "%s"

    @property
    def sqlalchemy_url(self) -> URL:
        """The database's URL, with the password."""
        return self._store.engine.url

    def get_uri(self) -> str:
        """Return the database's URL as a string, with the password."""
        return self.sqlalchemy_url.render_as_string(hide_password=False)

    def get_sqlalchemy_engine(self, engine_kwargs: dict[str, Any] | None = None) -> Engine:  # noqa: ARG002 - as Airflow has it
        """Return the store's engine. ``engine_kwargs`` are ignored: the connection's extras configure it."""
        return self._engine

    def get_conn(self) -> Any:
        """
        Return a new connection of the database's driver.

        :raises ConfigError: the connection is invalid.
        :raises LandingError: the database cannot be reached.
        """
        with self._store_errors() as transactions:
            transactions.create_file()
            pooled = self._engine.raw_connection()
        is_behind_pooler = pooled.info.get(POOLER, False)
        # The caller closes the connection, which would return it to the engine's pool.
        pooled.detach()
        connection: Any = pooled.dbapi_connection
        return _TransactionScoped(connection, str(self._store.table_schema)) if is_behind_pooler else connection

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:  # noqa: FBT001 - as Airflow has it
        """
        Set the autocommit mode of a connection.

        :raises ConfigError: it cannot be set behind a connection pooler, where ``table_schema`` would be lost.
        """
        if autocommit and isinstance(conn, _TransactionScoped):
            raise ConfigError(
                f"Connection {self.get_conn_id()!r} connects to PostgreSQL through a connection pooler, which may run"
                " each statement of autocommit mode in another session, where extra 'table_schema' is not in effect."
                " Run the SQL without autocommit, or connect to PostgreSQL directly."
            )
        if conn.autocommit != autocommit:
            super().set_autocommit(conn, autocommit)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """
        Run SQL, see ``DbApiHook.run``.

        :raises ConfigError: the SQL or the connection is wrong.
        :raises LandingError: the database failed. No message quotes a value.
        """
        with self._store_errors():
            return super().run(*args, **kwargs)

    def insert_rows(self, *args: Any, **kwargs: Any) -> Any:
        """Insert rows, see ``DbApiHook.insert_rows``; errors as in :meth:`run`."""
        with self._store_errors():
            return super().insert_rows(*args, **kwargs)

    def test_connection(self) -> tuple[bool, str]:  # type: ignore[override]
        """Connect, and describe the server, the schema, its version and the user's privileges."""
        from airflow_provider_wacontacts.store.access import describe_access

        try:
            return True, describe_access(create_store(self._store).context)
        except WaContactsError as error:
            return False, add_help(error)

    @cached_property
    def _store(self) -> StoreConnection:
        return read_store_connection(self.get_conn_id())

    @property
    def _is_sqlite(self) -> bool:
        return self._store.engine.dialect.name == "sqlite"

    @cached_property
    def _engine(self) -> Engine:
        store = self._store
        if store.table_schema:
            _put_first_on_search_path(store.engine, store.table_schema)
        return store.engine

    @contextmanager
    def _store_errors(self) -> Iterator[Transactions]:
        transactions = create_store(self._store).context.transactions
        with transactions.failures():
            yield transactions


#: In the ``info`` of an engine's connection: whether it leads through a connection pooler.
POOLER = "wacontacts_pooler"


def _put_first_on_search_path(engine: Engine, schema: str) -> None:
    """Let every session of an engine find the tables of a schema: behind a pooler, every transaction."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        record.info[POOLER] = _set_search_path(connection, schema)
        connection.commit()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        if connection.info.get(POOLER):
            _set_search_path(connection.connection.dbapi_connection, schema)


def _set_search_path(connection: Any, schema: str) -> bool:
    """Put a schema first on the search path of a driver's connection; return whether only for this transaction."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(SET_SEARCH_PATH, (schema, connection.info.backend_pid))
        return bool(cursor.fetchone()[1])


class _TransactionScoped:
    """A driver's connection through a pooler: the search path is set at the start of each transaction."""

    def __init__(self, connection: Any, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        _set_search_path(connection, schema)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        self._connection.commit()
        _set_search_path(self._connection, self._schema)

    def rollback(self) -> None:
        self._connection.rollback()
        _set_search_path(self._connection, self._schema)
