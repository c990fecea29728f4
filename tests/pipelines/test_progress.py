"""Progress is said about every ten seconds: rows, rows a second, and how far into the window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.pipelines.progress import Pace, Progress
from airflow_provider_wacontacts.records.windows import Window

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
WINDOW = Window(MONDAY, MONDAY + timedelta(days=1))


def told(*pages: tuple[float, int, datetime | None]) -> list[Progress]:
    """Return what is reported of pages, each (seconds since the start, rows, last row's time)."""
    reports: list[Progress] = []
    now = 0.0
    pace = Pace(WINDOW, reports.append, monotonic=lambda: now)
    for now, rows, position in pages:  # noqa: B007 - the clock reads it
        pace.add(rows, position)
    return reports


def test_it_reports_when_ten_seconds_have_passed_and_not_before() -> None:
    noon = MONDAY + timedelta(hours=12)

    assert told((9.9, 100, MONDAY), (10.0, 100, noon), (19.9, 100, noon), (20.0, 100, noon)) == [
        Progress(200, 20.0, 0.5),
        Progress(400, 20.0, 0.5),
    ]


@pytest.mark.parametrize(
    ("position", "share"),
    [(None, None), (MONDAY - timedelta(minutes=10), 0.0), (MONDAY + timedelta(days=2), 1.0)],
)
def test_the_share_stays_within_the_window_and_is_left_out_where_rows_do_not_ascend(
    position: datetime | None, share: float | None
) -> None:
    assert told((10.0, 50, position)) == [Progress(50, 5.0, share)]


def test_it_reads_well() -> None:
    assert [str(Progress(120_000, 8_120.4, 0.43)), str(Progress(7, 0.5, None))] == [
        "120,000 rows, 8,120 a second, 43% of the window",
        "7 rows, 0 a second",
    ]
