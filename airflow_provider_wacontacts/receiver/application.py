"""
The ASGI application of the receiver: each delivery is read, verified, and only then parsed and recorded.

A response says nothing about which part of a refused delivery was wrong, and no log line holds anything of a delivery.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.receiver.current_store import CurrentStore
from airflow_provider_wacontacts.receiver.recorder import Recorder, UnavailableError, in_daemon_thread
from airflow_provider_wacontacts.receiver.webhooks import Webhooks

__all__ = ["create_app"]

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 256 * 1024
#: How long a body may take to arrive.
MAX_BODY_SECONDS = 10.0
#: How often the connections are read again.
REFRESH_SECONDS = 30.0
RETRY_AFTER_S = 5


def create_app(
    conn_ids: Sequence[str] = ("whatsapp_business_default",),
    *,
    store_conn_id: str = "wacontacts_store",
    max_deliveries_per_second: float = 200.0,
) -> Starlette:
    """
    Create the receiver for the webhooks of WhatsApp Business API clients.

    ``POST /<connection ID>``, or ``POST /<connection ID>/<webhook_path>``, records a delivery. ``GET /health`` returns
    the state of the store and the version of this package.

    :param conn_ids: Connections of type ``whatsapp_business`` with extra ``webhook_secret`` or ``webhook_path``.
    :param store_conn_id: Connection of the store.
    :param max_deliveries_per_second: Maximum verified deliveries per second and connection. Default: 200.
    :raises ConfigError: an argument or a connection is invalid, or the store cannot be used.
    """
    if not max_deliveries_per_second > 0:
        raise ConfigError(f"max_deliveries_per_second is {max_deliveries_per_second}. It must be greater than zero.")
    # Lets Airflow read connections from its database, as its own servers do.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    webhooks = Webhooks(conn_ids)
    current = CurrentStore(store_conn_id)
    recorder = Recorder(current.store)
    recorder.prepare()
    receiver = _Receiver(webhooks, current, recorder, max_deliveries_per_second)
    return Starlette(
        routes=[
            Route("/health", receiver.health, methods=["GET"]),
            Route("/{path:path}", receiver.receive, methods=["POST"]),
        ],
        exception_handlers={404: receiver.refuse},
        lifespan=receiver.lifespan,
    )


class _Receiver:
    def __init__(self, webhooks: Webhooks, current: CurrentStore, recorder: Recorder, per_second: float) -> None:
        self._webhooks = webhooks
        self._current = current
        self._recorder = recorder
        self._per_second = per_second
        self._buckets: dict[str, _Bucket] = {}

    async def health(self, _: Request) -> Response:
        is_available = await self._recorder.is_available()
        state = {"store": "available" if is_available else "unavailable", "version": __version__}
        return JSONResponse(state, 200 if is_available else 503)

    async def receive(self, request: Request) -> Response:
        began = time.monotonic()
        conn_id, what = "-", ""
        try:
            body = await _read_body(request)
        except ClientDisconnect:
            response = Response(status_code=400)
        except _RefusedBodyError as refused:
            response = Response(status_code=refused.status, headers={"Connection": "close"})
        else:
            if verified := self._verify(request, body):
                conn_id, sender = verified
                response, what = await self._record(conn_id, sender, body)
            else:
                response = Response(status_code=401)
        milliseconds = (time.monotonic() - began) * 1000
        # Of the URL, only the ID of a known connection: the rest may hold a secret, or anything.
        log.info("POST %s %d in %.0f ms%s", conn_id, response.status_code, milliseconds, what)
        return response

    async def refuse(self, request: Request, _: Exception) -> Response:
        """Refuse a request whose path no route matches, for example ``*``, like requests for other paths."""
        if request.method == "POST":
            return await self.receive(request)
        return PlainTextResponse("Method Not Allowed", 405, {"Allow": "POST"})

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        refreshing = asyncio.create_task(self._refresh())
        try:
            yield
        finally:
            refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await refreshing
            await self._recorder.close()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await in_daemon_thread(self._read_connections)

    def _read_connections(self) -> None:
        self._webhooks.refresh()
        if self._current.reopen(anyway=self._recorder.needs_store):
            self._recorder.use(self._current.store)

    def _verify(self, request: Request, body: bytes) -> tuple[str, str] | None:
        """Return the ID of the connection that a delivery is for, and its sender; ``None`` for a forged delivery."""
        conn_id, _, path = request.path_params.get("path", "").partition("/")
        webhook = self._webhooks.find(conn_id)
        signatures = request.headers.getlist(webhook.header)
        is_genuine = webhook.accepts(path, signatures, body, algorithms=self._webhooks.algorithms)
        return (conn_id, webhook.sender) if is_genuine else None

    async def _record(self, conn_id: str, sender: str, body: bytes) -> tuple[Response, str]:
        """Record a verified delivery; return the response, and a note for the log."""
        if not self._buckets.setdefault(conn_id, _Bucket(self._per_second)).take():
            return Response(status_code=429, headers={"Retry-After": "1"}), ""
        try:
            recorded = await self._recorder.record(sender, body)
        except UnavailableError as error:
            return Response(status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)}), f": not recorded, {error}"
        if recorded is self._recorder.rejected:
            return Response(status_code=200), ": it cannot be read, and is in wacontacts_reject"
        return Response(status_code=200), (
            f": {recorded.results} results, {recorded.identities} identities, {recorded.identifier_changes} changed"
            f" identifiers, {recorded.ignored} ignored"
        )


class _Bucket:
    """Allows a number of deliveries per second, and a burst of one second's, or of one delivery."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._burst = self._left = max(1.0, per_second)
        self._at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _RefusedBodyError(Exception):
    """
    The body is refused before its end.

    :ivar status: HTTP status of the response.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def _read_body(request: Request) -> bytes:
    """
    Read the body of any delivery, so that a refusal does not reveal which connections exist.

    :raises _RefusedBodyError: it is too large, or takes too long.
    :raises ClientDisconnect: it is not complete.
    """
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 9 or int(length) > MAX_BODY_BYTES:
        raise _RefusedBodyError(413)
    body = bytearray()
    try:
        async with asyncio.timeout(MAX_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _RefusedBodyError(413)
    except TimeoutError:
        raise _RefusedBodyError(408) from None
    return bytes(body)
