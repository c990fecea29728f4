"""
A connection of type ``whatsapp_business``, and authentication with the credentials in it.

A user name and a password are exchanged for a token, once for all threads or tasks that share an :class:`AuthState`.
The connection is read once more before each login, and when a fixed token or key is not accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import Connection, mask_secret

from airflow_provider_wacontacts.clients.http import AuthFlow, Call
from airflow_provider_wacontacts.clients.whatsapp_business import TokenCache, login
from airflow_provider_wacontacts.hooks.connections import Endpoint, endpoint_of, extras_of, invalid_field, token_of

__all__ = ["UNVERIFIED", "AuthState", "WhatsAppConnection", "parse_connection"]

DEFAULT_DAILY_CHECKS = 1000
UNVERIFIED = "Connection %r does not verify certificates, so its traffic can be read and changed; set extra 'verify'"


@dataclass(frozen=True, slots=True)
class WhatsAppConnection:
    """
    A connection's endpoint, sender and credentials.

    :param sender: the registered number, as extra ``sender`` has it, or the connection's ID.
    :param daily_checks: the daily check budget: numbers per UTC day, 1 and up.
    :param login: name and password that are exchanged for a token; ``None`` if ``header`` is fixed.
    :param header: name and value of the fixed header; ``None`` for a login.
    """

    endpoint: Endpoint
    sender: str
    daily_checks: int
    login: tuple[str, str] | None = field(default=None, repr=False)
    header: Mapping[str, str] | None = field(default=None, repr=False)


def parse_connection(connection: Connection) -> WhatsAppConnection:
    """
    Parse a connection; nothing is sent.

    :raises ConfigError: a field or an extra is missing or invalid; the message names it.
    """
    endpoint, extras = endpoint_of(connection), extras_of(connection)
    sender = str(extras.get("sender") or "").strip() or connection.conn_id
    auth = _auth_kind(connection, extras, endpoint)
    return WhatsAppConnection(
        endpoint,
        sender,
        _daily_checks(connection, extras),
        login=_login(connection) if auth == "login" else None,
        header=_HEADERS[auth](token_of(connection)) if auth in _HEADERS else None,
    )


class Lock(Protocol):
    """A :class:`threading.Lock`, or an :class:`asyncio.Lock` for an event loop."""

    def acquire(self) -> Any:
        """Wait for the lock; on an event loop, return an awaitable."""

    def release(self) -> None:
        """Release the lock."""


class AuthState:
    """
    The header that authenticates, for all threads or tasks that share a connection.

    One of them logs in, while the others wait.

    :param read: reads the connection.
    :param mask: has Airflow mask a token. On an event loop, both return an awaitable.
    :param now: the local time, timezone-aware.
    """

    def __init__(
        self,
        connection: WhatsAppConnection,
        *,
        read: Callable[[], Any],
        mask: Callable[[str], Any],
        lock: Lock,
        now: Callable[[], datetime],
    ) -> None:
        self._base_url = connection.endpoint.base_url
        self._header = connection.header
        self._login = connection.login
        self._token = TokenCache()
        self._read = read
        self._mask = mask
        self._lock = lock
        self._now = now

    def headers(self) -> AuthFlow[Mapping[str, str]]:
        """Return the current header, after a login if the token is about to expire."""
        return self._current() or (yield from self._renewed({}))

    def renew(self, sent: Mapping[str, str]) -> AuthFlow[bool]:
        """Get another header than the one that was sent, unless another thread or task already has."""
        return (yield from self._renewed(sent)) != sent

    def _current(self) -> Mapping[str, str] | None:
        token = self._token.current(self._now())
        return self._header or (_bearer(token) if token else None)

    def _renewed(self, sent: Mapping[str, str]) -> AuthFlow[Mapping[str, str]]:
        yield Call(self._lock.acquire)
        try:
            current = self._current()
            if current and current != sent:
                return current
            self._update((yield Call(self._read)))
            if self._login is None:
                return self._header or {}
            token = yield from login(*self._login)
            yield Call(partial(self._mask, token.token))
            return _bearer(self._token.keep(token, self._now()))
        finally:
            self._lock.release()

    def _update(self, connection: WhatsAppConnection) -> None:
        """Use the credentials that the connection holds now, unless its host has changed."""
        if connection.endpoint.base_url == self._base_url:
            self._header = self._header and (connection.header or self._header)
            self._login = self._login and (connection.login or self._login)


def _bearer(token: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {token}"}


_HEADERS: dict[str, Callable[[str], Mapping[str, str]]] = {"bearer": _bearer, "d360": lambda key: {"d360-api-key": key}}


def _auth_kind(connection: Connection, extras: Mapping[str, Any], endpoint: Endpoint) -> str:
    auth = str(extras.get("auth") or "").strip().lower() or "login"
    if auth not in ("login", *_HEADERS):
        raise invalid_field(connection, "extra 'auth'", "is not login, bearer or d360")
    host = urlsplit(endpoint.base_url).hostname or ""
    if auth == "login" and f".{host}".endswith(".turn.io"):
        raise invalid_field(
            connection,
            "extra 'auth'",
            "is login, which at Turn.io revokes the token in use; put that into the password and set it to bearer",
        )
    return auth


def _login(connection: Connection) -> tuple[str, str]:
    username, password = (connection.login or "").strip(), connection.password or ""
    if not username:
        raise invalid_field(
            connection, "login", "is empty; it holds the user's name, unless extra 'auth' is bearer or d360"
        )
    if ":" in username:
        raise invalid_field(connection, "login", "has a colon, which a user's name cannot have")
    if not password:
        raise invalid_field(connection, "password", "is empty; it holds the user's password")
    mask_secret(password)
    return username, password


def _daily_checks(connection: Connection, extras: Mapping[str, Any]) -> int:
    value = extras.get("daily_checks")
    if value is None or value == "":
        return DEFAULT_DAILY_CHECKS
    text = str(value).strip()
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise invalid_field(connection, "extra 'daily_checks'", "is not a whole number from 1 on")
    return int(text)
