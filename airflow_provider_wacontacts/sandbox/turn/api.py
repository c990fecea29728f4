"""
The routes of Turn.io's Data Export API for contacts, and ``GET /v1/contacts/schemas``.

Public sources: "Getting data from the Contacts API endpoint"
(https://learn.turn.io/article/l8g9u42mpr-getting-data-from-the-contacts-api-endpoint), the Data Export API
(https://whatsapp.turn.io/docs/api/data_export_api) and rate limiting
(https://whatsapp.turn.io/docs/api/rate_limiting).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wacontacts.sandbox.core.clock import read_time, write_time
from airflow_provider_wacontacts.sandbox.core.dispatcher import Dispatcher, apply_fault, fault_response
from airflow_provider_wacontacts.sandbox.core.faults import Fault, RequestKind
from airflow_provider_wacontacts.sandbox.core.rate_limits import retry_after_headers
from airflow_provider_wacontacts.sandbox.core.responses import Response, error_response, json_response
from airflow_provider_wacontacts.sandbox.turn.behaviour import TurnBehaviour
from airflow_provider_wacontacts.sandbox.turn.contacts import Renderer, read_scrubbing_rules, schema_fields
from airflow_provider_wacontacts.sandbox.turn.exports import Cursors, Export, Place, move_contacts, read_page
from airflow_provider_wacontacts.sandbox.turn.rate_limit import RateLimit
from airflow_provider_wacontacts.sandbox.turn.world import World

__all__ = ["TurnApi", "TurnError"]

_CURSOR_PATH = "/v1/data/contacts/cursor"
_ACCEPT = "application/vnd.v1+json"
_MAX_PAGE_SIZE = 1000
_CURSOR_LIFETIME = timedelta(hours=48)
_OPEN_CURSOR_IDLE_S = 30.0
_EXPIRED_STATUS = 400


class TurnError(Exception):
    """A response other than a success."""

    def __init__(self, status: int, details: str, title: str | None = None) -> None:
        super().__init__(details)
        self.answer = error_response(status, details, title)


class TurnApi:
    """One number's API and its state."""

    def __init__(self, world: World, dispatcher: Dispatcher, behaviour: TurnBehaviour) -> None:
        self.behaviour = behaviour
        self._dispatcher = dispatcher
        self._clock = dispatcher.clock
        self.load(world)

    def load(self, world: World) -> None:
        """Replace the world, and clear cursors and calls."""
        self.world = world
        self._rate_limit = RateLimit()
        self._renderer = Renderer(world)
        self._cursors = Cursors(world.seed)

    def routes(self) -> list[Route]:
        """Return the routes of the API, and a route for everything else."""
        return [
            Route(_CURSOR_PATH, self._handler("create", self._create), methods=["POST"]),
            Route(_CURSOR_PATH + "/{cursor:path}", self._handler("page", self._page), methods=["GET"]),
            Route("/v1/contacts/schemas", self._handler("schemas", self._schemas), methods=["GET"]),
            Route("/{path:path}", self._handler("other", self._other)),
        ]

    def _handler(self, kind: RequestKind, call: Callable[[Request, bytes], Response]) -> Callable[[Request], Any]:
        def answer(request: Request, body: bytes, fault: Fault | None) -> Response:
            failed = fault_response(fault, _fault_error, self._rate_limited) if fault else None
            return self._answer(call, request, body, fault) if failed is None else failed

        return self._dispatcher.handler(kind, answer)

    def _answer(
        self, call: Callable[[Request, bytes], Response], request: Request, body: bytes, fault: Fault | None
    ) -> Response:
        grant = self._rate_limit.ask(self.behaviour, self._dispatcher.real_time())
        request.state.fault = fault
        try:
            self._authorize(request)
            if grant is not None and not grant.allowed:
                raise _rate_limit_error()
            answer = call(request, body)
        except TurnError as refusal:
            answer = refusal.answer
        answer = answer.with_headers(grant.headers(self.behaviour, self.response_time()) if grant else {})
        return apply_fault(answer, fault)

    def _rate_limited(self, wait_s: float) -> Response:
        headers = retry_after_headers(self.behaviour.retry_after, self.response_time(), wait_s)
        return _rate_limit_error().answer.with_headers(headers)

    def response_time(self) -> float:
        """Return the time of responses, in seconds since the epoch."""
        return self._clock.now().timestamp() if self.behaviour.send_date else self._dispatcher.real_time()

    def _authorize(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self.behaviour.token}":
            raise TurnError(401, "The token is missing or not known.")

    def _create(self, request: Request, body: bytes) -> Response:
        self._check_headers(request, has_body=True)
        behaviour, now = self.behaviour, self._clock.now()
        if behaviour.export == "forbidden":
            raise TurnError(403, "The contacts export is not part of this account's plan.")
        if behaviour.export == "unavailable":
            raise TurnError(404, "The data export API is not available for this account.")
        asked = _read_object(body)
        self._dispatcher.requests.asked.append(asked)
        export = self._read_export(asked, now)
        since = self._dispatcher.real_time() - _OPEN_CURSOR_IDLE_S
        if behaviour.max_open_cursors is not None and self._cursors.count_open(since) >= behaviour.max_open_cursors:
            raise TurnError(403, "Too many cursors are open at once.")
        cursor = self._cursors.make(Place(export), needs_quoting=behaviour.cursor_needs_quoting)
        made = {"cursor": cursor, "expires_at": write_time(export.expires_at)}
        if _is(request, "no_cursor"):
            del made["cursor"]
        return json_response(made)

    def _read_export(self, asked: Mapping[str, Any], now: datetime) -> Export:
        behaviour = self.behaviour
        start, until = _read_window(asked)
        options = _read_options(asked, behaviour)
        size = options.get("page_size", behaviour.page_size)
        ordering = options.get("ordering", behaviour.default_ordering)
        if type(size) is not int or not 1 <= size <= max(_MAX_PAGE_SIZE, behaviour.page_size):
            raise TurnError(400, f"page_size is a number from 1 to {_MAX_PAGE_SIZE}.")
        if "ordering" in options and ordering not in ("asc", "desc"):
            raise TurnError(400, "ordering is asc or desc.")
        try:
            rules = read_scrubbing_rules(options.get("scrubbing_rules", {}))
        except ValueError as error:
            raise TurnError(400, f"{error}.") from None
        expires_at = now + _CURSOR_LIFETIME
        return Export(start, until, ordering, size, rules, expires_at, touched=self._dispatcher.real_time())

    def _page(self, request: Request, _body: bytes) -> Response:
        self._check_headers(request)
        # The quoted path: a cursor with a slash is one segment only if the client quoted it.
        quoted = bytes(request.scope["raw_path"]).decode("ascii").removeprefix(_CURSOR_PATH + "/")
        cursor = unquote(quoted)
        place = None if "/" in quoted else self._cursors.find(cursor)
        if place is None:
            raise TurnError(404, "There is no such cursor.")
        self._check_expiry(request, cursor, place.export)
        place.export.pages += 1
        place.export.touched = self._dispatcher.real_time()
        return self._serve(request, cursor, place)

    def _check_expiry(self, request: Request, cursor: str, export: Export) -> None:
        behaviour = self.behaviour
        was_read = self._cursors.was_read(cursor)
        export.expired = (
            export.expired
            or self._clock.now() >= export.expires_at
            or (behaviour.cursor_pages is not None and export.pages >= behaviour.cursor_pages)
            or _is(request, "expired")
        )
        if export.expired or (was_read and behaviour.single_use_cursors):
            if behaviour.expired_status != _EXPIRED_STATUS:
                raise TurnError(behaviour.expired_status, "This is not available.")
            raise TurnError(_EXPIRED_STATUS, "Create a new cursor to continue.", "Cursor has expired")

    def _serve(self, request: Request, cursor: str, place: Place) -> Response:
        behaviour, export = self.behaviour, place.export
        page = read_page(self.world, self._clock.now(), place, behaviour)
        contacts, following = page.contacts, page.following
        if _is(request, "empty_page"):
            contacts, following = [], place
        rows = [self._renderer.contact(contact, behaviour, export.rules) for contact in contacts]
        export.finished = following is None
        export.served.update(contact.id for contact in contacts)
        if following is not None:
            following_cursor = self._cursors.make(following, needs_quoting=behaviour.cursor_needs_quoting)
        else:
            following_cursor = None
        if _is(request, "repeat_cursor"):
            following_cursor = cursor
        if behaviour.advance_per_page_s:
            self._clock.advance(behaviour.advance_per_page_s)
        if behaviour.moves_per_page:
            move_contacts(self.world, self._clock.now(), export, behaviour)
        return Response(200, b'{"data":[%s]%s}' % (b",".join(rows), _paging(following_cursor, behaviour)))

    def _schemas(self, _request: Request, _body: bytes) -> Response:
        return json_response({"fields": schema_fields(self.world.current(self._clock.now()))})

    def _other(self, _request: Request, _body: bytes) -> Response:
        raise TurnError(404, "There is nothing here.")

    @staticmethod
    def _check_headers(request: Request, *, has_body: bool = False) -> None:
        if request.headers.get("accept") != _ACCEPT:
            raise TurnError(406, f"Accept is {_ACCEPT}.")
        if has_body and request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise TurnError(415, "Content-Type is application/json.")


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except ValueError:
        raise TurnError(400, "The body is not JSON.") from None
    if not isinstance(asked, dict):
        raise TurnError(400, "The body is not an object.")
    return asked


def _read_window(asked: Mapping[str, Any]) -> tuple[datetime, datetime]:
    times = [asked.get("from"), asked.get("until")]
    try:
        start, until = (read_time(moment) for moment in times if isinstance(moment, str))
    except ValueError:
        raise TurnError(400, "from and until are ISO 8601 times with an offset.") from None
    if until < start:
        raise TurnError(400, "until is before from.")
    return start, until


def _read_options(asked: Mapping[str, Any], behaviour: TurnBehaviour) -> dict[str, Any]:
    options = {}
    for name in asked.keys() - {"from", "until"}:
        policies = {"page_size": behaviour.page_size_option, "scrubbing_rules": behaviour.scrubbing_option}
        policy = policies.get(name, "accept" if name == "ordering" else "refuse")
        if policy == "refuse":
            raise TurnError(400, f"{name} is not supported here.")
        if policy == "accept":
            options[name] = asked[name]
    return options


def _paging(cursor: str | None, behaviour: TurnBehaviour) -> bytes:
    if cursor is not None:
        return b',"paging":' + json.dumps({"next": cursor}).encode()
    endings = {
        "missing": b"",
        "null": b"null",
        "empty": b"{}",
        "next_null": b'{"next":null}',
        "next_empty": b'{"next":""}',
    }
    ending = endings[behaviour.last_page]
    return b',"paging":' + ending if ending else b""


def _rate_limit_error() -> TurnError:
    return TurnError(429, "You are being rate limited by Turn.", "Rate limit hit for bucket general")


def _fault_error(fault: Fault) -> Response:
    return error_response(fault.status or 500, "The sandbox simulates a failure.")


def _is(request: Request, kind: str) -> bool:
    fault: Fault | None = request.state.fault
    return fault is not None and fault.kind == kind
