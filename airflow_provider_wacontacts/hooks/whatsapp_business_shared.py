"""What the triggers of a triggerer share: a client and a rate limiter for each connection, and a few threads."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from airflow_provider_wacontacts.clients.rate_limiter import AsyncRateLimiter
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business import REQUESTS_A_SECOND, CheckResponse, next_pause
from airflow_provider_wacontacts.exceptions import RateLimitedError, TransientError
from airflow_provider_wacontacts.hooks.metrics import count_statuses, send
from airflow_provider_wacontacts.hooks.refcounted import refcounted
from airflow_provider_wacontacts.hooks.store import create_store, store_engine_async
from airflow_provider_wacontacts.hooks.store_connection import StoreConnection
from airflow_provider_wacontacts.hooks.whatsapp_business import AsyncContacts

if TYPE_CHECKING:
    from airflow_provider_wacontacts.store import Store
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["SharedClient", "shared_client"]

T = TypeVar("T")

#: Threads compete with the event loop for the interpreter, and 20 requests a second need no more.
THREADS = 2
#: Waiting polls again anyway, and releases its numbers meanwhile.
SEND_ONCE = RetryPolicy(budget=timedelta(0))


class _Connection(NamedTuple):
    contacts: AsyncContacts
    rate_limiter: AsyncRateLimiter


class SharedClient:
    """
    Sends the requests of all triggers of a connection, and runs their work on the store in a few threads.

    :ivar checks: the checks of the connection's sender; used in threads.
    """

    def __init__(self, connection: _Connection, checks: SenderChecks, threads: ThreadPoolExecutor) -> None:
        self.checks = checks
        self._contacts, self._rate_limiter = connection
        self._threads = threads

    async def run_in_thread(self, work: Callable[..., T], *given: object) -> T:
        """
        Run work that blocks in one of a few threads.

        If it is cancelled, it is awaited, so that no two threads use the same objects.
        """
        return await _run_in_thread(self._threads, work, *given)

    async def wait_unblocked(self) -> None:
        """Wait while the server accepts no requests."""
        await self._rate_limiter.wait_unblocked()

    async def send_check(self, numbers: Sequence[str]) -> CheckResponse:
        """
        Send a request within the rate limit. A ``Retry-After`` blocks all triggers of the connection.

        :raises WaContactsError: there was no response; the request is not retried.
        """
        async with self._rate_limiter.acquire():
            try:
                answer = await self._contacts.check_contacts(numbers)
            except TransientError as error:
                send("whatsapp_business", retries=1, rate_limit_waits=self._block_for(error))
                raise
            send("whatsapp_business", asked_again=len(numbers), **count_statuses(answer))
            return answer

    def _block_for(self, error: TransientError) -> timedelta | None:
        """Block all requests if the server asks for it; return by how much longer, if for a rate limit."""
        is_rate_limit = isinstance(error, RateLimitedError)
        if error.retry_after is None and not is_rate_limit:
            return None
        longer = self._rate_limiter.block_for(next_pause(1, random.random(), error.retry_after))  # noqa: S311
        return longer if is_rate_limit and longer else None


@asynccontextmanager
async def shared_client(whatsapp_business_conn_id: str, store_conn_id: str) -> AsyncIterator[SharedClient]:
    """
    Share the client of a connection and a store: the first trigger opens it, the last closes it. Nothing is sent.

    :raises ConfigError: a connection is missing or invalid.
    """
    async with AsyncExitStack() as stack:
        threads = await stack.enter_async_context(refcounted("threads", _threads))
        connection = await stack.enter_async_context(
            refcounted(
                ("whatsapp_business", whatsapp_business_conn_id), partial(_connection, whatsapp_business_conn_id)
            )
        )
        store = await stack.enter_async_context(
            refcounted(("store", store_conn_id), partial(_store, store_conn_id, threads))
        )
        from airflow_provider_wacontacts.store.checks.sender import SenderChecks

        contacts = connection.contacts
        checks = SenderChecks(store.context, contacts.sender, daily_checks=contacts.daily_checks)
        yield SharedClient(connection, checks, threads)


@asynccontextmanager
async def _threads() -> AsyncIterator[ThreadPoolExecutor]:
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wacontacts-store")
    try:
        yield threads
    finally:
        threads.shutdown(wait=False)


@asynccontextmanager
async def _connection(conn_id: str) -> AsyncIterator[_Connection]:
    async with AsyncContacts(conn_id, policy=SEND_ONCE) as contacts:
        yield _Connection(contacts, AsyncRateLimiter(timedelta(seconds=1 / REQUESTS_A_SECOND)))


@asynccontextmanager
async def _store(conn_id: str, threads: ThreadPoolExecutor) -> AsyncIterator[Store]:
    connection = await store_engine_async(conn_id)
    try:
        yield await _run_in_thread(threads, _open_store, connection)
    finally:
        await _run_in_thread(threads, connection.engine.dispose)


def _open_store(connection: StoreConnection) -> Store:
    """Open a store, and import the modules of checks."""
    import airflow_provider_wacontacts.store.checks.sender  # noqa: F401

    return create_store(connection)


async def _run_in_thread(threads: ThreadPoolExecutor, work: Callable[..., T], *given: object) -> T:
    context = contextvars.copy_context()
    done = asyncio.get_running_loop().run_in_executor(threads, partial(context.run, work, *given))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise
