"""The mock server: it listens on a free port of the loopback interface, in a separate thread."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette

from airflow_provider_wacontacts.sandbox.control import control_routes
from airflow_provider_wacontacts.sandbox.core.callers import CallerMiddleware
from airflow_provider_wacontacts.sandbox.core.clock import Clock
from airflow_provider_wacontacts.sandbox.core.dispatcher import Dispatcher
from airflow_provider_wacontacts.sandbox.core.faults import Fault, Faults, Requests
from airflow_provider_wacontacts.sandbox.core.options import changed
from airflow_provider_wacontacts.sandbox.core.responses import Connections, DateHeaderMiddleware
from airflow_provider_wacontacts.sandbox.green_api.account import GreenApiAccount
from airflow_provider_wacontacts.sandbox.green_api.api import GreenApiApi
from airflow_provider_wacontacts.sandbox.green_api.behaviour import GreenApiBehaviour
from airflow_provider_wacontacts.sandbox.green_api.contact_list import ContactList
from airflow_provider_wacontacts.sandbox.population import example_contact_list, seeded_world
from airflow_provider_wacontacts.sandbox.turn.api import TurnApi
from airflow_provider_wacontacts.sandbox.turn.behaviour import TurnBehaviour
from airflow_provider_wacontacts.sandbox.turn.world import Event, World, next_midnight
from airflow_provider_wacontacts.sandbox.whatsapp_business.api import WhatsAppApi
from airflow_provider_wacontacts.sandbox.whatsapp_business.behaviour import WhatsAppBehaviour
from airflow_provider_wacontacts.sandbox.whatsapp_business.client import WhatsAppClient

__all__ = ["Sandbox"]

LOOPBACK = "127.0.0.1"


class Sandbox:
    """
    An HTTP mock server of Turn.io, of a WhatsApp Business API client and of GREEN-API.

    Several servers can run at once.

    ``with Sandbox(...) as sandbox`` starts and stops it. Changes take effect with the next request.

    :param world: the contacts; 300 invented contacts over two weeks by default.
    :param now: the sandbox's time; the midnight after the world's last event by default.
    :param rate: sandbox seconds in a real second; by default the clock does not advance until it is set.
    :param behaviour: settings for open questions of Turn.io's contract.
    :param whatsapp: settings for open questions of the WhatsApp Business API's contract.
    :param green_api: settings for open questions of GREEN-API's contract.
    :param contact_list: the contact list of GREEN-API's account; the example of its documentation by default.
    :param host: the address to listen on. Every client with access to it can change the sandbox.
    :param port: 0 for a free one.
    :param allowed_hosts: host names with a dot that are accepted. Addresses and other names are always accepted.
    :param real_time: seconds since the epoch, for rate limits, open cursors and callbacks.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        now: datetime | str | None = None,
        rate: float = 0.0,
        behaviour: TurnBehaviour | None = None,
        whatsapp: WhatsAppBehaviour | None = None,
        green_api: GreenApiBehaviour | None = None,
        contact_list: ContactList | None = None,
        host: str = LOOPBACK,
        port: int = 0,
        allowed_hosts: Collection[str] = (),
        real_time: Callable[[], float] = time.time,
    ) -> None:
        world = seeded_world() if world is None else world
        connections = Connections()
        self.clock = Clock(now or _after(world), rate=rate)
        self._dispatcher = Dispatcher(self.clock, connections, real_time)
        self._api = TurnApi(world, self._dispatcher, behaviour or TurnBehaviour())
        self._client = WhatsAppClient(self._dispatcher, whatsapp or WhatsAppBehaviour())
        self._whatsapp_api = WhatsAppApi(self._client, self._dispatcher, self._api.response_time)
        listed = example_contact_list() if contact_list is None else contact_list
        self._account = GreenApiAccount(self._dispatcher, green_api or GreenApiBehaviour(), listed)
        self._green_api = GreenApiApi(self._account, self._dispatcher, self._api.response_time)
        self._host = host
        self._port = port
        self._allowed_hosts = allowed_hosts
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._server = uvicorn.Server(self._config(connections))

    @property
    def url(self) -> str:
        """The URL, without a trailing slash. Available after :meth:`start`."""
        if self._socket is None:
            raise RuntimeError("the sandbox is not started")
        return f"http://{self._host}:{self._socket.getsockname()[1]}"

    @property
    def token(self) -> str:
        """The token that the mock server of Turn.io accepts."""
        return self.behaviour.token

    @property
    def world(self) -> World:
        """The contacts; change them with :meth:`upsert` and :meth:`delete` while it runs."""
        return self._api.world

    @property
    def behaviour(self) -> TurnBehaviour:
        """The current settings of Turn.io's mock server."""
        return self._api.behaviour

    @property
    def whatsapp(self) -> WhatsAppClient:
        """The WhatsApp Business API client, with its settings and methods."""
        return self._client

    @property
    def green_api(self) -> GreenApiAccount:
        """The account of GREEN-API, with its settings and methods."""
        return self._account

    @property
    def asked_numbers(self) -> Counter[str]:
        """How often each number was checked for WhatsApp, in requests with a response, by ``+`` and its digits."""
        return self._client.asked

    @property
    def requests(self) -> Requests:
        """The requests so far."""
        return self._dispatcher.requests

    @property
    def lock(self) -> threading.RLock:
        """Held while a request is processed."""
        return self._dispatcher.lock

    @property
    def faults(self) -> Faults:
        """The pending faults."""
        return self._dispatcher.faults

    def change(self, **changes: Any) -> TurnBehaviour:
        """
        Change fields of the behaviour of Turn.io's mock server.

        :raises ValueError: there is no such field, or the value is of another type.
        """
        with self._dispatcher.lock:
            self._api.behaviour = changed(self._api.behaviour, changes)
            return self._api.behaviour

    def fail(self, *faults: Fault) -> None:
        """Add faults. The first matching one applies to a request."""
        with self._dispatcher.lock:
            for fault in faults:
                self._dispatcher.faults.add(fault)

    def load(
        self,
        world: World,
        *,
        now: datetime | str | None = None,
        behaviour: TurnBehaviour | None = None,
        whatsapp: WhatsAppBehaviour | None = None,
        green_api: GreenApiBehaviour | None = None,
        contact_list: ContactList | None = None,
    ) -> None:
        """
        Replace the world, and clear requests, faults and all changes.

        :param now: default as at creation.
        :param behaviour: None leaves it unchanged, like ``whatsapp`` and ``green_api``.
        :param contact_list: default as at creation.
        """
        with self._dispatcher.lock:
            self._dispatcher.reset()
            self._api.load(world)
            self._whatsapp_api.reset()
            self._client.reset()
            self._api.behaviour = behaviour or self._api.behaviour
            self._client.behaviour = whatsapp or self._client.behaviour
            self._green_api.reset()
            self._account.load(example_contact_list() if contact_list is None else contact_list)
            self._account.behaviour = green_api or self._account.behaviour
            self.clock.set(now or _after(world))

    def upsert(self, contact_id: int | None = None, **details: Any) -> Event:
        """Change fields of a contact now, or create one."""
        with self._dispatcher.lock:
            return self.world.upsert(contact_id, details, at=self.clock.now())

    def delete(self, contact_id: int) -> Event:
        """
        Delete a contact now.

        :raises LookupError: there is no such contact.
        """
        with self._dispatcher.lock:
            return self.world.delete(contact_id, at=self.clock.now())

    def truth(self) -> list[Event]:
        """Return every state up to now, oldest first: the expected result of a complete pipeline."""
        with self._dispatcher.lock:
            return self.world.until(self.clock.now())

    def start(self) -> Self:
        """
        Start serving; return when the server is ready.

        :raises OSError: the port is taken.
        """
        self._socket = listener = _listener(self._host, self._port)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True
        )
        self._thread.start()
        self._client.callbacks.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.002)
        return self

    def stop(self) -> None:
        """Stop serving, close open connections, and post no more callbacks."""
        self._client.callbacks.stop()
        self._server.should_exit = True
        self._server.force_exit = True
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _config(self, connections: Connections) -> uvicorn.Config:
        apis = (self._whatsapp_api, self._green_api, self._api)
        app = Starlette(routes=[*control_routes(self), *(route for api in apis for route in api.routes())])
        dated = DateHeaderMiddleware(app, lambda: self.clock.now() if self.behaviour.send_date else None)
        return uvicorn.Config(
            CallerMiddleware(dated, self._allowed_hosts),
            http=connections.protocol(),
            lifespan="off",
            loop="asyncio",
            ws="none",
            log_config=None,
            log_level="warning",  # at lower levels it may log requests, and GREEN-API's paths contain a token
            access_log=False,
            proxy_headers=False,
            date_header=False,
            server_header=False,
        )


def _listener(host: str, port: int) -> socket.socket:
    # asyncio disables Nagle's algorithm, which costs 40 ms per response, only if the socket's protocol is set.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def _after(world: World) -> datetime:
    return next_midnight(world.end or datetime.now(UTC))
