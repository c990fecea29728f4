"""Rows of numbers, as a team keeps them, made into the inputs of a check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from numbers import Integral
from typing import Any

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.numbers import NotANumberError, normalize
from airflow_provider_wacontacts.records.json import repair
from airflow_provider_wacontacts.store.checks.model import CheckInput

__all__ = ["parse_inputs"]

YES = frozenset({"true", "t", "yes", "y", "1", "on"})
NO = frozenset({"false", "f", "no", "n", "0", "off"})
UNCLEAR = "opted_in is neither true nor false"
NEITHER = "neither text nor a whole number"


def parse_inputs(rows: Iterable[object], region: str | None) -> Iterator[CheckInput]:
    """
    Read numbers, one after another.

    :param rows: numbers, as text or whole, or mappings with ``number`` and, where it is known, ``contact_key`` and
        ``opted_in``.
    :param region: two letters, for numbers without a plus sign; ``None`` where none is known.
    :raises ConfigError: a row is neither.
    """
    for row in rows:
        if isinstance(row, Mapping):
            yield _input(row, region)
        elif row is None or isinstance(row, (str, Integral, float, Decimal)):
            yield _input({"number": row}, region)
        else:
            raise ConfigError("contacts: an element is neither a number nor a mapping with one")


def _input(row: Mapping[str, Any], region: str | None) -> CheckInput:
    if "number" not in row:
        raise ConfigError("contacts: a mapping has no number")
    given, key = row["number"], row.get("contact_key")
    text = "" if given is None else _text(given)
    contact_key = None if key is None else _text(key)
    try:
        return CheckInput(text, _number(given, text, region), contact_key, opted_in=_truth(row.get("opted_in")))
    except NotANumberError as error:
        return CheckInput(text, None, contact_key, reason=error.reason)


def _number(given: object, text: str, region: str | None) -> str:
    if not (given is None or isinstance(given, str) or text.isdecimal()):
        raise NotANumberError(NEITHER)
    return normalize(text, region).e164


def _text(value: object) -> str:
    """Return a text that every database takes; a whole number's has no point, whatever type it is of."""
    # A signaling NaN can be made nothing of, not even a float.
    is_nan = isinstance(value, Decimal) and value.is_nan()
    if isinstance(value, (float, Decimal)) and not is_nan and float(value).is_integer():
        value = f"{value:.0f}"
    repaired: str = repair(str(value))[0]
    return repaired


def _truth(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = _text(value).strip().lower()
    if word in YES or word in NO:
        return word in YES
    # Nobody may be asked about on a guess.
    raise NotANumberError(UNCLEAR)
