"""An export of Turn.io contacts: the pages of a window. Expired cursors are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import lt

from airflow_provider_wacontacts.clients.errors import contract_error
from airflow_provider_wacontacts.clients.http import Flow, Response
from airflow_provider_wacontacts.clients.turn import (
    READ,
    ExportOptions,
    create_cursor,
    error_from_response,
    is_expired,
    read_cursor,
)
from airflow_provider_wacontacts.exceptions import ApiError, ContractError, CursorExpiredError
from airflow_provider_wacontacts.records.record import read_time
from airflow_provider_wacontacts.records.turn import SOURCE, TurnPage, parse_page
from airflow_provider_wacontacts.records.windows import MILLISECOND, Window

__all__ = ["Export"]

MAX_RESTARTS = 10
MAX_EMPTY_PAGES = 100
#: Tolerance for rows outside the requested window.
TOLERANCE = timedelta(minutes=1)
#: Refusals of the token or the account. A new cursor does not help, unless the cursor has expired.
NOT_OF_CURSOR = frozenset({401, 403})
RATE_LIMITED = 429


class _Order:
    """
    Whether rows ascend by ``updated_at``, and the position that they reached.

    Rows with the same time show no order.

    :param resume_from: ``updated_at`` of the last stored row.
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
        if any(map(lt, times, [last, *times])):
            self.ascends, self.position = False, None
            return
        self._first, self._last = first, times[-1]
        self._shows_order = self._shows_order or times[-1] > first
        if self._shows_order and (self.position is None or times[-1] > self.position):
            self.position = times[-1]


class Export:
    """
    One export of a window, page by page.

    When a cursor expires, by its ``expires_at`` or by the server's error, a new one is created. It starts one
    millisecond before the last row if all rows so far ascended by ``updated_at``, otherwise it covers the whole window.
    Rows can then arrive twice. A page that is refused for a reason other than the token, the account or the rate limit
    is also requested once with a new cursor. If rows descend after the start of the window was skipped, the whole
    window is exported again.

    :param lookback: overlap before the window that is exported as well.
    :param resume_from: ``updated_at`` of the last row that an earlier extraction stored; rows before it are not
        requested.
    :param cursor_per_page: create a new cursor after each page, if rows ascend. It doubles the requests, and misses no
        row if the server pages by offset while contacts leave the window. Without an ordering it requests ``asc``,
        because a page that ascends by chance would skip older rows.
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
        #: The last ``updated_at`` while rows ascend; ``None`` before two rows ascended, and after a row did not.
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
        self._expires_at: object = None
        self._has_replaced_refused = False
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
            repeats, or ten new cursors without progress. Earlier pages were returned.
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
            # The position may be the window's end: a server may send rows with exactly that time.
            start = max(start, min(self.position, self.window.end) - MILLISECOND)
        created = yield from create_cursor(start, self.window.end, self.options)
        self.server_time = self.server_time or created.created_at
        self._requested_from, self._created_at, self._expires_at = start, created.created_at, created.expires_at
        self._has_left_out = self._has_left_out or start > self._start
        self._follow(created.cursor)

    def _read(self) -> Flow[TurnPage]:
        response = yield from read_cursor(self._cursor or "")
        if not response.is_success:
            raise self._refusal(response)
        try:
            page = parse_page(response.body)
        except ValueError as error:
            raise contract_error(f"The response is not a page of contacts: {error}.", READ, response) from None
        self._expect_requested(page, response.date)
        return page

    def _refusal(self, response: Response) -> ApiError:
        """Return the error of a response, ``CursorExpiredError`` if a new cursor may help."""
        status = response.status
        if (status == 400 and is_expired(response.body)) or self._is_past_expiry(response):
            return CursorExpiredError("the cursor has expired", source=SOURCE, operation=READ, status=status)
        if 400 <= status < 500 and status not in NOT_OF_CURSOR | {RATE_LIMITED} and not self._has_replaced_refused:
            self._has_replaced_refused = True
            return CursorExpiredError("the cursor is not accepted", source=SOURCE, operation=READ, status=status)
        return error_from_response(response, READ)

    def _is_past_expiry(self, response: Response) -> bool:
        """Return whether a refusal came after the cursor's expiry, by the server's clock."""
        if not 400 <= response.status < 500 or response.status == RATE_LIMITED or response.date is None:
            return False
        try:
            return response.date >= read_time(self._expires_at)
        except ValueError:
            return False

    def _expect_requested(self, page: TurnPage, read_at: datetime | None) -> None:
        """
        Refuse a page with rows of another window, or a repeated page.

        Contacts that were updated since the cursor was created may be after the window.
        """
        times = [keys.updated_at for keys in page.keys]
        if not times:
            return
        if min(times) < self._requested_from - TOLERANCE:
            raise contract_error("The page has contacts from before the window. It belongs to another export.", READ)
        if not any(time <= self.window.end + TOLERANCE or self._is_since_created(time, read_at) for time in times):
            raise contract_error("The page has no contact of the requested window. It belongs to another export.", READ)
        ids = (*[keys.uuid for keys in page.keys], *[keys.id for keys in page.keys])
        digest = hash((times[0], times[-1], *ids))
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
            self._has_replaced_refused = False
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
