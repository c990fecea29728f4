"""SQL on the store by Airflow's own operators, and the connection test."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook
from airflow.providers.common.sql.operators.sql import (
    SQLColumnCheckOperator,
    SQLExecuteQueryOperator,
    SQLInsertRowsOperator,
    SQLTableCheckOperator,
)
from airflow.providers.common.sql.sensors.sql import SqlSensor
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.hooks import store as store_hooks
from airflow_provider_wacontacts.hooks.queries import read_rows
from airflow_provider_wacontacts.hooks.store import StoreHook, open_store, read_store_connection
from airflow_provider_wacontacts.store import transactions
from tests.proxies import Proxy, SilentProxy

COUNT = "SELECT count(*) FROM wacontacts_current"


@pytest.fixture(params=["sqlite", "psycopg2", "psycopg"])
def store(request: Any, connect: Any) -> str:
    """A connection of the store's type to a place without tables."""
    if request.param == "sqlite":
        url = make_url(request.getfixturevalue("sqlite_url"))
        return str(connect("wacontacts_store", conn_type="wacontacts_store", host=url.database))
    pytest.importorskip(request.param)
    url = make_url(request.getfixturevalue("postgres_url"))
    return to_postgres(connect, url, sqlalchemy_scheme=f"postgresql+{request.param}")


def to_postgres(connect: Any, url: Any, port: int | None = None, **extra: Any) -> str:
    place = {"host": url.host, "port": port or url.port, "login": url.username, "schema": url.database}
    extra = {"table_schema": "Con'tacts", "pseudonym_secret": "example-pseudonym-secret", **extra}
    return str(connect("wacontacts_store", conn_type="wacontacts_store", extra=extra, **place))


@pytest.fixture
def tables(store: str) -> str:
    """The store with its tables, and one of a user's beside them."""
    open_store(store).prepare()
    hook = StoreHook(store)
    hook.run(["CREATE TABLE mine (number integer, name text)", "INSERT INTO mine VALUES (1, 'one'), (2, 'two')"])
    return store


def operators() -> dict[str, Callable[[], Any]]:
    given = {"task_id": "task", "conn_id": "wacontacts_store"}
    rows = [(3, "three"), (4, "four")]
    return {
        "query": lambda: SQLExecuteQueryOperator(sql=COUNT, **given),
        "query in autocommit": lambda: SQLExecuteQueryOperator(sql=COUNT, autocommit=True, **given),
        "queries": lambda: SQLExecuteQueryOperator(sql=f"{COUNT}; {COUNT}", split_statements=True, **given),
        "columns": lambda: SQLColumnCheckOperator(
            table="mine", column_mapping={"number": {"max": {"leq_to": 2}}}, **given
        ),
        "table": lambda: SQLTableCheckOperator(
            table="mine", checks={"rows": {"check_statement": "count(*) = 2"}}, **given
        ),
        "insert": lambda: SQLInsertRowsOperator(table_name="mine", columns=["number", "name"], rows=rows, **given),
        "sensor": lambda: SqlSensor(sql="SELECT count(*) FROM mine", **given),
    }


@pytest.mark.parametrize("name", operators())
def test_common_sql_operators_find_the_tables(tables: str, name: str) -> None:
    task = operators()[name]()

    if name == "sensor":
        assert task.poke({})
    else:
        result = task.execute({})
        assert name not in ("query", "query in autocommit") or [tuple(row) for row in result] == [(0,)]
    if name == "insert":
        assert StoreHook(tables).get_first("SELECT count(*) FROM mine")[0] == 4


def test_parameters_are_passed_and_not_logged(tables: str, caplog: pytest.LogCaptureFixture) -> None:
    hook = BaseHook.get_connection(tables).get_hook()

    found = hook.get_records(f"SELECT name FROM mine WHERE number = {hook.placeholder}", parameters=(2,))

    assert isinstance(hook, StoreHook)
    assert [tuple(row) for row in found] == [("two",)]
    assert "mine" not in caplog.text


def test_the_engine_and_read_rows_find_the_tables(tables: str) -> None:
    hook = StoreHook(tables)

    with hook.get_sqlalchemy_engine().connect() as connection:
        assert connection.execute(text(COUNT)).scalar() == 0
    assert {column["name"] for column in hook.get_table_schema("mine")} == {"number", "name"}
    assert [row["number"] for row in read_rows(tables, "SELECT number FROM mine ORDER BY number")] == [1, 2]
    assert hook.dialect_name == make_url(hook.get_uri()).get_backend_name()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nobody FROM mine WHERE name = '+12015550123'", "has no column 'nobody' there"),
        ("SELECT 1 FROM wacontacts_curent WHERE '+12015550123' = ''", "has no table or view 'wacontacts_curent'"),
        ("SELEC '+12015550123'", "does not accept the SQL"),
    ],
)
def test_an_error_in_sql_is_named_without_values(tables: str, sql: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^Connection 'wacontacts_store' {message}") as raised:
        StoreHook(tables).run(sql)

    assert "12015550123" not in str(raised.value)


def test_a_connection_test_reports_the_state_of_the_tables(store: str) -> None:
    before = StoreHook(store).test_connection()
    open_store(store).prepare()
    after = StoreHook(store).test_connection()

    assert [before[0], after[0]] == [True, True]
    assert "the first task creates the tables" in before[1]
    assert "the tables have version 1, and can be read and written" in after[1]


def test_a_connection_test_names_missing_grants(connect: Any, postgres_url: str, postgres_engine: Any) -> None:
    url, owner = make_url(postgres_url), create_engine(postgres_url)
    with owner.begin() as connection:
        connection.execute(text("DO $$ BEGIN CREATE ROLE lodger LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"))
    lodger = to_postgres(connect, url.set(username="lodger"), table_schema=None)
    before = StoreHook(lodger).test_connection()
    open_store(to_postgres(connect, url, table_schema="contacts")).prepare()
    to_postgres(connect, url.set(username="lodger"), table_schema="contacts")
    hidden = StoreHook(lodger).test_connection()
    with owner.begin() as connection:
        connection.execute(text("GRANT USAGE ON SCHEMA contacts TO lodger"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA contacts TO lodger"))
    readable = StoreHook(lodger).test_connection()
    owner.dispose()

    assert [before[0], hidden[0], readable[0]] == [False, False, False]
    assert "CREATE SCHEMA contacts AUTHORIZATION lodger;" in before[1]
    assert "GRANT USAGE ON SCHEMA contacts TO lodger;" in hidden[1]
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA contacts TO lodger;" in readable[1]


def test_an_unknown_host_is_named(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "UNKNOWN_HOST_S", 0)
    connect("wacontacts_store", conn_type="wacontacts_store", host="db.invalid", login="reader", schema="lake")

    works, message = StoreHook().test_connection()

    assert not works
    assert message.startswith("Connection 'wacontacts_store' cannot reach db.invalid:5432: the host name is unknown.")


def test_an_extra_of_the_driver_is_not_reported_as_unknown(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    extra = {"sslmode": "prefer", "connect_timeout": 9, "auto_upgarde": True}
    connect("wacontacts_store", conn_type="wacontacts_store", host="db.invalid", schema="lake", extra=extra)

    open_store("wacontacts_store")

    assert [record.getMessage() for record in caplog.records if "is unknown" in record.getMessage()] == [
        "Connection 'wacontacts_store': extra 'auto_upgarde' is unknown. Did you mean 'auto_upgrade'?"
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the packet filter and the options are Linux's")
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_connection_that_has_fallen_silent_is_replaced(connect: Any, postgres_url: str, driver: str) -> None:
    pytest.importorskip(driver)
    url = make_url(postgres_url)
    with closing(SilentProxy(url.port)) as proxy:
        scheme = {"sqlalchemy_scheme": f"postgresql+{driver}"}
        for store, extra in (("default", {}), ("wacontacts_store", {"tcp_user_timeout": 500})):
            fields = {"host": url.host, "port": proxy.port, "login": url.username, "schema": url.database}
            connect(store, conn_type="wacontacts_store", extra=scheme | extra, **fields)
        with read_store_connection("default").engine.connect() as connection:
            options = socket.socket(fileno=os.dup(connection.connection.dbapi_connection.fileno()))
            names = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [options.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [60_000, 30, 10, 3]
            options.close()
        store = open_store("wacontacts_store")
        store.prepare()

        proxy.silence()

        with store.context.read() as db:
            assert db.execute("SELECT 1").scalar() == 1


class Pooler(Proxy):
    """A pooler as a client sees it: the process ID that it states is none of the server's."""

    def rewrite(self, data: bytes) -> bytes:
        at = data.find(b"K" + struct.pack("!I", 12))
        return data if at < 0 else data[: at + 5] + struct.pack("!I", 4_000_000) + data[at + 9 :]


@pytest.fixture(params=["psycopg2", "psycopg"])
def behind_pooler(request: Any, connect: Any, postgres_url: str) -> Iterator[str]:
    pytest.importorskip(request.param)
    url = make_url(postgres_url)
    with closing(Pooler(url.port)) as pooler:
        scheme = {"sqlalchemy_scheme": f"postgresql+{request.param}", "sslmode": "disable", "gssencmode": "disable"}
        yield to_postgres(connect, url, pooler.port, **scheme)


def test_behind_a_pooler_the_search_path_is_set_per_transaction(behind_pooler: str) -> None:
    open_store(behind_pooler).prepare()
    hook = StoreHook(behind_pooler)
    hook.run("CREATE TABLE mine (number integer)")
    hook.insert_rows("mine", [(1,), (2,), (3,)], target_fields=["number"], commit_every=1)

    assert hook.get_first("SELECT count(*) FROM mine")[0] == 3
    with hook.get_sqlalchemy_engine().begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM mine")).scalar() == 3
        driver = connection.connection.dbapi_connection
        driver.rollback()
        with closing(driver.cursor()) as cursor:
            cursor.execute("SHOW search_path")
            assert "Con'tacts" not in cursor.fetchone()[0]


def test_behind_a_pooler_autocommit_is_refused(behind_pooler: str) -> None:
    with pytest.raises(ConfigError, match="through a connection pooler, which may run each statement of autocommit"):
        StoreHook(behind_pooler).run("SELECT 1", autocommit=True)


def test_an_unreachable_server_is_a_retryable_error(connect: Any) -> None:
    connect("wacontacts_store", conn_type="wacontacts_store", host="127.0.0.1", port=1, schema="lake")

    with pytest.raises(LandingError, match=r"cannot reach 127\.0\.0\.1:1: the connection was refused"):
        StoreHook().run("SELECT 1")


def test_extras_of_the_connection_are_not_passed_to_the_hook(store: str) -> None:
    connection = BaseHook.get_connection(store)

    hook = connection.get_hook(hook_params={**json.loads(connection.extra or "{}"), "log_sql": True})

    assert (hook.get_conn_id(), hook.log_sql, store_hooks.StoreHook().log_sql) == (store, True, False)
