"""How numbers are asked about."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_wacontacts.clients.whatsapp_business import MAX_INPUTS
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.records.arguments import validate_bool, validate_int

__all__ = ["CheckOptions"]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """
    How to ask.

    :param batch_size: numbers in a request, 1 to 1,000.
    :param blocking: ``wait`` until all are resolved, or ``no_wait``.
    :param force_check: past what the client remembers.
    :raises ConfigError: a figure or a word that cannot be.
    """

    batch_size: int = 100
    blocking: str = "no_wait"
    force_check: bool = False

    def __post_init__(self) -> None:
        validate_int("batch_size", self.batch_size, 1, MAX_INPUTS)
        validate_bool("force_check", self.force_check)
        if self.blocking not in ("no_wait", "wait"):
            raise ConfigError(f"blocking is {self.blocking!r}; it can be 'no_wait' or 'wait'")
