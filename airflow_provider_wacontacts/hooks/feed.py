"""What the hooks of all feeds have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import msgspec
import requests
from airflow.providers.common.compat.sdk import Connection
from airflow.providers.http.hooks.http import HttpHook

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.clients.requests_driver import Clock, Credentials, Driver
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import ConfigError, RejectedError, WaContactsError
from airflow_provider_wacontacts.hooks.connections import Endpoint, endpoint_of, read_connection
from airflow_provider_wacontacts.hooks.metrics import retrying

__all__ = ["FeedHook"]

T = TypeVar("T")

USER_AGENT = f"airflow-provider-wacontacts/{__version__}"
QUICK = RetryPolicy(budget=timedelta(seconds=10), longest_pause=timedelta(seconds=5))
QUICK_TIMEOUT = 15.0


def _shut(instead: str) -> Callable[..., NoReturn]:
    def door(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"HttpHook's way here logs or returns what may be secret; use {instead}")

    return door


class FeedHook(HttpHook):
    """
    An HTTP hook that keeps what it sends and receives to itself.

    One session lives as long as the hook. The connection's ``timeout``, ``verify``, ``cert``, ``proxies`` and
    ``trust_env`` mean what they mean to :class:`HttpHook`; no extra becomes a header, no redirect is followed, and
    neither URLs nor bodies are logged.

    :param policy: how long a request is tried.
    :param clock: a seam for tests.
    """

    def __init__(
        self, conn_id: str, *, method: str = "GET", policy: RetryPolicy | None = None, clock: Clock | None = None
    ) -> None:
        super().__init__(method=method, http_conn_id=conn_id)
        self._policy = policy or RetryPolicy()
        self._clock = clock or Clock()

    @property
    def account(self) -> str:
        """What the connection's contacts are filed under: extra ``account``, else the connection's id."""
        return self._endpoint.account

    def check(self) -> None:
        """
        Make sure that the connection can be used, before anything is done for it; nothing is sent.

        :raises ConfigError: a field is missing or cannot be; the message names it.
        """
        self._driver(self._policy, self._endpoint.timeout)

    def get_conn(self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None) -> Any:
        """Return the hook's one :class:`requests.Session`, which holds no credentials: sending adds them."""
        _refuse_options(extra_options)
        if headers:
            raise ConfigError("get_conn takes no headers; hand them to run()")
        return self._session

    def run_flow(self, flow: Flow[T]) -> T:
        """
        Send what a flow asks for.

        :returns: what the flow returns.
        :raises WaContactsError: of the flow, or of the transport.
        """
        return self._driver(self._policy, self._endpoint.timeout).run(flow)

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
        Send one request of the hook's ``method``.

        It is sent again after 429, 5xx and a broken line, whatever its method.

        :param endpoint: below the connection's host, already quoted.
        :param data: parameters of a GET; else the body, a dictionary as a form.
        :param json: a body to be sent as JSON.
        :returns: a 2xx.
        :raises WaContactsError: there was none.
        """
        _refuse_options(extra_options or request_kwargs)
        query, kind, body = _encoded(self.method, data, json)
        sent = kind | {name.lower(): str(value) for name, value in (headers or {}).items()}
        path = f"/{(endpoint or '').lstrip('/')}{query}"
        return self.run_flow(_one(Request(f"{self.conn_type}.run", self.method, path, sent, body)))

    def test_connection(self) -> tuple[bool, str]:
        """Send a request that changes nothing, and tell what came of it in words that anybody may read."""
        try:
            connect, read = self._endpoint.timeout
            driver = self._driver(QUICK, (min(connect, QUICK_TIMEOUT), min(read, QUICK_TIMEOUT)))
            return True, driver.run(self._probe())
        except WaContactsError as error:
            return False, str(error)

    check_response = _shut("run_flow")
    run_and_check = _shut("run")
    run_with_advanced_retry = _shut("run, which tries again by itself")
    url_from_endpoint = _shut("run with the endpoint")

    def _probe(self) -> Flow[str]:
        """Ask for something that exists in every account, and say what was found."""
        raise NotImplementedError

    def _credentials(self, connection: Connection, endpoint: Endpoint) -> Credentials:
        """Return what the feed authenticates with."""
        raise NotImplementedError

    @cached_property
    def _connection(self) -> Connection:
        return read_connection(self.http_conn_id)

    @cached_property
    def _endpoint(self) -> Endpoint:
        return endpoint_of(self._connection)

    @cached_property
    def _known_credentials(self) -> Credentials:
        return self._credentials(self._connection, self._endpoint)

    @cached_property
    def _session(self) -> requests.Session:
        endpoint = self._endpoint
        session = requests.Session()
        session.headers["User-Agent"] = USER_AGENT
        session.verify, session.cert = endpoint.verify, endpoint.cert
        session.proxies, session.trust_env = dict(endpoint.proxies), endpoint.trust_env
        for scheme in ("https://", "http://"):
            session.mount(scheme, self.keep_alive_adapter)
        return session

    def _driver(self, policy: RetryPolicy, timeout: tuple[float, float]) -> Driver:
        return self._driver_with(self._known_credentials, policy, timeout)

    def _driver_with(
        self, credentials: Credentials | None, policy: RetryPolicy, timeout: tuple[float, float]
    ) -> Driver:
        return Driver(
            self._session,
            self._endpoint.base_url,
            credentials,
            policy=policy,
            timeout=timeout,
            clock=self._clock,
            read=self._normalize_status,
            paused=retrying,
        )

    def _normalize_status(self, response: Response) -> Response:
        """Return what an answer amounts to, before it is judged by its status."""
        return response


def _one(request: Request) -> Flow[Response]:
    response = yield request
    if not response.is_success:
        raise RejectedError(
            "the server refuses the request",
            source=request.source,
            operation=request.operation,
            status=response.status,
        )
    return response


def _encoded(
    method: str, data: Mapping[str, Any] | str | bytes | None, json: Any
) -> tuple[str, dict[str, str], bytes | None]:
    """Return what of the data goes behind the path, the header that tells its kind, and the body."""
    if json is not None:
        return "", {"content-type": "application/json"}, msgspec.json.encode(json)
    if isinstance(data, Mapping):
        form = urlencode(data, doseq=True)
        if method in _WITHOUT_BODY:
            return f"?{form}", {}, None
        return "", {"content-type": "application/x-www-form-urlencoded"}, form.encode()
    if method in _WITHOUT_BODY:
        return f"?{_text(data)}" if data else "", {}, None
    return "", {}, data.encode() if isinstance(data, str) else data


def _text(data: str | bytes) -> str:
    return data if isinstance(data, str) else data.decode()


_WITHOUT_BODY = ("GET", "HEAD")


def _refuse_options(options: Mapping[str, Any] | None) -> None:
    if options:
        raise ConfigError("options of a request are not taken here; set them as extras of the connection")
