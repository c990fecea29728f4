"""The context of a task's run: its data interval, deferral, assets, and reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, Asset

from airflow_provider_wacontacts.exceptions import RateLimitedError, SchemaDriftError, TransientError
from airflow_provider_wacontacts.hooks.metrics import send
from airflow_provider_wacontacts.records.windows import format_minute

if TYPE_CHECKING:
    from airflow_provider_wacontacts.identifiers.suppression import SuppressionList
    from airflow_provider_wacontacts.pipelines.summaries import OnCommit, SyncSummary
    from airflow_provider_wacontacts.records.drift import Drift
    from airflow_provider_wacontacts.records.fields import FieldSelection
    from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer

__all__ = [
    "MAX_ATTEMPTS",
    "data_interval",
    "defer_for_retry_after",
    "defer_until",
    "destination",
    "end_of_run_day",
    "error_from_event",
    "get_pseudonymizer",
    "get_suppression_list",
    "metrics_on_commit",
    "publish",
    "read_attempt",
    "report_drift",
    "run_after",
    "warn_of_rejected",
    "warn_of_unmatched_fields",
]

#: Maximum number of consecutive attempts that a rate limit may defer.
MAX_ATTEMPTS = 20
#: A longer deferral is a warning: the window, or the server's Retry-After, is probably wrong.
FAR = timedelta(days=2)


def report_drift(operator: Any, drift: Sequence[Drift]) -> None:
    """
    Log the fields that changed, according to the operator's ``on_drift``.

    :raises SchemaDriftError: it is ``fail``. The contacts are written.
    """
    from airflow_provider_wacontacts.pipelines.summaries import describe_drift

    message = f"Schema drift since the account's last extraction: {describe_drift(drift)}"
    log = operator.log.info if operator.on_drift == "evolve" else operator.log.warning
    log("%s", message)
    if operator.on_drift == "fail":
        raise SchemaDriftError(f"{message}. The contacts are loaded. Adapt what reads them, then clear the task.")


def warn_of_rejected(operator: Any, summary: SyncSummary) -> None:
    """Warn of rejected rows, by reason."""
    from airflow_provider_wacontacts.pipelines.summaries import describe_rejected

    if summary.rejected:
        operator.log.warning("Rejected rows: %s", describe_rejected(summary.rejected, summary.reject_reasons))


def warn_of_unmatched_fields(operator: Any, selection: FieldSelection | None, rows: int) -> None:
    """Warn of fields to include or exclude that none of the contacts had, as after a typing error."""
    if selection and selection.unmatched and rows:
        fields = ", ".join(sorted(selection.unmatched))
        operator.log.warning("No contact has these fields of %s: %s. Check their names", selection.options[0], fields)


def data_interval(context: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    """Return the run's data interval; ``None`` if it has none."""
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    return (start, end) if start and end else None


def run_after(context: Mapping[str, Any]) -> datetime | None:
    """Return when the run was due."""
    return getattr(context.get("dag_run"), "run_after", None) or context.get("logical_date")


def end_of_run_day(context: Mapping[str, Any]) -> datetime:
    """Return the end of the run's data interval; without one, the end of the UTC day on which the run was due."""
    interval = data_interval(context)
    if interval and interval[0] < interval[1]:
        return _in_utc(interval[1])
    day = _in_utc(run_after(context) or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=1)


def _in_utc(time: datetime) -> datetime:
    """Return a plain ``datetime``: Airflow passes times of pendulum."""
    return datetime.fromisoformat(time.isoformat()).astimezone(UTC)


def get_pseudonymizer(fields: Sequence[str] | None, conn_id: str) -> Pseudonymizer | None:
    """
    Return a pseudonymizer of these fields with the key of a connection; ``None`` without fields.

    :raises ConfigError: a field cannot be pseudonymized, or the connection has no ``pseudonym_secret``.
    """
    if fields is None:
        return None
    from airflow_provider_wacontacts.hooks.store import pseudonym_key
    from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer

    return Pseudonymizer(pseudonym_key(conn_id), fields)


def get_suppression_list(conn_id: str | None) -> Callable[[], SuppressionList]:
    """
    Return a function that reads a store's suppression list; without a store, an empty list.

    :raises ConfigError: the store cannot be used.
    :raises LandingError: the database failed.
    """
    from airflow_provider_wacontacts.hooks.store import open_store
    from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS

    if not conn_id:
        return lambda: NO_SUPPRESSIONS
    store = open_store(conn_id)
    store.prepare()
    return store.suppression_list


def defer_until(operator: Any, time: datetime, *, why: str, attempt: int = 1) -> None:
    """
    Defer a task until a time; it resumes in its ``execute_after_wait``.

    :param attempt: number of the next attempt, where consecutive attempts are limited. Other waits start over at 1.
    """
    from airflow_provider_wacontacts.triggers.wait import WaitUntilTrigger

    days = (time - datetime.now(UTC)).days
    log = operator.log.warning if time - datetime.now(UTC) > FAR else operator.log.info
    log("Deferred until %s, when %s%s", format_minute(time), why, f": that is {days} days from now" if days > 1 else "")
    operator.defer(trigger=WaitUntilTrigger(until=time, attempt=attempt), method_name="execute_after_wait")


def defer_for_retry_after(operator: Any, error: TransientError, attempt: int) -> NoReturn:
    """
    Defer a task for a server's ``Retry-After``: after 429 Too Many Requests, and after 503 Service Unavailable.

    :raises TransientError: the server gave no time, or this was the last of 20 consecutive attempts.
    """
    if error.retry_after and attempt < MAX_ATTEMPTS:
        if isinstance(error, RateLimitedError):
            send(error.source, rate_limit_waits=error.retry_after)
        until = datetime.now(UTC) + error.retry_after
        defer_until(operator, until, why="the server allows the next request", attempt=attempt + 1)
    raise error


def error_from_event(event: Mapping[str, Any]) -> AirflowException:
    """Return a trigger's error as an exception of Airflow, one that is not retried if no retry helps."""
    from airflow_provider_wacontacts import exceptions

    kind = getattr(exceptions, str(event["error"]), Exception)
    return (AirflowFailException if issubclass(kind, exceptions.NON_RETRYABLE) else AirflowException)(
        f"{event['error']}: {event['message']}"
    )


def destination(operator: Any) -> str:
    """
    Return where an operator writes, for logs: a path without its login and password, or a store.

    :raises ConfigError: no installed file system reads the path.
    """
    from airflow_provider_wacontacts.files.layout import safe_uri
    from airflow_provider_wacontacts.hooks.object_storage import object_path

    path = getattr(operator, "path", None)
    return f"store {operator.store_conn_id!r}" if path is None else safe_uri(object_path(path))


def metrics_on_commit(source: str) -> OnCommit:
    """Return a callback that sends each commit as metrics of a feed, or of ``files``."""
    return lambda stats: send(source, **stats._asdict())


def publish(context: Mapping[str, Any], outlets: Iterable[object], summary: Mapping[str, Any]) -> None:
    """Put a summary into the event of every asset among the outlets."""
    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra = dict(summary)


def read_attempt(event: object) -> int:
    """
    Read a resumed task's attempt from the event of ``WaitUntilTrigger``.

    :raises ValueError: it is another event.
    """
    attempt = event.get("attempt") if isinstance(event, Mapping) else None
    if not isinstance(attempt, int) or attempt < 1:
        raise ValueError("the trigger's event carries no attempt")
    return attempt
