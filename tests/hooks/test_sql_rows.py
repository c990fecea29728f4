"""Numbers read from SQL connections."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.hooks import queries as store_hooks
from airflow_provider_wacontacts.hooks.queries import read_rows


@pytest.fixture(params=["sqlite", "postgres"])
def crm(request: Any, connect: Any) -> Any:
    """A database with seven people, by a connection of either kind."""
    url = make_url(request.getfixturevalue(f"{request.param}_url"))
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE people (phone text, agreed boolean)"))
        people = [{"phone": f"+1212555{number:04}"} for number in range(7)]
        connection.execute(text("INSERT INTO people VALUES (:phone, true)"), people)
    yield connect("crm", conn_type=request.param, **place(url))
    engine.dispose()


def place(url: Any) -> dict[str, Any]:
    if not url.host:
        return {"host": url.database}
    return {"host": url.host, "port": url.port, "login": url.username, "schema": url.database}


def test_rows_are_mappings_in_the_order_of_the_query(crm: str) -> None:
    rows = list(read_rows(crm, "SELECT phone AS NUMBER, phone AS Contact_Key FROM people ORDER BY phone DESC"))

    assert rows == [
        {"number": number, "contact_key": number} for number in (f"+1212555{place:04}" for place in range(6, -1, -1))
    ]


def test_extras_of_a_store_are_not_passed_to_its_database(request: Any, connect: Any) -> None:
    for kind, extra in (("sqlite", {}), ("postgres", {"table_schema": "own"})):
        url = make_url(request.getfixturevalue(f"{kind}_url"))
        extra |= {"auto_upgrade": True, "pseudonym_secret": "example-pseudonym-secret"}
        connect("crm", conn_type=kind, extra=extra, **place(url))

        assert list(read_rows("crm", "SELECT 7 AS number")) == [{"number": 7}]


def test_a_large_result_is_fetched_in_chunks(crm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_hooks, "FETCH_SIZE", 3)

    assert len(list(read_rows(crm, "SELECT phone AS number FROM people"))) == 7


def test_a_large_result_stays_on_the_postgresql_server_until_it_is_fetched(
    connect: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_hooks, "FETCH_SIZE", 2)
    connect("crm", conn_type="postgres", **place(make_url(postgres_url)))

    rows = read_rows("crm", "SELECT 12 / (5 - number) AS number FROM generate_series(0, 9) number")

    assert [next(rows)["number"] for _ in range(4)] == [2, 3, 4, 6]


def test_a_reader_that_stops_early_closes_its_connection(crm: str) -> None:
    rows = read_rows(crm, "SELECT phone AS number FROM people")
    next(rows)

    rows.close()

    with pytest.raises(StopIteration):
        next(rows)


@pytest.mark.parametrize("where", ["", " WHERE phone = ''"])
def test_the_error_of_a_missing_column_names_the_existing_ones(crm: str, where: str) -> None:
    with pytest.raises(ConfigError, match=r"^The query has no column 'number'; it has phone, agreed\.$"):
        list(read_rows(crm, f"SELECT phone, agreed FROM people{where}"))


@pytest.mark.parametrize("sql", ["", "CREATE TABLE more (number text)"])
def test_a_statement_that_returns_no_rows_is_an_error(connect: Any, sqlite_url: str, sql: str) -> None:
    connect("crm", conn_type="sqlite", **place(make_url(sqlite_url)))

    with pytest.raises(ConfigError, match="it has none"):
        list(read_rows("crm", sql))


def test_an_empty_result_is_accepted(crm: str) -> None:
    assert list(read_rows(crm, "SELECT phone AS number FROM people WHERE phone = ''")) == []


def test_a_database_error_quotes_no_values(crm: str) -> None:
    with pytest.raises(ConfigError) as raised:
        list(read_rows(crm, "SELECT phone AS number FROM nowhere WHERE phone = '+12125550000'"))

    assert str(raised.value).startswith("Connection 'crm' has no table or view 'nowhere'.")
    assert "+12125550000" not in str(raised.value)
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


def test_an_unreachable_database_is_a_retryable_error(connect: Any) -> None:
    connect("crm", conn_type="postgres", host="127.0.0.1", port=1, login="Quillimar", password="example-password")

    with pytest.raises(LandingError, match=r"^Connection 'crm' cannot reach 127\.0\.0\.1:1: the connection was"):
        list(read_rows("crm", "SELECT 1 AS number"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conn_type": "http", "host": "https://example.com"}, "has no SQL hook"),
        ({"conn_type": "no_such_database", "host": "db.example"}, "The provider of connection .* is not installed"),
    ],
)
def test_a_connection_without_a_sql_hook_is_refused(connect: Any, fields: dict[str, str], message: str) -> None:
    connect("crm", **fields)

    with pytest.raises(ConfigError, match=message):
        list(read_rows("crm", "SELECT 1 AS number"))


def test_an_undefined_connection_is_named() -> None:
    with pytest.raises(ConfigError, match="'nobody' is not defined"):
        list(read_rows("nobody", "SELECT 1 AS number"))


def test_the_error_does_not_show_an_unnamed_columns_value(crm: str) -> None:
    with pytest.raises(ConfigError, match=r"it has phone, an unnamed column\.$"):
        list(read_rows(crm, "SELECT phone, '+12125550000' FROM people"))
