"""The contacts node of the WhatsApp Business API, through an Airflow connection."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

from airflow.providers.common.compat.sdk import mask_secret

from airflow_provider_wacontacts.clients import whatsapp_business
from airflow_provider_wacontacts.clients.auth import AuthState, Credentials
from airflow_provider_wacontacts.clients.bodies import Limits
from airflow_provider_wacontacts.clients.http import Flow, Response
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter, RateLimiters
from airflow_provider_wacontacts.clients.retry import Clock, RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business_errors import normalize_status
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse
from airflow_provider_wacontacts.hooks.connections import Endpoint, read_connection
from airflow_provider_wacontacts.hooks.feed import FeedHook
from airflow_provider_wacontacts.hooks.whatsapp_business_connection import (
    MAX_SECONDS,
    UNVERIFIED,
    WhatsAppConnection,
    parse_connection,
)
from airflow_provider_wacontacts.records.identities import Identity
from airflow_provider_wacontacts.store.checks.model import SenderBudget

__all__ = ["WhatsAppBusinessHook"]

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Of all hooks of the process, by host and sender.
RATE_LIMITERS = RateLimiters(timedelta(seconds=1 / whatsapp_business.REQUESTS_A_SECOND))


class WhatsAppBusinessHook(FeedHook):
    """
    Checks numbers and reads identities at a WhatsApp Business API client or a compatible gateway.

    The connection's login and password are exchanged for a token, which is renewed before it expires and once when it
    is not accepted; with extra ``auth`` the password itself is the token (``bearer``) or 360dialog's key (``d360``).
    Threads may share a hook.

    :param whatsapp_business_conn_id: the connection.
    :param method: of :meth:`run`.
    :param policy: how long a request is retried.
    :param clock: for tests.
    """

    conn_name_attr = "whatsapp_business_conn_id"
    default_conn_name = "whatsapp_business_default"
    conn_type = "whatsapp_business"
    hook_name = "WhatsApp Business"
    limits = Limits(max_seconds=MAX_SECONDS)

    def __init__(
        self,
        whatsapp_business_conn_id: str = default_conn_name,
        *,
        method: str = "GET",
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(whatsapp_business_conn_id, method=method, policy=policy, clock=clock)
        self.whatsapp_business_conn_id = whatsapp_business_conn_id

    @property
    def sender(self) -> str:
        """What numbers are stored under: extra ``sender``, the registered number, or the connection's ID."""
        return self.budget.sender

    @property
    def account(self) -> str:
        """The sender."""
        return self.sender

    @property
    def budget(self) -> SenderBudget:
        """The sender's budget: extra ``daily_checks``, numbers per UTC day."""
        return self._whatsapp.budget

    @property
    def wait_timeout(self) -> timedelta:
        """How long a check with ``blocking="wait"`` may wait for its results."""
        return timedelta(seconds=self._whatsapp.wait_timeout)

    @property
    def region(self) -> str | None:
        """The sender's region, for numbers without a plus sign; ``None`` if the sender is not a number."""
        return self._whatsapp.region

    def check_contacts(
        self,
        inputs: Sequence[str],
        *,
        blocking: str = "no_wait",
        force_check: bool = False,
        idempotent: bool = True,
        max_wait: timedelta | None = None,
    ) -> CheckResponse:
        """
        Check which numbers are on WhatsApp, and with which WhatsApp IDs.

        :param inputs: 1 to 1,000 distinct numbers, preferably with plus sign and country code.
        :param blocking: ``wait`` until all are resolved, or ``no_wait``: unresolved numbers are ``processing``.
        :param force_check: bypass the client's 7-day cache. Avoid: it is the main cause of bans.
        :param idempotent: ``False`` if each lookup counts against a budget. The request is then retried only after 429,
            503, or if no connection was made, as one with ``wait`` always is.
        :param max_wait: how long a request with ``wait`` may take. Default: the connection's ``wait_timeout``.
        :returns: results by input, and the inputs without a result.
        :raises WaContactsError: there was no response with results.
        """
        flow = whatsapp_business.check_contacts(
            inputs, blocking=blocking, force_check=force_check, idempotent=idempotent
        )
        if blocking == "no_wait":
            return self.run_flow(flow)
        seconds = min(max_wait or self.wait_timeout, self.wait_timeout).total_seconds()
        # The server sends nothing until it has all results.
        timeout = (self._endpoint.timeout[0], seconds)
        return self._make_driver(self._policy, timeout, max_seconds=math.ceil(seconds) + 1).run(flow)

    def get_identity(self, wa_id: str) -> Identity:
        """
        Request the latest identity of a user.

        :param wa_id: WhatsApp ID that a check returned.
        :raises RejectedError: the server does not know the user.
        """
        return self.run_flow(whatsapp_business.get_identity(wa_id))

    def acknowledge_identity(self, wa_id: str, hash: str) -> None:  # noqa: A002 - the vendor's word
        """
        Acknowledge a user's identity change, so that messages to the user are sent again. It is idempotent.

        :param wa_id: WhatsApp ID that a check returned.
        :param hash: hash of the identity that was reviewed.
        :raises RejectedError: the server has no such user, or another hash.
        """
        self.run_flow(whatsapp_business.acknowledge_identity(wa_id, hash))

    def _probe(self) -> Flow[str]:
        yield from whatsapp_business.probe_contacts()
        return "Connected to the WhatsApp Business API."

    @cached_property
    def _whatsapp(self) -> WhatsAppConnection:
        connection = parse_connection(self._connection)
        if connection.endpoint.verify is False:
            log.warning(UNVERIFIED, self.whatsapp_business_conn_id)
        return connection

    @cached_property
    def _endpoint(self) -> Endpoint:
        return self._whatsapp.endpoint

    @cached_property
    def _auth(self) -> AuthState:
        return AuthState(
            self._whatsapp.credentials,
            read=self._read_credentials,
            mask=mask_secret,
            lock=threading.Lock(),
            now=self._clock.now,
        )

    def _read_credentials(self) -> Credentials | None:
        connection = read_connection(self.whatsapp_business_conn_id, self.conn_type)
        return parse_connection(connection).credentials_for(self._endpoint.base_url)

    @property
    def _normalize(self) -> Callable[[Response], Response]:
        return normalize_status

    @property
    def _rate_limiter(self) -> RateLimiter:
        return RATE_LIMITERS[self._endpoint.base_url, self.sender]
