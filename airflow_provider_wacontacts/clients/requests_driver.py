"""
Sends the requests of a flow over a :class:`requests.Session`.

Requests go to the adapter directly: no redirect is followed, no cookie is sent back, no ``.netrc`` replaces the
credentials.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPException
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

from airflow_provider_wacontacts.clients.bodies import (
    ACCEPT_ENCODING,
    DEFAULT_LIMITS,
    BodyTooLargeError,
    Limits,
    decompress,
)
from airflow_provider_wacontacts.clients.deadlines import deadline
from airflow_provider_wacontacts.clients.failures import Failure, causes, connect_failure, tls_failure
from airflow_provider_wacontacts.clients.http import Call, Flow, Request, Response, Send, Sleep, validate_request
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
from airflow_provider_wacontacts.clients.retry import RetryLoop
from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError

__all__ = ["Driver", "quiet_urllib3"]

#: These log the path of each request at DEBUG, and a whole URL at WARNING: both may contain a cursor or a token.
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
        # Added each time, because loading a logging configuration may remove it. Adding it twice has no effect.
        logger.addFilter(_FILTER)
    sending = _FILTER.sending
    sending.depth = getattr(sending, "depth", 0) + 1
    try:
        yield
    finally:
        sending.depth -= 1


T = TypeVar("T")

#: Prefix of http.client's error if a proxy does not connect to the host.
NO_TUNNEL = "Tunnel connection failed"


class Driver:
    """
    Sends the requests of flows to one host. Threads may share it.

    :param session: session with the adapters, proxies, TLS options and default headers. Its ``auth`` and cookies are
        not used.
    :param base_url: scheme, host and optional path; without a slash at the end.
    :param timeout: seconds to connect, and between two packets of a response.
    :param limits: limits of a response. The time limit needs a :class:`~.deadlines.DeadlineAdapter` in the session.
    :param rate_limiter: spaces the requests; ``None`` for no limit.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        loop: RetryLoop | None = None,
        *,
        timeout: tuple[float, float] = (60.0, 60.0),
        limits: Limits = DEFAULT_LIMITS,
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._loop = loop or RetryLoop()
        self._timeout = (min(timeout[0], limits.max_seconds), min(timeout[1], limits.max_seconds))
        self._limits = limits
        self._rate_limiter = rate_limiter

    def run(self, flow: Flow[T], *, before_pause: Callable[[float], None] | None = None) -> T:
        """
        Run a flow to its end, see :meth:`.RetryLoop.run`.

        :param before_pause: called with the seconds before each pause.
        :returns: what the flow returns.
        :raises WaContactsError: raised by the flow.
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
        validate_request(request)
        # Errors of requests contain the URL. Errors raised after this block do not have one as their context.
        problem: Failure | WaContactsError
        with quiet_urllib3(), deadline(self._limits.max_seconds) as limit:
            try:
                return self._exchange(request)
            except BodyTooLargeError:
                problem = self._limits.too_large(request.operation)
            except Exception as error:  # noqa: BLE001 - urllib3 lets some of http.client's through, with data in them
                problem = _problem(error, request.operation)
                if isinstance(problem, Failure) and limit.seconds_left <= 0:
                    problem = self._limits.too_slow(request.operation)
        if isinstance(problem, WaContactsError):
            raise problem
        return problem

    def _exchange(self, request: Request) -> Response:
        prepared = self._prepared(request)
        session, url = self._session, prepared.url or ""
        settings: Mapping[str, Any] = session.merge_environment_settings(
            url, proxies=dict(session.proxies), stream=True, verify=session.verify, cert=session.cert
        )
        adapter = session.get_adapter(url)
        with closing(adapter.send(prepared, timeout=self._timeout, **settings)) as response:
            body = _read(response.raw, self._limits.max_bytes)
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = decompress(body, headers.get("content-encoding", ""), self._limits.max_bytes)
        return Response(response.status_code, headers, body)

    def _prepared(self, request: Request) -> requests.PreparedRequest:
        headers = CaseInsensitiveDict(self._session.headers)
        headers.update(request.headers)
        headers["accept-encoding"] = ACCEPT_ENCODING
        prepared = requests.PreparedRequest()
        prepared.prepare(request.method, self._base_url + request.path, headers=headers, data=request.body)
        return prepared


def _read(raw: Any, max_bytes: int) -> bytes:
    # Read in few pieces: the 10 KB chunks of requests take three times as long.
    pieces: list[bytes] = []
    left = max_bytes + 1
    while left and (piece := raw.read(left, decode_content=False)):
        pieces.append(piece)
        left -= len(piece)
    if not left:
        raise BodyTooLargeError
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


_CONFIGURATION = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    UnicodeError,
)


def _problem(error: Exception, operation: str) -> Failure | ConfigError:
    is_http = isinstance(error, (requests.RequestException, HTTPError))
    if isinstance(error, requests.exceptions.InvalidHeader) and any(isinstance(each, HTTPError) for each in error.args):
        # An invalid response header, for example two lengths: the request has been sent.
        return Failure.MALFORMED
    if isinstance(error, _CONFIGURATION) or (isinstance(error, OSError) and not is_http):
        return ConfigError(
            f"{operation}: The request could not be sent. Correct the connection's host, or its extras 'proxies',"
            " 'verify' and 'cert'."
        )
    if isinstance(error, zlib.error):
        return Failure.INCOMPLETE
    return _failure(error) if is_http else Failure.MALFORMED


def _failure(error: Exception) -> Failure:
    if isinstance(error, requests.exceptions.SSLError):
        return tls_failure(error)
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, ProtocolError, DecodeError)):
        return Failure.INCOMPLETE
    # A ProxyError is ambiguous: urllib3 also raises it if the connection ends after the request was sent.
    if any(isinstance(cause, (NewConnectionError, ConnectTimeoutError)) for cause in causes(error)):
        is_proxy = isinstance(error, requests.exceptions.ProxyError)
        return Failure.PROXY if is_proxy else connect_failure(error)
    if any(type(cause) is OSError and str(cause).startswith(NO_TUNNEL) for cause in causes(error)):
        return Failure.PROXY
    if isinstance(error, (requests.Timeout, ReadTimeoutError)):
        return Failure.TIMED_OUT
    # RemoteDisconnected, an empty response, is an HTTPException and an OSError.
    is_malformed = any(isinstance(cause, HTTPException) and not isinstance(cause, OSError) for cause in causes(error))
    return Failure.MALFORMED if is_malformed else Failure.DROPPED
