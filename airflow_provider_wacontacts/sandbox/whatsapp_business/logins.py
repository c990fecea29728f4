"""
Users' logins and their tokens.

Public source: Meta's page on users and logging in
(https://developers.facebook.com/docs/whatsapp/on-premises/reference/users/login).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from airflow_provider_wacontacts.sandbox.whatsapp_business.behaviour import WhatsAppBehaviour

__all__ = ["Logins", "Verdict", "is_good_password", "read_basic"]

Verdict = Literal["let_in", "unknown", "expired"]
_LIFETIME = timedelta(days=7)


@dataclass(slots=True)
class Logins:
    """
    The issued tokens with their expiry, and the changed password.

    :ivar password: changed password; None for the behaviour's.
    :ivar fixed_token_is_live: ``True`` until tokens are revoked.
    """

    password: str | None = None
    fixed_token_is_live: bool = True
    _tokens: dict[str, datetime] = field(default_factory=dict)
    _count: int = 0

    def knows(self, header: str, behaviour: WhatsAppBehaviour) -> bool:
        """Return whether an ``Authorization`` header has the user's name and password."""
        return read_basic(header) == (behaviour.username, self.password or behaviour.password)

    def make(self, now: datetime) -> tuple[str, datetime]:
        """Return a new token and its expiry."""
        self._count += 1
        token, expires_at = f"example-token-{self._count}", now + _LIFETIME
        self._tokens[token] = expires_at
        return token, expires_at

    def revoke(self) -> None:
        """Revoke all tokens, including the fixed one."""
        self._tokens.clear()
        self.fixed_token_is_live = False

    def look_at(self, header: str, behaviour: WhatsAppBehaviour, now: datetime) -> Verdict:
        """Check the ``Authorization`` header of a request other than a login."""
        kind, _, token = header.partition(" ")
        if kind != "Bearer":
            return "unknown"
        if behaviour.auth in ("bearer", "any") and token == behaviour.token and self.fixed_token_is_live:
            return "let_in"
        expires_at = self._tokens.get(token) if behaviour.auth in ("login", "any") else None
        if expires_at is None:
            return "unknown"
        return "let_in" if now < expires_at else "expired"


def read_basic(header: str) -> tuple[str, str] | None:
    """Read the name and the password of HTTP Basic authentication; None if there are none."""
    kind, _, text = header.partition(" ")
    try:
        name, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if kind == "Basic" and colon else None


def is_good_password(password: object) -> bool:
    """Return whether it has 8 to 64 characters: a digit, a lowercase and an uppercase letter, and another character."""
    if not isinstance(password, str) or not 8 <= len(password) <= 64:
        return False
    kinds = (str.isdigit, str.islower, str.isupper, lambda character: not character.isalnum())
    return all(any(kind(character) for character in password) for kind in kinds)
