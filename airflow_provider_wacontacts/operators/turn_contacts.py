"""What the operators for contacts of Turn.io have in common: the run's window, its waits, and the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.exceptions import ConfigError, TransientError
from airflow_provider_wacontacts.hooks.metrics import send
from airflow_provider_wacontacts.operators.arguments import (
    ValidatedArguments,
    Validator,
    fail_without_retry,
    optional,
    select_fields,
    validate_choice,
    validate_pseudonymize,
)
from airflow_provider_wacontacts.operators.task_context import (
    MAX_ATTEMPTS,
    data_interval,
    defer_for_retry_after,
    defer_until,
    destination,
    get_pseudonymizer,
    publish,
    read_attempt,
    run_after,
    warn_of_rejected,
    warn_of_unmatched_fields,
)
from airflow_provider_wacontacts.records.arguments import (
    validate_bool,
    validate_int,
    validate_ratio,
    validate_timedelta,
)
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window, format_count, format_time, resolve_run_window

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.turn import TurnHook
    from airflow_provider_wacontacts.pipelines.stop import StopSignal
    from airflow_provider_wacontacts.pipelines.summaries import SyncSummary
    from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec
    from airflow_provider_wacontacts.records.fields import FieldSelection

__all__ = ["VALIDATORS", "TurnContactsOperator"]

VALIDATORS: dict[str, Validator] = {
    "window_length": optional(partial(validate_timedelta, allow_zero=False)),
    "lookback": validate_timedelta,
    "settle": validate_timedelta,
    "late_after": validate_timedelta,
    "cursor_per_page": validate_bool,
    "ordering": optional(partial(validate_choice, choices=("asc", "desc"))),
    "page_size": optional(partial(validate_int, minimum=1)),
    "max_rejected": validate_ratio,
    "pseudonymize": optional(validate_pseudonymize),
    "fail_on_lossy": validate_bool,
    "fail_on_gap": validate_bool,
}


class TurnContactsOperator(ValidatedArguments, BaseOperator):
    """Syncs the run's window. Subclasses set the attributes, and say where contacts are written."""

    turn_conn_id: str
    account: str | None
    start: str | datetime | None
    end: str | datetime | None
    window_length: timedelta | None
    lookback: timedelta
    settle: timedelta
    late_after: timedelta
    cursor_per_page: bool
    ordering: str | None
    page_size: int | None
    scrubbing_rules: Mapping[str, Any] | None
    max_rejected: float
    include_fields: Sequence[str] | None
    exclude_fields: Sequence[str] | None
    pseudonymize: Sequence[str] | None
    fail_on_lossy: bool
    fail_on_gap: bool = False
    _stop: StopSignal | None = None

    def __init__(self, **kwargs: Any) -> None:
        # Without a signature of its own, a class gets BaseOperator's, whose defaults a mapped task would take.
        super().__init__(**{"multiple_outputs": True, **kwargs})

    @classmethod
    def validate_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """
        Validate the given arguments.

        :raises ConfigError: an argument is wrong, or two of them exclude each other.
        """
        super().validate_arguments(arguments)
        if arguments.get("cursor_per_page") and arguments.get("ordering") == "desc":
            raise ConfigError("cursor_per_page needs ascending rows. Remove ordering='desc', or cursor_per_page.")
        select_fields(arguments, "turn")

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Sync the run's window, after the settle delay.

        :returns: the summary: counts, times and IDs.
        :raises AirflowFailException: an argument, a connection or the account must be changed first.
        """
        with fail_without_retry():
            spec = self._begin(context)
            settled_at = spec.window.end + self.settle
            if settled_at > datetime.now(UTC):
                defer_until(self, settled_at, why="the settle delay has passed")
            return self._sync(context, spec, attempt=1)

    def execute_after_wait(self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Resume after the settle delay, or when the server's rate limit allows it."""
        with fail_without_retry():
            spec = self._begin(context)
            if spec.window.end > datetime.now(UTC):
                end = format_time(spec.window.end)
                raise ConfigError(f"end {end} is in the future. Set it to a time that has passed.")
            return self._sync(context, spec, attempt=read_attempt(event))

    def on_kill(self) -> None:
        """End the sync; contacts received so far are kept."""
        if self._stop is not None:
            self._stop.interrupt()

    @cached_property
    def hook(self) -> TurnHook:
        """The hook of ``turn_conn_id``."""
        from airflow_provider_wacontacts.hooks.turn import TurnHook

        return TurnHook(turn_conn_id=self.turn_conn_id)

    @cached_property
    def selection(self) -> FieldSelection | None:
        """The fields to write; ``None`` for all."""
        return select_fields(vars(self), "turn")

    def show_resolved(self, context: Mapping[str, Any]) -> None:
        """Put the run's window and the account into the rendered fields."""
        self.validate_rendered()
        window = self._window(context)
        self.start, self.end = format_time(window.start), format_time(window.end)
        self.account = self.account or self.hook.account

    def _window(self, context: Mapping[str, Any]) -> Window:
        return resolve_run_window(
            start=self.start,
            end=self.end,
            window_length=self.window_length,
            interval=data_interval(context),
            run_after=run_after(context),
        )

    def _sync(self, context: Mapping[str, Any], spec: SyncSpec, *, attempt: int) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.stop import StopSignal

        self.hook.validate_connection()
        self._stop = StopSignal()
        try:
            summary = self._write(spec, is_deferrable=attempt < MAX_ATTEMPTS)
        except TransientError as error:
            defer_for_retry_after(self, error, attempt)
        self._log_summary(summary)
        warn_of_unmatched_fields(self, self.selection, summary.rows)
        self._fail_on_loss(summary)
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()

    def _begin(self, context: Mapping[str, Any]) -> SyncSpec:
        """Log what this run syncs, and return it."""
        from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec
        from airflow_provider_wacontacts.pipelines.written_fields import WrittenFields

        self.validate_rendered()
        account, place, selection = self.account or self.hook.account, destination(self), self.selection
        pseudonyms = get_pseudonymizer(self.pseudonymize, self._pseudonym_conn_id())
        window = self._window(context)
        self.log.info("Syncing account %r into %s: contacts updated from %s", account, place, window)
        return SyncSpec(
            account=account,
            window=window,
            task=TaskInstanceKey.from_task_instance(context["ti"]),
            package_version=__version__,
            ordering=self.ordering,
            page_size=self.page_size,
            scrubbing_rules=self.scrubbing_rules,
            lookback=self.lookback,
            cursor_per_page=self.cursor_per_page,
            max_rejected=self.max_rejected,
            late_after=self.late_after,
            fields=WrittenFields(selection, pseudonyms),
        )

    def _pseudonym_conn_id(self) -> str:
        raise NotImplementedError

    def _write(self, spec: SyncSpec, *, is_deferrable: bool) -> SyncSummary:
        raise NotImplementedError

    def _fail_on_loss(self, summary: SyncSummary) -> None:
        if self.fail_on_lossy and summary.lossy:
            raise AirflowFailException(
                f"The window was synced more than {self.late_after} late, and fail_on_lossy is set. Its contacts were"
                " loaded. Clearing this task does not change the result."
            )
        if self.fail_on_gap and summary.gap_before:
            raise AirflowFailException(
                f"No sync covers {summary.gap_before}, before this window, and fail_on_gap is set. The contacts of the"
                " window were loaded. Run a backfill of the gap, then clear this task."
            )

    def _log_summary(self, summary: SyncSummary) -> None:
        lateness = timedelta(seconds=summary.lateness_s or 0.0)
        send("turn", lateness=lateness, lossy=int(summary.lossy), gaps=int(summary.gap_before is not None))
        if summary.lossy:
            self.log.warning(
                "Window synced more than %s late: versions overwritten before this sync are missing", self.late_after
            )
        if summary.gap_before:
            self.log.warning("Coverage gap before this window: %s. Run a backfill to close it", summary.gap_before)
        counts = (
            format_count(summary.rows, "row"),
            format_count(summary.pages, "page"),
            format_count(summary.new_versions, "new version"),
        )
        self.log.info("Synced %s on %s: %s, %s rejected", *counts, summary.rejected)
        warn_of_rejected(self, summary)
