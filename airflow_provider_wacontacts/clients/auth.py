"""Authentication, as flows that the retry loop runs: a fixed header, or a token that a login returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from airflow_provider_wacontacts.clients.http import AuthFlow, Call, Flow

__all__ = ["AuthState", "Credentials", "Token", "TokenCache", "bearer_header"]

#: Assumed if the server sends no readable expiry. Tokens last 7 days.
DEFAULT_LIFETIME = timedelta(days=6)
#: Upper bound, because some servers send expiries that overflow a ``datetime``.
MAX_LIFETIME = timedelta(days=365)
MAX_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Token:
    """
    The token that a login returned.

    :param token: for ``Authorization: Bearer``.
    :param expires_at: by the server's clock, timezone-aware; ``None`` if missing or unreadable.
    :param server_time: when it was issued, by the same clock; ``None`` if unknown.
    """

    token: str = field(repr=False)
    expires_at: datetime | None = None
    server_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    A connection's credentials: either a login or a header.

    :param login: makes the flow that exchanges a user name and a password for a token.
    :param header: name and value of a fixed header.
    """

    login: Callable[[], Flow[Token]] | None = field(default=None, repr=False)
    header: Mapping[str, str] | None = field(default=None, repr=False)


def bearer_header(token: str) -> Mapping[str, str]:
    """Return the header that carries a bearer token."""
    return {"authorization": f"Bearer {token}"}


class TokenCache:
    """
    The current token, and when to renew it.

    It uses the token's lifetime, not its expiry, because the server's clock may differ from the local one.
    """

    def __init__(self) -> None:
        self._token: str | None = None
        self._renew_at: datetime | None = None

    def current(self, now: datetime) -> str | None:
        """Return the token; ``None`` if there is none, or if 5 minutes or a tenth of its lifetime are left."""
        return self._token if self._renew_at is not None and now < self._renew_at else None

    def keep(self, token: Token, now: datetime) -> str:
        """Store a new token, and return it."""
        life = token.expires_at - (token.server_time or now) if token.expires_at else DEFAULT_LIFETIME
        if life <= timedelta(0):
            life = DEFAULT_LIFETIME
        life = min(life, MAX_LIFETIME)
        self._token = token.token
        self._renew_at = now + life - min(MAX_MARGIN, life / 10)
        return token.token


class Lock(Protocol):
    """A :class:`threading.Lock`, or an :class:`asyncio.Lock` for an event loop."""

    def acquire(self) -> Any:
        """Wait for the lock; on an event loop, return an awaitable."""

    def release(self) -> None:
        """Release the lock."""


class AuthState:
    """
    The header that authenticates, for all threads or tasks that share a connection.

    If the server does not accept a fixed header, it is read again from the connection. A user name and a password are
    exchanged for a token: one thread or task logs in, while the others wait.

    :param read: rereads the credentials; ``None`` if they now belong to another host.
    :param mask: hides a token in logs. On an event loop, both return an awaitable.
    :param now: the local time, timezone-aware.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        read: Callable[[], Any],
        mask: Callable[[str], Any],
        lock: Lock,
        now: Callable[[], datetime],
    ) -> None:
        self._credentials = credentials
        self._token = TokenCache()
        self._read = read
        self._mask = mask
        self._lock = lock
        self._now = now

    def headers(self) -> AuthFlow[Mapping[str, str]]:
        """Return the current header, after a login if the token is about to expire."""
        return self._current() or (yield from self._renewed({}))

    def renew(self, sent: Mapping[str, str]) -> AuthFlow[bool]:
        """Renew the header that was sent, unless another thread or task already has."""
        return (yield from self._renewed(sent)) != sent

    def _current(self) -> Mapping[str, str] | None:
        token = self._token.current(self._now())
        return self._credentials.header or (bearer_header(token) if token else None)

    def _renewed(self, sent: Mapping[str, str]) -> AuthFlow[Mapping[str, str]]:
        yield Call(self._lock.acquire)
        try:
            current = self._current()
            if current and current != sent:
                return current
            self._credentials = (yield Call(self._read)) or self._credentials
            if self._credentials.login is None:
                return self._credentials.header or {}
            token = yield from self._credentials.login()
            yield Call(partial(self._mask, token.token))
            return bearer_header(self._token.keep(token, self._now()))
        finally:
            self._lock.release()
