"""Sensors for the WhatsApp Business API: wait for the results of a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    RateLimitedError,
    WaContactsError,
)
from airflow_provider_wacontacts.hooks.metrics import count_statuses, send
from airflow_provider_wacontacts.operators.arguments import ValidatedArguments, fail_without_retry, validate_check_id
from airflow_provider_wacontacts.operators.task_context import error_from_event
from airflow_provider_wacontacts.plugin.links import StoreLink
from airflow_provider_wacontacts.records.arguments import validate_int
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey, options_digest
from airflow_provider_wacontacts.records.windows import format_minute, format_time
from airflow_provider_wacontacts.triggers.whatsapp_business import WhatsAppContactsTrigger

if TYPE_CHECKING:
    from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
    from airflow_provider_wacontacts.pipelines.wait_for_results import PendingCheck
    from airflow_provider_wacontacts.store.checks.model import CheckTotals
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["WhatsAppContactsSensor"]

#: After the deadline and this, the scheduler times the trigger out.
GRACE = timedelta(minutes=5)
TIMED_OUT = "Trigger timeout"


def _validate_deadline(name: str, value: object) -> None:
    """Refuse a ``datetime`` without a time zone. A string may be a template."""
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ConfigError(f"{name} has no time zone. Set it to a timezone-aware datetime.")


class WhatsAppContactsSensor(ValidatedArguments, BaseSensorOperator):
    """
    Wait until every number of a check has its final result, and request the missing results again meanwhile.

    Results that a callback delivers count too. At the deadline the check becomes ``expired``, and the task fails, or is
    skipped with ``soft_fail``; results received so far are kept. Errors that no retry can fix always fail the task.

    :param check_id: ID of a check, from the summary of a check operator.
    :param whatsapp_business_conn_id: Connection of type ``whatsapp_business`` of the check's sender.
    :param green_api_conn_id: Connection of type ``green_api`` of the check's sender, instead of
        ``whatsapp_business_conn_id``. GREEN-API's results are final at once, so the sensor waits only for
        ``recheck_failed``. Default: not used.
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

    template_fields: Sequence[str] = (
        "check_id",
        "deadline",
        "whatsapp_business_conn_id",
        "green_api_conn_id",
        "store_conn_id",
    )
    operator_extra_links = (StoreLink(),)
    validators = {  # noqa: RUF012
        "recheck_failed": partial(validate_int, minimum=0),
        "batch_size": partial(validate_int, minimum=1, maximum=1_000),
        "max_failures": partial(validate_int, minimum=0),
        "deadline": _validate_deadline,
    }

    def __init__(
        self,
        *,
        check_id: str,
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        green_api_conn_id: str | None = None,
        store_conn_id: str = "wacontacts_store",
        deadline: datetime | str | None = None,
        recheck_failed: int = 0,
        batch_size: int = 100,
        max_failures: int = 10,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.check_id = check_id
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.green_api_conn_id = green_api_conn_id
        self.store_conn_id = store_conn_id
        self.deadline = deadline
        self.recheck_failed = recheck_failed
        self.batch_size = batch_size
        self.max_failures = max_failures
        self.deferrable = deferrable
        self.validate_arguments(vars(self))
        self._pending: PendingCheck | None = None
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
            pending = self._begin(context)
            totals = pending.last_totals or pending.count()
            if totals.state != "resolved" and not pending.is_overdue:
                self._defer_until_resolved(pending, totals)
            return self._summary(pending, totals if totals.state == "resolved" else self._expire(pending))

    def poke(self, context: Any) -> PokeReturnValue:
        """Request all missing results once."""
        try:
            pending = self._begin(context)
            totals = self._poll(pending)
        except WaContactsError as error:
            self._handle_error(error)
            return PokeReturnValue(is_done=False)
        if totals.state == "resolved":
            return PokeReturnValue(is_done=True, xcom_value=self._summary(pending, totals))
        if totals.state == "expired" or pending.is_overdue:
            return PokeReturnValue(is_done=True, xcom_value=self._summary(pending, self._expire(pending)))
        return PokeReturnValue(is_done=False)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """
        Resume after the wait. A trigger timeout counts as the deadline.

        Unlike Airflow's own sensor, ``soft_fail`` skips the task only at the deadline, not for other errors.
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
        Finish after the trigger has fired.

        :param event: the trigger's event; ``None`` if it never fired.
        """
        if event is not None and "error" in event:
            raise error_from_event(event)
        if event is not None and event["state"] == "expired":
            self._time_out(event)
        pending = self._open(_now())
        return self._summary(pending, self._expire(pending) if event is None else pending.count())

    @cached_property
    def hook(self) -> WhatsAppBusinessHook | GreenApiHook:
        """The hook of ``green_api_conn_id``, or of ``whatsapp_business_conn_id``."""
        from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
        from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

        if self.green_api_conn_id:
            return GreenApiHook(self.green_api_conn_id)
        return WhatsAppBusinessHook(self.whatsapp_business_conn_id)

    @property
    def _source(self) -> str:
        """The system, as metrics name it."""
        return "green_api_checks" if self.green_api_conn_id else "whatsapp_business"

    @cached_property
    def _checks(self) -> SenderChecks:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.store.checks.sender import SenderChecks

        self.hook.validate_connection()
        return SenderChecks.of(open_store(self.store_conn_id).context, self.hook.budget)

    def _begin(self, context: Any) -> PendingCheck:
        """Return the check; wait for it from the first poll on."""
        if self._pending is None:
            pending = self._open(self._deadline(context), waiter=_waiter(context))
            pending.begin()
            self._pending = pending
        return self._pending

    def _open(self, deadline: datetime, *, waiter: str | None = None) -> PendingCheck:
        from airflow_provider_wacontacts.pipelines.wait_for_results import PendingCheck

        validate_check_id(self.check_id)
        self.validate_rendered()
        return PendingCheck(
            self._checks,
            str(self.check_id),
            deadline,
            recheck_failed=self.recheck_failed,
            batch_size=1 if self.green_api_conn_id else self.batch_size,
            waiter=waiter,
        )

    def _deadline(self, context: Any) -> datetime:
        from airflow_provider_wacontacts.pipelines.wait_for_results import read_deadline

        first = _first_poll(context) if self.reschedule and not self.deferrable else None
        times_out_at = (first or self._started or _now()) + timedelta(seconds=self.timeout)
        if self.deadline is None:
            return times_out_at
        deadline = read_deadline(self.deadline)
        # After its timeout Airflow ends a sensor that pokes, and the check would stay open.
        return deadline if self.deferrable else min(deadline, times_out_at)

    def _poll(self, pending: PendingCheck) -> CheckTotals:
        from airflow_provider_wacontacts.pipelines.wait_for_results import poll_results

        if _now() < self._not_before or pending.is_overdue:
            return pending.count()
        totals = poll_results(pending, self._send_check)
        self._failures = 0
        return totals

    def _send_check(self, numbers: Sequence[str]) -> CheckResponse:
        from airflow_provider_wacontacts.hooks.green_api import GreenApiHook

        if isinstance(self.hook, GreenApiHook):
            response = self.hook.check_whatsapp(*numbers)
        else:
            # Only rechecks of failed numbers count against the budget.
            response = self.hook.check_contacts(numbers, idempotent=self.recheck_failed == 0)
        send(self._source, asked_again=len(numbers), **count_statuses(response, self._source))
        return response

    def _handle_error(self, error: WaContactsError) -> None:
        """Poll again later, and not before ``Retry-After``; raise the error after too many in a row."""
        from airflow_provider_wacontacts.pipelines.wait_for_results import count_failure

        self._failures = count_failure(error, self._failures, 0 if self.reschedule else self.max_failures)
        self.log.warning("Check %s: %s: %s", self.check_id, type(error).__name__, error)
        retry_after = getattr(error, "retry_after", None) or timedelta(0)
        self._not_before = _now() + retry_after
        if isinstance(error, RateLimitedError):
            send(self._source, rate_limit_waits=retry_after or None)
        if self.reschedule and retry_after:
            raise AirflowRescheduleException(self._not_before)  # type: ignore[no-untyped-call]

    def _defer_until_resolved(self, pending: PendingCheck, totals: CheckTotals) -> NoReturn:
        deadline, until = format_time(pending.deadline), format_minute(pending.deadline)
        self.log.info("Check %s: waiting for %s numbers until %s", pending.check_id, totals.waiting, until)
        self.defer(
            trigger=WhatsAppContactsTrigger(
                pending.check_id,
                deadline,
                whatsapp_business_conn_id=self.whatsapp_business_conn_id,
                green_api_conn_id=self.green_api_conn_id,
                store_conn_id=self.store_conn_id,
                recheck_failed=self.recheck_failed,
                batch_size=1 if self.green_api_conn_id else self.batch_size,
                max_failures=self.max_failures,
                waiter=pending.waiter,
            ),
            method_name="execute_complete",
            timeout=pending.time_left + GRACE,
        )
        raise AssertionError("defer returned")

    def _expire(self, pending: PendingCheck) -> CheckTotals:
        """Stop waiting, and fail unless the check is resolved by now."""
        totals = pending.expire()
        if totals.state != "resolved":
            self._time_out(totals._asdict())
        return totals

    def _time_out(self, counts: Mapping[str, Any]) -> NoReturn:
        send(self._source, expired=1)
        names = ("valid", "invalid", "failed", "processing", "missing", "queued")
        shown = ", ".join(f"{counts[name]} {name}" for name in names)
        message = (
            f"The deadline passed before all results were final: {shown}."
            f" Check {self.check_id} is expired. Results received so far are kept."
        )
        raise (AirflowSkipException if self.soft_fail or self.never_fail else AirflowSensorTimeout)(message)

    def _summary(self, pending: PendingCheck, totals: CheckTotals) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.summaries import CheckSummary

        summary = CheckSummary.of(pending.check, self._checks, totals)
        conn_id = self.green_api_conn_id or self.whatsapp_business_conn_id
        send(self._source, conn_id, budget_left=summary.budget_left, resolved=1)
        self.log.info(
            "Check %s is %s: %s valid, %s invalid, %s failed",
            summary.check_id,
            summary.state,
            summary.valid,
            summary.invalid,
            summary.failed,
        )
        return summary.as_dict()


def _waiter(context: Any) -> str | None:
    """Return a digest of the task instance; ``None`` without one."""
    ti = context.get("ti")
    return options_digest(*TaskInstanceKey.from_task_instance(ti)) if hasattr(ti, "dag_id") else None


def _first_poll(context: Any) -> datetime | None:
    """Return when a rescheduled sensor polled first; ``None``, or just now, at its first poll."""
    ti = context["ti"]
    ask = getattr(ti, "get_first_reschedule_date", None)
    first: datetime | None = ask(context) if ask else _first_poll_on_airflow_2(ti, context["task"])
    return first


def _first_poll_on_airflow_2(ti: Any, task: Any) -> Any:
    """Return the start of the first attempt after the task was cleared, which Airflow 2 stores."""
    from importlib import import_module

    first_try = (ti.max_tries or 0) - (task.retries or 0) + 1
    reads = import_module("airflow.sensors.base")._orig_start_date  # noqa: SLF001 - nothing public has it
    return reads(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, first_try)


def _now() -> datetime:
    return datetime.now(UTC)
