"""
Turn.io's Data Export API for contacts, as flows.

An export creates a cursor for a window, then reads pages with it. Public sources: "Getting data from the Contacts
API endpoint" (https://learn.turn.io/article/l8g9u42mpr-getting-data-from-the-contacts-api-endpoint) and the Data Export
API (https://whatsapp.turn.io/docs/api/data_export_api).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from airflow_provider_wacontacts.clients.errors import REFUSED, ErrorSpec, contract_error, spec_by_status
from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.exceptions import (
    ApiError,
    AuthError,
    ConfigError,
    ContractError,
    CursorExpiredError,
    NotEnabledError,
    RejectedError,
)
from airflow_provider_wacontacts.records.arguments import validate_int
from airflow_provider_wacontacts.records.turn import SOURCE, TurnPage, parse_page
from airflow_provider_wacontacts.records.windows import MILLISECOND, Window

__all__ = ["Export", "ExportOptions", "create_cursor", "get_schemas"]

CREATE = "turn.contacts.cursor"
READ = "turn.contacts.page"
SCHEMAS = "turn.contacts.schemas"
ACCEPT = {"accept": "application/vnd.v1+json"}
ACCEPT_AND_SEND = {**ACCEPT, "content-type": "application/json"}
MAX_RESTARTS = 10
MAX_EMPTY_PAGES = 100
#: By how much rows may lie outside of what was requested.
TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """
    Options of an export. Only those that are set are sent.

    :param ordering: ``asc`` or ``desc``, by the time of update; the server's choice by default.
    :param page_size: contacts per page, 1 and up. Some numbers refuse it with 400 Bad Request.
    :param scrubbing_rules: field to rule, such as ``{"details.surname": {"type": "hash"}}``. If the
        server refuses them, the export fails, so that unscrubbed data is never returned.
    :raises ConfigError: the ordering or the page size is invalid.
    """

    ordering: str | None = None
    page_size: int | None = None
    scrubbing_rules: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.ordering not in (None, "asc", "desc"):
            raise ConfigError(f"ordering is {self.ordering!r}. It must be 'asc' or 'desc'.")
        if self.page_size is not None:
            validate_int("page_size", self.page_size, 1)

    def given(self) -> dict[str, Any]:
        """Return the options that are set, by their names in the API."""
        options = {"ordering": self.ordering, "page_size": self.page_size, "scrubbing_rules": self.scrubbing_rules}
        return {name: value for name, value in options.items() if value is not None}


class _Order:
    """
    Whether rows ascend by ``updated_at``, and how far they came.

    Rows of one and the same time show no order.

    :param resume_from: ``updated_at`` of the last row that is stored already.
    """

    def __init__(self, resume_from: datetime | None) -> None:
        self.position = resume_from
        self.ascends = True
        self._shows_order = resume_from is not None
        self._first: datetime | None = None
        self._last: datetime | None = None

    def restart(self) -> None:
        """Expect rows of a new cursor."""
        self._first = self._last = None

    def advance(self, times: Sequence[datetime]) -> bool:
        """Add the times of a page, and return whether the position moved forward."""
        before = self.position
        if self.ascends and times:
            self._add(times)
        return self.ascends and self.position != before

    def _add(self, times: Sequence[datetime]) -> None:
        first, last = self._first or times[0], self._last or times[0]
        if any(later < earlier for earlier, later in pairwise([last, *times])):
            self.ascends, self.position = False, None
            return
        self._first, self._last = first, times[-1]
        self._shows_order = self._shows_order or times[-1] > first
        if self._shows_order and (self.position is None or times[-1] > self.position):
            self.position = times[-1]


class Export:
    """
    One export of a window, page by page.

    When a cursor expires, a new one is made: one millisecond before the last row if all rows so far ascended by
    ``updated_at``, otherwise for the whole window. Rows can then arrive twice. If rows descend after the start of the
    window was left out, the whole window is exported again.

    :param lookback: how much before the window is exported, too.
    :param resume_from: ``updated_at`` of the last row that an earlier extraction stored; rows before it are not
        requested.
    :param cursor_per_page: create a new cursor after each page, if rows ascend. It doubles the requests, and misses no
        row if the server counts rows from the window's start while contacts leave it between two pages. Without an
        ordering it requests ``asc``, as a page that ascends by chance would leave out older rows.
    """

    def __init__(
        self,
        window: Window,
        options: ExportOptions | None = None,
        *,
        lookback: timedelta = timedelta(0),
        resume_from: datetime | None = None,
        cursor_per_page: bool = False,
    ) -> None:
        self.window = window
        self._start = window.start - lookback
        self.options = options or ExportOptions()
        if cursor_per_page and self.options.ordering is None:
            self.options = replace(self.options, ordering="asc")
        self._cursor_per_page = cursor_per_page
        self._order = _Order(resume_from)
        #: The last ``updated_at``, while the rows ascend; ``None`` before two did and after one did not.
        self.position = resume_from
        #: The server's time of the first response.
        self.server_time: datetime | None = None
        self.pages = 0
        self._has_left_out = False
        self._cursor: str | None = None
        self._seen: set[str] = set()
        self._pages_seen: set[int] = set()
        self._requested_from = self._start
        self._created_at: datetime | None = None
        self._failure: ContractError | None = None
        #: Whether all pages were read.
        self.done = False
        self._restarts_in_row = 0
        self._pages_of_cursor = 0
        self._most_pages = 0
        self._empty_in_row = 0

    def next_page(self) -> Flow[TurnPage | None]:
        """
        Read the next page; create a cursor first if needed.

        :returns: the page, which may be empty; ``None`` after the last one.
        :raises ContractError: a response that is not as documented, rows of another window, a page or a cursor that
            repeats, or ten new cursors without a row of progress. What was received before it was returned.
        """
        while not self.done:
            if self._failure:
                raise self._failure
            try:
                if self._cursor is None:
                    yield from self._open()
                page = yield from self._read()
            except CursorExpiredError:
                self._restart_expired()
            else:
                self._advance(page)
                return page
        return None

    def _open(self) -> Flow[None]:
        start = self._start
        if self.position is not None:
            # Never the window's very end, as a server may send rows of it.
            start = max(start, min(self.position, self.window.end) - MILLISECOND)
        cursor, server_time = yield from create_cursor(start, self.window.end, self.options)
        self.server_time = self.server_time or server_time
        self._requested_from, self._created_at = start, server_time
        self._has_left_out = self._has_left_out or start > self._start
        self._follow(cursor)

    def _read(self) -> Flow[TurnPage]:
        path = f"/v1/data/contacts/cursor/{quote(self._cursor or '', safe='')}"
        response = yield Request(READ, "GET", path, ACCEPT)
        if response.status == 400 and _is_expired(response.body):
            raise CursorExpiredError("the cursor has expired", source=SOURCE, operation=READ, status=400)
        if not response.is_success:
            raise _error(response, READ)
        try:
            page = parse_page(response.body)
        except ValueError as error:
            raise contract_error(f"The response is not a page of contacts: {error}.", READ, response) from None
        self._expect_requested(page, response.date)
        return page

    def _expect_requested(self, page: TurnPage, read_at: datetime | None) -> None:
        """
        Refuse a page with rows of another window, or one that came before.

        Contacts that were updated since the cursor was created may lie behind the window.
        """
        times = [keys.updated_at for keys in page.keys]
        if not times:
            return
        if min(times) < self._requested_from - TOLERANCE:
            raise contract_error("The page has contacts from before the window. It belongs to another export.", READ)
        if not any(time <= self.window.end + TOLERANCE or self._is_since_created(time, read_at) for time in times):
            raise contract_error("The page has no contact of the requested window. It belongs to another export.", READ)
        digest = hash(tuple((keys.uuid, keys.id, keys.updated_at) for keys in page.keys))
        if digest in self._pages_seen:
            raise contract_error("The server repeated a page, so the export would never end.", READ)
        self._pages_seen.add(digest)

    def _is_since_created(self, time: datetime, read_at: datetime | None) -> bool:
        """Return whether a contact was updated since the cursor was created, by the server's clock."""
        created_at = self._created_at
        if created_at is None or read_at is None:
            return False
        return created_at - TOLERANCE <= time <= read_at + TOLERANCE

    def _follow(self, cursor: str | None) -> None:
        self._cursor = cursor
        if cursor is None:
            self.done = True
        elif cursor in self._seen:
            self._failure = contract_error("The server repeated a cursor, so the export would never end.", READ)
        else:
            self._seen.add(cursor)

    def _advance(self, page: TurnPage) -> None:
        self.pages += 1
        self._pages_of_cursor += 1
        advanced = self._order.advance([key.updated_at for key in page.keys])
        self.position = self._order.position
        if advanced or self._pages_of_cursor > self._most_pages:
            self._restarts_in_row = 0
        self._most_pages = max(self._most_pages, self._pages_of_cursor)
        self._empty_in_row = 0 if page.texts or page.rejects else self._empty_in_row + 1
        if self._empty_in_row > MAX_EMPTY_PAGES:
            raise contract_error(f"The server sent more than {MAX_EMPTY_PAGES} empty pages in a row.", READ)
        self._follow(page.next_cursor)
        if self._cursor_per_page and advanced:
            self._drop_cursor()
        if self._has_left_out and not self._order.ascends:
            self._restart_whole()

    def _restart_whole(self) -> None:
        self.done = self._has_left_out = False
        self._drop_cursor()

    def _restart_expired(self) -> None:
        self._restarts_in_row += 1
        if self._restarts_in_row > MAX_RESTARTS:
            raise contract_error(f"{MAX_RESTARTS} cursors in a row expired without new contacts.", READ)
        self._drop_cursor()

    def _drop_cursor(self) -> None:
        self._cursor = None
        self._order.restart()
        self._seen.clear()
        self._pages_seen.clear()
        self._pages_of_cursor = 0


def create_cursor(start: datetime, end: datetime, options: ExportOptions) -> Flow[tuple[str, datetime | None]]:
    """
    Create a cursor for the contacts whose latest update is in a window.

    :param end: exclusive.
    :returns: the cursor, and the response's ``Date``; ``None`` if it has none.
    :raises ContractError: the response has no cursor.
    :raises PermanentError: the server refused the request.
    """
    body = msgspec.json.encode({"from": _wire_time(start), "until": _wire_time(_round_up(end)), **options.given()})
    response = yield Request(CREATE, "POST", "/v1/data/contacts/cursor", ACCEPT_AND_SEND, body)
    if not response.is_success:
        raise _error(response, CREATE, has_options=bool(options.page_size or options.scrubbing_rules))
    return _read_cursor(response), response.date


def get_schemas() -> Flow[list[dict[str, Any]]]:
    """
    Request the contact fields of the number: the only documented source of the types of custom fields.

    Source: https://whatsapp.turn.io/docs/api/contacts

    :returns: one object per field (``name``, ``type``, ``custom``, …), in the server's order.
    """
    response = yield Request(SCHEMAS, "GET", "/v1/contacts/schemas", ACCEPT_AND_SEND)
    if not response.is_success:
        raise _error(response, SCHEMAS)
    try:
        return msgspec.json.decode(response.body, type=_Schemas).fields
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise contract_error("The response is not an object with a list of fields.", SCHEMAS, response) from None


class _Schemas(msgspec.Struct):
    fields: list[dict[str, Any]]


class _Error(msgspec.Struct):
    code: Annotated[int, msgspec.Meta(ge=1, lt=1_000_000)]


class _Errors(msgspec.Struct):
    errors: list[_Error]


def _error_code(body: bytes) -> int | None:
    try:
        errors = msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return errors[0].code if errors else None


class _Created(msgspec.Struct):
    cursor: str


def _read_cursor(response: Response) -> str:
    try:
        cursor = msgspec.json.decode(response.body, type=_Created).cursor
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        cursor = ""
    if not cursor:
        raise contract_error("The response has no cursor.", CREATE, response)
    return cursor


def _round_up(moment: datetime) -> datetime:
    """Round up to milliseconds, as the API has no finer times; a slightly longer window loses nothing."""
    spare = moment.microsecond % 1000
    return moment + MILLISECOND - moment.resolution * spare if spare else moment


def _wire_time(moment: datetime) -> str:
    """Write a time as Turn.io's documents do: UTC, milliseconds; finer parts are dropped."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _is_expired(body: bytes) -> bool:
    text = body.lower()
    return b"cursor" in text and b"expired" in text


def _error(response: Response, operation: str, *, has_options: bool = False) -> ApiError:
    spec = spec_by_status(response, SPEC_BY_STATUS)
    if response.status == 400 and has_options:
        spec = OPTIONS_REFUSED
    return spec.error(operation, response.status, code=_error_code(response.body))


OPTIONS_REFUSED = ErrorSpec(
    RejectedError, f"{REFUSED.message} Some numbers do not accept page_size or scrubbing_rules: remove them."
)
SPEC_BY_STATUS = {
    401: ErrorSpec(
        AuthError,
        "The server does not accept the token. It may have expired or been deleted. Set a new one as the connection's"
        " password.",
    ),
    403: ErrorSpec(
        NotEnabledError,
        "The server denied access. The account's plan or the token does not include the data export, or too many"
        " exports run at once. Use a pool with one slot to run one at a time.",
    ),
    404: ErrorSpec(
        NotEnabledError,
        "The server does not know the path. The connection's host is wrong, or the data export is not enabled for this"
        " account.",
    ),
}
