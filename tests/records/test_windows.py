"""Windows are half-open, timezone-aware and in UTC; a run's window has exactly one source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.records.windows import (
    Window,
    format_time,
    parse_time,
    resolve_run_window,
)

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
TUESDAY = datetime(2022, 9, 13, tzinfo=UTC)
DAY = timedelta(days=1)

moments = st.timedeltas(timedelta(days=-730_000), timedelta(days=2_900_000)).map(lambda delta: MONDAY + delta)


@given(moments)
def test_a_formatted_time_reads_back(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment


@given(moments, moments)
def test_formatted_times_sort_like_times(one: datetime, other: datetime) -> None:
    assert (format_time(one) < format_time(other)) == (one < other)


@pytest.mark.parametrize(
    "text",
    ["2022-09-12T00:00:00Z", "2022-09-12T02:00:00+02:00", "2022-09-12 00:00:00.000000+00:00", " 2022-09-12T00:00:00Z "],
)
def test_any_iso_time_with_an_offset_is_read(text: str) -> None:
    assert parse_time(text) == MONDAY


@pytest.mark.parametrize("text", ["", "2022-09-12", "2022-09-12T00:00:00", "20222-09-12T08:30:00.000Z", "yesterday"])
def test_anything_else_is_not_an_iso_time(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_time(text)


def test_a_window_is_converted_to_utc() -> None:
    berlin = timezone(timedelta(hours=2))

    window = Window(datetime(2022, 9, 12, 2, tzinfo=berlin), TUESDAY)

    assert (window.start, window.start.tzinfo) == (MONDAY, UTC)


def test_times_of_pendulum_are_converted() -> None:
    window = Window(pendulum.datetime(2022, 9, 12, 2, tz="Europe/Berlin"), pendulum.datetime(2022, 9, 13))

    assert (window, type(window.start)) == (Window(MONDAY, TUESDAY), datetime)
    assert window.start - DAY < window.end + DAY


@pytest.mark.parametrize(
    ("start", "end", "named"),
    [
        (datetime(2022, 9, 12), TUESDAY, "start"),  # noqa: DTZ001
        (MONDAY, datetime(2022, 9, 13), "end"),  # noqa: DTZ001
        (TUESDAY, MONDAY, "end"),
        (MONDAY, MONDAY, "end"),
    ],
)
def test_a_naive_or_reversed_window_is_refused_by_name(start: datetime, end: datetime, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Window(start, end)


@given(st.integers(1, 90), st.integers(1, 40))
def test_slices_are_adjacent_and_cover_the_window(days: int, slice_days: int) -> None:
    window = Window(MONDAY, MONDAY + timedelta(days=days))

    slices = list(window.split(timedelta(days=slice_days)))

    assert slices[0].start == window.start
    assert slices[-1].end == window.end
    assert [one.end for one in slices[:-1]] == [one.start for one in slices[1:]]
    assert all(one.end - one.start <= timedelta(days=slice_days) for one in slices)


def choose(**given_: object) -> Window:
    arguments: dict[str, object] = {
        "start": None,
        "end": None,
        "window_length": None,
        "interval": None,
        "run_after": None,
        **given_,
    }
    return resolve_run_window(**arguments)  # type: ignore[arg-type]


def test_the_window_of_a_run_is_its_data_interval() -> None:
    assert choose(interval=(MONDAY, TUESDAY)) == Window(MONDAY, TUESDAY)


def test_explicit_times_take_precedence_over_the_interval() -> None:
    chosen = choose(start="2022-09-01T00:00:00Z", end="2022-09-02T00:00:00Z", interval=(MONDAY, TUESDAY))

    assert chosen == Window(datetime(2022, 9, 1, tzinfo=UTC), datetime(2022, 9, 2, tzinfo=UTC))


def test_window_length_counts_back_from_an_interval_of_zero_length() -> None:
    assert choose(interval=(TUESDAY, TUESDAY), window_length=DAY) == Window(MONDAY, TUESDAY)


def test_window_length_counts_back_from_when_a_manual_run_was_due() -> None:
    assert choose(run_after=TUESDAY, window_length=DAY) == Window(MONDAY, TUESDAY)


@pytest.mark.parametrize("arguments", [{"interval": (MONDAY, MONDAY)}, {"run_after": TUESDAY}, {}])
def test_the_error_of_a_run_without_a_window_names_both_remedies(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"window_length.*CronDataIntervalTimetable"):
        choose(**arguments)


@pytest.mark.parametrize("value", ["", "None", "  ", "2022-09-12T00:00:00", "monday"])
@pytest.mark.parametrize("name", ["start", "end"])
def test_a_rendered_time_that_is_invalid_is_refused_by_name(name: str, value: str) -> None:
    times = {"start": "2022-09-12T00:00:00Z", "end": "2022-09-13T00:00:00Z", name: value}

    with pytest.raises(ConfigError, match=f"^{name} is"):
        choose(**times, interval=(MONDAY, TUESDAY))


@pytest.mark.parametrize(("only", "missing"), [("start", "end"), ("end", "start")])
def test_one_time_without_the_other_is_refused(only: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=f"{only} is set without {missing}"):
        choose(**{only: "2022-09-12T00:00:00Z"})
