"""Spans of time as people write and read them."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.cli.durations import moment, span, told


@pytest.mark.parametrize(
    ("text", "hours"),
    [("26h", 26), ("90m", 1.5), ("7d", 7 * 24), ("1d12h", 36), ("1h30m", 1.5), ("3600s", 1), ("036h", 36)],
)
def test_a_span_is_numbers_with_units_the_largest_first(text, hours):
    assert span(text) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "text", ["", "26", "h", "0h", "0d0h", "-1h", "1.5h", "12h1d", "1h 30m", "1w", "26H", "²h", "999999999999d", "1h1h"]
)
def test_what_is_no_span_is_refused_with_examples(text):
    with pytest.raises(argparse.ArgumentTypeError, match="such as 26h, 90m, 7d or 1d12h"):
        span(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (300, "5m"),
        (3_725, "1h 2m"),
        (93_600, "26h"),
        (172_799, "47h 59m"),
        (172_800, "2d"),
        (176_460, "2d 1h"),
        (172_860, "2d"),
        (-300, "-5m"),
    ],
)
def test_a_span_is_told_by_its_two_largest_units_days_from_two_on(seconds, said):
    assert told(timedelta(seconds=seconds)) == said


def test_a_time_is_told_to_the_minute_and_to_the_second_within_one():
    when = datetime(2024, 1, 1, 12, 30, tzinfo=UTC)

    assert (moment(when), moment(when + timedelta(seconds=5, microseconds=1))) == (
        "2024-01-01 12:30",
        "2024-01-01 12:30:05",
    )
