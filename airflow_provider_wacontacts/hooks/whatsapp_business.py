"""The contacts node of the WhatsApp Business API, through an Airflow connection."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import mask_secret

from airflow_provider_wacontacts.clients import whatsapp_business
from airflow_provider_wacontacts.clients.aiohttp_driver import AsyncClock
from airflow_provider_wacontacts.clients.http import Flow, Response
from airflow_provider_wacontacts.clients.requests_driver import Clock, Driver
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.hooks.connections import Endpoint, read_connection
from airflow_provider_wacontacts.hooks.feed import FeedHook
from airflow_provider_wacontacts.hooks.forms import field_behaviour, form_widgets
from airflow_provider_wacontacts.hooks.whatsapp_business_async import AsyncContacts
from airflow_provider_wacontacts.hooks.whatsapp_business_connection import (
    UNVERIFIED,
    AuthState,
    SharedCredentials,
    WhatsAppConnection,
    access_of,
)
from airflow_provider_wacontacts.records.identities import Identity

__all__ = ["WhatsAppBusinessHook"]

log = logging.getLogger(__name__)


class WhatsAppBusinessHook(FeedHook):
    """
    Asks a WhatsApp Business API client, or a gateway that speaks its language, about numbers and identities.

    The connection's login and password are exchanged for a token, which is renewed before it expires and once when it
    is not accepted; with extra ``auth`` the password itself is the token (``bearer``) or 360dialog's key (``d360``).
    Threads may share a hook.

    :param whatsapp_business_conn_id: the connection.
    :param method: of :meth:`run`.
    :param policy: how long a request is tried.
    :param clock: a seam for tests.
    """

    conn_name_attr = "whatsapp_business_conn_id"
    default_conn_name = "whatsapp_business_default"
    conn_type = "whatsapp_business"
    hook_name = "WhatsApp Business"

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
        self._lock = threading.Lock()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form fields of the extras, for Airflow before 3.2."""
        return form_widgets(cls.conn_type)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the standard fields look, for Airflow before 3.2."""
        return field_behaviour(cls.conn_type)

    @property
    def sender(self) -> str:
        """What numbers are filed under: extra ``sender``, the registered number, else the connection's id."""
        return self._access.sender

    @property
    def account(self) -> str:
        """The sender: this feed has no other."""
        return self.sender

    @property
    def daily_checks(self) -> int:
        """How many numbers the sender may ask about in a UTC day, 1 and up."""
        return self._access.daily_checks

    @property
    def region(self) -> str | None:
        """The sender's region, for numbers without a plus sign; ``None`` where the sender is no number with one."""
        from airflow_provider_wacontacts.identifiers.numbers import infer_region

        return infer_region(self.sender)

    def check_contacts(
        self,
        inputs: Sequence[str],
        *,
        blocking: str = "no_wait",
        force_check: bool = False,
        is_counted: bool = False,
    ) -> whatsapp_business.CheckAnswer:
        """
        Ask which numbers are on WhatsApp, and under which ids.

        :param inputs: 1 to 1,000 numbers, each once, best with their plus sign and country code.
        :param blocking: ``wait`` until all are resolved, or ``no_wait``: those that take longer are ``processing``.
        :param force_check: look anew, past what the client remembers for 7 days. Too much of it gets a number banned.
        :param is_counted: the caller counts each time that the numbers may be looked up. They are sent again only where
            they surely were not: after 429, 503, or where no connection could be made.
        :returns: results by input, and the inputs that nothing was said about.
        :raises WaContactsError: there was no answer.
        """
        return self.run_flow(
            whatsapp_business.check_contacts(inputs, blocking=blocking, force_check=force_check, is_counted=is_counted)
        )

    def get_identity(self, wa_id: str) -> Identity:
        """
        Ask for the latest identity of a user.

        :param wa_id: as a check returned it.
        :raises RejectedError: the server knows none.
        """
        return self.run_flow(whatsapp_business.get_identity(wa_id))

    def acknowledge_identity(self, wa_id: str, hash: str) -> None:  # noqa: A002 - the vendor's word
        """
        Tell the client that a user's change is known, so that messages to the user may go on.

        :param wa_id: as a check returned it.
        :param hash: the one that was looked at; doing it twice is no harm.
        :raises RejectedError: the server has no such user, or another hash.
        """
        self.run_flow(whatsapp_business.acknowledge_identity(wa_id, hash))

    def open_async(self, *, clock: AsyncClock | None = None) -> AsyncContacts:
        """
        Return the same client for an event loop: ``async with hook.open_async() as contacts``.

        It reads the connection by itself, so a hook that is made for it touches nothing.

        :param clock: a seam for tests.
        """
        return AsyncContacts(self.whatsapp_business_conn_id, policy=self._policy, clock=clock)

    def _probe(self) -> Flow[str]:
        yield from whatsapp_business.ask_about_nobody()
        return "the WhatsApp Business API answered"

    @cached_property
    def _access(self) -> WhatsAppConnection:
        access = access_of(self._connection)
        if access.endpoint.verify is False:
            log.warning(UNVERIFIED, self.whatsapp_business_conn_id)
        return access

    @cached_property
    def _endpoint(self) -> Endpoint:
        return self._access.endpoint

    @cached_property
    def _shared(self) -> AuthState:
        return AuthState(self._access, self._clock.now)

    def _driver(self, policy: RetryPolicy, timeout: tuple[float, float]) -> Driver:
        account = self._shared

        def obtain() -> Mapping[str, str]:
            login = account.replace(access_of(read_connection(self.whatsapp_business_conn_id)))
            if login is None:
                return account.current() or {}
            token = self._driver_with(None, policy, timeout).run(whatsapp_business.login(*login))
            mask_secret(token.token)
            return account.take(token)

        return self._driver_with(SharedCredentials(account, self._lock, obtain), policy, timeout)

    def _normalize_status(self, response: Response) -> Response:
        return whatsapp_business.normalize_status(response)
