"""JSON texts that are sent as they are, for what an encoder would refuse to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Raw", "as_json", "from_json"]


@dataclass(frozen=True, slots=True)
class Raw:
    """
    JSON text that is sent as it is.

    The control API writes it as ``{"$raw": "<one character for each byte, Latin-1>"}``.
    """

    content: bytes


def as_json(values: Mapping[str, object]) -> dict[str, object]:
    """Make :class:`Raw` values readable in JSON."""
    return {
        key: {"$raw": value.content.decode("latin-1")} if isinstance(value, Raw) else value
        for key, value in values.items()
    }


def from_json(values: Mapping[str, object]) -> dict[str, object]:
    """Undo :func:`as_json`."""
    return {
        key: Raw(str(value["$raw"]).encode("latin-1")) if isinstance(value, dict) and set(value) == {"$raw"} else value
        for key, value in values.items()
    }
