"""What the triggers of a triggerer share: a client and a rate limiter for each connection."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from airflow.providers.common.compat.sdk import mask_secret
from asgiref.sync import sync_to_async

from airflow_provider_wacontacts.clients import whatsapp_business
from airflow_provider_wacontacts.clients.aiohttp_driver import LOOP_CLOCK, AsyncDriver
from airflow_provider_wacontacts.clients.auth import AuthState, Credentials
from airflow_provider_wacontacts.clients.http import Flow
from airflow_provider_wacontacts.clients.merged_checks import MergedChecks
from airflow_provider_wacontacts.clients.rate_limiter import AsyncRateLimiter
from airflow_provider_wacontacts.clients.retry import Clock, RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business_errors import normalize_status
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse, next_pause
from airflow_provider_wacontacts.exceptions import RateLimitedError, TransientError
from airflow_provider_wacontacts.hooks.async_client import open_driver
from airflow_provider_wacontacts.hooks.connections import read_connection_async
from airflow_provider_wacontacts.hooks.metrics import count_statuses, send
from airflow_provider_wacontacts.hooks.refcounted import refcounted
from airflow_provider_wacontacts.hooks.shared_store import SharedStore, shared_store
from airflow_provider_wacontacts.hooks.whatsapp_business import RATE_LIMITERS, WhatsAppBusinessHook
from airflow_provider_wacontacts.hooks.whatsapp_business_connection import (
    UNVERIFIED,
    WhatsAppConnection,
    parse_connection,
)

if TYPE_CHECKING:
    from airflow_provider_wacontacts.store.checks.model import SenderBudget
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["AsyncWhatsAppNumberClient", "SharedClient", "read_sender_of_connection", "shared_client"]

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Waiting polls again anyway, and releases its numbers meanwhile.
SEND_ONCE = RetryPolicy(budget=timedelta(0))


class AsyncNumberClient(Protocol):
    """A client that checks numbers on an event loop."""

    @property
    def source(self) -> str:
        """The system, as metrics name it."""

    @property
    def rate_limiter(self) -> AsyncRateLimiter:
        """Spaces the requests."""

    @property
    def budget(self) -> SenderBudget:
        """The sender, and how many numbers it may check."""

    async def check_numbers(self, numbers: Sequence[str]) -> CheckResponse:
        """Send a request."""


class AsyncWhatsAppNumberClient:
    """
    Sends flows to a WhatsApp Business API client without blocking the event loop.

    ``async with AsyncWhatsAppNumberClient(conn_id) as client`` opens and closes it. The tasks of one event loop may
    share it, its HTTP connections, its rate limiter and its token.

    :ivar rate_limiter: spaces the requests.
    :param conn_id: the connection, which is read when it is opened.
    :param policy: how long a request is retried.
    :param clock: for tests.
    """

    source = "whatsapp_business"

    def __init__(self, conn_id: str, *, policy: RetryPolicy | None = None, clock: Clock | None = None) -> None:
        self._conn_id = conn_id
        self._policy = policy or RetryPolicy()
        self._clock = clock or LOOP_CLOCK
        self.rate_limiter = AsyncRateLimiter(RATE_LIMITERS.interval, clock=self._clock)
        self._connection: WhatsAppConnection
        self._driver: AsyncDriver
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """
        Read the connection, and open a session.

        :raises ConfigError: the connection is missing or invalid; nothing is sent.
        """
        connection = self._connection = await _read_async(self._conn_id)
        if connection.endpoint.verify is False:
            log.warning(UNVERIFIED, self._conn_id)
        self._driver = await self._opened.enter_async_context(
            open_driver(
                connection.endpoint,
                auth=AuthState(
                    connection.credentials,
                    read=self._read_credentials,
                    mask=sync_to_async(mask_secret),
                    lock=asyncio.Lock(),
                    now=self._clock.now,
                ),
                normalize=normalize_status,
                rate_limiter=self.rate_limiter,
                policy=self._policy,
                clock=self._clock,
            )
        )
        return self

    async def _read_credentials(self) -> Credentials | None:
        return (await _read_async(self._conn_id)).credentials_for(self._connection.endpoint.base_url)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    @property
    def budget(self) -> SenderBudget:
        """The sender's budget, see :attr:`.WhatsAppBusinessHook.budget`."""
        return self._connection.budget

    async def check_numbers(self, numbers: Sequence[str]) -> CheckResponse:
        """Check which numbers are on WhatsApp, see :meth:`.WhatsAppBusinessHook.check_contacts`."""
        return await self.run_flow(whatsapp_business.check_contacts(numbers))

    async def run_flow(self, flow: Flow[T]) -> T:
        """
        Send the requests of a flow.

        :returns: what the flow returns.
        :raises WaContactsError: raised by the flow.
        """
        return await self._driver.run(flow)


class SharedClient:
    """
    Sends the requests of all triggers of a connection, and runs their work on the store in a few threads.

    :ivar checks: the checks of the connection's sender; used in threads.
    """

    def __init__(
        self, client: AsyncNumberClient, merged: MergedChecks, checks: SenderChecks, shared: SharedStore
    ) -> None:
        self.checks = checks
        self._client = client
        self._merged = merged
        self._shared = shared

    async def run_in_thread(self, work: Callable[..., T], *given: object) -> T:
        """Run work that blocks, see :meth:`.SharedStore.run_in_thread`."""
        return await self._shared.run_in_thread(work, *given)

    async def wait_unblocked(self) -> None:
        """Wait while the server accepts no requests."""
        await self._client.rate_limiter.wait_unblocked()

    async def send_check(self, numbers: Sequence[str], max_numbers: int) -> CheckResponse:
        """
        Check numbers in a request with numbers of other triggers, within the rate limit.

        :param max_numbers: numbers in a request.
        :raises WaContactsError: there was no response; the request is not retried.
        """
        return await self._merged.send(numbers, max_numbers)


async def _send_check(client: AsyncNumberClient, numbers: Sequence[str]) -> CheckResponse:
    """Send a request, and count it. A ``Retry-After`` blocks all triggers of the connection."""
    try:
        response = await client.check_numbers(numbers)
    except TransientError as error:
        send(client.source, retries=1, rate_limit_waits=_block(client.rate_limiter, error))
        raise
    source = client.source
    send(source, asked_again=len(numbers), **count_statuses(response, source))
    return response


def _block(rate_limiter: AsyncRateLimiter, error: TransientError) -> timedelta | None:
    """Block all requests if the server requires it. Return the added seconds if the reason is a rate limit."""
    is_rate_limit = isinstance(error, RateLimitedError)
    if error.retry_after is None and not is_rate_limit:
        return None
    longer = rate_limiter.block_for(next_pause(1, random.random(), error.retry_after))  # noqa: S311
    return longer if is_rate_limit and longer else None


@asynccontextmanager
async def shared_client(
    conn_id: str,
    store_conn_id: str,
    *,
    client_type: Callable[..., AbstractAsyncContextManager[AsyncNumberClient]] | None = None,
) -> AsyncIterator[SharedClient]:
    """
    Share the client of a connection and a store: the first trigger opens it, the last closes it. Nothing is sent.

    :param client_type: makes the client of a connection; by default :class:`AsyncWhatsAppNumberClient`.
    :raises ConfigError: a connection is missing or invalid.
    """
    async with AsyncExitStack() as stack:
        make: Callable[..., AbstractAsyncContextManager[AsyncNumberClient]] = client_type or AsyncWhatsAppNumberClient
        client = await stack.enter_async_context(refcounted((make, conn_id), partial(make, conn_id, policy=SEND_ONCE)))
        merged = await stack.enter_async_context(refcounted((_merged, make, conn_id), partial(_merged, client)))
        stack.enter_context(merged.shared())
        shared = await stack.enter_async_context(shared_store(store_conn_id))
        from airflow_provider_wacontacts.store.checks.sender import SenderChecks

        yield SharedClient(client, merged, SenderChecks.of(shared.store.context, client.budget), shared)


@asynccontextmanager
async def _merged(client: AsyncNumberClient) -> AsyncIterator[MergedChecks]:
    yield MergedChecks(partial(_send_check, client))


async def read_sender_of_connection(conn_id: str) -> str:
    """
    Read what the numbers of a connection are stored under.

    :raises ConfigError: the connection is missing or invalid.
    """
    return (await _read_async(conn_id)).budget.sender


async def _read_async(conn_id: str) -> WhatsAppConnection:
    connection = await read_connection_async(conn_id, WhatsAppBusinessHook.conn_type)
    # In Airflow's thread: masking calls the supervisor, which would block the event loop.
    return await sync_to_async(parse_connection)(connection)
