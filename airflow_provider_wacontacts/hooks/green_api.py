"""GREEN-API's contacts, through an Airflow connection."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import Connection, mask_secret

from airflow_provider_wacontacts.clients import green_api
from airflow_provider_wacontacts.clients.http import Flow, Response
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
from airflow_provider_wacontacts.clients.requests_driver import Clock, Credentials
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.connections import Endpoint, token_of
from airflow_provider_wacontacts.hooks.feed import FeedHook
from airflow_provider_wacontacts.hooks.forms import field_behaviour, form_widgets
from airflow_provider_wacontacts.records.green_api import Snapshot

__all__ = ["GreenApiHook"]

#: One request a second is allowed. A fifth more, as not all of them take equally long to get there.
TURN = timedelta(seconds=1.2)
#: Of all hooks of the process, by host and instance.
TURNS = RateLimiter(TURN)
#: A 429 says nothing of how long to wait, and to ask again within the second is of no use.
PATIENT = RetryPolicy(first_backoff=timedelta(seconds=2))


class GreenApiHook(FeedHook):
    """
    Reads the contacts of one instance of GREEN-API.

    The connection's host is the instance's ``apiUrl``, its login ``idInstance`` and its password ``apiTokenInstance``.
    All hooks of a process that lead to the same instance send one request a second together. Threads may share a hook.

    :param green_api_conn_id: the connection.
    :param method: of :meth:`run`.
    :param policy: how long a request is tried.
    :param clock: a seam for tests.
    """

    conn_name_attr = "green_api_conn_id"
    default_conn_name = "green_api_default"
    conn_type = "green_api"
    hook_name = "GREEN-API"

    def __init__(
        self,
        green_api_conn_id: str = default_conn_name,
        *,
        method: str = "GET",
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(green_api_conn_id, method=method, policy=policy or PATIENT, clock=clock)
        self.green_api_conn_id = green_api_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form fields of the extras, for Airflow before 3.2."""
        return form_widgets(cls.conn_type)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the standard fields look, for Airflow before 3.2."""
        return field_behaviour(cls.conn_type)

    def get_contacts(self, *, group: bool | None = None, count: int | None = None) -> Snapshot:
        """
        Ask for all contacts of the account. They are up to 5 minutes old.

        :param group: groups only, or persons only; both by default.
        :param count: how many at most, 1 and up; all by default. Which ones is not documented.
        :returns: the contacts, in the server's order. None of them can mean that there are none, or to ask again.
        :raises WaContactsError: they could not be read.
        """
        return self.run_flow(green_api.get_contacts(self._instance, group=group, count=count))

    def get_state(self) -> str:
        """
        Ask for the instance's state.

        :returns: ``authorized``, ``notAuthorized``, ``blocked``, ``starting``, …, or another word where the server has
            another, and ``unknown`` where that is no word; empty while the instance is being created.
        :raises WaContactsError: it could not be read.
        """
        return self.run_flow(green_api.get_state(self._instance))

    def get_wa_settings(self) -> green_api.WaSettings:
        """
        Ask how far the instance has loaded the history of its account.

        :raises WaContactsError: it could not be read.
        """
        return self.run_flow(green_api.get_wa_settings(self._instance))

    def run(
        self,
        endpoint: str | None = None,
        data: dict[str, Any] | str | bytes | None = None,
        headers: dict[str, Any] | None = None,
        extra_options: dict[str, Any] | None = None,
        *,
        json: Any = None,
        **request_kwargs: Any,
    ) -> Response:
        """
        Call one of GREEN-API's methods, see :meth:`.FeedHook.run`.

        :param endpoint: the method's name, such as ``getSettings``; instance and token are put around it.
        """
        if not endpoint:
            raise ConfigError("run needs the name of a method of GREEN-API, such as getSettings")
        name, _, query = endpoint.strip("/").partition("?")
        path = self._instance.path(name)
        return super().run(
            f"{path}?{query}" if query else path, data, headers, extra_options, json=json, **request_kwargs
        )

    def _probe(self) -> Flow[str]:
        state = yield from green_api.get_usable_state(self._instance)
        return f"GREEN-API answered: the instance's state is {state}"

    @cached_property
    def _instance(self) -> green_api.Instance:
        return _instance_of(self._connection, self._endpoint)

    def _credentials(self, connection: Connection, endpoint: Endpoint) -> Credentials:  # noqa: ARG002
        return _InTurn((endpoint.base_url, self._instance.id_instance), self._clock)

    def _normalize_status(self, response: Response) -> Response:
        return green_api.normalize_status(response)


class _InTurn:
    """What stands for credentials where those are in the path: each sending waits until it is the instance's turn."""

    def __init__(self, key: Hashable, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def headers(self) -> Mapping[str, str]:
        TURNS.wait(self._key, self._clock)
        return {}

    def renew(self) -> bool:
        return False


def _instance_of(connection: Connection, endpoint: Endpoint) -> green_api.Instance:
    """
    Read which instance a connection speaks for, and have Airflow mask its token as it is and as a path has it.

    :raises ConfigError: a field is missing or cannot be.
    """
    if "/wainstance" in endpoint.base_url.lower():
        raise _wrong(connection, "host", "holds more than the apiUrl; idInstance and token go into login and password")
    id_instance = str(connection.login or "").strip()
    if not id_instance:
        raise _wrong(connection, "login", "is empty; it holds the idInstance")
    if not (id_instance.isascii() and id_instance.isdecimal()):
        raise _wrong(connection, "login", "is not an idInstance, which has digits only")
    instance = green_api.Instance(id_instance, token_of(connection))
    for secret in instance.secrets:
        mask_secret(secret)
    return instance


def _wrong(connection: Connection, name: str, what: str) -> ConfigError:
    return ConfigError(f"connection {connection.conn_id!r}: {name} {what}")
