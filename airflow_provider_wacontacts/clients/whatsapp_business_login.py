"""
Login to the WhatsApp Business API client: exchanges a user name and a password for a token.

Source: https://developers.facebook.com/docs/whatsapp/api/users/login
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_wacontacts.clients.errors import contract_error
from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.clients.whatsapp_business_errors import error_from_response, read_fields

__all__ = ["LOGIN", "Token", "TokenCache", "login"]

LOGIN = "whatsapp_business.login"
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


def login(username: str, password: str) -> Flow[Token]:
    """
    Exchange a user name and a password for a token.

    :raises AuthError: they are not accepted, or the password must be changed first.
    :raises ContractError: the response has no token.
    """
    basic = base64.b64encode(f"{username}:{password}".encode()).decode()
    response = yield Request(LOGIN, "POST", "/v1/users/login", {"authorization": f"Basic {basic}"})
    if not response.is_success:
        raise error_from_response(response, LOGIN)
    user = _read_user(response)
    token = user.get("token")
    if type(token) is not str or not token or not token.isascii() or not token.isprintable():
        raise contract_error("The response has no token.", LOGIN, response)
    return Token(token, _read_expiry(user.get("expires_after")), response.date)


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


def _read_user(response: Response) -> dict[str, Any]:
    fields = read_fields(response, LOGIN)
    users = fields.get("users")
    user = users[0] if type(users) is list and users else users
    if type(user) is dict:
        return user
    if fields.get("errors"):
        raise error_from_response(response, LOGIN)
    raise contract_error("The response has no user.", LOGIN, response)


def _read_expiry(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value.strip()) if type(value) is str else None
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None
