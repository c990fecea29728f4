"""The store's connection: the database, and the meaning of its extras."""

import logging
import os
import sys
from importlib.util import find_spec
from stat import S_IMODE

import airflow
import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.store import create_store, read_store_connection

POSTGRES = {"conn_type": "postgres", "host": "db.example.org", "login": "airflow", "password": "example-password"}
OURS = {"table_schema": "contacts", "auto_upgrade": False, "pseudonym_secret": "example-pseudonym-secret"}


def url_of(store):
    return store.engine.url.render_as_string(hide_password=False)


@pytest.mark.parametrize("form", ["host", "uri, host", "uri, path"])
def test_a_sqlite_file_has_the_path_that_airflow_uses(connect, monkeypatch, tmp_path, form):
    path = tmp_path / "store.db"
    if form == "host":
        connect("store", conn_type="sqlite", host=str(path))
    else:
        quoted = str(path).replace("/", "%2F")
        monkeypatch.setenv("AIRFLOW_CONN_STORE", f"sqlite://{quoted}" if form == "uri, host" else f"sqlite:///{path}")

    with read_store_connection("store").engine.begin() as connection:
        connection.execute(text("create table t (x)"))
    assert path.exists()


def test_the_stores_extras_are_read_and_others_are_passed_to_sqlite(connect, tmp_path):
    (tmp_path / "store.db").touch()
    extra = {"auto_upgrade": "false", "pseudonym_secret": "example-pseudonym-secret", "mode": "ro"}
    connect("store", conn_type="sqlite", host=str(tmp_path / "store.db"), extra=extra)

    store = read_store_connection("store")

    assert store.auto_upgrade is False
    with pytest.raises(DBAPIError, match="readonly"), store.engine.begin() as connection:
        connection.execute(text("create table t (x)"))


def test_the_defaults_of_a_store_connection(connect):
    connect("store", conn_type="sqlite", host="store.db")
    store = read_store_connection("store")

    assert (store.table_schema, store.auto_upgrade) == (None, True)
    assert url_of(store) == "sqlite:///store.db"


@pytest.mark.parametrize(("extra", "mode"), [({}, 0o600), ({"file_mode": "0660"}, 0o660), ({"file_mode": 640}, 0o640)])
def test_a_new_sqlite_file_has_file_mode_under_any_umask(connect, tmp_path, extra, mode):
    connect("store", conn_type="sqlite", host=f"{tmp_path}/store.db", extra=extra)
    before = os.umask(0)
    try:
        store = create_store(read_store_connection("store"))
        store.prepare()
        with store.context.transactions.read() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            modes = {S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {mode}


@pytest.mark.parametrize("conn_type", ["postgres", "postgresql"])
def test_a_postgresql_store_has_the_url_that_airflow_uses(connect, conn_type):
    connect("store", **POSTGRES | {"conn_type": conn_type}, schema="lake", port=5433, extra=OURS)

    store = read_store_connection("store")

    assert (store.table_schema, store.auto_upgrade) == ("contacts", False)
    assert store.engine.url.get_backend_name() == "postgresql"
    assert url_of(store).partition("://")[2] == "airflow:example-password@db.example.org:5433/lake"


def test_only_extras_of_the_driver_are_passed_to_it(connect, monkeypatch):
    connect("store", **POSTGRES, extra=OURS | {"sslmode": "require", "keepalives_idle": 20, "iam": False})
    store = read_store_connection("store")
    called = []
    monkeypatch.setattr(store.engine.dialect, "connect", lambda *args, **options: called.append(options) or 1 / 0)

    with pytest.raises(ZeroDivisionError):
        store.engine.connect()
    (options,) = called
    assert {name: options[name] for name in ("sslmode", "keepalives_idle", "host")} == {
        "sslmode": "require",
        "keepalives_idle": 20,
        "host": "db.example.org",
    }
    assert options.keys() & {*OURS, "iam"} == set()


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_postgresql_store_accepts_connections(connect, postgres, postgres_database, driver):
    url = make_url(postgres.url(database=postgres_database))
    extra = OURS | {"sqlalchemy_scheme": f"postgresql+{driver}", "application_name": "wacontacts", "sslmode": "prefer"}
    if driver == "psycopg" and (sqlalchemy.__version__ < "2" or not find_spec("psycopg")):
        pytest.skip("psycopg is not installed, or SQLAlchemy does not know it")
    place = {"host": url.host, "port": url.port, "login": url.username, "schema": postgres_database}
    connect("store", conn_type="postgres", extra=extra, **place)

    engine = read_store_connection("store").engine
    with engine.connect() as connection:
        asked = text("select current_database(), current_setting('application_name')")
        assert tuple(connection.execute(asked).one()) == (postgres_database, "wacontacts")
    assert engine.dialect.driver == driver
    engine.dispose()


def test_errors_of_a_store_hide_parameters(connect):
    connect("store", conn_type="sqlite", host=":memory:")
    with pytest.raises(DBAPIError) as caught, read_store_connection("store").engine.connect() as connection:
        connection.execute(text("select nothing where 1 = :number"), {"number": "44623456700"})

    assert "44623456700" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"conn_type": "mysql", "host": "db"},
            "Connection 'store' is of type 'mysql'. The store needs",
        ),
        ({"host": "db"}, "Connection 'store' has no type. The store needs a connection of type wacontacts_store"),
        ({"conn_type": "sqlite"}, "Connection 'store': host is empty. Set it to the path of the SQLite file"),
        ({"conn_type": "wacontacts_store"}, "Connection 'store': host is empty. Set it to PostgreSQL's host, or"),
        ({"conn_type": "wacontacts_store", "host": "data/store.db"}, "Connection 'store': host is a relative path"),
        (
            {"conn_type": "sqlite", "host": "x", "extra": {"table_schema": "y"}},
            "Connection 'store': extra 'table_schema'",
        ),
        ({**POSTGRES, "extra": {"auto_upgrade": "perhaps"}}, "Connection 'store': extra 'auto_upgrade' is neither"),
        *(
            (
                {**POSTGRES, "extra": {"file_mode": mode}},
                "Connection 'store': extra 'file_mode' is not a mode such as 0600",
            )
            for mode in ("0700", "0400", "rw", "0o600", "06000", True)
        ),
        (
            {**POSTGRES, "extra": {"sqlalchemy_scheme": "mysql"}},
            "Connection 'store' has an extra that PostgresHook does not accept",
        ),
        (
            {**POSTGRES, "extra": {"sqlalchemy_query": "x"}},
            "Connection 'store' has an extra that PostgresHook does not accept",
        ),
        pytest.param(
            {**POSTGRES, "extra": "{"},
            "Connection 'store': extra is not a JSON object",
            marks=pytest.mark.skipif(
                "3" <= airflow.__version__ < "3.2", reason="to Airflow 3.0 and 3.1 such a connection is not defined"
            ),
        ),
    ],
)
def test_an_invalid_store_connection_is_refused_with_the_reason(connect, fields, told):
    connect("store", **fields)

    with pytest.raises(ConfigError) as caught:
        read_store_connection("store")
    assert str(caught.value).startswith(told)
    assert caught.value.__context__ is None


def test_an_undefined_connection_is_named():
    with pytest.raises(ConfigError, match="Connection 'nowhere' is not defined"):
        read_store_connection("nowhere")


@pytest.mark.parametrize("missing", ["airflow.providers.postgres.hooks.postgres", "psycopg2"])
def test_the_error_of_a_missing_package_names_the_extra_to_install(connect, monkeypatch, missing):
    connect("store", **POSTGRES, extra={"sqlalchemy_scheme": "postgresql+psycopg2"})
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(ConfigError, match=r"pip install 'airflow-provider-wacontacts\[postgres\]'"):
        read_store_connection("store")


@pytest.mark.parametrize("fields", [POSTGRES, {"conn_type": "sqlite", "host": "/srv/secret-place/store.db"}])
def test_the_repr_and_logs_of_a_store_hide_its_location_and_secrets(connect, caplog, fields):
    caplog.set_level(logging.DEBUG)
    connect("store", **fields, extra={"pseudonym_secret": "example-pseudonym-secret"})

    shown = repr(read_store_connection("store")) + caplog.text
    assert [
        word for word in ("example-password", "db.example.org", "secret-place", "pseudonym-secret") if word in shown
    ] == []
