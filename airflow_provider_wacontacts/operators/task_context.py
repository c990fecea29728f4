"""What every operator here needs of the run it is part of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_wacontacts.exceptions import RateLimitedError
from airflow_provider_wacontacts.hooks.metrics import send
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window, format_time, resolve_run_window
from airflow_provider_wacontacts.triggers.wait import WaitUntilTrigger

if TYPE_CHECKING:
    from airflow_provider_wacontacts.identifiers.suppression import SuppressionList
    from airflow_provider_wacontacts.pipelines.commit_stats import Counts
    from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer

__all__ = [
    "defer_for_rate_limit",
    "defer_until",
    "end_of_run_day",
    "get_pseudonymizer",
    "get_suppression_list",
    "get_task",
    "metrics_on_commit",
    "publish",
    "read_attempt",
    "resolve_window",
]


MAX_ATTEMPTS = 20


def get_task(context: Mapping[str, Any]) -> TaskInstanceKey:
    """Return who is at work: the same for every try of a task instance."""
    return TaskInstanceKey.from_task_instance(context["ti"])


def resolve_window(
    context: Mapping[str, Any],
    *,
    start: str | datetime | None,
    end: str | datetime | None,
    window_length: timedelta | None,
) -> Window:
    """
    Return the window that a run pulls, see :func:`~airflow_provider_wacontacts.records.windows.resolve_run_window`.

    :raises ConfigError: there is none.
    """
    first, last = context.get("data_interval_start"), context.get("data_interval_end")
    run = context.get("dag_run")
    return resolve_run_window(
        start=start,
        end=end,
        window_length=window_length,
        interval=(first, last) if first and last else None,
        run_after=getattr(run, "run_after", None) or context.get("logical_date"),
    )


def end_of_run_day(context: Mapping[str, Any]) -> datetime:
    """Return when a run's day ends: with its data interval or, where it has none, with the UTC day it was due on."""
    first, last = context.get("data_interval_start"), context.get("data_interval_end")
    if first and last and first < last:
        return datetime.fromisoformat(last.isoformat()).astimezone(UTC)
    due = getattr(context.get("dag_run"), "run_after", None) or context.get("logical_date") or datetime.now(UTC)
    day = datetime.fromisoformat(due.isoformat()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=1)


def get_pseudonymizer(operator: Any) -> Pseudonymizer | None:
    """
    Return what an operator's ``pseudonymize`` asks for; ``None`` for nothing.

    :raises ConfigError: a field that cannot be, or no secret.
    """
    if operator.pseudonymize is None:
        return None
    from airflow_provider_wacontacts.hooks.store import pseudonym_key
    from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer

    conn_id = operator.pseudonym_conn_id or getattr(operator, "store_conn_id", "wacontacts_store")
    return Pseudonymizer(pseudonym_key(conn_id), operator.pseudonymize)


def get_suppression_list(operator: Any) -> Callable[[], SuppressionList]:
    """
    Return what tells who was erased from the store of an operator's ``erased_conn_id``; nobody where it has none.

    :raises ConfigError: the store cannot be used.
    :raises LandingError: the database failed.
    """
    from airflow_provider_wacontacts.hooks.store import open_store
    from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS

    if not operator.erased_conn_id:
        return lambda: NO_SUPPRESSIONS
    store = open_store(operator.erased_conn_id)
    store.prepare()
    return store.suppression_list


def defer_until(operator: Any, moment: datetime, *, why: str, attempt: int = 1) -> None:
    """
    Defer a task until a time; it resumes in its ``execute_after_wait``.

    :param attempt: number of the next attempt, where consecutive attempts are limited. Other waits start over at 1.
    """
    operator.log.info("Waiting until %s, when %s", format_time(moment), why)
    operator.defer(trigger=WaitUntilTrigger(until=moment, attempt=attempt), method_name="execute_after_wait")


def defer_for_rate_limit(operator: Any, error: RateLimitedError, attempt: int) -> NoReturn:
    """
    Defer a task for a server's ``Retry-After``.

    :raises RateLimitedError: the server gave no time, or this was the last of 20 consecutive attempts.
    """
    if error.retry_after and attempt < MAX_ATTEMPTS:
        moment = datetime.now(UTC) + error.retry_after
        send(error.source, rate_limit_waits=error.retry_after)
        defer_until(operator, moment, attempt=attempt + 1, why="the rate limit allows it")
    raise error


def metrics_on_commit(source: str) -> Counts:
    """Return what sends each count of a job as metrics of a feed, or of ``files``."""
    return lambda landed: send(source, **landed._asdict())


def publish(context: Mapping[str, Any], outlets: Iterable[object], summary: Mapping[str, Any]) -> None:
    """Put a summary into the event of every asset among the outlets."""
    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra = dict(summary)


def read_attempt(event: object) -> int:
    """
    Read which attempt a waited-for task makes.

    :raises ValueError: the event is not one of ``WaitUntilTrigger``: it has crossed the metadata database.
    """
    attempt = event.get("attempt") if isinstance(event, Mapping) else None
    if not isinstance(attempt, int) or attempt < 1:
        raise ValueError("the trigger's event carries no attempt")
    return attempt
