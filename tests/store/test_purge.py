"""Retention: old rows are purged, current and needed rows stay, and purged rows do not return."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from airflow_provider_wacontacts.cli import main
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.pipelines.store_status import read_status
from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.records.retention import DEFAULT_KINDS
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey, purge
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.purge import PurgedRows
from airflow_provider_wacontacts.store.status import Selection

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ACCOUNTS = count()
LEDGER = "SELECT state, run_id FROM wacontacts_extraction ORDER BY extraction_number"


class Clock:
    """The database's clock, which tests set."""

    def __init__(self):
        self.now = MONDAY + DAY

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def landing(landing_on, store_engine, clock):
    return landing_on(Store(store_engine, now=clock), store_engine)


def run_purge(landing, days, *kinds, dry_run=False):
    return purge.purge(landing.store.context, timedelta(days=days), kinds or DEFAULT_KINDS, dry_run=dry_run)


def land(landing, *versions, **given):
    """Load versions of contacts, each with a name and a day after Monday."""
    extraction = landing.begin(**given)
    landing.land(extraction, *(landing.record(name, MONDAY + day * DAY, day=day) for name, day in versions))
    return extraction.finish()


def days_of(landing, table="version", account="main"):
    found = sorted((row["contact_id"], (row["updated_at"] - MONDAY).days) for row in landing.dump(account)[table])
    return " ".join(f"{name}{day}" for name, day in found)


def test_old_superseded_versions_are_purged_and_followers_see_them_as_erased(landing, clock):
    land(landing, ("a", 0), ("a", 1), ("a", 5), ("b", 0), ("c", 0), ("c", 9))
    clock.now = MONDAY + 10 * DAY

    assert run_purge(landing, 6, "versions", dry_run=True).versions == 1
    assert days_of(landing) == "a0 a1 a5 b0 c0 c9"
    # a1 was valid until day 5, and c0 until day 9.
    assert run_purge(landing, 6, "versions") == PurgedRows(versions=1)
    assert days_of(landing) == "a1 a5 b0 c0 c9"
    assert run_purge(landing, 5, "versions") == PurgedRows(versions=1)
    assert days_of(landing) == "a5 b0 c0 c9"
    assert days_of(landing, "current") == "a5 b0 c9"
    erased = "SELECT count(*) FROM wacontacts_change WHERE change_kind = 'erased' AND contact_id IS NULL"
    assert landing.rows(erased) == [(2,)]
    orphans = "SELECT count(*) FROM wacontacts_contact_payload WHERE version_id NOT IN ({})"
    assert landing.rows(orphans.format("SELECT version_id FROM wacontacts_contact_version")) == [(0,)]


def test_a_purged_version_does_not_return_but_other_late_ones_do(landing, clock):
    land(landing, ("a", 0), ("a", 1), ("a", 5))
    clock.now = MONDAY + 10 * DAY
    run_purge(landing, 5, "versions")

    replay = landing.begin("replay")
    new = landing.land(replay, *(landing.record("a", MONDAY + day * DAY, day=day) for day in (0, 1, 3, 5, 6)))
    landing.land(replay, landing.record("d", MONDAY, day=0), landing.record("d", MONDAY + DAY, day=1))
    result = replay.finish()

    assert days_of(landing) == "a5 a6 d1"
    assert (new, result.rows, result.new_versions, days_of(landing, "current")) == (1, 7, 2, "a6 d1")
    late = "SELECT change_kind, count(*) FROM wacontacts_change GROUP BY change_kind ORDER BY change_kind"
    assert dict(landing.rows(late))["late"] == 2  # versions of the first extraction


@settings(max_examples=15)
@given(
    batches=st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=1, max_size=5), max_size=4),
    keep=st.integers(1, 9),
    data=st.data(),
)
def test_any_order_of_loads_and_purges_leaves_the_same_versions(sqlite_landing, batches, keep, data):
    landing = sqlite_landing
    landing.store.context.clock = lambda: MONDAY + 10 * DAY
    left = []
    for order in (batches, data.draw(st.permutations(batches))):
        account = f"account {next(ACCOUNTS)}"
        for batch in order:
            land(landing, *batch, account=account)
            if data.draw(st.booleans()):
                run_purge(landing, keep, "versions")
        run_purge(landing, keep, "versions")
        left.append((days_of(landing, "version", account), days_of(landing, "current", account)))
    assert left[0] == left[1]


def test_attempts_and_rejects_are_purged_unless_they_are_still_needed(landing, clock):
    landing.begin("failed").fail("ServerError")
    for hour in range(4):
        window = Window(MONDAY + hour * HOUR, MONDAY + (hour + 1) * HOUR)
        extraction = landing.begin(f"window {hour}", window=window)
        records = [landing.record("a")] if hour == 1 else []
        landing.land(extraction, *records, rejects=[Reject("no ID", b"{}")], extracted_at=window.end)
        extraction.finish()
    file = landing.begin("file", window=None, uri="file:///contacts/1")
    file.finish()
    landing.begin("lost")
    clock.now += 30 * DAY
    landing.begin("new", account="other")

    counted = run_purge(landing, 20, "rejects", "extractions", dry_run=True)
    assert counted == PurgedRows(rejects=4, extractions=2)
    assert run_purge(landing, 20, "rejects", "extractions") == PurgedRows(rejects=4, extractions=4)
    # The first ends the baseline, "window 1" has a stored version, "file" is the newest and is not loaded again.
    assert [run for _, run in landing.rows(LEDGER)] == ["window 0", "window 1", "file", "new"]
    assert landing.store.is_loaded("turn", "main", "file:///contacts/1")


def test_windows_whose_extractions_were_purged_count_as_synced(landing, clock):
    for hour in (0, 1, 2, 4, 5):
        window = Window(MONDAY + hour * HOUR, MONDAY + (hour + 1) * HOUR)
        clock.now = window.end
        extraction = landing.begin(f"window {hour}", window=window)
        landing.land(extraction, extracted_at=window.end)
        extraction.finish()
    clock.now = MONDAY + 3 * DAY
    landing.begin("failed").fail("ServerError")

    def gaps():
        (feed,) = read_status(landing.store, Selection()).feeds
        return [*feed.gaps, *feed.lossy]

    assert len(gaps()) == 1
    run_purge(landing, 1)
    assert [run for _, run in landing.rows(LEDGER)] == ["window 0", "window 5", "failed"]
    assert gaps() == []
    replay = landing.begin("replay", window=Window(MONDAY + HOUR, MONDAY + 2 * HOUR))
    landing.land(replay, extracted_at=clock.now)
    result = replay.finish()
    assert (result.lossy, result.gap_before) == (False, None)


def test_snapshots_that_the_next_one_is_compared_with_stay(landing, clock, book_of):
    book = book_of(landing)
    for day in range(3):
        clock.now = MONDAY + day * DAY
        book.land(clock.now, *book.people(10))
    clock.now = MONDAY + 3 * DAY
    book.land(clock.now, *book.people(2))
    clock.now = MONDAY + 30 * DAY
    assert run_purge(landing, 5) == PurgedRows(extractions=1)

    assert book.land(clock.now, *book.people(2)).reason == "shrunken"
    assert book.land(clock.now + HOUR, *book.people(2)).state == "complete"


def test_inactive_checks_are_purged_with_their_results(landing, clock):
    checks = SenderChecks(landing.store.context, "+12015550100", daily_checks=100)
    for n in range(3):
        spec = CheckSpec(TaskInstanceKey("dag", f"run {n}", "check"), "options", "1.2.3", clock.now, False, None)
        check = checks.open(spec)
        check.fill([CheckInput("no number", None, reason="letters")] * 1_200)
        check.finish()
        clock.now += 10 * DAY
    assert run_purge(landing, 15, dry_run=True) == run_purge(landing, 15) == PurgedRows(checks=2, results=2_400)
    assert landing.rows("SELECT count(*) FROM wacontacts_reject") == [(1_200,)]


@pytest.mark.parametrize(
    ("age", "kinds", "message"),
    [(HOUR, ("checks",), "shorter than a day"), (DAY, ("contacts",), "checks"), (DAY, (), "checks")],
)
def test_a_purge_without_a_safe_age_or_a_known_kind_is_refused(landing, age, kinds, message):
    with pytest.raises(ConfigError, match=message):
        purge.purge(landing.store.context, age, kinds)


def test_the_command_purges(sqlite_landing, sqlite_url, monkeypatch, capsys):
    monkeypatch.setenv("STORE_URL", sqlite_url)
    for n in range(2):
        extraction = sqlite_landing.begin(f"run {n}")
        sqlite_landing.land(extraction, sqlite_landing.record("a", MONDAY + n * DAY, n=n))
        extraction.finish()
    command = ["store", "purge", "--url-env", "STORE_URL", "--max-age", "90d", "--include", "versions"]
    assert main([*command, "--dry-run"]) == 0
    assert main([*command, "--json"]) == 0
    dry, purged = capsys.readouterr().out.split("Nothing was removed (--dry-run).\n")
    assert "1 versions" in dry
    assert json.loads(purged) == PurgedRows(versions=1)._asdict() | {"dry_run": False}
    with pytest.raises(SystemExit):
        main([*command[:4]])


def test_nothing_waits_for_a_purge_and_it_skips_locked_rows(postgres_landing, monkeypatch):
    """A row that a sync has locked is kept; the others are purged."""
    monkeypatch.setattr(purge, "CHUNK", 1)
    land(postgres_landing, ("a", 0), ("a", 1), ("b", 0), ("b", 1))
    with postgres_landing.engine.begin() as sync:
        sync.execute(text("SELECT * FROM wacontacts_contact_version WHERE contact_id = 'a' FOR UPDATE"))
        assert run_purge(postgres_landing, 1, "versions").versions == 1
    assert run_purge(postgres_landing, 1, "versions").versions == 1
    assert days_of(postgres_landing) == "a1 b1"
