"""
Drives a flow over an :class:`aiohttp.ClientSession`: the twin of :mod:`~.requests_driver`, for the triggerer.

As there, no redirect is followed, no cookie is sent back, and no ``.netrc`` replaces the credentials.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from yarl import URL

from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.clients.retry import Attempt, Failure, Paused, RetryPolicy, pause_before_retry, unheard
from airflow_provider_wacontacts.exceptions import ApiError, ConfigError, WaContactsError

__all__ = ["AsyncClock", "AsyncCredentials", "AsyncDriver", "Route", "open_session", "route_to"]

T = TypeVar("T")
log = logging.getLogger(__name__)


class AsyncCredentials(Protocol):
    """What makes a request the account's own."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers that authenticate; asked for anew before each sending."""

    async def renew(self) -> bool | None:
        """Fetch the credentials anew after a 401; ``False`` where sending again with them is of no use."""


@dataclass(frozen=True, slots=True)
class AsyncClock:
    """
    Time, as the driver knows it: a seam for tests.

    :param sleep: waits, in seconds.
    :param monotonic: seconds since any moment, never going back.
    :param now: aware.
    """

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Route:
    """
    How a host is reached.

    :param base_url: scheme and host, and a path where there is one; without a slash at the end.
    :param tls: whom to trust, and with which certificate to show oneself; not used for ``http``.
    :param proxy: URL of a proxy; ``None`` for none.
    """

    base_url: str
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)


def route_to(
    base_url: str,
    *,
    verify: bool | str = True,
    cert: str | tuple[str, str] | None = None,
    proxies: Mapping[str, str] | None = None,
    trust_env: bool = True,
) -> Route:
    """
    Decide how to reach a host, as requests would. It reads files: do not call it on an event loop.

    :param verify: whether certificates are verified, or a file or directory of the authorities to trust.
    :param cert: file of the client's certificate, or that and its key.
    :param proxies: proxy URL by scheme.
    :param trust_env: whether the environment's proxies and authorities count.
    :raises ConfigError: a file cannot be read, or the proxy is of another kind than http.
    """
    with requests.Session() as session:
        session.trust_env = trust_env
        settings = session.merge_environment_settings(
            base_url, proxies=dict(proxies or {}), stream=True, verify=verify, cert=cert
        )
    proxy = select_proxy(base_url, settings["proxies"]) or None
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    if proxy and urlsplit(proxy).scheme not in ("http", "https"):
        raise ConfigError("the triggerer reaches hosts through proxies of http:// only; correct extra 'proxies'")
    is_secure = base_url.startswith("https:")
    return Route(base_url, _tls(settings["verify"], settings["cert"]) if is_secure else None, proxy)


def open_session(user_agent: str) -> aiohttp.ClientSession:
    """Open a session that keeps its lines, and nothing else, from one request to the next; the caller closes it."""
    return aiohttp.ClientSession(headers={"user-agent": user_agent}, cookie_jar=aiohttp.DummyCookieJar())


class AsyncDriver:
    """
    Sends what flows ask for, to one host. One flow at a time; drivers may share a session.

    :param credentials: ``None`` for requests that carry their own.
    :param timeout: seconds to connect, and between two packets of an answer.
    :param read: what an answer amounts to, before it is judged.
    :param chance: of [0, 1), for the backoff.
    :param paused: is told before each pause.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        route: Route,
        credentials: AsyncCredentials | None = None,
        *,
        policy: RetryPolicy | None = None,
        timeout: tuple[float, float] = (60.0, 60.0),
        clock: AsyncClock | None = None,
        read: Callable[[Response], Response] = lambda response: response,
        chance: Callable[[], float] = random.random,
        paused: Paused = unheard,
    ) -> None:
        self._session = session
        self._route = route
        self._credentials = credentials
        self._policy = policy or RetryPolicy()
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout[0], sock_read=timeout[1])
        self._clock = clock or AsyncClock()
        self._read = read
        self._chance = chance
        self._paused = paused
        self._attempts = 0

    async def run(self, flow: Flow[T]) -> T:
        """
        Drive a flow to its end, as :meth:`.requests_driver.Driver.run` does.

        :returns: what the flow returns.
        :raises WaContactsError: of the flow, or of :func:`~.retry.pause_before_retry`.
        """
        with closing(flow):
            try:
                request = next(flow)
                while True:
                    answer = await self._answer_or_error(request)
                    request = flow.send(answer) if isinstance(answer, Response) else flow.throw(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            except ApiError as error:
                error.attempts = error.attempts or self._attempts
                raise

    async def _answer_or_error(self, request: Request) -> Response | WaContactsError:
        try:
            return await self._answer(request)
        except WaContactsError as error:
            return error

    async def _answer(self, request: Request) -> Response:
        begun = self._clock.monotonic()
        self._attempts = 0
        is_renewed = False
        while True:
            self._attempts += 1
            outcome = await self._send(request)
            if not is_renewed and isinstance(outcome, Response) and outcome.status == 401:
                is_renewed = True
                if self._credentials and await self._credentials.renew() is not False:
                    continue
            elapsed = timedelta(seconds=self._clock.monotonic() - begun)
            last = Attempt(request, outcome, self._attempts, elapsed, self._clock.now(), self._chance())
            pause = pause_before_retry(self._policy, last)
            if pause is None:
                return cast(Response, outcome)
            log.info("%s", last.announce(pause))
            self._paused(last, pause)
            await self._clock.sleep(pause.total_seconds())

    async def _send(self, request: Request) -> Response | Failure:
        if not request.path.startswith("/"):
            raise ConfigError(f"{request.operation}: a path starts with a slash")
        headers = {name.lower(): value for name, value in request.headers.items()}
        if self._credentials:
            headers |= await self._credentials.headers()
        # What aiohttp raises names the host, so it ends here: an error raised later has no such thing for its context.
        try:
            return self._read(await self._exchange(request, headers))
        except (aiohttp.ClientError, OSError) as error:
            wrong = _failure(error)
        except ValueError:
            wrong = None
        if wrong is None:
            raise ConfigError(f"{request.operation}: nothing could be sent; correct the connection's host and password")
        return wrong

    async def _exchange(self, request: Request, headers: Mapping[str, str]) -> Response:
        async with self._session.request(
            request.method,
            URL(self._route.base_url + request.path, encoded=True),
            headers=headers,
            data=request.body,
            allow_redirects=False,
            proxy=self._route.proxy,
            ssl=self._route.tls or True,
            timeout=self._timeout,
        ) as answer:
            body = await answer.read()
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)


def _tls(verify: bool | str | None, cert: str | tuple[str, str] | None) -> ssl.SSLContext:  # noqa: FBT001
    authorities = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
    file, directory = (None, authorities) if Path(authorities).is_dir() else (authorities, None)
    try:
        context = ssl.create_default_context(cafile=file, capath=directory)
        if cert:
            context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    except OSError:
        raise ConfigError("a file that the connection's extras 'verify' or 'cert' name cannot be used") from None
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _failure(error: Exception) -> Failure | None:
    if isinstance(error, aiohttp.InvalidURL):
        return None
    if isinstance(error, aiohttp.ClientSSLError) and "certificate" in str(error).lower():
        return Failure.NOT_TRUSTED
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return Failure.UNREACHABLE
    if isinstance(error, TimeoutError):
        return Failure.TIMED_OUT
    return Failure.CUT_OFF if isinstance(error, aiohttp.ClientPayloadError) else Failure.BROKEN
