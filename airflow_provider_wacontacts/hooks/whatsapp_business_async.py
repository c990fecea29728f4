"""The contacts node, for the event loop of a triggerer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from airflow.providers.common.compat.sdk import mask_secret
from asgiref.sync import sync_to_async

from airflow_provider_wacontacts.clients import whatsapp_business
from airflow_provider_wacontacts.clients.aiohttp_driver import AsyncClock, AsyncDriver, Route, open_session, route_to
from airflow_provider_wacontacts.clients.http import Flow
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.hooks.connections import read_connection_async
from airflow_provider_wacontacts.hooks.feed import USER_AGENT
from airflow_provider_wacontacts.hooks.metrics import retrying
from airflow_provider_wacontacts.hooks.whatsapp_business_connection import (
    UNVERIFIED,
    AsyncSharedCredentials,
    AuthState,
    WhatsAppConnection,
    access_of,
)
from airflow_provider_wacontacts.records.identities import Identity

__all__ = ["AsyncContacts"]

T = TypeVar("T")
log = logging.getLogger(__name__)


class AsyncContacts:
    """
    Asks about numbers and identities without blocking the event loop.

    ``async with AsyncContacts(conn_id) as contacts`` opens it, and closes it in the end. The tasks of one loop may
    share it, and with it its lines and its token.

    :param conn_id: the connection, which is read when it is opened.
    :param policy: how long a request is tried.
    :param clock: a seam for tests.
    """

    def __init__(self, conn_id: str, *, policy: RetryPolicy | None = None, clock: AsyncClock | None = None) -> None:
        self._conn_id = conn_id
        self._policy = policy
        self._clock = clock or AsyncClock()
        self._lock = asyncio.Lock()
        self._access: WhatsAppConnection
        self._route: Route
        self._account: AuthState
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """
        Read the connection, and open a session.

        :raises ConfigError: the connection is missing or cannot be used; nothing is sent.
        """
        self._access = await _read(self._conn_id)
        if self._access.endpoint.verify is False:
            log.warning(UNVERIFIED, self._conn_id)
        self._route = await sync_to_async(_route, thread_sensitive=False)(self._access)
        self._account = AuthState(self._access, self._clock.now)
        self._session = open_session(USER_AGENT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @property
    def sender(self) -> str:
        """What numbers are filed under, see :attr:`.WhatsAppBusinessHook.sender`."""
        return self._access.sender

    @property
    def daily_checks(self) -> int:
        """How many numbers the sender may ask about in a UTC day, 1 and up."""
        return self._access.daily_checks

    async def check_contacts(
        self, inputs: Sequence[str], *, blocking: str = "no_wait", force_check: bool = False
    ) -> whatsapp_business.CheckAnswer:
        """Ask which numbers are on WhatsApp, see :meth:`.WhatsAppBusinessHook.check_contacts`."""
        return await self.run_flow(whatsapp_business.check_contacts(inputs, blocking=blocking, force_check=force_check))

    async def get_identity(self, wa_id: str) -> Identity:
        """Ask for the latest identity of a user, see :meth:`.WhatsAppBusinessHook.get_identity`."""
        return await self.run_flow(whatsapp_business.get_identity(wa_id))

    async def acknowledge_identity(self, wa_id: str, hash: str) -> None:  # noqa: A002 - the vendor's word
        """Acknowledge a user's change, see :meth:`.WhatsAppBusinessHook.acknowledge_identity`."""
        await self.run_flow(whatsapp_business.acknowledge_identity(wa_id, hash))

    async def run_flow(self, flow: Flow[T]) -> T:
        """
        Send what a flow asks for.

        :returns: what the flow returns.
        :raises WaContactsError: of the flow, or of the transport.
        """
        return await self._driver(AsyncSharedCredentials(self._account, self._lock, self._obtain)).run(flow)

    async def _obtain(self) -> Mapping[str, str]:
        login = self._account.replace(await _read(self._conn_id))
        if login is None:
            return self._account.current() or {}
        token = await self._driver(None).run(whatsapp_business.login(*login))
        await sync_to_async(mask_secret)(token.token)
        return self._account.take(token)

    def _driver(self, credentials: AsyncSharedCredentials | None) -> AsyncDriver:
        return AsyncDriver(
            self._session,
            self._route,
            credentials,
            policy=self._policy,
            timeout=self._access.endpoint.timeout,
            clock=self._clock,
            read=whatsapp_business.normalize_status,
            paused=retrying,
        )


async def _read(conn_id: str) -> WhatsAppConnection:
    connection = await read_connection_async(conn_id)
    # In Airflow's own thread: masking talks to the supervisor, which must not be done on the loop.
    return await sync_to_async(access_of)(connection)


def _route(access: WhatsAppConnection) -> Route:
    endpoint = access.endpoint
    return route_to(
        endpoint.base_url,
        verify=endpoint.verify,
        cert=endpoint.cert,
        proxies=endpoint.proxies,
        trust_env=endpoint.trust_env,
    )
