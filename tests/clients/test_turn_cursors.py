"""Cursors that have expired, by the server's clock and their ``expires_at``, or that are refused earlier."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.clients.turn_export import Export
from airflow_provider_wacontacts.exceptions import AuthError, NotEnabledError, RejectedError, WaContactsError
from tests.clients.test_turn import MONDAY, WINDOW, bodies, export_all, page

EXPIRES_AT = datetime(2022, 9, 14, 17, 47, 18, 318218, tzinfo=UTC)
FIRST_PAGE = page(("x", 1), ("y", 2), next_cursor="n")
#: From one millisecond before the last row.
RESUMED_FROM = "2022-09-12T00:01:59.999Z"


def created(cursor: str, expires_at: object = "2022-09-14T17:47:18.318218Z") -> Response:
    return Response(200, body=json.dumps({"cursor": cursor, "expires_at": expires_at}).encode())


def refused(status: int, after: timedelta | None = None) -> Response:
    date = {} if after is None else {"date": format_datetime(EXPIRES_AT + after, usegmt=True)}
    return Response(status, date, b'{"errors":[{"code":1,"title":"Not available"}]}')


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 410, 418, 422, 499])
def test_after_expiry_a_refused_cursor_is_replaced_from_the_last_position(status: int) -> None:
    late = refused(status, timedelta(seconds=1))
    answers = [created("a"), FIRST_PAGE, late, created("b"), late, created("c"), page(("z", 3))]

    pages, requests = export_all(Export(WINDOW), answers)

    assert pages == [["x", "y"], ["z"]]
    assert [body["from"] for body in bodies(requests)] == ["2022-09-12T00:00:00.000Z", RESUMED_FROM, RESUMED_FROM]


@pytest.mark.parametrize("status", [400, 402, 404, 410, 422])
@pytest.mark.parametrize("after", [None, timedelta(seconds=-2)], ids=["no date", "before"])
def test_before_expiry_a_refused_cursor_is_replaced_once(status: int, after: timedelta | None) -> None:
    early = refused(status, after)
    answers = [
        created("a"),
        FIRST_PAGE,
        early,
        created("b"),
        page(("z", 3), next_cursor="m"),
        early,
        created("c"),
        early,
    ]
    export = Export(WINDOW)

    with pytest.raises((RejectedError, NotEnabledError)):
        export_all(export, answers)

    assert (answers, export.position) == ([], MONDAY + timedelta(minutes=3))


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (refused(401, timedelta(seconds=-2)), AuthError),
        (refused(403, timedelta(seconds=-2)), NotEnabledError),
        (refused(403), NotEnabledError),
        (refused(429, timedelta(hours=1)), WaContactsError),
        (refused(302, timedelta(hours=1)), RejectedError),
    ],
    ids=["401", "403", "403 without date", "429", "302"],
)
def test_other_refusals_replace_no_cursor(refusal: Response, kind: type[Exception]) -> None:
    answers = [created("a"), FIRST_PAGE, refusal, created("b")]

    with pytest.raises(kind):
        export_all(Export(WINDOW), answers)

    assert len(answers) == 1


@pytest.mark.parametrize("expires_at", [None, 7, "soon", "", "20222-09-14T17:47:18Z", "0001-01-01T00:00:00+23:00"])
def test_a_cursor_without_an_expiry_is_accepted(expires_at: object) -> None:
    assert export_all(Export(WINDOW), [created("a", expires_at), page(("x", 1))])[0] == [["x"]]
