"""Parse rows with phone numbers into the inputs of a check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from numbers import Integral
from typing import Any

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import InvalidIdentifierError
from airflow_provider_wacontacts.identifiers.numbers import read_number
from airflow_provider_wacontacts.records.json import repair
from airflow_provider_wacontacts.store.checks.model import NO_OPT_IN, CheckInput

__all__ = ["parse_inputs"]

YES = frozenset({"true", "t", "yes", "y", "1", "on"})
NO = frozenset({"false", "f", "no", "n", "0", "off"})
INVALID_OPTED_IN = "opted_in is neither true nor false"


def parse_inputs(rows: Iterable[object], region: str | None, *, require_opt_in: bool = False) -> Iterator[CheckInput]:
    """
    Parse numbers.

    :param rows: numbers, as strings or integers, or mappings with ``number`` and optionally ``contact_key`` and
        ``opted_in``.
    :param region: two letters, for numbers without a plus sign; ``None`` if unknown.
    :param require_opt_in: whether numbers without ``opted_in`` are left out as well.
    :returns: one input for each row; a row without a valid number has a ``reason``.
    :raises ConfigError: a row is neither a number nor a mapping with one.
    """
    for row in rows:
        if isinstance(row, Mapping):
            given = _parse_row(row, region)
        elif row is None or isinstance(row, (str, Integral, float, Decimal)):
            given = _parse_row({"number": row}, region)
        else:
            raise ConfigError("contacts: an element is neither a number nor a mapping with the key 'number'.")
        is_left_out = require_opt_in and given.number is not None and given.opted_in is None
        yield given._replace(opted_in=False, reason=NO_OPT_IN) if is_left_out else given


def _parse_row(row: Mapping[str, Any], region: str | None) -> CheckInput:
    if "number" not in row:
        raise ConfigError("contacts: a mapping has no key 'number'.")
    given, key = row["number"], row.get("contact_key")
    text = "" if given is None else _to_text(given)
    contact_key = None if key is None else _to_text(key)
    try:
        number, opted_in = read_number(given, region).value, _parse_opted_in(row.get("opted_in"))
    except InvalidIdentifierError as error:
        return CheckInput(text, None, contact_key, reason=error.reason)
    return CheckInput(text, number, contact_key, opted_in=opted_in)


def _to_text(value: object) -> str:
    """Return a string that every database accepts. Whole numbers of any type have no decimal point."""
    # A signaling NaN cannot be converted to float.
    is_nan = isinstance(value, Decimal) and value.is_nan()
    if isinstance(value, (float, Decimal)) and not is_nan and float(value).is_integer():
        value = f"{value:.0f}"
    text = str(value)
    if text.isprintable():
        return text
    repaired: str = repair(text)[0]
    return repaired


def _parse_opted_in(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = _to_text(value).strip().lower()
    if word in YES or word in NO:
        return word in YES
    # A guess could check a number without consent.
    raise InvalidIdentifierError(INVALID_OPTED_IN)
