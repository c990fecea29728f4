"""Connections of HTTP clients: a limited number, each of which must send a request soon."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_wacontacts.receiver.application import RETRY_AFTER_S

__all__ = ["MAX_CONNECTIONS", "LimitedProtocol"]

#: Connections at once; with 256 KiB each, 128 MiB of bodies. Further ones get 503 Service Unavailable.
MAX_CONNECTIONS = 512
#: How long the headers of a request may take to arrive.
MAX_HEADER_SECONDS = 10.0
REFUSAL = Response(status_code=503, headers={"Retry-After": str(RETRY_AFTER_S), "Connection": "close"})


class LimitedProtocol(H11Protocol):
    """The protocol of uvicorn that limits the size of headers. It does not limit their time."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first request."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:  # uvicorn's own response has no Retry-After
            self.logger.warning("A client is refused: %d others are connected.", MAX_CONNECTIONS)
            self.app = REFUSAL
        self._limit_time()

    def data_received(self, data: bytes) -> None:
        """Start the time limit of a further request, or end it when its headers are complete."""
        super().data_received(data)
        self._limit_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time limit."""
        super().connection_lost(exc)
        self._stop()

    def _limit_time(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._due is None:
            self._due = self.loop.call_later(MAX_HEADER_SECONDS, self.transport.close)

    def _stop(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
