"""Checks with GREEN-API on an event loop, for the triggers of a triggerer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from airflow.providers.common.compat.sdk import Connection
from asgiref.sync import sync_to_async

from airflow_provider_wacontacts.clients import green_api
from airflow_provider_wacontacts.clients.aiohttp_driver import LOOP_CLOCK, AsyncDriver
from airflow_provider_wacontacts.clients.green_api_checks import check_whatsapp
from airflow_provider_wacontacts.clients.rate_limiter import AsyncRateLimiter
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse
from airflow_provider_wacontacts.hooks.async_client import open_driver
from airflow_provider_wacontacts.hooks.connections import Endpoint, parse_endpoint, read_connection_async
from airflow_provider_wacontacts.hooks.green_api import CHECK_RATE_LIMITERS, GreenApiHook
from airflow_provider_wacontacts.hooks.green_api_connection import parse_instance, read_budget
from airflow_provider_wacontacts.store.checks.model import SenderBudget

__all__ = ["AsyncGreenApiNumberClient"]


class AsyncGreenApiNumberClient:
    """
    Checks numbers with GREEN-API without blocking the event loop.

    ``async with AsyncGreenApiNumberClient(conn_id) as client`` opens and closes it. The tasks of one event loop may
    share it.

    :ivar rate_limiter: spaces the requests.
    :ivar budget: how many numbers the instance may check.
    :param conn_id: the connection, which is read when it is opened.
    :param policy: how long a request is retried.
    """

    source = "green_api_checks"
    budget: SenderBudget

    def __init__(self, conn_id: str, *, policy: RetryPolicy | None = None) -> None:
        self._conn_id = conn_id
        self._policy = policy or RetryPolicy()
        self.rate_limiter = AsyncRateLimiter(CHECK_RATE_LIMITERS.interval)
        self._instance: green_api.Instance
        self._driver: AsyncDriver
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """
        Read the connection, and open a session.

        :raises ConfigError: the connection is missing or invalid; nothing is sent.
        """
        connection = await read_connection_async(self._conn_id, GreenApiHook.conn_type)
        # In Airflow's thread: masking calls the supervisor, which would block the event loop.
        endpoint = await sync_to_async(self._parse)(connection)
        self._driver = await self._opened.enter_async_context(
            open_driver(
                endpoint,
                normalize=green_api.normalize_status,
                rate_limiter=self.rate_limiter,
                policy=self._policy,
                clock=LOOP_CLOCK,
            )
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def check_numbers(self, numbers: Sequence[str]) -> CheckResponse:
        """
        Check whether a number is on WhatsApp, see :meth:`.GreenApiHook.check_whatsapp`.

        :param numbers: one number, E.164.
        """
        (number,) = numbers
        return await self._driver.run(check_whatsapp(self._instance, number))

    def _parse(self, connection: Connection) -> Endpoint:
        endpoint = parse_endpoint(connection)
        self._instance = parse_instance(connection, endpoint)
        self.budget = read_budget(connection, self._instance)
        return endpoint
