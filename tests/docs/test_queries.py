"""The pages' queries return correct rows for a week of known data, in both databases."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.records.windows import format_time, parse_time
from demo.week import Day, shown, to_millis
from tests.docs.pages import is_for, of, query_under
from tests.docs.week import CHECKED, FRIDAY, SENDER, THURSDAY, PhoneDay, fill, late_after

QUERIES = [block for block in of("sql") if not {"GRANT", "CREATE", "Iceberg:"} & set(block.code.split())]
NO_CHECK = "0" * 32


class Answers:
    """
    A store of the week, and what queries answer about it.

    :ivar world: what happened at Turn.io.
    """

    def __init__(self, engine, fields):
        self._engine = engine
        self.world = fill(engine, fields)
        self.dialect = engine.dialect.name

    def ask(self, code):
        """Return the rows of the last of some statements, as mappings."""
        statements = [one.strip().rstrip(";") for one in code.split(";\n") if one.strip()]
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statements[-1])).mappings()]

    def pseudonymized(self, page, heading):
        return self.ask(query_under(page, heading))

    def pulled(self):
        """Return what the daily pulls saw, as contact and milliseconds."""
        days = [day for day in Day.week() if day.number != THURSDAY]
        seen = [shown(self.world, day.start, day.end, now=day.end + late_after(day)) for day in days]
        again = shown(self.world, Day(0).start, Day(0).end, now=Day(6).end + timedelta(days=1))
        unreadable = {event.uuid for event in self.world if event.extra}
        return {state for state in set().union(*seen, again) if state[0] not in unreadable}


@pytest.fixture(scope="module")
def in_sqlite(tmp_path_factory):
    """URL and connection of an empty file."""
    path = tmp_path_factory.mktemp("week") / "store.db"
    return f"sqlite:///{path}", {"conn_type": "sqlite", "host": str(path)}


@pytest.fixture(scope="module")
def in_postgres(postgres, postgres_engine):
    """URL and connection of an empty database."""
    name = "documented_week"
    with postgres_engine.execution_options(isolation_level="AUTOCOMMIT").connect() as maintenance:
        maintenance.execute(text(f"CREATE DATABASE {name}"))
        url = make_url(postgres.url(database=name))
        fields = {"host": url.host, "port": url.port, "login": url.username, "schema": name}
        yield str(url), {"conn_type": "postgres", **fields}
        maintenance.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module", params=["in_sqlite", "in_postgres"])
def week(request):
    url, fields = request.getfixturevalue(request.param)
    engine = create_engine(url)
    yield Answers(engine, fields)
    engine.dispose()


def moment(value):
    """Read a time of either database."""
    return parse_time(value) if isinstance(value, str) else value.astimezone(UTC)


def newest(states, before=None):
    """Return the newest of the states of each contact, before a time where one is given."""
    latest = to_millis(before) if before else max(millis for _, millis in states)
    return dict(sorted((state for state in states if state[1] <= latest), key=lambda state: state[1]))


def test_every_query_returns_rows(week):
    (check,) = week.ask("SELECT check_id FROM wacontacts_check")
    fitting = [block for block in QUERIES if is_for(block, week.dialect)]

    found = {
        f"{block}: {statement}": week.ask(statement)
        for block in fitting
        for statement in block.code.replace(NO_CHECK, str(check["check_id"])).split(";\n")
        if statement.strip()
    }
    assert len(found) >= len(fitting) > 20
    assert [query for query, rows in found.items() if not rows] == []


def test_current_contacts_are_the_latest_versions(week):
    rows = week.pseudonymized("queries.md", "Current contacts")

    assert {row["contact_id"]: to_millis(moment(row["updated_at"])) for row in rows} == newest(week.pulled())
    names = {(event.uuid, to_millis(event.at)): event.details["name"] for event in week.world}
    told = {(row["contact_id"], to_millis(moment(row["updated_at"]))): row["name"] for row in rows}
    assert told == {state: names[state] for state in told}


def test_as_of_a_date_returns_the_contacts_known_by_then(week):
    rows = week.pseudonymized("queries.md", "As of a date")

    tuesday = newest(week.pulled(), datetime(2022, 9, 13, tzinfo=UTC))
    assert sorted(row["contact_id"] for row in rows) == sorted(tuesday)


def test_what_changed_yesterday_has_all_changes_with_previous_versions(week):
    rows = week.pseudonymized("queries.md", "What changed yesterday")

    day, known = Day(1), newest(week.pulled(), Day(1).start)
    changed = {state for state in week.pulled() if to_millis(day.start) <= state[1] < to_millis(day.end)}
    assert {(row["contact_id"], to_millis(moment(row["updated_at"]))) for row in rows} == changed
    assert {row["contact_id"] for row in rows if row["was"] is not None} == {who for who, _ in changed} & set(known)
    for row in rows:
        state = row["became"] if isinstance(row["became"], dict) else json.loads(row["became"])
        (event,) = (
            event
            for event in week.world
            if (event.uuid, to_millis(event.at)) == (row["contact_id"], to_millis(moment(row["updated_at"])))
        )
        assert state == {name: value for name, value in event.details.items() if value is not None}


def test_lossy_windows_are_those_synced_late(week):
    rows = week.pseudonymized("queries.md", "Lossy windows")

    assert [(moment(row["window_start"]), row["lateness_s"]) for row in rows] == [(Day(FRIDAY).start, 7200.0)]


def test_gaps_are_the_windows_that_were_not_synced(week):
    rows = week.pseudonymized("queries.md", "Gaps")

    thursday = Day(THURSDAY)
    assert [tuple(map(moment, row.values())) for row in rows] == [(thursday.start, thursday.end)]


def test_a_repeated_sync_with_new_versions_is_found(week):
    rows = week.pseudonymized("history.md", "Contacts that are skipped during paging")

    assert [(moment(row["window_start"]), row["new_versions"]) for row in rows] == [(Day(0).start, 1)]


def test_snapshots_that_were_not_accepted_have_a_reason(week):
    rows = week.pseudonymized("queries.md", "Snapshots that were not accepted")

    assert [(moment(row["extracted_at"]), row["state"], row["reason"]) for row in rows] == [
        (PhoneDay.at(2), "incomplete", "shrunken")
    ]


def test_deleted_and_returned_contacts_are_listed_in_order(week):
    rows = week.pseudonymized("queries.md", "Deleted and returned contacts")

    assert [(row["contact_id"], row["state"], moment(row["updated_at"])) for row in rows] == [
        (PhoneDay.REMOVED, "present", PhoneDay.at(0)),
        (PhoneDay.REMOVED, "gone", PhoneDay.at(3)),
        (PhoneDay.BACK, "present", PhoneDay.at(0)),
        (PhoneDay.BACK, "gone", PhoneDay.at(1)),
        (PhoneDay.BACK, "present", PhoneDay.at(3)),
    ]


def test_gone_contacts_are_missing_from_the_last_complete_snapshot(week):
    rows = week.pseudonymized("green_api.md", "Deleted contacts")

    assert [(row["contact_id"], row["name"], moment(row["gone_at"])) for row in rows] == [
        (PhoneDay.REMOVED, "Contact 101", PhoneDay.at(3))
    ]


def test_contacts_not_to_message_are_invalid_or_have_a_pending_identity(week):
    rows = week.pseudonymized("queries.md", "Contacts that you must not message")

    assert [(row["wa_id"], row["status"], bool(row["identity_pending"])) for row in rows] == [
        ("447700900100", "invalid", False),
        ("447700900102", "valid", True),
        ("447700900103", None, True),
    ]


def test_numbers_to_message_are_the_valid_ones(week):
    rows = week.pseudonymized("queries.md", "Numbers that you can message")

    valid = sorted(wa_id for wa_id, status in CHECKED.items() if status == "valid")
    assert sorted((row["wa_id"], row["number"]) for row in rows) == [(wa_id, f"+{wa_id}") for wa_id in valid]


def test_results_of_a_check_are_counted_by_status(week):
    rows = week.pseudonymized("queries.md", "What a check found")

    assert {row["status"]: row["inputs"] for row in rows} == Counter([*CHECKED.values(), "rejected"])


def test_the_spent_budget_is_the_number_of_requested_numbers(week):
    rows = week.pseudonymized("queries.md", "Budget spent per day")

    assert [(row["sender"], row["spent"]) for row in rows] == [(SENDER, len(CHECKED))]


def test_rejected_rows_have_their_window(week):
    rows = week.pseudonymized("queries.md", "Rejected rows")

    assert [(format_time(moment(row["window_start"])), row["rows"]) for row in rows] == [(format_time(Day(0).start), 1)]


def test_one_person_has_data_from_all_feeds(week):
    (row,) = week.pseudonymized("queries.md", "One person over all sources")

    assert (row["name"], row["status"], row["green_api_contact_name"]) == ("bob", "valid", None)


def test_contacts_are_counted_by_account(week):
    rows = week.pseudonymized("several_numbers.md", "Two numbers in one store")

    assert [(row["source"], row["account"], row["contacts"]) for row in rows] == [
        ("green_api", "green_api_default", len(PhoneDay.PEOPLE) - 1),
        ("turn", "turn_default", len(newest(week.pulled()))),
    ]


def test_a_contact_of_several_accounts_is_listed_once(week):
    (_, code) = [block.code for block in of("sql") if block.page == "several_numbers.md"]
    rows = week.ask(code)

    pulled = newest(week.pulled())
    of_turn = {f"{event.details.get('whatsapp_id')}@c.us" for event in week.world if event.uuid in pulled}
    both = sorted(set(PhoneDay.PEOPLE) & of_turn)
    assert [(f"{row['wa_id']}@c.us", row["accounts"]) for row in rows] == [
        (person, 2) for person in both if person != PhoneDay.REMOVED
    ]


def test_numbers_of_a_sender_are_counted_by_status(week):
    (_, code) = [block.code for block in of("sql") if block.page == "budgets.md"]

    assert [(row["sender"], row["status"], row["numbers"]) for row in week.ask(code)] == [
        (SENDER, status, count) for status, count in sorted(Counter(CHECKED.values()).items())
    ]
