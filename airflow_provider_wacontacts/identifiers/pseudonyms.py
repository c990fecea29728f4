"""Pseudonyms: HMAC-SHA256 with a secret, so that the same value has the same pseudonym everywhere."""

from __future__ import annotations

import hmac

__all__ = ["hmac_hex", "pseudonymize"]


def pseudonymize(digits: str, secret: bytes) -> str:
    """Return the pseudonym of the digits of a WhatsApp id or a number, 64 hexadecimal digits."""
    return hmac_hex(digits.encode(), secret)


def hmac_hex(data: bytes, key: bytes) -> str:
    """Return HMAC-SHA256 as 64 hexadecimal digits."""
    return hmac.digest(key, data, "sha256").hex()
