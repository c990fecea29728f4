"""The calendar of an account: each cell shows the worst state of its intervals."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.calendar import cells_of, read_calendars
from tests.store.conftest import DAY, MONDAY, Book, Landing

HOUR = timedelta(hours=1)
NOW = MONDAY + 30 * DAY
LATE = timedelta(hours=1)


@pytest.fixture
def landing(store_engine, dump_store):
    return Landing(store_engine, dump_store)


def sync(landing, start, end, *, lag=HOUR / 4, state="complete", contacts=1):
    """Sync an interval of days, counted from Monday."""
    window = Window(MONDAY + start * DAY, MONDAY + end * DAY)
    extraction = landing.begin(f"run of {start}", window=window)
    records = [landing.record(f"c{start}-{number}", window.start) for number in range(contacts)]
    landing.land(extraction, *records, extracted_at=window.end + lag)
    if state == "complete":
        extraction.finish()
    elif state == "failed":
        with landing.engine.begin() as connection:
            sql = "UPDATE wacontacts_extraction SET state = 'failed' WHERE state = 'running'"
            connection.execute(text(sql))


def states(landing, first, last, length=DAY, now=NOW):
    span = Window(MONDAY + first * DAY, MONDAY + last * DAY)
    with landing.store.context.read() as db:
        (calendar,) = read_calendars(db, span, now=now, late_after=LATE, by_hour=length < DAY)
    return [(cell.state, cell.new_versions) for cell in cells_of(calendar, span, length)]


def test_days_are_complete_late_missing_failed_running_or_not_due(landing):
    sync(landing, 0, 1, contacts=3)
    sync(landing, 1, 2, lag=5 * HOUR)
    sync(landing, 3, 4)
    sync(landing, 4, 5, state="failed")
    sync(landing, 5, 6)
    sync(landing, 6, 7, state="running")

    assert states(landing, -1, 8) == [
        ("none", 0),
        ("complete", 3),
        ("late", 1),
        ("gap", 0),
        ("complete", 1),
        ("failed", 0),
        ("complete", 1),
        ("running", 0),
        ("none", 0),
    ]
    assert states(landing, -1, 8, now=NOW + DAY)[7] == ("failed", 0), "an attempt that is silent is lost"


def test_a_gap_that_extends_beyond_the_span_is_shown_within_it(landing):
    sync(landing, 0, 1)
    sync(landing, 5, 6)

    assert states(landing, 2, 4) == [("gap", 0), ("gap", 0)]


def test_a_complete_retry_completes_a_day(landing):
    sync(landing, 0, 1)
    sync(landing, 1, 2, state="failed")
    sync(landing, 1, 2)

    assert [state for state, _ in states(landing, 0, 2)] == ["complete", "complete"]


def test_an_hour_has_the_state_of_its_window(landing):
    sync(landing, 0, 1)
    sync(landing, 1.5, 2)

    assert [state for state, _ in states(landing, 1, 2, HOUR)] == ["gap"] * 12 + ["complete"] * 12


def test_a_long_window_covers_gaps_between_short_ones(landing):
    """In any order of their starts, an interval ends with its longest window."""
    for start, end in ((0, 4), (0.5, 1), (2, 2.5), (4, 4.5), (5, 6)):
        sync(landing, start, end)

    assert [state for state, _ in states(landing, 0, 6)] == [*["complete"] * 4, "gap", "complete"]


def test_days_are_utc_with_any_time_zone_of_the_database(postgres_url, dump_store):
    engine = create_engine(f"{postgres_url}?options=-ctimezone%3DPacific/Auckland")
    landing = Landing(engine, dump_store)
    sync(landing, 0, 1, contacts=3)

    assert states(landing, -1, 2) == [("none", 0), ("complete", 3), ("none", 0)]
    engine.dispose()


def test_between_snapshots_nothing_is_missing(landing):
    book = Book(landing)
    book.land(MONDAY + HOUR, "a")
    book.land(MONDAY + 3 * DAY + HOUR, "a", "b")

    assert states(landing, 0, 5) == [("complete", 1), ("none", 0), ("none", 0), ("complete", 1), ("none", 0)]


@given(st.lists(st.tuples(st.integers(0, 23), st.integers(1, 6)), min_size=1, max_size=12))
def test_covered_and_missing_hours_add_up(windows):
    """An hour is complete if a window covers it, and a gap if it is between two windows."""
    from airflow_provider_wacontacts.store.calendar import AccountCalendar
    from airflow_provider_wacontacts.store.coverage import gaps_between, merge_interval

    merged = []
    for start, length in sorted(windows):
        merge_interval(merged, MONDAY + start * HOUR, MONDAY + (start + length) * HOUR)
    covered = [Window(*interval) for interval in merged]
    calendar = AccountCalendar(1, "turn", "main", None, {"complete": covered, "gap": gaps_between(covered)})
    cells = cells_of(calendar, Window(MONDAY, MONDAY + 30 * HOUR), HOUR)

    hours = {hour for start, length in windows for hour in range(start, start + length)}
    expected = [
        "complete" if hour in hours else "gap" if min(hours) < hour < max(hours) else "none" for hour in range(30)
    ]
    assert [cell.state for cell in cells] == expected
