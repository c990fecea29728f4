"""What the hooks of all feeds have in common."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

import msgspec
import requests
from airflow.providers.common.compat.sdk import BaseHook, Connection
from airflow.providers.http.hooks.http import HttpHook

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.clients.bodies import DEFAULT_LIMITS, Limits
from airflow_provider_wacontacts.clients.deadlines import DeadlineAdapter
from airflow_provider_wacontacts.clients.errors import spec_by_status
from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.retry import DEFAULT_POLICY, SYSTEM_CLOCK, Auth, Clock, RetryLoop, RetryPolicy
from airflow_provider_wacontacts.exceptions import WaContactsError, add_help
from airflow_provider_wacontacts.hooks.connections import (
    Endpoint,
    extras_of_form,
    field_behaviour,
    form_widgets,
    parse_endpoint,
    read_connection,
    warn_of_unknown_extras,
)
from airflow_provider_wacontacts.hooks.metrics import send_retry

__all__ = ["HTTP_EXTRAS", "USER_AGENT", "FeedHook"]

T = TypeVar("T")

USER_AGENT = f"airflow-provider-wacontacts/{__version__}"
QUICK = RetryPolicy(budget=timedelta(seconds=10), max_pause=timedelta(seconds=5))
QUICK_TIMEOUT = 15.0
#: Extras that no form shows.
HTTP_EXTRAS = {"verify_ssl", "proxies", "proxy", "cert", "trust_env", "file_mode"}


class FeedHook(BaseHook):
    """
    A hook for one feed. Neither URLs nor bodies are logged, and no redirect is followed.

    :class:`HttpHook` sets up the session, which lives as long as the hook. The connection's ``timeout``, ``verify``,
    ``cert``, ``proxies`` and ``trust_env`` mean what they mean there; no other extra becomes a header.

    :cvar limits: maximum size and time of a response, unless the connection's extras set them.
    :param policy: how long a request is retried.
    :param clock: for tests.
    """

    conn_type: ClassVar[str]
    limits: ClassVar[Limits] = DEFAULT_LIMITS

    def __init__(
        self, conn_id: str, *, method: str = "GET", policy: RetryPolicy | None = None, clock: Clock | None = None
    ) -> None:
        super().__init__()
        self.method = method.upper()
        self._conn_id = conn_id
        self._policy = policy or DEFAULT_POLICY
        self._clock = clock or SYSTEM_CLOCK

    def __init_subclass__(cls) -> None:
        # Airflow before 3.2 looks for them in the class itself.
        for name in ("get_connection_form_widgets", "get_ui_field_behaviour"):
            setattr(cls, name, FeedHook.__dict__[name])

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form fields of the extras, for Airflow before 3.2."""
        return form_widgets(cls.conn_type)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the standard fields look, for Airflow before 3.2."""
        return field_behaviour(cls.conn_type)

    @property
    def account(self) -> str:
        """The account that the contacts are stored under: extra ``account``, or the connection's ID."""
        return self._endpoint.account

    @property
    def file_mode(self) -> int:
        """Permissions of files in a local directory: extra ``file_mode``, by default for their owner only."""
        return self._endpoint.file_mode

    def validate_connection(self) -> None:
        """
        Validate the connection; nothing is sent.

        :raises ConfigError: a field is missing or invalid; the message names it.
        """
        self.driver  # noqa: B018

    @cached_property
    def driver(self) -> Driver:
        """The driver that sends the requests of flows."""
        return self._make_driver(self._policy, self._endpoint.timeout)

    @property
    def quick_driver(self) -> Driver:
        """A driver that gives up within seconds."""
        connect, read = self._endpoint.timeout
        return self._make_driver(QUICK, (min(connect, QUICK_TIMEOUT), min(read, QUICK_TIMEOUT)))

    def get_conn(self) -> requests.Session:
        """Return the hook's session. It holds no credentials: :meth:`run` adds them."""
        return self._session

    def run_flow(self, flow: Flow[T]) -> T:
        """
        Send the requests of a flow.

        :returns: what the flow returns.
        :raises WaContactsError: raised by the flow.
        """
        return self.driver.run(flow)

    def run(
        self,
        endpoint: str | None = None,
        data: Mapping[str, Any] | str | bytes | None = None,
        headers: Mapping[str, Any] | None = None,
        *,
        json: Any = None,
    ) -> Response:
        """
        Send one request of the hook's ``method``. It is retried after 429, 5xx and network failures.

        :param endpoint: below the connection's host, already quoted.
        :param data: parameters of a GET; otherwise the body, a dictionary as a form.
        :param json: a body to be sent as JSON.
        :returns: a 2xx response.
        :raises WaContactsError: there was no such response.
        """
        query, kind, body = _encode(self.method, data, json)
        path = _with_query(f"/{(endpoint or '').lstrip('/')}", query)
        sent = kind | {name.lower(): str(value) for name, value in (headers or {}).items()}
        return self.run_flow(_run_request(Request(f"{self.conn_type}.run", self.method, path, sent, body)))

    def test_connection(self) -> tuple[bool, str]:
        """Send a request that changes nothing, and describe its outcome without secrets."""
        try:
            return True, self.quick_driver.run(self._probe())
        except WaContactsError as error:
            return False, add_help(error)

    def _probe(self) -> Flow[str]:
        """Request something that exists in every account, and describe it."""
        raise NotImplementedError

    @cached_property
    def _connection(self) -> Connection:
        connection = read_connection(self._conn_id, self.conn_type)
        warn_of_unknown_extras(connection, HTTP_EXTRAS | extras_of_form(self.conn_type))
        return connection

    @cached_property
    def _endpoint(self) -> Endpoint:
        return parse_endpoint(self._connection)

    @cached_property
    def _auth(self) -> Auth | None:
        return None

    @property
    def _rate_limiter(self) -> RateLimiter | None:
        return None

    @property
    def _normalize(self) -> Callable[[Response], Response] | None:
        return None

    @cached_property
    def _session(self) -> requests.Session:
        session: requests.Session = _SessionHook(self._endpoint).get_conn()
        session.headers["User-Agent"] = USER_AGENT
        return session

    def _make_driver(
        self,
        policy: RetryPolicy,
        timeout: tuple[float, float],
        rate_limiter: RateLimiter | None = None,
        max_seconds: int | None = None,
    ) -> Driver:
        session, normalize = self._session, self._normalize
        rate_limiter = rate_limiter or self._rate_limiter
        endpoint = self._endpoint
        loop = RetryLoop(
            self._auth,
            policy=policy,
            clock=self._clock,
            normalize=normalize,
            before_sleep=send_retry,
            connection=endpoint.label,
        )
        limits = self.limits.changed(endpoint.max_response_mb, max_seconds or endpoint.max_response_seconds)
        return Driver(session, endpoint.base_url, loop, timeout=timeout, limits=limits, rate_limiter=rate_limiter)


class _SessionHook(HttpHook):
    """An HTTP hook that sets up a session for an endpoint: its login and its other extras stay out of it."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(adapter=DeadlineAdapter())
        self._endpoint = endpoint

    def get_connection(self, conn_id: str) -> Connection:  # type: ignore[override]
        endpoint = self._endpoint
        extra = {name: getattr(endpoint, name) for name in ("verify", "cert", "proxies", "trust_env")}
        return Connection(conn_id=conn_id, conn_type="http", host=endpoint.base_url, extra=jsonlib.dumps(extra))


def _run_request(request: Request) -> Flow[Response]:
    response = yield request
    if not response.is_success:
        raise spec_by_status(response, {}).error(request.operation, response.status)
    return response


def _with_query(path: str, query: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{query}" if query else path


def _encode(
    method: str, data: Mapping[str, Any] | str | bytes | None, json: Any
) -> tuple[str, dict[str, str], bytes | None]:
    """Return the query, the header with the body's type, and the body."""
    if json is not None:
        return "", {"content-type": "application/json"}, msgspec.json.encode(json)
    kind = {"content-type": "application/x-www-form-urlencoded"} if isinstance(data, Mapping) else {}
    text = urlencode(data, doseq=True) if isinstance(data, Mapping) else data
    if method in ("GET", "HEAD"):
        return (text.decode() if isinstance(text, bytes) else text or ""), {}, None
    return "", kind, text.encode() if isinstance(text, str) else text
