"""Figures that somebody gives as arguments: refused before anything is sent, by the argument's name."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["validate_bool", "validate_int", "validate_ratio", "validate_timedelta"]

NOTHING = timedelta(0)


def validate_int(name: str, value: object, least: int, most: int | None = None) -> None:
    """
    Make sure that an argument is a whole number within bounds.

    :raises ConfigError: it is none: too small or large, a text, a fraction, or a truth value.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):  # type: ignore[operator]
        bounds = f"{least:,} and up" if most is None else f"{least:,} to {most:,}"
        raise ConfigError(f"{name} is {_shown(value)}; it is a whole number, {bounds}")


def validate_bool(name: str, value: object) -> None:
    """
    Make sure that an argument is ``True`` or ``False``: of texts, ``"False"`` counts as true.

    :raises ConfigError: it is neither.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {_shown(value)}; it is True or False")


def validate_ratio(name: str, value: object) -> None:
    """
    Make sure that an argument is a share, 0 to 1.

    :raises ConfigError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f"{name} is {_shown(value)}; it is a share, 0 to 1")


def validate_timedelta(name: str, value: object, *, allow_zero: bool = True) -> None:
    """
    Make sure that an argument is a span of time, and not a negative one.

    :raises ConfigError: it is none.
    """
    if not isinstance(value, timedelta):
        raise ConfigError(f"{name} is {_shown(value)}; it is a timedelta, such as timedelta(days=1)")
    if value < NOTHING:
        raise ConfigError(f"{name} is negative")
    if not allow_zero and value == NOTHING:
        raise ConfigError(f"{name} must be longer than nothing")


def _shown(value: object) -> str:
    """Show a figure as it is; of anything else the type, for there is no telling what it holds."""
    return str(value) if isinstance(value, (int, float, timedelta)) else f"of type {type(value).__name__}"
