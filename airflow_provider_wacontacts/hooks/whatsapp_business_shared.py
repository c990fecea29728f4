"""What all who wait for answers in a triggerer share: one client and one rate limit a connection, few threads."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from airflow_provider_wacontacts.clients.async_rate_limiter import AsyncRateLimiter
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business import REQUESTS_A_SECOND, CheckAnswer, next_pause
from airflow_provider_wacontacts.exceptions import RateLimitedError, TransientError
from airflow_provider_wacontacts.hooks.metrics import send, statuses_of
from airflow_provider_wacontacts.hooks.refcounted import shared
from airflow_provider_wacontacts.hooks.store import StoreConnection, store_at, store_engine_async
from airflow_provider_wacontacts.hooks.whatsapp_business_async import AsyncContacts

if TYPE_CHECKING:
    from airflow_provider_wacontacts.store import Store
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["SharedClient", "shared_client"]

T = TypeVar("T")

#: Threads that compute take the event loop's time, and a request a twentieth of a second needs no more.
THREADS = 2
#: Who waits asks again anyway, and meanwhile lets go of its numbers.
ONCE = RetryPolicy(budget=timedelta(0))


class _Line(NamedTuple):
    contacts: AsyncContacts
    gate: AsyncRateLimiter


class SharedClient:
    """
    A place in a triggerer to ask about numbers, and to keep what is answered, without blocking the event loop.

    :ivar checks: those of the connection's sender; for threads.
    """

    def __init__(self, line: _Line, checks: SenderChecks, threads: ThreadPoolExecutor) -> None:
        self.checks = checks
        self._line = line
        self._threads = threads

    async def in_thread(self, work: Callable[..., T], *given: object) -> T:
        """
        Work with the database in one of a few threads.

        Who is cancelled meanwhile stays until it is done, so that nothing is touched by two.
        """
        return await _in_thread(self._threads, work, *given)

    async def ready(self) -> None:
        """Wait while the server wants to be left alone."""
        await self._line.gate.opened()

    async def ask(self, numbers: Sequence[str]) -> tuple[datetime, CheckAnswer]:
        """
        Ask about numbers, when it is one's turn. A server that wants to be left alone is, by all.

        :returns: when it was asked, and the answer.
        :raises WaContactsError: there was no answer; it is not tried again.
        """
        async with self._line.gate.through():
            asked_at = datetime.now(UTC)
            try:
                answer = await self._line.contacts.check_contacts(numbers)
            except TransientError as error:
                send("whatsapp_business", retries=1, rate_limit_waits=self._leave_alone(error))
                raise
            send("whatsapp_business", asked_again=len(numbers), **statuses_of(answer))
            return asked_at, answer

    def _leave_alone(self, error: TransientError) -> timedelta | None:
        """Hold all back where the server wants that; return by how much longer, if it is for a rate limit."""
        is_limit = isinstance(error, RateLimitedError)
        if error.retry_after is None and not is_limit:
            return None
        longer = self._line.gate.hold(next_pause(1, random.random(), error.retry_after))  # noqa: S311
        return longer if is_limit and longer else None


@asynccontextmanager
async def shared_client(whatsapp_business_conn_id: str, store_conn_id: str) -> AsyncIterator[SharedClient]:
    """
    Enter the room of a connection and a store; the first opens it, the last closes it. Nothing is sent.

    :raises ConfigError: a connection is missing or cannot be used.
    """
    async with AsyncExitStack() as stack:
        threads = await stack.enter_async_context(shared("threads", _threads))
        line = await stack.enter_async_context(
            shared(("whatsapp_business", whatsapp_business_conn_id), partial(_line, whatsapp_business_conn_id))
        )
        store = await stack.enter_async_context(
            shared(("store", store_conn_id), partial(_store, store_conn_id, threads))
        )
        from airflow_provider_wacontacts.store.checks.sender import SenderChecks

        checks = SenderChecks(store.context, line.contacts.sender, daily_checks=line.contacts.daily_checks)
        yield SharedClient(line, checks, threads)


@asynccontextmanager
async def _threads() -> AsyncIterator[ThreadPoolExecutor]:
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wacontacts-store")
    try:
        yield threads
    finally:
        threads.shutdown(wait=False)


@asynccontextmanager
async def _line(conn_id: str) -> AsyncIterator[_Line]:
    async with AsyncContacts(conn_id, policy=ONCE) as contacts:
        yield _Line(contacts, AsyncRateLimiter(REQUESTS_A_SECOND))


@asynccontextmanager
async def _store(conn_id: str, threads: ThreadPoolExecutor) -> AsyncIterator[Store]:
    connection = await store_engine_async(conn_id)
    try:
        yield await _in_thread(threads, _opened, connection)
    finally:
        await _in_thread(threads, connection.engine.dispose)


def _opened(connection: StoreConnection) -> Store:
    """Open a store, and import what is needed to check numbers in it."""
    import airflow_provider_wacontacts.store.checks.sender  # noqa: F401

    return store_at(connection)


async def _in_thread(threads: ThreadPoolExecutor, work: Callable[..., T], *given: object) -> T:
    context = contextvars.copy_context()
    done = asyncio.get_running_loop().run_in_executor(threads, partial(context.run, work, *given))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise
