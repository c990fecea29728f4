"""A sync reports its progress about every ten seconds: rows, rows a second, and the share of the window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_wacontacts.pipelines.turn_sync import Progress, _reporting
from airflow_provider_wacontacts.records.windows import Window

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
WINDOW = Window(MONDAY, MONDAY + timedelta(days=1))


class Download:
    """Pages, each (seconds since the start, rows, time of the last row)."""

    def __init__(self, *pages: tuple[float, int, datetime | None]) -> None:
        self._pages = pages
        self.now = 0.0
        self.export = SimpleNamespace(window=WINDOW, position=None)

    def __iter__(self) -> Iterator[Any]:
        for now, rows, position in self._pages:
            self.now, self.export.position = now, position
            yield SimpleNamespace(page=SimpleNamespace(texts=[b""] * rows))


def reports(*pages: tuple[float, int, datetime | None]) -> list[Progress]:
    download, reported = Download(*pages), []
    assert len(list(_reporting(download, reported.append, lambda: download.now))) == len(pages)
    return reported


def test_progress_is_reported_every_ten_seconds() -> None:
    noon = MONDAY + timedelta(hours=12)

    assert reports((9.9, 100, MONDAY), (10.0, 100, noon), (19.9, 100, noon), (20.0, 100, noon)) == [
        Progress(200, 20.0, 0.5),
        Progress(400, 20.0, 0.5),
    ]


@pytest.mark.parametrize(
    ("position", "share"),
    [(None, None), (MONDAY - timedelta(minutes=10), 0.0), (MONDAY + timedelta(days=2), 1.0)],
)
def test_progress_stays_within_the_window_and_is_none_if_rows_do_not_ascend(
    position: datetime | None, share: float | None
) -> None:
    assert reports((10.0, 50, position)) == [Progress(50, 5.0, share)]


def test_progress_is_logged_as_one_line() -> None:
    assert [str(Progress(120_000, 8_120.4, 0.43)), str(Progress(7, 0.5, None))] == [
        "120,000 rows, 8,120 a second, 43% of the window",
        "7 rows, 0 a second",
    ]
