"""
The routes of Turn.io's Data Export API for contacts, and ``GET /v1/contacts/schemas``.

Public sources: "Getting data from the Contacts API endpoint"
(https://learn.turn.io/article/l8g9u42mpr-getting-data-from-the-contacts-api-endpoint), the Data Export API
(https://whatsapp.turn.io/docs/api/data_export_api) and rate limiting
(https://whatsapp.turn.io/docs/api/rate_limiting).
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wacontacts.sandbox.behaviour import Fault, RequestKind, TurnBehaviour
from airflow_provider_wacontacts.sandbox.clock import Clock, read_time, write_time
from airflow_provider_wacontacts.sandbox.contacts import Renderer, read_scrubbing_rules, schema_fields
from airflow_provider_wacontacts.sandbox.exports import Cursors, Export, Place, move_contacts, read_page
from airflow_provider_wacontacts.sandbox.faults import Faults, Requests
from airflow_provider_wacontacts.sandbox.limits import RateLimit, retry_after_headers
from airflow_provider_wacontacts.sandbox.wire import Answer, Connections, error_answer, json_answer
from airflow_provider_wacontacts.sandbox.world import World

__all__ = ["Refusal", "TurnApi"]

_CURSOR_PATH = "/v1/data/contacts/cursor"
_ACCEPT = "application/vnd.v1+json"
_OPTIONS = {"page_size": "page_size_option", "scrubbing_rules": "scrubbing_option", "ordering": "ordering_option"}
_HTML = b"<!doctype html><html><head><title>Sandbox</title></head><body><h1>Down for a while</h1></body></html>"


class Refusal(Exception):  # noqa: N818
    """An answer other than a success."""

    def __init__(self, status: int, details: str, title: str | None = None) -> None:
        super().__init__(details)
        self.answer = error_answer(status, details, title)


class TurnApi:
    """
    One number's API and what it remembers.

    :param real_time: seconds since the epoch, for the rate limit.
    """

    def __init__(
        self,
        world: World,
        clock: Clock,
        behaviour: TurnBehaviour,
        connections: Connections,
        real_time: Callable[[], float] = time.time,
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.behaviour = behaviour
        self._connections = connections
        self._real_time = real_time
        self.load(world)

    def load(self, world: World) -> None:
        """Put another world in place of this one; cursors, calls, faults and counts so far are forgotten."""
        with self.lock:
            self.world = world
            self.faults = Faults()
            self.requests = Requests()
            self._rate_limit = RateLimit()
            self._renderer = Renderer(world)
            self._cursors = Cursors(world.seed)

    def routes(self) -> list[Route]:
        """Give the routes of the API, and one that answers everything else."""
        return [
            Route(_CURSOR_PATH, self._handler("create", self._create), methods=["POST"]),
            Route(_CURSOR_PATH + "/{cursor:path}", self._handler("page", self._page), methods=["GET"]),
            Route("/v1/contacts/schemas", self._handler("schemas", self._schemas), methods=["GET"]),
            Route("/{path:path}", self._handler("other", self._other)),
        ]

    def _handler(self, kind: RequestKind, call: Callable[[Request, bytes], Answer]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Answer:
            body = await request.body()
            with self.lock:
                fault = self.faults.take(kind)
            if fault is not None and fault.kind != "rate_limited":
                await asyncio.sleep(fault.delay_s)
            with self.lock:
                answer = self._answer(call, request, body, fault)
                self.requests.add(kind, answer.outcome)
            return replace(answer, connections=self._connections)

        return handle

    def _answer(
        self, call: Callable[[Request, bytes], Answer], request: Request, body: bytes, fault: Fault | None
    ) -> Answer:
        made_up = self._made_up(fault) if fault else None
        if made_up is not None:
            return made_up
        grant = self._rate_limit.ask(self.behaviour, self._real_time())
        request.state.fault = fault
        try:
            self._authorize(request)
            if grant is not None and not grant.allowed:
                raise _rate_refusal()
            answer = call(request, body)
        except Refusal as refusal:
            answer = refusal.answer
        answer = answer.with_headers(grant.headers(self.behaviour, self._told_time()) if grant else {})
        return _spoiled(answer, fault) if fault else answer

    def _made_up(self, fault: Fault) -> Answer | None:
        """Answer a fault that needs nothing of the request."""
        match fault.kind:
            case "status":
                status = fault.status or 500
                told = error_answer(status, "A fault that the sandbox was told to have.")
                answer = told if fault.body is None else replace(told, body=fault.body.encode("latin-1"))
            case "drop":
                answer = Answer(0, ending="drop")
            case "html":
                answer = Answer(fault.status or 200, _HTML, media_type="text/html; charset=utf-8")
            case "empty":
                answer = Answer(fault.status or 200)
            case "body":
                answer = Answer(fault.status or 200, (fault.body or "").encode("latin-1"))
            case "rate_limited":
                headers = retry_after_headers(self.behaviour, self._told_time(), fault.delay_s)
                answer = _rate_refusal().answer.with_headers(headers)
            case _:
                return None
        return answer.with_headers(fault.headers)

    def _told_time(self) -> float:
        """Return the time that answers bear."""
        return self.clock.now().timestamp() if self.behaviour.send_date else self._real_time()

    def _authorize(self, request: Request) -> None:
        behaviour = self.behaviour
        expires_at = behaviour.token_expires_at
        if request.headers.get("authorization") != f"Bearer {behaviour.token}":
            raise Refusal(401, "The token is missing or not known.")
        if expires_at is not None and self.clock.now() >= expires_at:
            raise Refusal(401, "The token has expired.")

    def _create(self, request: Request, body: bytes) -> Answer:
        self._check_headers(request, has_body=True)
        behaviour, now = self.behaviour, self.clock.now()
        if behaviour.export == "forbidden":
            raise Refusal(403, "The contacts export is not part of this account's plan.")
        if behaviour.export == "unavailable":
            raise Refusal(404, "The data export API is not available for this account.")
        asked = _read_object(body)
        self.requests.asked.append(asked)
        export = self._read_export(asked, now)
        since = self._real_time() - behaviour.open_cursor_idle_s
        if behaviour.max_open_cursors is not None and self._cursors.count_open(since) >= behaviour.max_open_cursors:
            raise Refusal(403, "Too many cursors are open at once.")
        cursor = self._cursors.make(Place(export), needs_quoting=behaviour.cursor_needs_quoting)
        made = {"cursor": cursor, "expires_at": write_time(export.expires_at)}
        if _is(request, "no_cursor"):
            del made["cursor"]
        return json_answer(made, behaviour.create_status)

    def _read_export(self, asked: Mapping[str, Any], now: datetime) -> Export:
        behaviour = self.behaviour
        start, until = _read_window(asked)
        if behaviour.future_until == "refuse" and until > now:
            raise Refusal(400, "until is in the future.")
        options = _read_options(asked, behaviour)
        size = options.get("page_size", behaviour.page_size)
        ordering = options.get("ordering", behaviour.default_ordering)
        if type(size) is not int or not 1 <= size <= max(behaviour.max_page_size, behaviour.page_size):
            raise Refusal(400, f"page_size is a number from 1 to {behaviour.max_page_size}.")
        if "ordering" in options and ordering not in ("asc", "desc"):
            raise Refusal(400, "ordering is asc or desc.")
        try:
            rules = read_scrubbing_rules(options.get("scrubbing_rules", {}))
        except ValueError as error:
            raise Refusal(400, f"{error}.") from None
        expires_at = now + timedelta(seconds=behaviour.cursor_lifetime_s)
        return Export(start, until, ordering, size, rules, expires_at, touched=self._real_time())

    def _page(self, request: Request, _body: bytes) -> Answer:
        self._check_headers(request)
        # The quoted path: a cursor with a slash in it is one segment only if the client quoted it.
        quoted = bytes(request.scope["raw_path"]).decode("ascii").removeprefix(_CURSOR_PATH + "/")
        cursor = unquote(quoted)
        place = None if "/" in quoted else self._cursors.find(cursor)
        if place is None:
            raise Refusal(404, "There is no such cursor.")
        self._check_expiry(request, cursor, place.export)
        place.export.pages += 1
        place.export.touched = self._real_time()
        return self._serve(request, cursor, place)

    def _check_expiry(self, request: Request, cursor: str, export: Export) -> None:
        behaviour = self.behaviour
        was_read = self._cursors.was_read(cursor)
        export.expired = (
            export.expired
            or self.clock.now() >= export.expires_at
            or (behaviour.cursor_pages is not None and export.pages >= behaviour.cursor_pages)
            or _is(request, "expired")
        )
        if export.expired or (was_read and behaviour.single_use_cursors):
            raise Refusal(400, "Create a new cursor to go on.", behaviour.expired_title)

    def _serve(self, request: Request, cursor: str, place: Place) -> Answer:
        behaviour, export = self.behaviour, place.export
        page = read_page(self.world, self.clock.now(), place, behaviour)
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
            self.clock.advance(behaviour.advance_per_page_s)
        if behaviour.moves_per_page:
            move_contacts(self.world, self.clock.now(), export, behaviour)
        return Answer(200, b'{"data":[%s]%s}' % (b",".join(rows), _paging(following_cursor, behaviour)))

    def _schemas(self, _request: Request, _body: bytes) -> Answer:
        return json_answer({"fields": schema_fields(self.world.current(self.clock.now()), self.behaviour)})

    def _other(self, _request: Request, _body: bytes) -> Answer:
        raise Refusal(404, "There is nothing here.")

    def _check_headers(self, request: Request, *, has_body: bool = False) -> None:
        if not self.behaviour.strict_headers:
            return
        if request.headers.get("accept") != _ACCEPT:
            raise Refusal(406, f"Accept is {_ACCEPT}.")
        if has_body and request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Refusal(415, "Content-Type is application/json.")


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except ValueError:
        raise Refusal(400, "The body is not JSON.") from None
    if not isinstance(asked, dict):
        raise Refusal(400, "The body is not an object.")
    return asked


def _read_window(asked: Mapping[str, Any]) -> tuple[datetime, datetime]:
    times = [asked.get("from"), asked.get("until")]
    try:
        start, until = (read_time(moment) for moment in times if isinstance(moment, str))
    except ValueError:
        raise Refusal(400, "from and until are ISO 8601 times with an offset.") from None
    if until < start:
        raise Refusal(400, "until is before from.")
    return start, until


def _read_options(asked: Mapping[str, Any], behaviour: TurnBehaviour) -> dict[str, Any]:
    options = {}
    for name in asked.keys() - {"from", "until"}:
        known = name in _OPTIONS
        policy = getattr(behaviour, _OPTIONS[name]) if known else behaviour.unknown_options
        if policy == "refuse":
            raise Refusal(400, f"{name} is not supported here.")
        if known and policy == "accept":
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


def _rate_refusal() -> Refusal:
    return Refusal(429, "You are being rate limited by Turn.", "Rate limit hit for bucket general")


def _spoiled(answer: Answer, fault: Fault) -> Answer:
    answer = answer.with_headers(fault.headers)
    return replace(answer, ending="cut", share=fault.share) if fault.kind == "cut" else answer


def _is(request: Request, kind: str) -> bool:
    fault: Fault | None = request.state.fault
    return fault is not None and fault.kind == kind
