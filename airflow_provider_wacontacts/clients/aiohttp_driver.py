"""
Sends the requests of a flow over an :class:`aiohttp.ClientSession`, for the triggerer.

As in :mod:`~.requests_driver`, no redirect is followed, no cookie is sent back, and no ``.netrc`` replaces the
credentials.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from yarl import URL

from airflow_provider_wacontacts.clients.bodies import (
    ACCEPT_ENCODING,
    DEFAULT_LIMITS,
    BodyTooLargeError,
    Limits,
    decompress,
)
from airflow_provider_wacontacts.clients.failures import Failure, connect_failure, tls_failure
from airflow_provider_wacontacts.clients.http import Call, Flow, Request, Response, Send, Sleep, validate_request
from airflow_provider_wacontacts.clients.rate_limiter import AsyncRateLimiter
from airflow_provider_wacontacts.clients.retry import Clock, RetryLoop
from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError

__all__ = ["LOOP_CLOCK", "AsyncDriver", "Route", "open_session", "resolve_route"]

T = TypeVar("T")
LOOP_CLOCK = Clock(sleep=asyncio.sleep)


@dataclass(frozen=True, slots=True)
class Route:
    """
    The route to a host.

    :param base_url: scheme, host and optional path; without a slash at the end.
    :param tls: trusted CAs and client certificate; unused for ``http``.
    :param proxy: URL of a proxy, or ``None``.
    """

    base_url: str
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)


def resolve_route(
    base_url: str,
    *,
    verify: bool | str = True,
    cert: str | tuple[str, str] | None = None,
    proxies: Mapping[str, str] | None = None,
    trust_env: bool = True,
) -> Route:
    """
    Determine the route to a host, like requests does. It reads files: do not call it on an event loop.

    :param verify: whether certificates are verified, or a file or directory of trusted CAs.
    :param cert: file of the client certificate, or its file and the file of its key.
    :param proxies: proxy URL by scheme.
    :param trust_env: whether the proxies and CAs of the environment apply.
    :raises ConfigError: a file cannot be read, or the proxy is not an HTTP proxy.
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
        raise ConfigError("The triggerer supports only http:// proxies. Correct extra 'proxies' of the connection.")
    is_secure = base_url.startswith("https:")
    return Route(base_url, _tls(settings["verify"], settings["cert"]) if is_secure else None, proxy)


def open_session(user_agent: str) -> aiohttp.ClientSession:
    """Open a session that keeps connections alive, but no cookies; the caller closes it."""
    return aiohttp.ClientSession(
        headers={"user-agent": user_agent}, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )


class AsyncDriver:
    """
    Sends the requests of flows to one host. Tasks may share it; drivers may share a session.

    :param loop: its clock sleeps on the event loop.
    :param timeout: seconds to connect, and between two packets of a response.
    :param limits: limits of a response.
    :param rate_limiter: spaces the requests; ``None`` for no limit.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        route: Route,
        loop: RetryLoop | None = None,
        *,
        timeout: tuple[float, float] = (60.0, 60.0),
        limits: Limits = DEFAULT_LIMITS,
        rate_limiter: AsyncRateLimiter | None = None,
    ) -> None:
        self._session = session
        self._route = route
        self._loop = loop or RetryLoop(clock=LOOP_CLOCK)
        self._limits = limits
        self._timeout = aiohttp.ClientTimeout(limits.max_seconds, sock_connect=timeout[0], sock_read=timeout[1])
        self._rate_limiter = rate_limiter

    async def run(self, flow: Flow[T]) -> T:
        """
        Run a flow to its end, see :meth:`.RetryLoop.run`.

        :returns: what the flow returns.
        :raises WaContactsError: raised by the flow.
        """
        with closing(self._loop.run(flow)) as steps:
            try:
                step = next(steps)
                while True:
                    result = await self._result(step)
                    step = steps.throw(result) if isinstance(result, WaContactsError) else steps.send(result)
            except StopIteration as stop:
                value: T = stop.value
                return value

    async def _result(self, step: Send | Sleep | Call) -> Any:
        try:
            match step:
                case Send(request):
                    async with self._rate_limiter.acquire() if self._rate_limiter else nullcontext():
                        return await self._send(request)
                case Sleep(seconds):
                    return await self._loop.clock.sleep(seconds)
                case Call(function):
                    return await function()
        except WaContactsError as error:
            return error

    async def _send(self, request: Request) -> Response | Failure:
        validate_request(request)
        began = time.monotonic()
        # aiohttp's errors name the host. Errors raised after this block do not have one as their context.
        problem: Failure | WaContactsError
        try:
            return await self._exchange(request)
        except BodyTooLargeError:
            problem = self._limits.too_large(request.operation)
        except aiohttp.InvalidURL:
            problem = ConfigError(f"{request.operation}: The request could not be sent. Correct the connection's host.")
        except Exception as error:  # noqa: BLE001 - as in the other driver
            problem = _failure(error, has_proxy=self._route.proxy is not None)
            if time.monotonic() - began >= self._limits.max_seconds:
                problem = self._limits.too_slow(request.operation)
        if isinstance(problem, WaContactsError):
            raise problem
        return problem

    async def _exchange(self, request: Request) -> Response:
        async with self._session.request(
            request.method,
            URL(self._route.base_url + request.path, encoded=True),
            headers={**request.headers, "accept-encoding": ACCEPT_ENCODING},
            data=request.body,
            allow_redirects=False,
            proxy=self._route.proxy,
            ssl=self._route.tls or True,
            timeout=self._timeout,
        ) as response:
            body = await _read(response.content, self._limits.max_bytes)
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = decompress(body, headers.get("content-encoding", ""), self._limits.max_bytes)
        return Response(response.status, headers, body)


async def _read(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > max_bytes:
            raise BodyTooLargeError
    return bytes(body)


def _tls(verify: bool | str | None, cert: str | tuple[str, str] | None) -> ssl.SSLContext:  # noqa: FBT001
    authorities = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
    file, directory = (None, authorities) if Path(authorities).is_dir() else (authorities, None)
    try:
        context = ssl.create_default_context(cafile=file, capath=directory)
        if cert:
            context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    except OSError:
        raise ConfigError("A file in extra 'verify' or 'cert' of the connection cannot be used.") from None
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _failure(error: Exception, *, has_proxy: bool) -> Failure:
    if isinstance(error, (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError)):
        return tls_failure(error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Failure.PROXY
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return Failure.PROXY if has_proxy else connect_failure(error)
    if isinstance(error, TimeoutError):
        return Failure.TIMED_OUT
    if isinstance(error, (aiohttp.ClientPayloadError, zlib.error)):
        return Failure.INCOMPLETE
    is_malformed = isinstance(error, aiohttp.ClientResponseError) or not isinstance(
        error, (aiohttp.ClientError, OSError)
    )
    return Failure.MALFORMED if is_malformed else Failure.DROPPED
