"""Sensors for the WhatsApp Business API: wait until it is known which numbers are on WhatsApp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_wacontacts.exceptions import (
    NON_RETRYABLE,
    ConfigError,
    RateLimitedError,
    WaContactsError,
)
from airflow_provider_wacontacts.hooks.arguments import ValidatedArguments
from airflow_provider_wacontacts.hooks.failures import fail_without_retry
from airflow_provider_wacontacts.hooks.metrics import send, statuses_of
from airflow_provider_wacontacts.records.arguments import validate_int
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey, options_digest
from airflow_provider_wacontacts.records.windows import format_time
from airflow_provider_wacontacts.triggers.whatsapp_business import WhatsAppContactsTrigger

if TYPE_CHECKING:
    from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
    from airflow_provider_wacontacts.clients.whatsapp_business import CheckAnswer
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
    from airflow_provider_wacontacts.pipelines.wait_for_results import Wait, WaitOptions
    from airflow_provider_wacontacts.store.checks.model import CheckTotals
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["WhatsAppContactsSensor"]

#: How long after the deadline the scheduler ends what no triggerer has ended.
GRACE = timedelta(minutes=5)
TIMED_OUT = "Trigger timeout"


class WhatsAppContactsSensor(ValidatedArguments, BaseSensorOperator):
    """
    Wait until every number of a check has its final result, and request the missing results again meanwhile.

    Results that a callback delivers count too. At the deadline the check becomes ``expired``, and the task fails, or is
    skipped with ``soft_fail``; results received so far are kept. Errors that no retry can fix always fail the task.

    :param check_id: ID of a check, from the summary of ``WhatsAppCheckContactsOperator``.
    :param whatsapp_business_conn_id: Connection of type ``whatsapp_business`` of the check's sender.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite, that holds the check.
    :param deadline: When to stop waiting: a timezone-aware ``datetime``, or an ISO 8601 string. Default: ``timeout``
        seconds after the first poll.
    :param recheck_failed: How many times to recheck a number whose result is ``failed``, 0 and up. Each recheck counts
        against the budget. Default: 0.
    :param batch_size: Numbers in a request, 1 to 1,000. Default: 100.
    :param max_failures: Maximum consecutive failed polls, 0 and up. 429 Too Many Requests does not count. Default: 10.
    :param deferrable: Wait in the triggerer, with pauses that grow from 5 seconds to 2 minutes. Otherwise the sensor
        polls every ``poke_interval``, and in mode ``reschedule`` a failed poll is left to Airflow's retries. Default:
        Airflow's setting ``[operators] default_deferrable``.
    """

    template_fields: Sequence[str] = ("check_id", "deadline", "whatsapp_business_conn_id", "store_conn_id")
    validators = {  # noqa: RUF012
        "recheck_failed": partial(validate_int, least=0),
        "batch_size": partial(validate_int, least=1, most=1_000),
        "max_failures": partial(validate_int, least=0),
    }

    def __init__(
        self,
        *,
        check_id: str,
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        store_conn_id: str = "wacontacts_store",
        deadline: datetime | str | None = None,
        recheck_failed: int = 0,
        batch_size: int = 100,
        max_failures: int = 10,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.check_id = check_id
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.store_conn_id = store_conn_id
        self.deadline = deadline
        self.recheck_failed = recheck_failed
        self.batch_size = batch_size
        self.max_failures = max_failures
        self.deferrable = deferrable
        self.validate_arguments(vars(self))
        self._begun: Wait | None = None
        self._started: datetime | None = None
        self._failures = 0
        self._not_before = datetime.min.replace(tzinfo=UTC)

    def execute(self, context: Any) -> Any:
        """
        Wait, here or in the triggerer.

        :returns: the summary of the check: counts and IDs.
        :raises AirflowSensorTimeout: the deadline has passed; ``AirflowSkipException`` with ``soft_fail``.
        :raises AirflowFailException: an argument or a connection is wrong, or the server refuses.
        """
        with fail_without_retry():
            if not self.deferrable:
                self._started = _now()
                return super().execute(context)
            wait = self._wait(context)
            totals = wait.look()
            if totals.state != "resolved" and _now() < wait.terms.deadline:
                self._defer_until(wait.terms, totals)
            return self._summary(wait, totals if totals.state == "resolved" else self._expired(wait))

    def poke(self, context: Any) -> PokeReturnValue:
        """Request all missing results once."""
        try:
            wait = self._wait(context)
            totals = self._ask_again(wait)
        except WaContactsError as error:
            self._handle_error(error)
            return PokeReturnValue(is_done=False)
        if totals.state == "resolved":
            return PokeReturnValue(is_done=True, xcom_value=self._summary(wait, totals))
        if totals.state == "expired" or _now() >= wait.terms.deadline:
            return PokeReturnValue(is_done=True, xcom_value=self._summary(wait, self._expired(wait)))
        return PokeReturnValue(is_done=False)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """
        Go on after the wait.

        Where the scheduler had to end it, it ends as at the deadline. Airflow's own sensor has ``soft_fail`` skip for
        any error; here it is for the deadline alone.
        """
        if (next_kwargs or {}).get("error") == TIMED_OUT:
            next_method, next_kwargs = "execute_complete", {}
        try:
            with fail_without_retry():
                return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            if self.never_fail:
                raise AirflowSkipException(f"{error}; never_fail is set") from error
            raise

    def execute_complete(
        self,
        context: Any,  # noqa: ARG002 - as Airflow has it
        event: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Finish, when the trigger has fired.

        :param event: the trigger's; ``None`` where it never came to fire.
        """
        if event is not None and "error" in event:
            raise _failure(event)
        if event is not None and event["state"] == "expired":
            self._give_up(event)
        wait = self._open(_now())
        return self._summary(wait, self._expired(wait) if event is None else wait.look())

    @cached_property
    def hook(self) -> WhatsAppBusinessHook:
        """The hook of ``whatsapp_business_conn_id``."""
        from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

        return WhatsAppBusinessHook(self.whatsapp_business_conn_id)

    @cached_property
    def _checks(self) -> SenderChecks:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.store.checks.sender import SenderChecks

        self.hook.check()
        return SenderChecks(
            open_store(self.store_conn_id).context, self.hook.sender, daily_checks=self.hook.daily_checks
        )

    @cached_property
    def _pacer(self) -> RateLimiter:
        from airflow_provider_wacontacts.clients.rate_limiter import RateLimiter
        from airflow_provider_wacontacts.clients.whatsapp_business import REQUESTS_A_SECOND

        return RateLimiter(timedelta(seconds=1 / REQUESTS_A_SECOND))

    def _wait(self, context: Any) -> Wait:
        """Return the wait, which begins at the first poll. After the deadline, a check is only looked at."""
        if self._begun is None:
            wait = self._open(self._deadline(context), waiter=_waiter(context))
            if _now() < wait.terms.deadline:
                wait.begin()
            self._begun = wait
        return self._begun

    def _open(self, deadline: datetime, *, waiter: str | None = None) -> Wait:
        from airflow_provider_wacontacts.pipelines.wait_for_results import Wait, WaitOptions

        if not self.check_id:
            raise ConfigError("check_id is empty; it is what WhatsAppCheckContactsOperator returned as check_id")
        terms = WaitOptions(
            str(self.check_id),
            deadline,
            recheck_failed=self.recheck_failed,
            batch_size=self.batch_size,
            max_failures=self.max_failures,
            waiter=waiter,
        )
        return Wait(self._checks, terms)

    def _deadline(self, context: Any) -> datetime:
        from airflow_provider_wacontacts.pipelines.wait_for_results import read_deadline

        first = _first_look(context) if self.reschedule and not self.deferrable else None
        ends_at = (first or self._started or _now()) + timedelta(seconds=self.timeout)
        if self.deadline is None:
            return ends_at
        deadline = read_deadline(self.deadline)
        # Airflow ends what pokes after its timeout, and would leave the check open.
        return deadline if self.deferrable else min(deadline, ends_at)

    def _ask_again(self, wait: Wait) -> CheckTotals:
        from airflow_provider_wacontacts.pipelines.wait_for_results import ask_again

        if not self._not_before <= _now() < wait.terms.deadline:
            return wait.look()
        totals = ask_again(wait, self._ask)
        self._failures = 0
        return totals

    def _ask(self, numbers: Sequence[str]) -> CheckAnswer:
        from airflow_provider_wacontacts.clients.requests_driver import Clock

        self._pacer.wait(self.hook.sender, Clock())
        # What is not resolved is asked after for nothing; what has failed is drawn for.
        answer = self.hook.check_contacts(numbers, is_counted=self.recheck_failed > 0)
        send("whatsapp_business", asked_again=len(numbers), **statuses_of(answer))
        return answer

    def _handle_error(self, error: WaContactsError) -> None:
        """Poll again later, and not before ``Retry-After``; raise the error if there were too many in a row."""
        from airflow_provider_wacontacts.pipelines.wait_for_results import count_failure

        self._failures = count_failure(error, self._failures, 0 if self.reschedule else self.max_failures)
        self.log.warning("Check %s: %s: %s", self.check_id, type(error).__name__, error)
        retry_after = getattr(error, "retry_after", None) or timedelta(0)
        self._not_before = _now() + retry_after
        if isinstance(error, RateLimitedError):
            send("whatsapp_business", rate_limit_waits=retry_after or None)
        if self.reschedule and retry_after:
            raise AirflowRescheduleException(self._not_before)  # type: ignore[no-untyped-call]

    def _defer_until(self, terms: WaitOptions, totals: CheckTotals) -> NoReturn:
        deadline = format_time(terms.deadline)
        self.log.info("Waiting for %s numbers of check %s until %s", totals.waiting, terms.check_id, deadline)
        self.defer(
            trigger=WhatsAppContactsTrigger(
                terms.check_id,
                deadline,
                whatsapp_business_conn_id=self.whatsapp_business_conn_id,
                store_conn_id=self.store_conn_id,
                recheck_failed=terms.recheck_failed,
                batch_size=terms.batch_size,
                max_failures=terms.max_failures,
                waiter=terms.waiter,
            ),
            method_name="execute_complete",
            timeout=terms.deadline - _now() + GRACE,
        )
        raise AssertionError("defer returned")

    def _expired(self, wait: Wait) -> CheckTotals:
        """Give up waiting, unless all answers have come after all."""
        totals = wait.expire()
        if totals.state != "resolved":
            self._give_up(totals._asdict())
        return totals

    def _give_up(self, counts: Mapping[str, Any]) -> NoReturn:
        send("whatsapp_business", expired=1)
        names = ("valid", "invalid", "failed", "processing", "missing", "queued")
        message = (
            f"the deadline has come before all was answered: {', '.join(f'{counts[name]} {name}' for name in names)};"
            f" check {self.check_id} is expired, what came in stays"
        )
        raise (AirflowSkipException if self.soft_fail or self.never_fail else AirflowSensorTimeout)(message)

    def _summary(self, wait: Wait, totals: CheckTotals) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.summaries import CheckSummary

        summary = CheckSummary.of(wait.check, self._checks, totals)
        send("whatsapp_business", self.whatsapp_business_conn_id, budget_left=summary.budget_left, resolved=1)
        self.log.info(
            "Check %s is %s: %s valid, %s invalid, %s failed",
            summary.check_id,
            summary.state,
            summary.valid,
            summary.invalid,
            summary.failed,
        )
        return summary.as_dict()


def _failure(event: Mapping[str, Any]) -> AirflowException:
    """Make of a trigger's error one that fails the task at once if no retry can mend it."""
    from airflow_provider_wacontacts import exceptions

    kind = getattr(exceptions, str(event["error"]), Exception)
    return (AirflowFailException if issubclass(kind, NON_RETRYABLE) else AirflowException)(
        f"{event['error']}: {event['message']}"
    )


def _waiter(context: Any) -> str | None:
    """Return who waits; ``None`` where nobody says so, as when a sensor is tried out without a task instance."""
    ti = context.get("ti")
    return options_digest(*TaskInstanceKey.from_task_instance(ti)) if hasattr(ti, "dag_id") else None


def _first_look(context: Any) -> datetime | None:
    """Return when a sensor that is rescheduled looked first; ``None``, or a moment ago, the first time."""
    ti = context["ti"]
    ask = getattr(ti, "get_first_reschedule_date", None)
    first: datetime | None = ask(context) if ask else _first_look_on_airflow_2(ti, context["task"])
    return first


def _first_look_on_airflow_2(ti: Any, task: Any) -> Any:
    """Ask where Airflow 2 keeps it, as its own sensors do: since the first try after the task was cleared."""
    from importlib import import_module

    first_try = (ti.max_tries or 0) - (task.retries or 0) + 1
    reads = import_module("airflow.sensors.base")._orig_start_date  # noqa: SLF001 - nothing public tells
    return reads(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, first_try)


def _now() -> datetime:
    return datetime.now(UTC)
