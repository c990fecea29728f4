"""
Sends the requests of a flow over a :class:`requests.Session`.

Requests go to the adapter directly: no redirect is followed, no cookie is sent back, no ``.netrc`` replaces the
credentials.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from airflow_provider_wacontacts.clients.http import Call, Flow, Request, Response, Send, Sleep
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
from airflow_provider_wacontacts.clients.retry import Failure, RetryLoop
from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError

__all__ = ["Driver", "quiet_urllib3"]

#: They log the path of each request at DEBUG, and a whole URL at WARNING: both can hold a cursor or a token.
LOGGERS = tuple(
    logging.getLogger(f"urllib3.{module}")
    for module in ("connection", "connectionpool", "poolmanager", "response", "util.retry")
)


class _WhileSending(logging.Filter):
    """Drops log records of threads that are sending."""

    def __init__(self) -> None:
        super().__init__()
        self.sending = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        return not getattr(self.sending, "depth", 0)


_FILTER = _WhileSending()


@contextmanager
def quiet_urllib3() -> Iterator[None]:
    """Drop urllib3's log records of this thread in the block."""
    for logger in LOGGERS:
        # Each time, because a logging configuration that is loaded later may remove it. Adding it twice has no effect.
        logger.addFilter(_FILTER)
    sending = _FILTER.sending
    sending.depth = getattr(sending, "depth", 0) + 1
    try:
        yield
    finally:
        sending.depth -= 1


T = TypeVar("T")


class Driver:
    """
    Sends the requests of flows to one host. Threads may share it.

    :param session: its adapters, proxies, TLS options and default headers are used; its ``auth`` and cookies are not.
    :param base_url: scheme, host and optional path; without a slash at the end.
    :param timeout: seconds to connect, and between two packets of a response.
    :param rate_limiter: spaces the requests; ``None`` for no limit.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        loop: RetryLoop | None = None,
        *,
        timeout: tuple[float, float] = (60.0, 60.0),
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._loop = loop or RetryLoop()
        self._timeout = timeout
        self._rate_limiter = rate_limiter

    def run(self, flow: Flow[T], *, before_pause: Callable[[float], None] | None = None) -> T:
        """
        Run a flow to its end, see :meth:`.RetryLoop.run`.

        :param before_pause: called with the seconds before each pause.
        :returns: what the flow returns.
        :raises WaContactsError: of the flow.
        """
        with closing(self._loop.run(flow)) as steps:
            try:
                step = next(steps)
                while True:
                    if before_pause and isinstance(step, Sleep):
                        before_pause(step.seconds)
                    result = self._result(step)
                    step = steps.throw(result) if isinstance(result, WaContactsError) else steps.send(result)
            except StopIteration as stop:
                value: T = stop.value
                return value

    def _result(self, step: Send | Sleep | Call) -> Any:
        try:
            match step:
                case Send(request):
                    if self._rate_limiter:
                        self._rate_limiter.acquire(self._loop.clock)
                    return self._send(request)
                case Sleep(seconds):
                    return self._loop.clock.sleep(seconds)
                case Call(function):
                    return function()
        except WaContactsError as error:
            return error

    def _send(self, request: Request) -> Response | Failure:
        # Errors of requests name the URL. What is raised after this block does not have one as its context.
        try:
            with quiet_urllib3():
                return self._exchange(request)
        except _CONFIGURATION:
            failure: Failure | None = None
        except (requests.RequestException, HTTPError) as error:
            failure = _failure(error)
        except OSError:
            failure = None
        if failure is None:
            raise ConfigError(
                f"{request.operation}: the request could not be sent; correct the connection's host, or its extras"
                " 'proxies', 'verify' and 'cert'"
            )
        return failure

    def _exchange(self, request: Request) -> Response:
        prepared = self._prepared(request)
        session, url = self._session, prepared.url or ""
        settings: Mapping[str, Any] = session.merge_environment_settings(
            url, proxies=dict(session.proxies), stream=True, verify=session.verify, cert=session.cert
        )
        adapter = session.get_adapter(url)
        with closing(adapter.send(prepared, timeout=self._timeout, **settings)) as response:
            # In one piece: requests reads chunks of 10 KB, which takes three times as long.
            body = response.raw.read(decode_content=True)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, headers, body)

    def _prepared(self, request: Request) -> requests.PreparedRequest:
        if not request.path.startswith("/"):
            raise ConfigError(f"{request.operation}: the path does not start with a slash")
        headers = CaseInsensitiveDict(self._session.headers)
        headers.update(request.headers)
        prepared = requests.PreparedRequest()
        prepared.prepare(request.method, self._base_url + request.path, headers=headers, data=request.body)
        return prepared


_CONFIGURATION = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    UnicodeError,
)


def _failure(error: Exception) -> Failure:
    if isinstance(error, requests.exceptions.SSLError) and "certificate" in str(error).lower():
        return Failure.NOT_TRUSTED
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, ProtocolError, DecodeError)):
        return Failure.CUT_OFF
    if isinstance(error, requests.ConnectTimeout) or _was_never_made(error):
        return Failure.UNREACHABLE
    return Failure.TIMED_OUT if isinstance(error, (requests.Timeout, ReadTimeoutError)) else Failure.BROKEN


def _was_never_made(error: Exception) -> bool:
    """Tell whether no connection was made, so that nothing was sent."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(error, requests.exceptions.ProxyError) or isinstance(
        reason, (NewConnectionError, ConnectTimeoutError)
    )
