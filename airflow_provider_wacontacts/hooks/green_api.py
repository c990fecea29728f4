"""GREEN-API's contacts, through an Airflow connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow_provider_wacontacts.clients import green_api, green_api_checks
from airflow_provider_wacontacts.clients.bodies import Limits
from airflow_provider_wacontacts.clients.http import Flow, Response
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter, RateLimiters
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.retry import Clock, RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.feed import FeedHook
from airflow_provider_wacontacts.hooks.green_api_connection import parse_instance, read_budget
from airflow_provider_wacontacts.records.green_api import Snapshot
from airflow_provider_wacontacts.store.checks.model import SenderBudget

__all__ = ["GreenApiHook"]

#: Rate limiters that all hooks of the process share, by host and instance.
RATE_LIMITERS = RateLimiters(green_api.REQUEST_INTERVAL)
#: Rate limiters of ``checkWhatsapp``, which has a limit of its own; shared by all hooks of the process.
CHECK_RATE_LIMITERS = RateLimiters(timedelta(seconds=1 / green_api_checks.CHECKS_A_SECOND))
#: A 429 does not say how long to wait, and a retry within the second is useless.
RETRY_POLICY = RetryPolicy(first_backoff=timedelta(seconds=2))


class GreenApiHook(FeedHook):
    """
    Reads the contacts of one instance of GREEN-API, and checks which numbers are on WhatsApp.

    The connection's host is the instance's ``apiUrl``, its login ``idInstance`` and its password ``apiTokenInstance``.
    All hooks of a process for the same instance share one rate limiter: a request a second. Threads may share a hook.

    :param green_api_conn_id: the connection.
    :param method: of :meth:`run`.
    :param policy: how long a request is retried.
    :param clock: for tests.
    """

    conn_name_attr = "green_api_conn_id"
    default_conn_name = "green_api_default"
    conn_type = "green_api"
    hook_name = "GREEN-API"
    limits = Limits(max_mb=512, max_seconds=900)

    def __init__(
        self,
        green_api_conn_id: str = default_conn_name,
        *,
        method: str = "GET",
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(green_api_conn_id, method=method, policy=policy or RETRY_POLICY, clock=clock)
        self.green_api_conn_id = green_api_conn_id

    @property
    def sender(self) -> str:
        """What numbers are stored under: ``green_api:`` and the idInstance."""
        return self.budget.sender

    @cached_property
    def budget(self) -> SenderBudget:
        """The instance's budget: extras ``daily_checks`` and ``monthly_checks``."""
        return read_budget(self._connection, self._instance)

    def validate_connection(self) -> None:
        """
        Validate the connection; nothing is sent.

        :raises ConfigError: a field is missing or invalid; the message names it.
        """
        super().validate_connection()
        self.budget  # noqa: B018

    def check_whatsapp(self, number: str, *, force: bool = False) -> CheckResponse:
        """
        Check whether a number is on WhatsApp. It is retried only after 429, 503, or if no connection was made.

        :param number: E.164.
        :param force: bypass GREEN-API's cache.
        :raises BudgetExceededError: the plan's quota for the month is used up.
        :raises WaContactsError: there was no response with a result.
        """
        return self._check_driver.run(green_api_checks.check_whatsapp(self._instance, number, force=force))

    def get_contacts(self, *, group: bool | None = None, count: int | None = None) -> Snapshot:
        """
        Request all contacts of the account. They are up to 5 minutes old.

        :param group: ``True`` for groups only, ``False`` for people only; both by default.
        :param count: maximum number of contacts, 1 and up; all by default. The API does not document which ones.
        :returns: the contacts, in the server's order. An empty list can mean that they are not loaded yet.
        :raises WaContactsError: they could not be read.
        """
        return self.run_flow(green_api.get_contacts(self._instance, group=group, count=count))

    def get_state(self) -> str:
        """
        Request the instance's state.

        :returns: ``authorized``, ``notAuthorized``, ``blocked``, ``starting`` or any other word that the server
            sends; ``unknown`` if it is not a word; empty while the instance is being created.
        :raises WaContactsError: it could not be read.
        """
        return self.run_flow(green_api.get_state(self._instance))

    def get_wa_settings(self) -> green_api.WaSettings:
        """
        Request how much of the account's history the instance has loaded.

        :raises WaContactsError: it could not be read.
        """
        return self.run_flow(green_api.get_wa_settings(self._instance))

    def run(
        self,
        endpoint: str | None = None,
        data: Mapping[str, Any] | str | bytes | None = None,
        headers: Mapping[str, Any] | None = None,
        *,
        json: Any = None,
    ) -> Response:
        """
        Call one of GREEN-API's methods, see :meth:`.FeedHook.run`.

        :param endpoint: the method's name, such as ``getSettings``; instance and token are put around it.
        """
        if not endpoint:
            raise ConfigError("endpoint is empty. Set it to a method of GREEN-API, for example getSettings.")
        name, question_mark, query = endpoint.strip("/").partition("?")
        return super().run(self._instance.path(name) + question_mark + query, data, headers, json=json)

    @cached_property
    def _check_driver(self) -> Driver:
        limiter = CHECK_RATE_LIMITERS[self._endpoint.base_url, self._instance.id_instance]
        return self._make_driver(self._policy, self._endpoint.timeout, rate_limiter=limiter)

    def _probe(self) -> Flow[str]:
        state = yield from green_api.get_usable_state(self._instance)
        return f"Connected to GREEN-API. The instance's state is {state}."

    @cached_property
    def _instance(self) -> green_api.Instance:
        return parse_instance(self._connection, self._endpoint)

    @property
    def _normalize(self) -> Callable[[Response], Response]:
        return green_api.normalize_status

    @property
    def _rate_limiter(self) -> RateLimiter:
        return RATE_LIMITERS[self._endpoint.base_url, self._instance.id_instance]
