"""Validation of arguments, before anything is sent. Each error names the argument."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["validate_bool", "validate_int", "validate_ratio", "validate_timedelta"]

ZERO = timedelta(0)


def validate_int(name: str, value: object, minimum: int, maximum: int | None = None) -> None:
    """
    Check that an argument is a whole number within limits.

    :raises ConfigError: too small or large, a string, a float, or a bool.
    """
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if not is_int or value < minimum or (maximum is not None and value > maximum):  # type: ignore[operator]
        bounds = f"{minimum:,} or more" if maximum is None else f"{minimum:,} to {maximum:,}"
        raise ConfigError(f"{name} is {_shown(value)}. It must be a whole number, {bounds}.")


def validate_bool(name: str, value: object) -> None:
    """
    Check that an argument is ``True`` or ``False``. A template may render the string ``"False"``, which is truthy.

    :raises ConfigError: anything else.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {_shown(value)}. It must be True or False.")


def validate_ratio(name: str, value: object) -> None:
    """
    Check that an argument is a number from 0 to 1.

    :raises ConfigError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f"{name} is {_shown(value)}. It must be a number from 0 to 1.")


def validate_timedelta(name: str, value: object, *, allow_zero: bool = True, minimum: timedelta = ZERO) -> None:
    """
    Check that an argument is a ``timedelta``, and not negative.

    :raises ConfigError: anything else.
    """
    if not isinstance(value, timedelta):
        raise ConfigError(f"{name} is {_shown(value)}. It must be a timedelta, for example timedelta(days=1).")
    if value < ZERO:
        raise ConfigError(f"{name} is negative. It must be zero or longer.")
    if not allow_zero and value == ZERO:
        raise ConfigError(f"{name} is zero. It must be longer.")
    if value < minimum:
        raise ConfigError(f"{name} is {value}. It must be {minimum} or longer.")


def _shown(value: object) -> str:
    """Return a number unchanged. For other values return only the type: they may be personal data or a secret."""
    return str(value) if isinstance(value, (int, float, timedelta)) else f"of type {type(value).__name__}"
