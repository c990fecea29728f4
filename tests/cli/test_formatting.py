"""Durations, times and tables in a terminal."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.cli.formatting import format_table, format_utc, parse_duration
from airflow_provider_wacontacts.records.windows import format_duration


@pytest.mark.parametrize(
    ("text", "hours"),
    [("26h", 26), ("90m", 1.5), ("7d", 7 * 24), ("1d12h", 36), ("1h30m", 1.5), ("3600s", 1), ("036h", 36)],
)
def test_a_duration_is_numbers_with_units_largest_first(text, hours):
    assert parse_duration(text) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "text", ["", "26", "h", "0h", "0d0h", "-1h", "1.5h", "12h1d", "1h 30m", "1w", "26H", "²h", "999999999999d", "1h1h"]
)
def test_an_invalid_duration_is_refused_with_examples(text):
    with pytest.raises(argparse.ArgumentTypeError, match="use for example 26h, 90m, 7d or 1d12h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
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
def test_a_duration_is_formatted_with_its_two_largest_units(seconds, text):
    assert format_duration(timedelta(seconds=seconds)) == text


def test_a_time_is_formatted_to_the_minute_or_second():
    when = datetime(2024, 1, 1, 12, 30, tzinfo=UTC)

    assert (format_utc(when), format_utc(when + timedelta(seconds=5, microseconds=1))) == (
        "2024-01-01 12:30",
        "2024-01-01 12:30:05",
    )


def test_numbers_are_aligned_right_and_text_left():
    assert format_table("Fruit", ["NAME", "PIECES"], [["apple", 12_000], ["fig", None]]).splitlines() == [
        "Fruit",
        "  NAME   PIECES",
        "  apple  12,000",
        "  fig         -",
    ]


def test_a_table_without_rows_is_left_out():
    assert format_table("Fruit", ["NAME"], []) == ""


def test_unprintable_characters_are_replaced():
    assert format_table("Fruit", ["NAME"], [["fig\x1b[2J\n"]]).splitlines()[-1] == "  fig\ufffd[2J\ufffd"
