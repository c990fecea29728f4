"""The status of accounts, for windows and for snapshots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.status import AccountStatus, Rejected, Unfinished

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
LOOKED_AT = MONDAY + 30 * DAY


def days(start, end):
    return Window(MONDAY + start * DAY, MONDAY + end * DAY)


@pytest.fixture
def pull(landing):
    """Sync a window, in days from Monday, a number of minutes after its end, with rejects."""
    runs = iter(range(100))

    def one(start, end, minutes=5, state="complete", reasons=(), **changes):
        extraction = landing.begin(window=days(start, end), run=f"run {next(runs)}", **changes)
        rejects = [Reject(reason, b"{}") for reason in reasons]
        moment = MONDAY + end * DAY + minutes * MINUTE
        landing.land(extraction, landing.record(), extracted_at=moment, rejects=rejects)
        if state:
            extraction.finish(state)
        return extraction

    return one


def test_an_empty_store_has_no_feeds(landing, feeds_in, reach_in):
    assert (feeds_in(landing), reach_in(landing)) == ([], [])


def test_the_newest_extraction_has_the_latest_watermark(landing, pull, feeds_in, reach_in):
    pull(0, 1)
    newest = pull(3, 4)
    pull(1, 2, minutes=90_000)
    (feed,) = feeds_in(landing)

    told = feed.newest
    assert (told.extraction_id, told.window_start, told.window_end) == (
        newest.extraction_id,
        MONDAY + 3 * DAY,
        MONDAY + 4 * DAY,
    )
    assert (told.reached_at, told.extracted_at) == (MONDAY + 4 * DAY, MONDAY + 4 * DAY + 5 * MINUTE)
    assert (told.lateness_s, told.rows, told.new_versions, told.rejected) == (300.0, 1, 0, 0)
    assert [(feed.account, feed.newest) for feed in reach_in(landing)] == [("main", told)]


def test_the_watermark_of_a_window_synced_before_its_end_is_the_extraction(landing, pull, feeds_in):
    pull(0, 2, minutes=-60)
    (feed,) = feeds_in(landing)

    assert feed.newest.reached_at == MONDAY + 2 * DAY - 60 * MINUTE


def test_a_sync_before_its_windows_start_covers_nothing(landing, pull, feeds_in):
    pull(0, 1, minutes=-3_000)
    (feed,) = feeds_in(landing)

    assert (feed.covered_from, feed.gaps, feed.lossy) == (None, (), ())


def test_days_that_were_not_synced_are_gaps(landing, pull, feeds_in):
    for day in (5, 0, 2):
        pull(day, day + 1)
    (feed,) = feeds_in(landing)

    assert (feed.covered_from, list(feed.gaps)) == (MONDAY, [days(1, 2), days(3, 5)])


def test_time_before_the_first_extraction_is_the_baseline_and_not_lossy(landing, pull, feeds_in):
    pull(2, 3)
    pull(0, 1, minutes=10_000)
    pull(3, 4, minutes=61)
    (feed,) = feeds_in(landing)

    until = MONDAY + 3 * DAY + 5 * MINUTE
    assert (feed.baseline_until, list(feed.lossy)) == (until, [Window(until, MONDAY + 4 * DAY)])


def test_late_after_is_configurable(landing, pull, feeds_in):
    pull(0, 1)
    pull(1, 2, minutes=61)

    assert [len(feeds_in(landing, late_after=61 * MINUTE)[0].lossy), len(feeds_in(landing)[0].lossy)] == [0, 1]


def test_running_attempts_and_attempts_since_the_last_complete_one_are_returned(landing, pull, feeds_in):
    pull(8, 9, state=None)
    pull(0, 1, state="incomplete")
    pull(1, 2)
    pull(2, 3, state="incomplete")
    pull(3, 4, state="incomplete")
    (feed,) = feeds_in(landing)

    assert feed.unfinished == [
        Unfinished("incomplete", None, 2, LOOKED_AT, LOOKED_AT),
        Unfinished("running", None, 1, LOOKED_AT, LOOKED_AT),
    ]
    assert feed.extractions == {"complete": 1, "incomplete": 3, "running": 1}


def test_an_account_without_a_complete_sync_has_no_newest(landing, pull, feeds_in):
    pull(0, 1, state=None)

    assert feeds_in(landing) == [
        AccountStatus(
            "turn",
            "main",
            extractions={"running": 1},
            unfinished=[Unfinished("running", None, 1, LOOKED_AT, LOOKED_AT)],
            rejects=[],
        )
    ]


def test_rejects_are_counted_by_reason_most_frequent_first(landing, pull, feeds_in):
    pull(0, 1, reasons=["no id", "no time"])
    pull(1, 2, reasons=["no time"])
    (feed,) = feeds_in(landing)

    assert feed.rejects == [
        Rejected("no time", 2, MONDAY + 2 * DAY + 5 * MINUTE),
        Rejected("no id", 1, MONDAY + DAY + 5 * MINUTE),
    ]


def test_accounts_are_distinguished_by_source_and_name(landing, pull, feeds_in):
    pull(0, 1)
    pull(4, 5)
    pull(1, 2, account="other", reasons=["no id"])
    pull(2, 3, source="green_api")
    feeds = feeds_in(landing)

    assert [(feed.source, feed.account, len(feed.gaps), len(feed.rejects)) for feed in feeds] == [
        ("green_api", "main", 0, 0),
        ("turn", "main", 1, 0),
        ("turn", "other", 0, 1),
    ]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"sources": ["turn"]}, [("turn", "main"), ("turn", "other")]),
        ({"accounts": ["main"]}, [("green_api", "main"), ("turn", "main")]),
        ({"sources": ["turn"], "accounts": ["main"]}, [("turn", "main")]),
        ({"accounts": ["nobody"]}, []),
    ],
)
def test_only_the_selected_accounts_are_returned(landing, pull, feeds_in, asked, told):
    pull(0, 1)
    pull(0, 1, account="other")
    pull(0, 1, source="green_api")

    assert [(feed.source, feed.account) for feed in feeds_in(landing, **asked)] == told


def test_contacts_are_counted_on_request(landing, book, feeds_in):
    for day in range(2):
        book.land(MONDAY + day * DAY, *book.people(10)[day:])
    (feed,) = feeds_in(landing, with_contacts=True)

    assert feed.contacts == {"present": 9, "gone": 1}
    assert feeds_in(landing)[0].contacts is None


def test_an_account_without_contacts_has_none_of_either_kind(landing, pull, feeds_in):
    landing.begin(account="other").finish()
    (feed,) = feeds_in(landing, with_contacts=True)

    assert feed.contacts == {"present": 0, "gone": 0}


def test_the_last_complete_snapshot_counts(landing, book, feeds_in):
    book.land(MONDAY, *book.people(8), "12036300000000@g.us")
    book.land(MONDAY + DAY, *book.people(1))
    book.land(MONDAY + 2 * DAY)
    book.land(MONDAY + DAY + MINUTE, *book.people(8))
    (feed,) = feeds_in(landing)

    told = feed.newest
    assert (told.reached_at, told.window_end, told.groups_seen, told.others_seen, told.gone) == (MONDAY, None, 1, 8, 0)
    assert (feed.covered_from, feed.baseline_until, feed.gaps, feed.lossy) == (None, None, (), ())
    assert feed.unfinished == [
        Unfinished("incomplete", "empty", 1, LOOKED_AT, LOOKED_AT),
        Unfinished("incomplete", "shrunken", 1, LOOKED_AT, LOOKED_AT),
        Unfinished("refused", "older", 1, LOOKED_AT, LOOKED_AT),
    ]
