"""WhatsApp ids: the digits of an account, or their pseudonym."""

from __future__ import annotations

import re

__all__ = ["is_pseudonym", "wa_id_digits"]

PSEUDONYM = re.compile("[0-9a-f]{64}")


def wa_id_digits(value: object) -> str | None:
    """Return the digits of a WhatsApp id; ``None`` if it has none. A pseudonym is returned unchanged."""
    if type(value) is not str:
        return None
    if (value.isascii() and value.isdigit()) or is_pseudonym(value):
        return value
    return "".join(c for c in value if "0" <= c <= "9") or None


def is_pseudonym(value: str) -> bool:
    """Tell whether a value is a pseudonym: 64 hexadecimal digits."""
    return PSEUDONYM.fullmatch(value) is not None
