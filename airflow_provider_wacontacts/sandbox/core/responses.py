"""
Send responses: complete, cut, or dropped, with the sandbox's time as ``Date``.

ASGI cannot abort a response. So the server's connections are kept by the client's address, and closed during a response
if a fault requires it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Literal

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Connections", "DateHeaderMiddleware", "Response", "error_response", "json_response"]

_ERRORS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Connections:
    """The open connections of one server, by the client's address."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}

    def protocol(self) -> type[asyncio.Protocol]:
        """Return uvicorn's HTTP/1.1 protocol, which registers its connections."""
        transports = self._transports

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                transports[transport.get_extra_info("peername")[:2]] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.transport.get_extra_info("peername")[:2], None)
                super().connection_lost(exc)

        return Protocol

    async def close(self, scope: Scope, receive: Receive) -> None:
        """Close a request's connection, after the part that was already sent."""
        self._transports[scope["client"]].close()
        while (await receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True, slots=True)
class Response:
    """
    A response to one request; Starlette can send it.

    :param ending: ``cut`` sends ``share`` of the body and closes the connection, ``drop`` closes it at once.
    :param delay_s: real seconds before the response is sent.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json; charset=utf-8"
    ending: Literal["whole", "cut", "drop"] = "whole"
    share: float = 0.5
    connections: Connections | None = None
    delay_s: float = 0.0

    @property
    def outcome(self) -> str:
        """The status, ``cut`` or ``drop``, for counts."""
        return str(self.status) if self.ending == "whole" else self.ending

    def with_headers(self, headers: Mapping[str, str]) -> Response:
        """Return the response with more headers, which replace its headers of the same name."""
        return replace(self, headers={**self.headers, **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.ending != "drop":
            await self._send(send)
        if self.ending != "whole" and self.connections is not None:
            await self.connections.close(scope, receive)

    async def _send(self, send: Send) -> None:
        headers = MutableHeaders({"content-type": self.media_type, "content-length": str(len(self.body))})
        headers.update(self.headers)
        whole = self.ending == "whole"
        body = self.body if whole else self.body[: int(len(self.body) * self.share)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body, "more_body": not whole})


class DateHeaderMiddleware:
    """An application that sets the ``Date`` of responses to a given time; None removes it."""

    def __init__(self, app: ASGIApp, time: Callable[[], datetime | None]) -> None:
        self._app = app
        self._time = time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request."""

        async def dated(message: Message) -> None:
            now = self._time() if message["type"] == "http.response.start" else None
            if now is not None:
                MutableHeaders(raw=message["headers"]).setdefault("date", format_datetime(now, usegmt=True))
            await send(message)

        await self._app(scope, receive, dated)


def json_response(content: Any, status: int = 200) -> Response:
    """Return a response with a JSON body."""
    return Response(status, json.dumps(content, separators=(",", ":")).encode())


def error_response(status: int, details: str, title: str | None = None) -> Response:
    """Return an error response in Turn.io's form."""
    title = title or _ERRORS.get(status, "Error")
    return json_response({"errors": [{"code": status, "title": title, "details": details}]}, status)
