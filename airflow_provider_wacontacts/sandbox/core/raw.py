"""JSON text that is sent unchanged."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Raw"]


@dataclass(frozen=True, slots=True)
class Raw:
    """
    JSON text that is sent unchanged, even if no encoder would write it.

    The control API writes it as ``{"$raw": "<one character for each byte, Latin-1>"}``.
    """

    content: bytes
