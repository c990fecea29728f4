"""Synced intervals of random windows, in any order and with any lag, equal a model of hours."""

from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.intervals import read_synced
from tests.plugin.seeds import HOUR, Seeds

LATE_AFTER = HOUR
NUMBERS = count(1)
WINDOWS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8), st.sampled_from([1, 1, 5])), max_size=12)


@pytest.fixture
def seeds(store_url):
    made = Seeds(store_url)
    yield made
    made.engine.dispose()


def runs(hours):
    """Return the runs of hours as pairs of the first and the one after the last."""
    return [
        (first, next(hour for hour in range(first, 99) if hour not in hours))
        for first in sorted(hours)
        if first - 1 not in hours
    ]


def hours_of(windows):
    return {hour for start, length, _ in windows for hour in range(start, start + length)}


@settings(max_examples=40)
@given(windows=WINDOWS, first=st.integers(0, 40), length=st.integers(1, 40))
def test_intervals_equal_the_runs_of_synced_hours(seeds, windows, first, length):
    name, origin = f"account {next(NUMBERS)}", seeds.midnight - timedelta(days=9)
    account_id = seeds.account("turn", name)
    rows = [
        seeds._window(account_id, "turn", name, origin + start * HOUR, origin + (start + long) * HOUR, late * HOUR)
        for start, long, late in windows
    ]
    if rows:
        seeds.write(rows)
    span = Window(origin + first * HOUR, origin + (first + length) * HOUR)

    def read(span=None):
        with seeds.store.context.read() as db:
            found = read_synced(db, [account_id], late_after=LATE_AFTER, span=span)[account_id]
        return [
            [((one.start - origin) // HOUR, (one.end - origin) // HOUR) for one in each]
            for each in (found.all, found.in_time)
        ]

    def expected(chosen):
        return [runs(hours_of(chosen)), runs(hours_of(one for one in chosen if one[2] == 1))]

    assert read() == expected(windows)
    assert read(span) == expected([one for one in windows if one[0] + one[1] > first and one[0] < first + length])
