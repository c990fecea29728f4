"""
Drives a flow over a :class:`requests.Session`.

Requests go to the adapter directly, so nothing of what a session adds by itself happens: no redirect is followed, no
cookie is sent back, no ``.netrc`` replaces the credentials.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar, cast

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

from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.clients.log_filter import quiet_urllib3
from airflow_provider_wacontacts.clients.retry import Attempt, Failure, Paused, RetryPolicy, pause_before_retry, unheard
from airflow_provider_wacontacts.exceptions import ApiError, ConfigError, WaContactsError

__all__ = ["Clock", "Credentials", "Driver"]

T = TypeVar("T")
log = logging.getLogger(__name__)


class Credentials(Protocol):
    """What makes a request the account's own."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers that authenticate; asked for anew before each sending."""

    def renew(self) -> bool | None:
        """Fetch the credentials anew after a 401; ``False`` where sending again with them is of no use."""


@dataclass(frozen=True, slots=True)
class Clock:
    """
    Time, as the driver knows it: a seam for tests.

    :param sleep: waits, in seconds.
    :param monotonic: seconds since any moment, never going back.
    :param now: aware.
    """

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Driver:
    """
    Sends what flows ask for, to one host.

    :param session: its adapters, proxies, TLS options and default headers are used; its ``auth`` and cookies are not.
    :param base_url: scheme and host, and a path where there is one; without a slash at the end.
    :param credentials: ``None`` for requests that carry their own.
    :param timeout: seconds to connect, and between two packets of an answer.
    :param read: what an answer amounts to, before it is judged.
    :param chance: of [0, 1), for the backoff.
    :param paused: is told before each pause.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        credentials: Credentials | None = None,
        *,
        policy: RetryPolicy | None = None,
        timeout: tuple[float, float] = (60.0, 60.0),
        clock: Clock | None = None,
        read: Callable[[Response], Response] = lambda response: response,
        chance: Callable[[], float] = random.random,
        paused: Paused = unheard,
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._credentials = credentials
        self._policy = policy or RetryPolicy()
        self._timeout = timeout
        self._clock = clock or Clock()
        self._read = read
        self._chance = chance
        self._paused = paused
        self._attempts = 0

    def run(self, flow: Flow[T]) -> T:
        """
        Drive a flow to its end.

        429, 5xx and failures of the network are dealt with here; every other answer goes to the flow. What cannot be
        dealt with is thrown into the flow, which may go on from there.

        :returns: what the flow returns.
        :raises WaContactsError: of the flow, or of :func:`~.retry.pause_before_retry`.
        """
        with closing(flow):
            try:
                request = next(flow)
                while True:
                    answer = self._answer_or_error(request)
                    request = flow.send(answer) if isinstance(answer, Response) else flow.throw(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            except ApiError as error:
                error.attempts = error.attempts or self._attempts
                raise

    def _answer_or_error(self, request: Request) -> Response | WaContactsError:
        try:
            return self._answer(request)
        except WaContactsError as error:
            return error

    def _answer(self, request: Request) -> Response:
        begun = self._clock.monotonic()
        self._attempts = 0
        is_renewed = False
        while True:
            self._attempts += 1
            outcome = self._outcome(request)
            if not is_renewed and isinstance(outcome, Response) and outcome.status == 401:
                is_renewed = True
                if self._credentials and self._credentials.renew() is not False:
                    continue
            elapsed = timedelta(seconds=self._clock.monotonic() - begun)
            last = Attempt(request, outcome, self._attempts, elapsed, self._clock.now(), self._chance())
            pause = pause_before_retry(self._policy, last)
            if pause is None:
                return cast(Response, outcome)
            log.info("%s", last.announce(pause))
            self._paused(last, pause)
            self._clock.sleep(pause.total_seconds())

    def _outcome(self, request: Request) -> Response | Failure:
        sent = self._send(request)
        return self._read(sent) if isinstance(sent, Response) else sent

    def _send(self, request: Request) -> Response | Failure:
        # What requests raises names the URL, so it ends here: an error raised later has no such thing for its context.
        try:
            with quiet_urllib3():
                return self._exchange(request)
        except _CONFIGURATION:
            wrong: Failure | None = None
        except (requests.RequestException, HTTPError) as error:
            wrong = _failure(error)
        except OSError:
            wrong = None
        if wrong is None:
            raise ConfigError(
                f"{request.operation}: nothing could be sent; correct the connection's host, or its extras 'proxies',"
                " 'verify' and 'cert'"
            )
        return wrong

    def _exchange(self, request: Request) -> Response:
        prepared = self._prepared(request)
        session, url = self._session, prepared.url or ""
        settings: Mapping[str, Any] = session.merge_environment_settings(
            url, proxies=dict(session.proxies), stream=True, verify=session.verify, cert=session.cert
        )
        adapter = session.get_adapter(url)
        with closing(adapter.send(prepared, timeout=self._timeout, **settings)) as answer:
            # In one piece: requests reads chunks of 10 KB, which takes three times as long.
            body = answer.raw.read(decode_content=True)
            _expect_whole(answer)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, headers, body)

    def _prepared(self, request: Request) -> requests.PreparedRequest:
        if not request.path.startswith("/"):
            raise ConfigError(f"{request.operation}: a path starts with a slash")
        headers = CaseInsensitiveDict(self._session.headers)
        headers.update(request.headers)
        if self._credentials:
            headers.update(self._credentials.headers())
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


def _expect_whole(answer: requests.Response) -> None:
    """
    Refuse an answer that is shorter than announced: urllib3 below 2 takes one for whole.

    :raises requests.exceptions.ChunkedEncodingError: bytes are missing.
    """
    announced = answer.headers.get("content-length", "")
    if "transfer-encoding" in answer.headers or answer.request.method == "HEAD" or not announced.isdecimal():
        return
    if answer.status_code not in (204, 304) and answer.raw.tell() < int(announced):
        raise requests.exceptions.ChunkedEncodingError


def _failure(error: Exception) -> Failure:
    if isinstance(error, requests.exceptions.SSLError) and "certificate" in str(error).lower():
        return Failure.NOT_TRUSTED
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, ProtocolError, DecodeError)):
        return Failure.CUT_OFF
    if isinstance(error, requests.ConnectTimeout) or _was_never_made(error):
        return Failure.UNREACHABLE
    return Failure.TIMED_OUT if isinstance(error, (requests.Timeout, ReadTimeoutError)) else Failure.BROKEN


def _was_never_made(error: Exception) -> bool:
    """Tell whether there was no connection that anything could have been sent by."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(error, requests.exceptions.ProxyError) or isinstance(
        reason, (NewConnectionError, ConnectTimeoutError)
    )
