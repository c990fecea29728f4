"""The driver of a connection on an event loop, for the triggers of a triggerer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from asgiref.sync import sync_to_async

from airflow_provider_wacontacts.clients.aiohttp_driver import AsyncDriver, Route, open_session, resolve_route
from airflow_provider_wacontacts.clients.bodies import Limits
from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.clients.rate_limiter import AsyncRateLimiter
from airflow_provider_wacontacts.clients.retry import Auth, Clock, RetryLoop, RetryPolicy
from airflow_provider_wacontacts.hooks.connections import Endpoint
from airflow_provider_wacontacts.hooks.feed import USER_AGENT
from airflow_provider_wacontacts.hooks.metrics import send_retry
from airflow_provider_wacontacts.hooks.whatsapp_business_connection import MAX_SECONDS

__all__ = ["open_driver"]

#: A triggerer runs the triggers of all DAGs: a large response must not take its memory.
LIMITS = Limits(max_mb=8, max_seconds=MAX_SECONDS)


@asynccontextmanager
async def open_driver(
    endpoint: Endpoint,
    *,
    auth: Auth | None = None,
    normalize: Callable[[Response], Response],
    rate_limiter: AsyncRateLimiter,
    policy: RetryPolicy,
    clock: Clock,
) -> AsyncIterator[AsyncDriver]:
    """
    Open a session for an endpoint. Nothing is sent.

    :param auth: adds the credentials to requests; ``None`` if their path has them.
    :param normalize: changes a response before it is judged.
    :param policy: how long a request is retried.
    :raises ConfigError: a certificate cannot be read, or the proxy is not an HTTP proxy.
    """
    route = await sync_to_async(_route_to, thread_sensitive=False)(endpoint)
    session = open_session(USER_AGENT)
    try:
        loop = RetryLoop(
            auth,
            policy=policy,
            clock=clock,
            normalize=normalize,
            before_sleep=send_retry,
            connection=endpoint.label,
        )
        yield AsyncDriver(
            session,
            route,
            loop,
            timeout=endpoint.timeout,
            limits=LIMITS.changed(endpoint.max_response_mb, endpoint.max_response_seconds),
            rate_limiter=rate_limiter,
        )
    finally:
        await session.close()


def _route_to(endpoint: Endpoint) -> Route:
    """Decide how to reach an endpoint. It reads files: do not call it on an event loop."""
    return resolve_route(
        endpoint.base_url,
        verify=endpoint.verify,
        cert=endpoint.cert,
        proxies=endpoint.proxies,
        trust_env=endpoint.trust_env,
    )
