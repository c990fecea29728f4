"""Successive attempts: which resume, and which may no longer commit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import TaskInstanceKey

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def states(landing):
    return landing.rows("SELECT extraction_id, state FROM wacontacts_extraction ORDER BY extraction_number")


def test_a_first_attempt_starts_at_the_windows_start(landing):
    extraction = landing.begin()
    assert (extraction.resume_from, extraction.resumes) == (None, 0)


def test_a_retry_resumes_from_the_last_committed_position(landing):
    first = landing.begin()
    landing.land(first, landing.record("a"), position=MONDAY + HOUR)
    landing.land(first, landing.record("b"), position=MONDAY + 2 * HOUR)
    second = landing.begin()
    third = landing.begin()

    assert (second.resume_from, second.resumes) == (MONDAY + 2 * HOUR, 1)
    assert (third.resume_from, third.resumes) == (MONDAY + 2 * HOUR, 2)
    assert states(landing) == [
        (first.extraction_id, "abandoned"),
        (second.extraction_id, "abandoned"),
        (third.extraction_id, "running"),
    ]


def test_a_retry_restarts_if_rows_did_not_ascend(landing):
    first = landing.begin()
    landing.land(first, landing.record("a"), position=MONDAY + HOUR)
    landing.land(first, landing.record("b"), position=None)
    second = landing.begin()
    assert (second.resume_from, second.resumes) == (None, 1)


def test_an_attempt_that_was_taken_over_commits_nothing(landing):
    zombie = landing.begin()
    landing.land(zombie, landing.record("a"), position=MONDAY + HOUR)
    retry = landing.begin()
    before = landing.dump()

    with pytest.raises(LandingError, match="Another attempt has taken over"):
        landing.land(zombie, landing.record("b"), rejects=[Reject("no uuid", b"{}")], position=MONDAY + 9 * HOUR)
    with pytest.raises(LandingError, match="Another attempt has taken over"):
        zombie.finish()

    assert landing.dump() == before
    assert states(landing) == [(zombie.extraction_id, "abandoned"), (retry.extraction_id, "running")]
    assert landing.rows("SELECT count(*) FROM wacontacts_reject") == [(0,)]
    assert retry.finish().rows == 0


@pytest.mark.parametrize("state", ["complete", "incomplete", "refused"])
def test_a_finished_attempt_is_never_resumed(landing, state):
    first = landing.begin()
    landing.land(first, landing.record("a"), position=MONDAY + HOUR)
    first.finish(state)
    again = landing.begin()

    assert (again.resume_from, again.resumes) == (None, 0)
    assert states(landing) == [(first.extraction_id, state), (again.extraction_id, "running")]


def test_a_finished_attempt_commits_nothing_more(landing):
    extraction = landing.begin()
    extraction.finish()
    with pytest.raises(LandingError, match="has ended"):
        landing.land(extraction, landing.record())
    with pytest.raises(LandingError, match="has ended"):
        extraction.finish()


@pytest.mark.parametrize(
    "changes",
    [
        {"task": TaskInstanceKey("other", "run", "task")},
        {"task": TaskInstanceKey("dag", "other", "task")},
        {"task": TaskInstanceKey("dag", "run", "other")},
        {"task": TaskInstanceKey("dag", "run", "task", 1)},
        {"options_digest": "other"},
        {"account": "other"},
        {"source": "green_api"},
        {"window": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_tasks_do_not_take_over_an_attempt(landing, changes):
    first = landing.begin()
    landing.land(first, landing.record("a"), position=MONDAY + HOUR)
    other = landing.begin(**changes)
    assert (other.resume_from, other.resumes) == (None, 0)
    landing.land(first, landing.record("b"), position=MONDAY + HOUR)
    assert first.finish().rows == 2


def test_another_window_is_another_attempt(landing):
    first = landing.begin()
    landing.land(first, landing.record("a"), position=MONDAY + HOUR)
    other = landing.begin(window=Window(MONDAY, MONDAY + 2 * DAY))
    assert (other.resume_from, other.resumes) == (None, 0)
    assert first.finish().state == "complete"


def test_a_resumed_attempt_has_its_own_seen_times(landing):
    first = landing.begin()
    landing.land(first, landing.record("a"), extracted_at=MONDAY + DAY)
    second = landing.begin()
    landing.land(second, landing.record("a"), landing.record("b"), extracted_at=MONDAY + 2 * DAY)

    found = landing.dump()["current"]

    assert [(row["contact_id"], row["first_seen_at"], row["last_seen_at"]) for row in found] == [
        ("a", MONDAY + DAY, MONDAY + 2 * DAY),
        ("b", MONDAY + 2 * DAY, MONDAY + 2 * DAY),
    ]
    assert second.finish().extracted_at == MONDAY + 2 * DAY
