"""
Identities: the hash of a user's current identity, and whether the business has acknowledged it.

Public source: "Manage users' identities" of Meta's page on the contacts node
(https://developers.facebook.com/docs/whatsapp/on-premises/reference/contacts/users-whatsapp-id/identity).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

__all__ = ["Identities", "Identity"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """
    The newest identity of a user.

    :param hash: 8 bytes in Base64.
    :param created: milliseconds since the epoch.
    """

    hash: str
    created: int
    acknowledged: bool


_CONTRACT = ("16315551000", Identity("UKD6Y/5SqDU=", 1_600_132_094_000, acknowledged=True))


class Identities:
    """The identities of all users. An identity that never changed is acknowledged."""

    def __init__(self) -> None:
        self._changed = dict([_CONTRACT])
        self._changes = 0

    def find(self, wa_id: str) -> Identity:
        """Return a user's newest identity."""
        return self._changed.get(wa_id) or Identity(_hash(wa_id, 0), _CONTRACT[1].created, acknowledged=True)

    def change(self, wa_id: str, at: datetime) -> Identity:
        """Change a user's identity. The new one is not acknowledged."""
        self._changes += 1
        created = (at - _EPOCH) // _MILLISECOND
        identity = self._changed[wa_id] = Identity(_hash(wa_id, self._changes), created, acknowledged=False)
        return identity

    def acknowledge(self, wa_id: str) -> None:
        """Acknowledge a user's newest identity."""
        self._changed[wa_id] = replace(self.find(wa_id), acknowledged=True)


def _hash(wa_id: str, change: int) -> str:
    return base64.b64encode(hashlib.blake2b(f"{wa_id}:{change}".encode(), digest_size=8).digest()).decode()
