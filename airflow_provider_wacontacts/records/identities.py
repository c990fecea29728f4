"""WhatsApp identities: keys of users. A key changes if another user may have taken over the number."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_wacontacts.identifiers.identifier import Identifier

__all__ = ["IdentifierChange", "Identity", "IdentityChange"]


@dataclass(frozen=True, slots=True)
class Identity:
    """
    The latest identity of a user.

    :param hash: base64; used to acknowledge the identity.
    :param created_at: when the client noticed it, timezone-aware; ``None`` if unknown.
    :param acknowledged: whether messages to the user may be sent.
    """

    hash: str
    created_at: datetime | None
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """
    A user's changed identity.

    :param wa_id: digits.
    :param hash: base64; used to acknowledge the identity.
    :param at: when the client noticed it, timezone-aware; ``None`` if unknown.
    """

    wa_id: str = field(repr=False)
    hash: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class IdentifierChange:
    """
    A user's new identifier: a new phone number, or a new business-scoped user ID.

    :param at: when it changed, timezone-aware; ``None`` if unknown.
    """

    previous: Identifier
    current: Identifier
    at: datetime | None
