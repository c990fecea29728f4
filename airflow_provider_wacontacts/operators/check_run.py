"""What the operators that check numbers share: a check is filled, run within the budget, and summed up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.exceptions import BudgetExceededError, ConfigError, LandingError, TransientError
from airflow_provider_wacontacts.hooks.metrics import send
from airflow_provider_wacontacts.operators.arguments import (
    DryRun,
    ValidatedArguments,
    Validator,
    fail_without_retry,
    optional,
    validate_choice,
    validate_query,
)
from airflow_provider_wacontacts.operators.task_context import (
    MAX_ATTEMPTS,
    defer_for_retry_after,
    defer_until,
    error_from_event,
    publish,
    read_attempt,
)
from airflow_provider_wacontacts.records.arguments import validate_bool, validate_int, validate_ratio
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey, options_digest
from airflow_provider_wacontacts.records.windows import format_count

if TYPE_CHECKING:
    from airflow_provider_wacontacts.clients.retry import Clock
    from airflow_provider_wacontacts.pipelines.check_numbers import NumberClient
    from airflow_provider_wacontacts.pipelines.stop import StopSignal
    from airflow_provider_wacontacts.store.checks.lifecycle import Check
    from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckSpec, CheckTotals
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["CHECK_VALIDATORS", "QUERY_FIELDS", "WEEK"]

#: Template fields of the operators' queries.
QUERY_FIELDS = ("contacts_conn_id", "contacts_sql", "messages_conn_id", "messages_sql")

#: Metrics of inputs that need no request. They are sent once per check, at its end.
COUNTED_ONCE = ("given", "duplicates", "rejected", "not_asked", "from_store")
STATUS_IS_UNRELIABLE = (
    "The client is v2.43 or newer and reports every number as valid. 'valid' means that you can send to the number, not"
    " that it has a WhatsApp account."
)
WEEK = timedelta(days=7)
REGION = re.compile(r"\s*([A-Za-z]{2})?\s*")


def _validate_region_form(name: str, value: object) -> None:
    # phonenumbers knows which regions exist. It is imported only when the task runs.
    if not isinstance(value, str) or not REGION.fullmatch(value):
        raise ConfigError(f"{name} must be two letters, for example IN.")


CHECK_VALIDATORS: dict[str, Validator] = {
    "default_region": optional(_validate_region_form),
    "batch_size": partial(validate_int, minimum=1, maximum=1_000),
    "blocking": partial(validate_choice, choices=("no_wait", "wait")),
    **dict.fromkeys(("force_check", "dry_run", "require_opt_in"), validate_bool),
    "max_rejected": validate_ratio,
    "max_checks": optional(partial(validate_int, minimum=1)),
    "on_budget": partial(validate_choice, choices=("fail", "defer", "partial")),
}


class _CheckOperator(ValidatedArguments, BaseOperator):
    """
    Runs a check. Subclasses set the attributes, and say which numbers to check and how old a result may be.

    :cvar source: the system, as metrics name it.
    :cvar region_remedy: what to do about numbers without a country code.
    """

    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"contacts_sql": "sql", "messages_sql": "sql"}  # noqa: RUF012 - as Airflow has it
    source: ClassVar[str]
    region_remedy: ClassVar[str] = "Set default_region."

    store_conn_id: str
    contacts_sql: str | None
    contacts_conn_id: str | None
    default_region: str | None
    force_check: bool
    max_checks: int | None
    on_budget: str
    messages_sql: str | None
    messages_conn_id: str | None
    #: Inputs of an operator that has no such argument are numbers of the store.
    max_rejected: float = 1.0
    reuse_across_senders: bool = False
    require_opt_in: bool
    dry_run: Any = DryRun()
    _stop: StopSignal | None = None

    def __init__(self, **kwargs: Any) -> None:
        # Without a signature of its own, a class gets BaseOperator's, whose defaults a mapped task would take.
        super().__init__(**kwargs)

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Check the numbers.

        :returns: the summary: counts and IDs.
        :raises AirflowFailException: an argument or a connection is wrong, or the budget is spent.
        """
        with fail_without_retry():
            return self._preview(context) if self.dry_run else self._run(context, attempt=1)

    def execute_after_wait(self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Resume the check after a rate limit, or on a day with a new budget."""
        with fail_without_retry():
            return self._run(context, attempt=read_attempt(event))

    def execute_after_results(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
        """Summarize the check after the triggerer has waited for its results."""
        if "error" in event:
            raise error_from_event(event)
        with fail_without_retry():
            checks = self._open_checks()
            check = checks.find(str(event["check_id"]))
            return self._publish_summary(context, check, checks, check.totals())

    def on_kill(self) -> None:
        """Stop sending requests; results received so far are kept."""
        if self._stop is not None:
            self._stop.set()

    @cached_property
    def hook(self) -> Any:
        """The hook of the sender's connection."""
        raise NotImplementedError

    def _client(self) -> NumberClient:
        raise NotImplementedError

    def _conn_id(self) -> str:
        return str(getattr(self, self.hook.conn_name_attr))

    def _clock(self) -> Clock | None:
        """Return a clock whose sleep ends when the task is killed."""
        from airflow_provider_wacontacts.clients.retry import Clock

        return Clock(sleep=self._stop.sleep) if self._stop else None

    def _run(self, context: Mapping[str, Any], *, attempt: int) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.stop import StopSignal
        from airflow_provider_wacontacts.store.attempts import recorded

        stop = self._stop = StopSignal()
        self.validate_rendered()
        spec = self._spec(context)
        checks = self._open_checks()
        started_at = checks.context.now()
        check = checks.open(spec)
        self.log.info("Check %s in store %r", check.check_id, self.store_conn_id)
        with recorded(check):
            if not check.is_filled:
                is_shareable = self._is_shareable()
                check.fill(stop.interruptible(self._inputs(context, checks)), is_shareable=is_shareable)
            self._judge_rejects(check.reasons("rejected"), check.totals().given)
            totals = self._check_all(check, checks, stop, attempt, started_at)
        return self._publish_summary(context, check, checks, totals)

    def _open_checks(self) -> SenderChecks:
        """Validate the sender's connection, and return its checks in a store that is ready."""
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.store.checks.sender import SenderChecks

        self.hook.validate_connection()
        budget = self.hook.budget
        store = open_store(self.store_conn_id)
        store.prepare()
        checks = SenderChecks.of(store.context, budget)
        if self.messages_sql is not None:
            self._limit_to_messages(checks)
        return checks

    def _is_shareable(self) -> Callable[[str | None], bool] | None:
        """Return which results of other senders may be reused; ``None`` for none."""
        from airflow_provider_wacontacts.pipelines.check_results import is_shareable

        return is_shareable if self.reuse_across_senders else None

    def _limit_to_messages(self, checks: SenderChecks) -> None:
        from airflow_provider_wacontacts.hooks.queries import read_rows
        from airflow_provider_wacontacts.pipelines.messages_sent import limit_to_messages

        limit_to_messages(checks, read_rows(str(self.messages_conn_id), str(self.messages_sql), columns="messages"))

    def _preview(self, context: Mapping[str, Any]) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.check_preview import preview_check

        self.validate_rendered()
        spec = self._spec(context)
        checks = self._open_checks()
        preview = preview_check(
            self._inputs(context, checks),
            checks,
            fresh_after=spec.fresh_after,
            force_check=spec.force_check,
            is_shareable=self._is_shareable(),
        )
        counts = (preview.given, preview.duplicates, preview.rejected, preview.not_asked, preview.fresh, preview.leased)
        self.log.info(
            "Dry run, nothing is sent: %s given, %s duplicates, %s rejected, %s not checked, %s from the store, %s"
            " leased by other tasks, %s to be checked. %s of today's budget are left, and %s after the check",
            *(*counts, preview.to_ask, preview.budget_left, preview.budget_after),
        )
        return preview.as_dict()

    def _check_all(
        self, check: Check, checks: SenderChecks, stop: StopSignal, attempt: int, started_at: datetime
    ) -> CheckTotals:
        from airflow_provider_wacontacts.pipelines.check_numbers import CheckRun

        run = CheckRun(
            check=check,
            checks=checks,
            client=self._client(),
            force_check=self.force_check,
            on_progress=lambda checked: self.log.info("%s numbers checked so far", checked),
            on_retry=lambda: send(self.source, retries=1),
            stop=stop,
        )
        try:
            run.run()
        except TransientError as error:
            if error.retry_after and attempt < MAX_ATTEMPTS:
                check.defer(error.retry_after)
            defer_for_retry_after(self, error, attempt)
        except BudgetExceededError as error:
            with suppress(LandingError):
                send(self.source, self._conn_id(), budget_left=checks.budget_left())
            if self.on_budget == "fail":
                raise
            self.log.warning("%s", error)
            if self.on_budget == "defer":
                check.defer(error.resets_at - started_at)
                defer_until(self, error.resets_at, why="there is a new budget")
        totals = check.finish()
        if totals.state == "open":
            self._await_results(check)
        return totals

    def _await_results(self, check: Check) -> None:
        """Defer the task until its results are final, if it waits for them."""

    def _judge_rejects(self, reasons: Mapping[str, int], given: int) -> None:
        """
        Warn of rejected inputs, by reason.

        :raises ConfigError: they are more than ``max_rejected`` allows. Nothing was sent.
        """
        from airflow_provider_wacontacts.identifiers.numbers import NO_COUNTRY_CODE

        rejected = sum(reasons.values())
        if not rejected:
            return
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        message = f"{rejected} of {given} inputs were rejected: {counts}."
        remedy = f" {self.region_remedy.format(self._conn_id())}" if NO_COUNTRY_CODE in reasons else ""
        if rejected > given * self.max_rejected:
            raise ConfigError(
                f"{message} That is more than max_rejected ({self.max_rejected:.0%}) allows, so no number was checked."
                f" Correct the column of numbers, or raise max_rejected.{remedy}"
            )
        self.log.warning("%s View wacontacts_check_result has a row for each.%s", message, remedy)

    def _publish_summary(
        self, context: Mapping[str, Any], check: Check, checks: SenderChecks, totals: CheckTotals
    ) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.summaries import CheckSummary

        summary = CheckSummary.of(check, checks, totals)
        if not summary.given:
            self.log.info("No numbers were given. Check %s is empty.", summary.check_id)
        self.log.info(
            "%s given: %s checked, %s from the store, %s not checked, %s rejected; %s valid, %s invalid,"
            " %s failed, %s missing, %s processing. %s left today",
            *(format_count(summary.given, "number"), summary.asked, summary.from_store, summary.not_asked),
            *(summary.rejected, summary.valid, summary.invalid, summary.failed, summary.missing),
            *(summary.processing, format_count(summary.budget_left, "check")),
        )
        if reasons := check.reasons("not_asked"):
            self.log.info("Not checked: %s", ", ".join(f"{count} {reason}" for reason, count in reasons.items()))
        unchecked = {name: getattr(summary, name) for name in COUNTED_ONCE}
        send(self.source, self._conn_id(), budget_left=summary.budget_left, **unchecked)
        if summary.status_is_reliable is False:
            self.log.warning(STATUS_IS_UNRELIABLE)
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()

    def _make_spec(self, context: Mapping[str, Any], fresh_after: datetime, *options: object) -> CheckSpec:
        from airflow_provider_wacontacts.store.checks.model import CheckSpec

        shared = (self.contacts_conn_id, self.contacts_sql, self.default_region, self.force_check, self.require_opt_in)
        return CheckSpec(
            task=TaskInstanceKey.from_task_instance(context["ti"]),
            options_digest=options_digest(*shared, *options),
            package_version=__version__,
            fresh_after=fresh_after,
            force_check=self.force_check,
            max_checks=self.max_checks,
        )

    def _read_contacts(self) -> Iterator[Mapping[str, Any]]:
        """Read the rows of ``contacts_sql``."""
        from airflow_provider_wacontacts.hooks.queries import read_rows

        return read_rows(str(self.contacts_conn_id), str(self.contacts_sql))

    def _region(self) -> str | None:
        from airflow_provider_wacontacts.identifiers.numbers import validate_region

        return validate_region(self.default_region) if self.default_region else None

    def validate_rendered(self) -> None:
        """
        Validate what templates may have changed.

        :raises ConfigError: an argument is wrong.
        """
        super().validate_rendered()
        if self.default_region:
            self._region()
        self._validate_queries()

    def _validate_queries(self) -> None:
        for name in ("contacts", "messages"):
            validate_query(self, name)

    def _spec(self, context: Mapping[str, Any]) -> CheckSpec:
        raise NotImplementedError

    def _inputs(self, context: Mapping[str, Any], checks: SenderChecks) -> Iterable[CheckInput]:
        raise NotImplementedError
