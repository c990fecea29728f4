"""The status of a store: its queries, and whether the store is fresh."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.pipelines import store_status
from airflow_provider_wacontacts.pipelines.store_status import StoreStatus, check_freshness, read_ages, read_status
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.migrations import LATEST
from airflow_provider_wacontacts.store.status import AccountStatus, Newest, Selection

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ALL = Selection()


def pulled(store, start, end, account="main"):
    """Pull a window, in days from Monday."""
    window = Window(MONDAY + start * DAY, MONDAY + end * DAY)
    task = TaskInstanceKey("dag", f"run {start}", "task")
    begun = store.begin(
        source="turn", account=account, window=window, task=task, options_digest="", package_version="1"
    )
    begun.write([], position=None, pages=1, size=1, extracted_at=window.end)
    begun.finish()


@pytest.fixture
def store(store_engine):
    return Store(store_engine, now=lambda: MONDAY + 3 * DAY)


def names_in(engine):
    with engine.connect() as connection:
        return engine.dialect.get_table_names(connection)


def test_a_status_is_json(store):
    store.prepare()
    pulled(store, 0, 1)
    pulled(store, 1.5, 2)
    told = read_status(store, ALL, limits={"+41": 5}).as_dict()

    assert json.loads(json.dumps(told)) == told
    (feed,), (sender,) = told.pop("feeds"), told.pop("senders")
    assert told == {
        "as_of": "2024-01-04T00:00:00.000000Z",
        "schema_version": LATEST,
        "writes_version": LATEST,
        "problem": None,
        "field_changes": [],
    }
    assert (feed["age_s"], feed["gaps"], feed["newest"]["window_end"]) == (
        86_400.0,
        [{"start": "2024-01-02T00:00:00.000000Z", "end": "2024-01-02T12:00:00.000000Z"}],
        "2024-01-03T00:00:00.000000Z",
    )
    assert (sender["sender"], sender["limit"], sender["left"]) == ("+41", 5, 5)


def test_ages_are_available_without_the_rest(store):
    store.prepare()
    pulled(store, 0, 1)
    status = read_ages(store, ALL)

    assert [(status.age_of(feed), feed.covered_from) for feed in status.feeds] == [(2 * DAY, None)]


def test_senders_are_not_read_if_only_contacts_are_requested(store):
    store.prepare()

    assert read_status(store, Selection(frozenset({"turn"})), limits={"+41": 5}).senders == ()


@pytest.mark.parametrize("look", [read_ages, read_status])
def test_missing_tables_are_a_problem_and_are_not_created(store, store_engine, look):
    store_engine.connect().close()
    status = look(store, ALL)

    assert (status.schema_version, "`wacontacts store upgrade`" in status.problem, names_in(store_engine)) == (
        0,
        True,
        [],
    )


@pytest.mark.parametrize(
    ("version", "latest", "said"), [(1, 2, "`wacontacts store upgrade`"), (2, 1, "Install the newer")]
)
def test_tables_of_another_version_are_a_problem_with_a_remedy(
    store, store_engine, monkeypatch, *, version, latest, said
):
    monkeypatch.setattr(store_status, "LATEST", latest)
    store.prepare()
    with store_engine.begin() as connection:
        connection.execute(text("DELETE FROM wacontacts_schema_version"))
        row = f"({version}, '99', '2024-01-01T00:00:00.000000Z')"
        connection.execute(text(f"INSERT INTO wacontacts_schema_version VALUES {row}"))
    status = read_status(store, ALL)

    assert (status.schema_version, status.writes_version) == (version, latest)
    assert f"have version {version}, and this package writes version {latest}" in status.problem
    assert said in status.problem


def test_a_missing_sqlite_file_is_an_error_and_is_not_created(tmp_path):
    for address in (f"sqlite:///{tmp_path}/a b.db", f"sqlite:///file:{tmp_path}/a%20b.db?uri=true"):
        with pytest.raises(ConfigError, match="SQLite file does not exist"):
            read_status(Store(create_engine(address)), ALL)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///file:a?mode=memory&cache=shared&uri=true"])
def test_a_database_in_memory_is_accepted(address):
    assert read_status(Store(create_engine(address)), ALL).schema_version == 0


def test_a_read_only_sqlite_file_has_a_status(tmp_path):
    Store(create_engine(f"sqlite:///{tmp_path}/store.db")).prepare()
    reader = Store(create_engine(f"sqlite:///file:{tmp_path}/store.db?mode=ro&uri=true"))

    assert read_status(reader, ALL).problem is None


def test_a_status_writes_nothing_and_waits_for_no_lock(store, store_engine):
    store.prepare()
    pulled(store, 0, 1)
    with store_engine.connect() as writer, writer.begin():
        if store_engine.dialect.name == "sqlite":
            writer.exec_driver_sql("BEGIN IMMEDIATE")
        writer.exec_driver_sql("UPDATE wacontacts_extraction SET state = 'incomplete'")

        (feed,) = read_status(store, ALL, with_contacts=True).feeds
        assert feed.extractions == {"complete": 1}


@pytest.fixture
def statements():
    """What is sent to any database."""
    found = []

    def listen(*given):
        found.append(given[2])

    event.listen(Engine, "before_cursor_execute", listen)
    yield found
    event.remove(Engine, "before_cursor_execute", listen)


WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE", "CREATE")


def test_all_statements_of_a_status_are_queries(store, statements):
    store.prepare()
    pulled(store, 0, 1)
    statements.clear()
    read_status(store, ALL, with_contacts=True)

    assert {statement.split()[0] for statement in statements} - {"PRAGMA"} == {"SELECT", "WITH"}
    assert [word for word in WRITES for statement in statements if word in statement] == []
    assert [statement for statement in statements if "FOR UPDATE" in statement] == []


def feed(account, reached_at):
    newest = reached_at and Newest("", None, None, reached_at, reached_at, reached_at, None, 0, 0, 0, None, None, None)
    return AccountStatus("turn", account, newest)


def of(*feeds):
    return StoreStatus(MONDAY, 5, 5, None, feeds)


def test_an_age_of_exactly_max_age_is_fresh():
    verdict = check_freshness(of(feed("a", MONDAY - DAY), feed("b", MONDAY)), DAY, ALL)

    assert (verdict.is_fresh, verdict.stale, verdict.oldest) == (True, [], DAY)


def test_stale_accounts_are_named_with_their_age():
    older = DAY + timedelta(microseconds=1)
    verdict = check_freshness(of(feed("a", MONDAY - older), feed("b", MONDAY)), DAY, ALL)

    assert (verdict.is_fresh, verdict.stale) == (False, [("turn a", older)])


def test_an_account_counts_from_its_first_complete_sync_or_if_it_is_named():
    status = of(feed("a", None), feed("b", MONDAY))
    named = check_freshness(status, DAY, Selection(accounts=frozenset({"a"})))

    assert check_freshness(status, DAY, ALL).is_fresh
    assert (named.is_fresh, named.stale) == (False, [("turn a", None)])


def test_a_store_without_accounts_is_not_fresh():
    assert check_freshness(of(), DAY, ALL).is_fresh is False


def test_an_unknown_account_or_source_is_not_fresh():
    asked = Selection(frozenset({"turn", "green_api", "whatsapp_business"}), frozenset({"a", "typo"}))
    verdict = check_freshness(of(feed("a", MONDAY)), DAY, asked)

    assert (verdict.is_fresh, verdict.stale) == (False, [("green_api", None), ("typo", None)])
