"""The flow of an export: its requests, its end, and how it continues after a cursor expired."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.clients.turn import ExportOptions, get_schemas
from airflow_provider_wacontacts.clients.turn_export import Export
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    ConfigError,
    ContractError,
    NotEnabledError,
    RejectedError,
)
from airflow_provider_wacontacts.records.windows import Window

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
WINDOW = Window(MONDAY, MONDAY + timedelta(days=1))
EXPIRED = Response(400, body=b'{"errors":[{"code":400,"title":"Cursor has expired"}]}')

Script = Callable[[Request], Response]


def drive(flow: Flow[Any], answers: list[Response] | Script) -> tuple[Any, list[Request]]:
    """Run a flow with scripted responses; return its value and its requests."""
    asked: list[Request] = []
    script = answers if callable(answers) else lambda _: answers.pop(0)
    try:
        request = next(flow)
        while True:
            asked.append(request)
            request = flow.send(script(request))
    except StopIteration as end:
        return end.value, asked


def export_all(export: Export, answers: list[Response]) -> tuple[list[list[str]], list[Request]]:
    """Read an export to its end; return the IDs of each page and the requests."""
    pages, asked = [], []
    while True:
        page, requests = drive(export.next_page(), answers)
        asked += requests
        if page is None:
            return pages, asked
        pages.append([head.contact_id for head in page.keys])


def created(cursor: str, **headers: str) -> Response:
    return Response(200, headers, json.dumps({"cursor": cursor, "expires_at": "2022-09-14T17:47:18.318218Z"}).encode())


def page(*rows: tuple[str, int], next_cursor: str | None = None) -> Response:
    """Return a page response with contacts as (uuid, minute of Monday)."""
    data = [{"uuid": uuid, "updated_at": (MONDAY + timedelta(minutes=minute)).isoformat()} for uuid, minute in rows]
    return Response(200, body=json.dumps({"data": data, "paging": {"next": next_cursor}}).encode())


def bodies(asked: list[Request]) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in asked if request.body]


def test_a_cursor_is_created_as_documented() -> None:
    _, asked = export_all(Export(WINDOW), [created("an-example-cursor-1234"), page()])

    assert asked == [
        Request(
            "turn.contacts.cursor",
            "POST",
            "/v1/data/contacts/cursor",
            {"accept": "application/vnd.v1+json", "content-type": "application/json"},
            b'{"from":"2022-09-12T00:00:00.000Z","until":"2022-09-13T00:00:00.000Z"}',
        ),
        Request(
            "turn.contacts.page",
            "GET",
            "/v1/data/contacts/cursor/an-example-cursor-1234",
            {"accept": "application/vnd.v1+json"},
        ),
    ]


def test_only_given_options_are_sent() -> None:
    rules = {"details.surname": {"type": "hash"}}

    _, asked = export_all(Export(WINDOW, ExportOptions("asc", 100, rules)), [created("c"), page()])

    assert bodies(asked) == [
        {
            "from": "2022-09-12T00:00:00.000Z",
            "until": "2022-09-13T00:00:00.000Z",
            "ordering": "asc",
            "page_size": 100,
            "scrubbing_rules": rules,
        }
    ]


@pytest.mark.parametrize("options", [{"ordering": "up"}, {"page_size": 0}])
def test_an_invalid_option_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ExportOptions(**options)


def test_a_window_is_widened_to_milliseconds() -> None:
    window = Window(MONDAY + timedelta(microseconds=1999), MONDAY + timedelta(microseconds=2001))

    _, asked = export_all(Export(window), [created("c"), page()])

    assert bodies(asked) == [{"from": "2022-09-12T00:00:00.001Z", "until": "2022-09-12T00:00:00.003Z"}]


def test_pages_are_followed_to_the_end_with_quoted_cursors() -> None:
    pages, asked = export_all(Export(WINDOW), [created("a/b c"), page(("x", 1), next_cursor="?#"), page(("y", 2))])

    assert pages == [["x"], ["y"]]
    assert [request.path.rpartition("cursor/")[2] for request in asked[1:]] == ["a%2Fb%20c", "%3F%23"]


def test_an_empty_page_does_not_end_the_export() -> None:
    pages, _ = export_all(Export(WINDOW), [created("c"), page(next_cursor="d"), page(("y", 2))])

    assert pages == [[], ["y"]]


@pytest.mark.parametrize("again", ["c", "d"])
def test_a_repeated_cursor_is_an_error(again: str) -> None:
    answers = [created("c"), page(("x", 1), next_cursor="d"), page(("y", 2), next_cursor=again)]

    with pytest.raises(ContractError, match="repeated a cursor"):
        export_all(Export(WINDOW), answers)


def test_endless_empty_pages_are_an_error() -> None:
    answers = [created("c"), *(page(next_cursor=f"next-{n}") for n in range(200))]

    with pytest.raises(ContractError, match="empty pages"):
        export_all(Export(WINDOW), answers)


def test_after_expiry_the_export_resumes_one_millisecond_before_the_last_row() -> None:
    export = Export(WINDOW)

    pages, asked = export_all(
        export,
        [created("c"), page(("x", 1), ("y", 2), next_cursor="d"), EXPIRED, created("e"), page(("y", 2), ("z", 3))],
    )

    assert pages == [["x", "y"], ["y", "z"]]
    assert [body["from"] for body in bodies(asked)] == ["2022-09-12T00:00:00.000Z", "2022-09-12T00:01:59.999Z"]
    assert (export.pages, export.position) == (2, MONDAY + timedelta(minutes=3))


@pytest.mark.parametrize("rows", [[("x", 2), ("y", 1)], [("x", 3), ("y", 4), ("z", 3)]])
def test_after_rows_that_do_not_ascend_the_window_restarts(rows: list[tuple[str, int]]) -> None:
    export = Export(WINDOW)

    _, asked = export_all(export, [created("c"), page(*rows, next_cursor="d"), EXPIRED, created("e"), page(*rows)])

    assert [body["from"] for body in bodies(asked)] == ["2022-09-12T00:00:00.000Z"] * 2
    assert export.position is None


def test_order_is_checked_across_pages() -> None:
    export = Export(WINDOW)

    export_all(export, [created("c"), page(("x", 5), next_cursor="d"), page(("y", 4))])

    assert export.position is None


@pytest.mark.parametrize("rows", [[("x", 2)], [("x", 2), ("y", 2)]])
def test_rows_with_one_time_show_no_order_so_the_window_restarts(rows: list[tuple[str, int]]) -> None:
    export = Export(WINDOW)

    _, asked = export_all(
        export, [created("c"), page(*rows, next_cursor="d"), EXPIRED, created("e"), page(*rows, ("z", 1))]
    )

    assert [body["from"] for body in bodies(asked)] == ["2022-09-12T00:00:00.000Z"] * 2


def test_if_rows_descend_after_a_part_was_skipped_the_whole_window_is_exported() -> None:
    export = Export(WINDOW, resume_from=MONDAY + timedelta(minutes=2))
    answers = [created("c"), page(("z", 3), ("y", 2)), created("d"), page(("z", 3), ("y", 2), ("x", 1))]

    pages, asked = export_all(export, answers)

    assert pages == [["z", "y"], ["z", "y", "x"]]
    assert [body["from"] for body in bodies(asked)] == ["2022-09-12T00:01:59.999Z", "2022-09-12T00:00:00.000Z"]
    assert export.position is None


def test_a_restart_never_requests_rows_before_the_window() -> None:
    _, asked = export_all(
        Export(WINDOW), [created("c"), page(("x", 0), next_cursor="d"), EXPIRED, created("e"), page()]
    )

    assert [body["from"] for body in bodies(asked)] == ["2022-09-12T00:00:00.000Z"] * 2


def test_a_resumed_export_begins_at_the_checkpoint() -> None:
    export = Export(WINDOW, resume_from=MONDAY + timedelta(hours=1))

    _, asked = export_all(export, [created("c"), page()])

    assert bodies(asked)[0]["from"] == "2022-09-12T00:59:59.999Z"
    assert export.position == MONDAY + timedelta(hours=1)


@pytest.mark.parametrize("last", [23 * 60 + 59, 24 * 60, 25 * 60])
def test_rows_at_or_after_the_windows_end_leave_a_window_that_is_not_empty(last: int) -> None:
    _, asked = export_all(
        Export(WINDOW), [created("c"), page(("w", 1), ("x", last), next_cursor="d"), EXPIRED, created("e"), page()]
    )

    times = [(body["from"], body["until"]) for body in bodies(asked)]
    assert all(start < until for start, until in times)
    assert times[1][0] == ("2022-09-12T23:58:59.999Z" if last < 24 * 60 else "2022-09-12T23:59:59.999Z")


def test_a_cursor_per_page_begins_each_page_at_the_last_row() -> None:
    export = Export(WINDOW, cursor_per_page=True)
    answers = [
        created("a"),
        page(("x", 1), ("y", 2), next_cursor="b"),
        created("c"),
        page(("y", 2), ("z", 3), next_cursor="d"),
        created("e"),
        page(("z", 3)),
    ]

    pages, asked = export_all(export, answers)

    assert pages == [["x", "y"], ["y", "z"], ["z"]]
    assert [body["from"] for body in bodies(asked)] == [
        "2022-09-12T00:00:00.000Z",
        "2022-09-12T00:01:59.999Z",
        "2022-09-12T00:02:59.999Z",
    ]


@pytest.mark.parametrize(("given", "asked"), [(None, "asc"), ("asc", "asc"), ("desc", "desc")])
def test_a_cursor_per_page_requests_ascending_rows_by_default(given: str | None, asked: str) -> None:
    export = Export(WINDOW, ExportOptions(ordering=given), cursor_per_page=True)

    _, requests = export_all(export, [created("a"), page()])

    assert bodies(requests)[0]["ordering"] == asked


def test_a_cursor_per_page_follows_next_if_a_page_has_nothing_newer() -> None:
    export = Export(WINDOW, cursor_per_page=True)
    answers = [
        created("a"),
        page(("w", 0), ("x", 1), next_cursor="b"),
        created("c"),
        page(("x", 1), next_cursor="d"),
        page(("y", 1), next_cursor="e"),
        page(("z", 2)),
    ]

    pages, asked = export_all(export, answers)

    assert pages == [["w", "x"], ["x"], ["y"], ["z"]]
    assert [request.method for request in asked] == ["POST", "GET", "POST", "GET", "GET", "GET"]


def test_a_cursor_per_page_follows_next_if_rows_do_not_ascend() -> None:
    answers = [created("a"), page(("x", 2), ("y", 1), next_cursor="b"), page(("z", 3))]

    assert export_all(Export(WINDOW, cursor_per_page=True), answers)[0] == [["x", "y"], ["z"]]


def test_ten_new_cursors_without_progress_are_an_error() -> None:
    requests: list[Request] = []

    def always_expired(request: Request) -> Response:
        requests.append(request)
        return created(f"c{len(requests)}") if request.method == "POST" else EXPIRED

    with pytest.raises(ContractError, match="10 cursors in a row"):
        drive(Export(WINDOW).next_page(), always_expired)

    assert [request.method for request in requests].count("POST") == 11


def test_progress_resets_the_count_of_restarts() -> None:
    answers = [created("c0"), page(("w", 0), ("x0", 1), next_cursor="d")]
    for minute in range(2, 31):
        answers += [EXPIRED, created(f"c{minute}"), page((f"x{minute}", minute), next_cursor="d")]
    answers += [page()]

    pages, _ = export_all(Export(WINDOW), answers)

    assert len(pages) == 31


@pytest.mark.parametrize("body", [b"cursor EXPIRED", b'{"error":"the Cursor is expired"}'])
def test_expiry_is_recognized_in_any_wording(body: bytes) -> None:
    pages, _ = export_all(Export(WINDOW), [created("c"), Response(400, body=body), created("d"), page(("x", 1))])

    assert pages == [["x"]]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"cursor":null}', b'{"cursor":""}', b"<html></html>", b"\xff"])
def test_a_success_without_a_cursor_is_a_contract_error(body: bytes) -> None:
    with pytest.raises(ContractError, match=r"^turn\.contacts\.cursor, HTTP 200: The response has no cursor\."):
        export_all(Export(WINDOW), [Response(200, body=body)])


@pytest.mark.parametrize("body", [b"", b"<html></html>", b'{"data":{}}'])
def test_a_success_that_is_not_a_page_is_a_contract_error(body: bytes) -> None:
    with pytest.raises(ContractError, match=r"^turn\.contacts\.page, HTTP 200: "):
        export_all(Export(WINDOW), [created("c"), Response(200, body=body)])


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (400, RejectedError, "refused"),
        (401, AuthError, "password"),
        (403, NotEnabledError, "pool"),
        (404, NotEnabledError, "host"),
        (302, RejectedError, "redirect"),
        (422, RejectedError, "refused"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_refusal_names_the_remedy(status: int, kind: type[Exception], advice: str, *, first: bool) -> None:
    answers = [Response(status)] if first else [created("c"), Response(status), created("d"), Response(status)]

    with pytest.raises(kind, match=advice):
        export_all(Export(WINDOW), answers)


def test_refused_options_are_named_and_never_dropped() -> None:
    options = ExportOptions(scrubbing_rules={"details.surname": {"type": "hash"}})

    with pytest.raises(RejectedError, match="scrubbing_rules"):
        export_all(Export(WINDOW, options), [Response(400)])


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 10 Aug 99999999999999999999 03:15:30 GMT",
        "yesterday",
        "",
        "Tue, 13 Sep 2022",
        "Fri, 31 Dec 9999 23:59:59 -1200",
    ],
)
def test_an_invalid_date_is_ignored_as_the_servers_time(date: str) -> None:
    assert Response(200, {"date": date}).date is None


def test_the_servers_time_is_the_first_responses() -> None:
    export = Export(WINDOW)

    export_all(export, [created("c", date="Tue, 13 Sep 2022 01:00:00 GMT"), page()])

    assert export.server_time == datetime(2022, 9, 13, 1, tzinfo=UTC)


def test_fields_are_read_in_the_servers_order() -> None:
    fields = [{"name": "surname", "type": "STRING"}, {"name": "current_savings", "custom": True}]

    value, asked = drive(get_schemas(), [Response(200, body=json.dumps({"fields": fields}).encode())])

    assert (value, [request.path for request in asked]) == (fields, ["/v1/contacts/schemas"])


@pytest.mark.parametrize("body", [b"", b"[]", b'{"fields":{}}', b"<html></html>"])
def test_fields_that_are_not_a_list_are_a_contract_error(body: bytes) -> None:
    with pytest.raises(ContractError):
        drive(get_schemas(), [Response(200, body=body)])
