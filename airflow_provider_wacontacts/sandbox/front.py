"""What the stand-ins of one sandbox share: the time, the faults in line, the counts, and how a request is answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from airflow_provider_wacontacts.sandbox.behaviour import Fault, RequestKind
from airflow_provider_wacontacts.sandbox.clock import Clock
from airflow_provider_wacontacts.sandbox.faults import Faults, Requests
from airflow_provider_wacontacts.sandbox.wire import Answer, Connections

__all__ = ["Front", "made_up", "spoiled"]

_HTML = b"<!doctype html><html><head><title>Sandbox</title></head><body><h1>Down for a while</h1></body></html>"


class Front:
    """
    The way in.

    :param real_time: seconds since the epoch, for what goes by real time: rate limits and the like.
    """

    def __init__(self, clock: Clock, connections: Connections, real_time: Callable[[], float] = time.time) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.real_time = real_time
        self._connections = connections
        self._resets = 0
        self.reset()

    def reset(self) -> None:
        """Forget faults and counts. Requests that are held back meanwhile are dropped: what comes now was not asked."""
        with self.lock:
            self._resets += 1
            self.faults = Faults()
            self.requests = Requests()

    def handler(
        self, kind: RequestKind, answer_to: Callable[[Request, bytes, Fault | None], Answer]
    ) -> Callable[[Request], Any]:
        """
        Make an endpoint of a function.

        :param answer_to: takes the request, its body and the fault that it met; is called under the lock.
        """

        async def handle(request: Request) -> Answer:
            body = await request.body()
            with self.lock:
                fault, resets = self.faults.take(kind), self._resets
            if fault is not None and fault.kind != "rate_limited":
                await asyncio.sleep(fault.delay_s)
            with self.lock:
                if self._resets == resets:
                    answer = answer_to(request, body, fault)
                    self.requests.add(kind, answer.outcome)
                else:
                    answer = Answer(0, ending="drop")
            return replace(answer, connections=self._connections)

        return handle


def made_up(fault: Fault, error: Callable[[Fault], Answer], rate_limited: Callable[[float], Answer]) -> Answer | None:
    """
    Answer a fault that needs nothing of the request; None for one that does.

    :param error: words an error of a ``status``, which may be without one.
    :param rate_limited: words a 429 to come back after so many seconds.
    """
    match fault.kind:
        case "status":
            told = error(fault)
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
            answer = rate_limited(fault.delay_s)
        case _:
            return None
    return answer.with_headers(fault.headers)


def spoiled(answer: Answer, fault: Fault | None) -> Answer:
    """Give a true answer with a fault's headers, and cut if the fault cuts."""
    if fault is None:
        return answer
    answer = answer.with_headers(fault.headers)
    return replace(answer, ending="cut", share=fault.share) if fault.kind == "cut" else answer
