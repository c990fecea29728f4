"""The ledger's intervals that were synced late, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.coverage import SyncedWindow, gap_before, is_lossy, lateness_s

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def at(hours):
    return MONDAY + hours * HOUR


def pulled(start, end, late):
    """A window in hours of Monday, synced a number of hours after its end."""
    return SyncedWindow(at(start), at(end), at(end + late))


def test_the_sync_lag_is_the_seconds_since_the_windows_end():
    window = Window(at(0), at(24))
    assert lateness_s(window, at(25)) == 3600.0
    assert lateness_s(window, at(23.5)) == -1800.0


@pytest.mark.parametrize(
    ("windows", "lossy"),
    [
        pytest.param([], True, id="never synced"),
        pytest.param([pulled(0, 24, 0.1)], False, id="synced in time"),
        pytest.param([pulled(0, 24, 1)], False, id="synced at the limit"),
        pytest.param([pulled(0, 24, 1.01)], True, id="synced late"),
        pytest.param([pulled(0, 24, 100), pulled(0, 24, 0.1)], False, id="synced in time and again later"),
        pytest.param([pulled(0, 12, 0.1), pulled(12, 24, 0.1)], False, id="synced in halves"),
        pytest.param([pulled(12, 24, 0.1), pulled(0, 12, 2)], True, id="one half late"),
        pytest.param([pulled(0, 12, 0.1), pulled(13, 24, 0.1)], True, id="with a gap"),
        pytest.param([pulled(0, 12, 0.1), pulled(6, 24, 0.1)], False, id="overlapping"),
        pytest.param([pulled(-9, 48, 0.1)], False, id="within a longer window"),
        pytest.param([pulled(-9, 20, 0.1)], True, id="covers only the beginning"),
        pytest.param([pulled(4, 24, 0.1)], True, id="covers only the end"),
        pytest.param([pulled(0, 24, -4)], True, id="synced before its end"),
        pytest.param([pulled(0, 24, -4), pulled(20, 24, 0.1)], False, id="synced before its end and the rest later"),
    ],
)
def test_a_window_is_lossy_if_an_interval_was_never_synced_in_time(windows, lossy):
    assert is_lossy(Window(at(0), at(24)), windows, HOUR) is lossy


@pytest.mark.parametrize(
    ("reached", "gap"),
    [(None, None), (at(5), (at(5), at(24))), (at(24), None), (at(30), None)],
)
def test_a_gap_is_the_time_between_earlier_windows_and_this_one(reached, gap):
    assert gap_before(Window(at(24), at(48)), reached) == gap


@pytest.fixture
def pull(landing):
    """Sync a window, in days from Monday, a number of minutes after its end."""
    runs = iter(range(100))

    def one(start, end, minutes=5, state="complete", **changes):
        window = Window(MONDAY + start * DAY, MONDAY + end * DAY)
        extraction = landing.begin(window=window, run=f"run {next(runs)}", **changes)
        landing.land(extraction, extracted_at=window.end + minutes * MINUTE)
        finished = extraction.finish(state)
        return finished.lossy, finished.gap_before

    return one


def test_days_synced_in_time_and_in_order_lose_nothing(pull):
    assert [pull(0, 1), pull(1, 2), pull(2, 3)] == [(False, None)] * 3


def test_a_day_synced_late_is_lossy_and_stays_lossy(pull):
    assert pull(0, 1, minutes=61) == (True, None)
    assert pull(0, 1, minutes=1000) == (True, None)


def test_a_day_synced_in_time_stays_complete_when_it_is_synced_again(pull):
    assert pull(0, 1) == (False, None)
    assert pull(0, 1, minutes=10_000) == (False, None)


def test_days_that_were_not_synced_are_a_gap_before_the_next(pull):
    pull(0, 1)
    assert pull(3, 4) == (False, (MONDAY + DAY, MONDAY + 3 * DAY))
    assert pull(2, 3) == (False, (MONDAY + DAY, MONDAY + 2 * DAY))
    assert pull(3, 4) == (False, None)


def test_nothing_is_missing_before_an_accounts_first_window(pull):
    pull(5, 6)
    assert pull(3, 4) == (False, None)


def test_an_earlier_longer_window_leaves_no_gap(pull):
    pull(0, 7)
    pull(1, 2)
    assert pull(3, 4) == (False, None)


def test_a_window_synced_before_its_end_leaves_a_gap(pull):
    pull(0, 2, minutes=-60)
    assert pull(2, 3) == (False, (MONDAY + 2 * DAY - HOUR, MONDAY + 2 * DAY))


@pytest.mark.parametrize("state", ["incomplete", "refused"])
def test_an_incomplete_extraction_covers_nothing(pull, state):
    assert pull(0, 1, state=state) == (True, None)
    assert pull(0, 1, minutes=90) == (True, None)
    pull(1, 2, state=state)
    assert pull(2, 3) == (False, (MONDAY + DAY, MONDAY + 2 * DAY))


def test_another_account_covers_nothing(pull):
    pull(0, 1, account="other")
    assert pull(0, 1, minutes=90) == (True, None)
    pull(1, 2, account="other")
    assert pull(2, 3) == (False, (MONDAY + DAY, MONDAY + 2 * DAY))


def test_an_abandoned_attempt_covers_nothing(landing, pull):
    landing.land(landing.begin(), extracted_at=MONDAY + DAY + MINUTE)
    assert pull(0, 1, minutes=90) == (True, None)
