"""How errors of this package fail a task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.exceptions import NON_RETRYABLE

__all__ = ["fail_without_retry"]


@contextmanager
def fail_without_retry() -> Iterator[None]:
    """Raise ``AirflowFailException`` for errors that a retry cannot fix; Airflow retries the others."""
    try:
        yield
    except NON_RETRYABLE as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error
