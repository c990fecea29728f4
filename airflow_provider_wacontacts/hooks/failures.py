"""How a task of Airflow fails by an error of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.exceptions import NON_RETRYABLE

__all__ = ["fail_without_retry"]


@contextmanager
def fail_without_retry() -> Iterator[None]:
    """Turn errors that no retry can mend into Airflow's exception for just that; let the others go to its retries."""
    try:
        yield
    except NON_RETRYABLE as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error
