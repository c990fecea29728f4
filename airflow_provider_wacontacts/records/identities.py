"""Identities: the key by which WhatsApp tells that the person behind a number may have changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["Identity", "IdentityChange"]


@dataclass(frozen=True, slots=True)
class Identity:
    """
    The latest identity of a user.

    :param hash: base64; what an acknowledgement names.
    :param created_at: when the client noticed it, aware; ``None`` where it does not say.
    :param acknowledged: whether messages to the user may go on.
    """

    hash: str
    created_at: datetime | None
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """
    A user who has potentially changed.

    :param wa_id: digits.
    :param hash: what :func:`~.whatsapp_business.acknowledge_identity` takes.
    :param at: when the client noticed, aware; ``None`` where the delivery does not say.
    """

    wa_id: str = field(repr=False)
    hash: str
    at: datetime | None
