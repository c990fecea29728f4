"""Dispatch requests: apply pending faults, count outcomes, respond under one lock."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from airflow_provider_wacontacts.sandbox.core.clock import Clock
from airflow_provider_wacontacts.sandbox.core.faults import Fault, Faults, RequestKind, Requests
from airflow_provider_wacontacts.sandbox.core.hostile import make_hostile
from airflow_provider_wacontacts.sandbox.core.responses import Connections, Response

__all__ = ["Dispatcher", "apply_fault", "fault_response"]

_HTML = b"<!doctype html><html><head><title>Sandbox</title></head><body><h1>Down for a while</h1></body></html>"


class Dispatcher:
    """
    Dispatches requests to endpoints.

    :param real_time: seconds since the epoch, for everything in real time, for example rate limits.
    """

    def __init__(self, clock: Clock, connections: Connections, real_time: Callable[[], float] = time.time) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.real_time = real_time
        self._connections = connections
        self._resets = 0
        self.faults = Faults()
        self.requests = Requests()

    def reset(self) -> None:
        """Clear faults and counts; drop currently delayed requests."""
        with self.lock:
            self._resets += 1
            self.faults.clear()
            self.requests.clear()

    def handler(
        self, kind: RequestKind, respond: Callable[[Request, bytes, Fault | None], Response]
    ) -> Callable[[Request], Any]:
        """
        Create an endpoint from a function.

        :param respond: called under the lock with the request, its body and its fault.
        """

        async def handle(request: Request) -> Response:
            body = await request.body()
            with self.lock:
                fault, resets = self.faults.take(kind), self._resets
            if fault is not None and fault.kind != "rate_limited":
                await asyncio.sleep(fault.delay_s)
            with self.lock:
                if self._resets == resets:
                    answer = respond(request, body, fault)
                    self.requests.add(kind, answer.outcome)
                else:
                    answer = Response(0, ending="drop")
            return replace(answer, connections=self._connections)

        return handle


def fault_response(
    fault: Fault, error: Callable[[Fault], Response], rate_limited: Callable[[float], Response]
) -> Response | None:
    """
    Return the response of a fault that does not depend on the request; None for other faults.

    :param error: returns the error response of a ``status`` fault.
    :param rate_limited: returns a 429 with a delay in seconds.
    """
    match fault.kind:
        case "status":
            failed = error(fault)
            answer = failed if fault.body is None else replace(failed, body=fault.body.encode("latin-1"))
        case "drop":
            answer = Response(0, ending="drop")
        case "html":
            answer = Response(fault.status or 200, _HTML, media_type="text/html; charset=utf-8")
        case "empty":
            answer = Response(fault.status or 200)
        case "body":
            answer = Response(fault.status or 200, (fault.body or "").encode("latin-1"))
        case "rate_limited":
            answer = rate_limited(fault.delay_s)
        case _:
            return None
    return answer.with_headers(fault.headers)


def apply_fault(answer: Response, fault: Fault | None) -> Response:
    """Apply a fault to a true response: its headers, its cut, or its hostile content."""
    if fault is None:
        return answer
    answer = answer.with_headers(fault.headers)
    if fault.kind == "hostile":
        return replace(answer, body=make_hostile(answer.body, fault.hostile))
    return replace(answer, ending="cut", share=fault.share) if fault.kind == "cut" else answer
