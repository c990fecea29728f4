"""Settings of a mock server: change fields, and convert them from and to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Option", "RetryAfter", "changed", "read_json", "to_json"]

_T = TypeVar("_T")
_B = TypeVar("_B", bound="DataclassInstance")

Option = Literal["accept", "refuse", "ignore"]
RetryAfter = Literal["integer", "fraction", "date", "missing"]


def changed(behaviour: _B, changes: Mapping[str, Any], *, strict: bool = True) -> _B:
    """
    Return a behaviour with some fields changed.

    :param changes: field names and JSON values.
    :param strict: reject numbers, booleans and null that are written as strings.
    :raises ValueError: a field is unknown, or its value has another type; the message names it.
    """
    return read_json({**to_json(behaviour), **changes}, type(behaviour), strict=strict)


def read_json(value: Any, kind: type[_T], *, strict: bool = True) -> _T:
    """
    Read a dataclass or a ``msgspec.Struct`` from JSON types.

    :raises ValueError: a field is unknown, or its value has another type; the message names it.
    """
    fields = getattr(kind, "__dataclass_fields__", None)
    unknown = sorted(set(value) - set(fields)) if fields and isinstance(value, dict) else []
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}")
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise ValueError(f"{getattr(kind, '__name__', 'body')}: {error}") from None


def to_json(value: DataclassInstance) -> dict[str, Any]:
    """Return the fields in JSON types."""
    values: dict[str, Any] = msgspec.to_builtins(asdict(value))
    return values
