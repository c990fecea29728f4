"""Pages that were not requested are refused: pages of another window, and repeated pages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.clients.turn_export import Export
from airflow_provider_wacontacts.exceptions import ContractError
from airflow_provider_wacontacts.records.windows import Window

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
WINDOW = Window(JANUARY, JANUARY + timedelta(days=1))
LOOKBACK = timedelta(minutes=10)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
CREATED = Response(200, {"date": "Tue, 02 Jan 2024 00:05:00 GMT"}, b'{"cursor":"an-example-cursor"}')


def page(*times: datetime, next_cursor: str | None = None) -> Response:
    data = [{"uuid": f"contact {time}", "updated_at": time.isoformat()} for time in times]
    date = {"date": "Tue, 02 Jan 2024 00:06:00 GMT"}
    return Response(200, date, json.dumps({"data": data, "paging": {"next": next_cursor}}).encode())


def rows(*pages: Response, **given: Any) -> list[int]:
    """Export; return the rows of each page."""
    export, answers, found = Export(WINDOW, lookback=LOOKBACK, **given), [CREATED, *pages], []
    while True:
        flow = export.next_page()
        try:
            next(flow)
            while True:
                flow.send(answers.pop(0))
        except StopIteration as end:
            if end.value is None:
                return found
            found.append(len(end.value.texts))


@pytest.mark.parametrize(
    "times",
    [
        [JANUARY + 150 * 24 * HOUR],
        [JANUARY + 30 * HOUR, JANUARY + 40 * HOUR],
        [JANUARY - 30 * 24 * HOUR],
        [JANUARY - HOUR, JANUARY + HOUR],
    ],
    ids=["June", "the following days", "December", "some before the window"],
)
def test_contacts_of_another_window_are_refused(times: list[datetime]) -> None:
    with pytest.raises(ContractError, match="another export"):
        rows(page(*times))


@pytest.mark.parametrize(
    "times",
    [
        [JANUARY - LOOKBACK],
        [JANUARY - LOOKBACK - 59 * SECOND, JANUARY],
        [WINDOW.end],
        [JANUARY + HOUR, JANUARY + 150 * 24 * HOUR],
        [WINDOW.end + timedelta(minutes=5)],
        [],
    ],
    ids=["lookback", "just before the lookback", "the end", "updated later", "updated during the export", "empty"],
)
def test_contacts_in_the_lookback_and_updated_later_are_accepted(times: list[datetime]) -> None:
    assert rows(page(*times)) == [len(times)]


def test_a_resumed_export_refuses_contacts_before_its_position() -> None:
    with pytest.raises(ContractError, match="before the window"):
        rows(page(JANUARY + HOUR), resume_from=JANUARY + 2 * HOUR)


def test_a_repeated_page_ends_the_export_after_earlier_pages_are_returned() -> None:
    export, answers = Export(WINDOW), [CREATED, page(JANUARY, next_cursor="b"), page(JANUARY, next_cursor="c")]
    first, second = export.next_page(), export.next_page()
    next(first)
    first.send(answers.pop(0))
    with pytest.raises(StopIteration) as returned:
        first.send(answers.pop(0))
    assert len(returned.value.value.texts) == 1
    next(second)
    with pytest.raises(ContractError, match="repeated a page"):
        second.send(answers.pop(0))


def test_a_page_with_a_repeated_cursor_is_returned_before_the_export_ends() -> None:
    export = Export(WINDOW)
    flow = export.next_page()
    next(flow)
    flow.send(CREATED)
    with pytest.raises(StopIteration) as returned:
        flow.send(page(JANUARY + HOUR, next_cursor="an-example-cursor"))
    assert len(returned.value.value.texts) == 1
    with pytest.raises(ContractError, match="cursor"):
        next(export.next_page())
