"""
What a ``whatsapp_business`` connection means, and the credentials in it.

A name and a password are exchanged for a token, once for all threads or tasks that share an :class:`AuthState`. Both
are read from the connection once more before each login, and a fixed token or key when it is not accepted.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import Connection, mask_secret

from airflow_provider_wacontacts.clients.whatsapp_business import Token, TokenCache
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.connections import Endpoint, endpoint_of, extras_of, token_of

__all__ = ["AsyncSharedCredentials", "AuthState", "SharedCredentials", "WhatsAppConnection", "access_of"]

DEFAULT_DAILY_CHECKS = 1000
UNVERIFIED = "connection %r: certificates are not verified: whoever sits in between can read and change all of it"


@dataclass(frozen=True, slots=True)
class WhatsAppConnection:
    """
    Where a connection leads, whom it speaks for, and with which credentials.

    :param sender: the registered number, as extra ``sender`` has it, else the connection's id.
    :param daily_checks: how many numbers may be asked about in a UTC day, 1 and up.
    :param login: name and password that are exchanged for a token; ``None`` where ``header`` is fixed.
    :param header: name and value of the fixed header; ``None`` for a login.
    """

    endpoint: Endpoint
    sender: str
    daily_checks: int
    login: tuple[str, str] | None = field(default=None, repr=False)
    header: Mapping[str, str] | None = field(default=None, repr=False)


def access_of(connection: Connection) -> WhatsAppConnection:
    """
    Read a connection; nothing is sent.

    :raises ConfigError: a field or an extra is missing or cannot be; the message names it.
    """
    endpoint, extras = endpoint_of(connection), extras_of(connection)
    sender = str(extras.get("sender") or "").strip() or connection.conn_id
    way = _way(connection, extras, endpoint)
    return WhatsAppConnection(
        endpoint,
        sender,
        _daily_checks(connection, extras),
        login=_login(connection) if way == "login" else None,
        header=_HEADERS[way](token_of(connection)) if way in _HEADERS else None,
    )


class AuthState:
    """
    The header that authenticates, as of now, for all who share it.

    :param now: the local time, aware.
    """

    def __init__(self, access: WhatsAppConnection, now: Callable[[], datetime]) -> None:
        self._base_url = access.endpoint.base_url
        self._header = access.header
        self._login = access.login
        self._token = TokenCache()
        self._now = now

    def current(self) -> Mapping[str, str] | None:
        """Return the header; ``None`` where it is time for a login."""
        if self._header is not None:
            return self._header
        token = self._token.current(self._now())
        return _bearer(token) if token else None

    def take(self, token: Token) -> Mapping[str, str]:
        """Use what a login brought, and return the header."""
        return _bearer(self._token.keep(token, self._now()))

    def replace(self, access: WhatsAppConnection) -> tuple[str, str] | None:
        """Use what the connection holds now, unless it leads to another host; return what to log in with, if at all."""
        if access.endpoint.base_url == self._base_url:
            self._header = self._header and (access.header or self._header)
            self._login = self._login and (access.login or self._login)
        return self._login


class SharedCredentials:
    """
    One driver's view of an account that threads share.

    :param lock: of the account: who finds it taken waits for what another one fetches.
    :param obtain: fetches a new header, by logging in or from the connection.
    """

    def __init__(self, account: AuthState, lock: threading.Lock, obtain: Callable[[], Mapping[str, str]]) -> None:
        self._account = account
        self._lock = lock
        self._obtain = obtain
        self._sent: Mapping[str, str] = {}

    def headers(self) -> Mapping[str, str]:
        """Return the current header, after a login where it is time for one."""
        self._sent = self._account.current() or self._fetched()
        return self._sent

    def renew(self) -> bool:
        """Fetch another header than the one that was sent, if nobody else has."""
        return self._fetched() != self._sent

    def _fetched(self) -> Mapping[str, str]:
        with self._lock:
            there = self._account.current()
            return there if there and there != self._sent else self._obtain()


class AsyncSharedCredentials:
    """One driver's view of an account that the tasks of an event loop share."""

    def __init__(
        self, account: AuthState, lock: asyncio.Lock, obtain: Callable[[], Awaitable[Mapping[str, str]]]
    ) -> None:
        self._account = account
        self._lock = lock
        self._obtain = obtain
        self._sent: Mapping[str, str] = {}

    async def headers(self) -> Mapping[str, str]:
        """Return the current header, after a login where it is time for one."""
        self._sent = self._account.current() or await self._fetched()
        return self._sent

    async def renew(self) -> bool:
        """Fetch another header than the one that was sent, if nobody else has."""
        return await self._fetched() != self._sent

    async def _fetched(self) -> Mapping[str, str]:
        async with self._lock:
            there = self._account.current()
            return there if there and there != self._sent else await self._obtain()


def _bearer(token: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {token}"}


_HEADERS: dict[str, Callable[[str], Mapping[str, str]]] = {"bearer": _bearer, "d360": lambda key: {"d360-api-key": key}}


def _way(connection: Connection, extras: Mapping[str, Any], endpoint: Endpoint) -> str:
    way = str(extras.get("auth") or "").strip().lower() or "login"
    if way not in ("login", *_HEADERS):
        raise _wrong(connection, "extra 'auth'", "is none of login, bearer and d360")
    host = urlsplit(endpoint.base_url).hostname or ""
    if way == "login" and f".{host}".endswith(".turn.io"):
        raise _wrong(
            connection,
            "extra 'auth'",
            "is login, which at Turn.io revokes the token in use; put that into the password and set it to bearer",
        )
    return way


def _login(connection: Connection) -> tuple[str, str]:
    username, password = (connection.login or "").strip(), connection.password or ""
    if not username:
        raise _wrong(connection, "login", "is empty; it holds the user's name, unless extra 'auth' is bearer or d360")
    if ":" in username:
        raise _wrong(connection, "login", "has a colon, which a user's name cannot have")
    if not password:
        raise _wrong(connection, "password", "is empty; it holds the user's password")
    mask_secret(password)
    return username, password


def _daily_checks(connection: Connection, extras: Mapping[str, Any]) -> int:
    value = extras.get("daily_checks")
    if value is None or value == "":
        return DEFAULT_DAILY_CHECKS
    text = str(value).strip()
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise _wrong(connection, "extra 'daily_checks'", "is not a whole number from 1 on")
    return int(text)


def _wrong(connection: Connection, name: str, what: str) -> ConfigError:
    return ConfigError(f"connection {connection.conn_id!r}: {name} {what}")
