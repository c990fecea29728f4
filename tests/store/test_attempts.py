"""Attempts end as failed with the error's class, deferred until a time, or lost without a heartbeat."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.store import Store, attempts
from airflow_provider_wacontacts.store.forget_account import ForgottenRows, forget_account

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
STATES = "SELECT state, error FROM wacontacts_extraction ORDER BY extraction_number"


class Clock:
    """The database's clock, which tests set."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def landing(landing_on, store_engine, clock):
    return landing_on(Store(store_engine, now=clock), store_engine)


def fail(attempt, error):
    with attempts.recorded(attempt):
        raise error


def test_an_error_of_any_kind_ends_the_attempt_as_failed(landing):
    errors = (KeyboardInterrupt, ZeroDivisionError, SystemExit)
    for error in errors:
        with pytest.raises(error):
            fail(landing.begin(error.__name__), error)
    assert landing.rows(STATES) == [("failed", error.__name__) for error in errors]


def test_an_attempt_that_has_ended_is_not_failed_by_a_later_error(landing):
    extraction = landing.begin()
    extraction.finish()
    with pytest.raises(ZeroDivisionError):
        fail(extraction, ZeroDivisionError)
    assert landing.rows(STATES) == [("complete", None)]


def test_the_next_attempt_resumes_from_a_failed_one_which_stays_failed(landing):
    first = landing.begin()
    landing.land(first, landing.record("a"), position=MONDAY + HOUR)
    first.fail("ServerError")
    second = landing.begin()
    with pytest.raises(LandingError):
        landing.land(first, landing.record("b"))
    second.fail("ServerError")
    third = landing.begin()

    assert [(one.resume_from, one.resumes) for one in (second, third)] == [(MONDAY + HOUR, 1), (MONDAY + HOUR, 2)]
    assert landing.rows(STATES) == [("failed", "ServerError"), ("failed", "ServerError"), ("running", None)]


def test_a_window_that_was_completed_after_a_failed_attempt_is_synced_from_its_start(landing):
    first = landing.begin()
    landing.land(first, landing.record("a"), position=MONDAY + HOUR)
    first.fail("ServerError")
    landing.begin().finish()
    assert landing.begin().resume_from is None


def test_an_attempt_stores_heartbeats(landing, clock, monkeypatch):
    monkeypatch.setattr(attempts, "BEAT_EVERY_S", 0.01)
    extraction, beat = landing.begin(), "SELECT count(*) FROM wacontacts_extraction WHERE heartbeat_at > started_at"
    with attempts.recorded(extraction):
        clock.now += MINUTE
        for _ in range(1_000):
            if landing.rows(beat) == [(1,)]:
                break
        else:
            pytest.fail("no sign of life")


@pytest.mark.parametrize(
    ("silent_for", "deferred_for", "state"),
    [
        (15 * MINUTE, None, "running"),
        (16 * MINUTE, None, "lost"),
        (16 * MINUTE, HOUR, "running"),
        (2 * HOUR, HOUR, "lost"),
    ],
)
def test_an_attempt_without_heartbeats_is_lost_unless_it_is_deferred(
    landing, clock, feeds_of, *, silent_for, deferred_for, state
):
    extraction = landing.begin()
    if deferred_for:
        extraction.defer(deferred_for)
    clock.now += silent_for

    (feed,) = feeds_of(landing)

    assert ([one.state for one in feed.unfinished], feed.extractions) == ([state], {state: 1})


@pytest.fixture
def feeds_of():
    from airflow_provider_wacontacts.store.status import Selection, read_accounts

    def read(landing):
        context = landing.store.context
        with context.read() as db:
            return read_accounts(db, Selection(), now=context.now(), late_after=context.late_after)

    return read


def test_a_lost_attempt_of_another_task_fails_when_the_account_is_synced_next(landing, clock):
    landing.begin("lost")
    landing.begin("deferred").defer(2 * HOUR)
    clock.now += HOUR
    landing.begin("next")
    assert landing.rows(STATES) == [("failed", "Lost"), ("running", None), ("running", None)]


def test_iterations_of_a_loop_are_separate_attempts(landing):
    iterations = [TaskInstanceKey("dag", "run", "task", -1, "region", index) for index in (0, 1)]
    first = landing.begin(task=iterations[0])
    landing.land(first, landing.record("a"), position=MONDAY + HOUR)
    assert landing.begin(task=iterations[1]).resume_from is None
    assert landing.begin(task=iterations[0]).resume_from == MONDAY + HOUR


def test_the_region_of_a_task_instance_is_part_of_its_key():
    known = {"dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": None}
    plain, looped = SimpleNamespace(**known), SimpleNamespace(**known, region_id="loop", region_index=3)
    assert TaskInstanceKey.from_task_instance(plain) == ("dag", "run", "task", -1, None, None)
    assert TaskInstanceKey.from_task_instance(looped) == ("dag", "run", "task", -1, "loop", 3)


def test_forgetting_an_account_removes_only_its_rows(landing):
    for account in ("main", "other"):
        extraction = landing.begin(account=account)
        landing.land(extraction, landing.record("a", wa_id="1"), landing.record("b"))
        extraction.finish()
    before = landing.dump("other")

    counted = forget_account(landing.store.context, "turn", "main", dry_run=True)
    assert (counted, len(landing.dump("main")["current"])) == (ForgottenRows(2, 2, 1, 0), 2)
    assert forget_account(landing.store.context, "turn", "main") == counted

    assert (landing.dump("main")["version"], landing.dump("other")) == ([], before)
    assert landing.rows("SELECT DISTINCT account FROM wacontacts_extraction") == [("other",)]
    erased = "SELECT count(*) FROM wacontacts_change WHERE change_kind = 'erased' AND account IS NULL"
    assert landing.rows(erased) == [(2,)]
    landing.land(landing.begin(), landing.record("a", wa_id="1"))
    assert len(landing.dump("main")["current"]) == 1


def test_a_running_or_unknown_account_is_not_forgotten(landing, clock):
    landing.begin()
    with pytest.raises(ConfigError, match="running"):
        forget_account(landing.store.context, "turn", "main", dry_run=True)
    with pytest.raises(ConfigError, match="no turn account 'mian'"):
        forget_account(landing.store.context, "turn", "mian")
    clock.now += HOUR
    assert forget_account(landing.store.context, "turn", "main").extractions == 1


def test_other_accounts_are_loaded_while_one_is_forgotten(postgres_landing):
    postgres_landing.begin().finish()
    with postgres_landing.engine.begin() as busy:
        postgres_landing.store.context.locks.writer_lock(busy)

        assert forget_account(postgres_landing.store.context, "turn", "main").extractions == 1


def test_a_lost_attempt_that_wakes_loads_nothing_for_a_forgotten_account(landing, clock):
    zombie = landing.begin()
    clock.now += HOUR
    forget_account(landing.store.context, "turn", "main")

    with pytest.raises(LandingError):
        landing.land(zombie, landing.record("a", wa_id="1"))
    assert landing.rows("SELECT * FROM wacontacts_contact_version") == []


def test_the_command_forgets_an_account(sqlite_landing, sqlite_url, monkeypatch, capsys):
    from airflow_provider_wacontacts.cli import main

    monkeypatch.setenv("STORE_URL", sqlite_url)
    sqlite_landing.begin().finish()
    command = ["store", "forget-account", "--url-env", "STORE_URL", "--source", "turn", "--account", "main", "--json"]
    assert main([*command, "--dry-run"]) == 0
    assert main(command) == 0
    assert main(command) == 1
    printed = capsys.readouterr()
    assert [json.loads(line)["dry_run"] for line in printed.out.splitlines()] == [True, False]
    assert "no turn account 'main'" in printed.err
