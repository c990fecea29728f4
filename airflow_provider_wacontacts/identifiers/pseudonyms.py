"""Pseudonyms: HMAC-SHA256 under a secret, so that the same value has the same pseudonym everywhere."""

from __future__ import annotations

import hmac

__all__ = ["hmac_hex", "pseudonymize"]


def pseudonymize(digits: str, key: bytes) -> str:
    """Return what stands for the digits of a WhatsApp id or a number."""
    return hmac_hex(digits.encode(), key)


def hmac_hex(text: bytes, key: bytes) -> str:
    """Return HMAC-SHA256, 64 hexadecimal digits."""
    return hmac.digest(key, text, "sha256").hex()
