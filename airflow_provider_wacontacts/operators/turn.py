"""Operators for contacts of Turn.io."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.assets import store_uri
from airflow_provider_wacontacts.exceptions import ConfigError, RateLimitedError
from airflow_provider_wacontacts.hooks.metrics import send
from airflow_provider_wacontacts.operators.arguments import (
    ValidatedArguments,
    Validator,
    fail_without_retry,
    optional,
    validate_choice,
)
from airflow_provider_wacontacts.operators.task_context import (
    MAX_ATTEMPTS,
    data_interval,
    defer_for_rate_limit,
    defer_until,
    destination,
    get_pseudonymizer,
    get_suppression_list,
    metrics_on_commit,
    plural,
    publish,
    read_attempt,
    run_after,
    validate_file_format,
    validate_pseudonymize,
)
from airflow_provider_wacontacts.records.arguments import (
    validate_bool,
    validate_int,
    validate_ratio,
    validate_timedelta,
)
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window, format_minute, format_time, resolve_run_window

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.turn import TurnHook
    from airflow_provider_wacontacts.pipelines.stop import StopSignal
    from airflow_provider_wacontacts.pipelines.summaries import SyncSummary
    from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec

__all__ = ["TurnContactsToObjectStorageOperator", "TurnContactsToSqlOperator"]

VALIDATORS: dict[str, Validator] = {
    "window_length": optional(partial(validate_timedelta, allow_zero=False)),
    "lookback": validate_timedelta,
    "settle": validate_timedelta,
    "late_after": validate_timedelta,
    "cursor_per_page": validate_bool,
    "ordering": optional(partial(validate_choice, choices=("asc", "desc"))),
    "page_size": optional(partial(validate_int, least=1)),
    "max_rejected": validate_ratio,
    "pseudonymize": optional(validate_pseudonymize),
}


class _TurnContactsOperator(ValidatedArguments, BaseOperator):
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
    pseudonymize: Sequence[str] | None
    _stop: StopSignal | None = None

    def __init__(self, **kwargs: Any) -> None:
        # Airflow gives a class without its own the signature of BaseOperator, whose defaults a mapped task would take.
        super().__init__(**{"multiple_outputs": True, **kwargs})

    @classmethod
    def validate_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """
        Validate what is given of the arguments.

        :raises ConfigError: an argument is wrong, or two of them exclude each other.
        """
        super().validate_arguments(arguments)
        if arguments.get("cursor_per_page") and arguments.get("ordering") == "desc":
            raise ConfigError("cursor_per_page needs ascending rows. Remove ordering='desc', or cursor_per_page.")

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Sync the run's window, after the settle delay.

        :returns: the summary: counts, times and IDs.
        :raises AirflowFailException: an argument, a connection or the account must be changed first.
        """
        with fail_without_retry():
            window = self._window(context)
            settled_at = window.end + self.settle
            if settled_at > datetime.now(UTC):
                defer_until(self, settled_at, why="the settle delay has passed")
            return self._sync(context, window, attempt=1)

    def execute_after_wait(self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Resume after the settle delay, or when the server's rate limit allows it."""
        with fail_without_retry():
            window = self._window(context)
            if window.end > datetime.now(UTC):
                raise ConfigError(f"end {format_time(window.end)} is in the future. Set it to a time that has passed.")
            return self._sync(context, window, attempt=read_attempt(event))

    def on_kill(self) -> None:
        """End the sync; contacts received so far are kept."""
        if self._stop is not None:
            self._stop.interrupt()

    @cached_property
    def hook(self) -> TurnHook:
        """The hook of ``turn_conn_id``."""
        from airflow_provider_wacontacts.hooks.turn import TurnHook

        return TurnHook(turn_conn_id=self.turn_conn_id)

    def show_resolved(self, context: Mapping[str, Any]) -> None:
        """Put the run's window and the account into the rendered fields."""
        window = self._window(context)
        self.start, self.end = format_time(window.start), format_time(window.end)
        self.account = self.account or self.hook.account

    def _window(self, context: Mapping[str, Any]) -> Window:
        self.validate_rendered()
        return resolve_run_window(
            start=self.start,
            end=self.end,
            window_length=self.window_length,
            interval=data_interval(context),
            run_after=run_after(context),
        )

    def _sync(self, context: Mapping[str, Any], window: Window, *, attempt: int) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.stop import StopSignal

        self.hook.check()
        account, place = self.account or self.hook.account, destination(self)
        start, end = format_minute(window.start), format_minute(window.end)
        self.log.info("Sync of account %r, updated %s to %s, into %s", account, start, end, place)
        self._stop = StopSignal()
        try:
            summary = self._write(context, window, is_deferrable=attempt < MAX_ATTEMPTS)
        except RateLimitedError as error:
            defer_for_rate_limit(self, error, attempt)
        self._log_summary(summary)
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()

    def _spec(self, context: Mapping[str, Any], account: str, window: Window) -> SyncSpec:
        from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec

        pseudonyms = get_pseudonymizer(self.pseudonymize, self._pseudonym_conn_id())
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
            pseudonyms=pseudonyms,
            late_after=self.late_after,
        )

    def _pseudonym_conn_id(self) -> str:
        raise NotImplementedError

    def _write(self, context: Mapping[str, Any], window: Window, *, is_deferrable: bool) -> SyncSummary:
        raise NotImplementedError

    def _log_summary(self, summary: SyncSummary) -> None:
        lateness = timedelta(seconds=summary.lateness_s or 0.0)
        send("turn", lateness=lateness, lossy=int(summary.lossy), gaps=int(summary.gap_before is not None))
        if summary.lossy:
            self.log.warning(
                "Window synced more than %s late: versions overwritten before this sync are missing", self.late_after
            )
        if summary.gap_before:
            self.log.warning("Coverage gap before this window: %s. Run a backfill to close it", summary.gap_before)
        counts = plural(summary.rows, "row"), plural(summary.pages, "page"), plural(summary.new_versions, "new version")
        self.log.info("Synced %s on %s: %s, %s rejected", *counts, summary.rejected)


class TurnContactsToSqlOperator(_TurnContactsOperator):
    """
    Sync the contacts that were updated in a window into the store, as change history (SCD Type 2).

    A retry resumes from the last checkpoint; clearing the task syncs the window again. Syncs are order-independent and
    idempotent.

    :param turn_conn_id: Connection of type ``turn``. Default: ``turn_default``.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite. Default: ``wacontacts_store``.
    :param account: Name that contacts are stored under. Default: the connection's ``account``, or its ID.
    :param start: Start of the window, a timezone-aware ``datetime`` or an ISO 8601 string; requires ``end``. Default:
        the run's data interval.
    :param end: End of the window, exclusive; requires ``start``. Default: the run's data interval.
    :param window_length: Length of the window, which then ends with the run's data interval. Required if runs have no
        interval: manual runs, and cron presets in Airflow 3. Default: the data interval's length.
    :param lookback: Overlap with the window before, fetched again for updates that arrived late. Default: 10 minutes.
    :param settle: Delay between the window's end and the sync; the task is deferred meanwhile. Default: 5 minutes.
    :param late_after: Sync lag from which a window's first sync counts as lossy. Default: 1 hour.
    :param cursor_per_page: Create a new cursor for every page, which doubles the requests: no contact can be skipped
        when others are updated during the sync. Excludes ``ordering="desc"``. Default: ``False``.
    :param ordering: Order of rows by update time, ``asc`` or ``desc``. Default: the server's choice.
    :param page_size: Contacts on a page, 1 and up; some numbers refuse it. Default: the server's choice.
    :param scrubbing_rules: Rules by which Turn.io hashes or replaces fields before it sends them; the task fails if the
        number refuses them. Default: none.
    :param max_rejected: Share of rows, 0 to 1, that may be rejected before the task fails; the others are written
        either way. Default: 0.01.
    :param pseudonymize: Fields replaced by their HMAC-SHA256 before anything is written; a dot leads into an object, as
        in ``details.name``. Default: none.
    :param pseudonym_conn_id: Connection whose extra ``pseudonym_secret`` is the key. Default: ``store_conn_id``.
    """

    template_fields: Sequence[str] = ("turn_conn_id", "store_conn_id", "account", "start", "end")
    validators = VALIDATORS

    def __init__(
        self,
        *,
        turn_conn_id: str = "turn_default",
        store_conn_id: str = "wacontacts_store",
        account: str | None = None,
        start: str | datetime | None = None,
        end: str | datetime | None = None,
        window_length: timedelta | None = None,
        lookback: timedelta = timedelta(minutes=10),
        settle: timedelta = timedelta(minutes=5),
        late_after: timedelta = timedelta(hours=1),
        cursor_per_page: bool = False,
        ordering: str | None = None,
        page_size: int | None = None,
        scrubbing_rules: Mapping[str, Any] | None = None,
        max_rejected: float = 0.01,
        pseudonymize: Sequence[str] | None = None,
        pseudonym_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.turn_conn_id = turn_conn_id
        self.store_conn_id = store_conn_id
        self.account = account
        self.start = start
        self.end = end
        self.window_length = window_length
        self.lookback = lookback
        self.settle = settle
        self.late_after = late_after
        self.cursor_per_page = cursor_per_page
        self.ordering = ordering
        self.page_size = page_size
        self.scrubbing_rules = scrubbing_rules
        self.max_rejected = max_rejected
        self.pseudonymize = pseudonymize
        self.pseudonym_conn_id = pseudonym_conn_id
        self.validate_arguments(vars(self))

    def _pseudonym_conn_id(self) -> str:
        return self.pseudonym_conn_id or self.store_conn_id

    def _write(self, context: Mapping[str, Any], window: Window, *, is_deferrable: bool) -> SyncSummary:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.turn_sync import sync_to_store

        store = open_store(self.store_conn_id, late_after=self.late_after)
        account = self.account or self.hook.account
        return sync_to_store(
            run=self.hook.driver.run,
            store=store,
            uri=store_uri(self.store_conn_id, "turn", account),
            on_progress=lambda progress: self.log.info("%s", progress),
            on_commit=metrics_on_commit("turn"),
            stop=self._stop,
            is_deferrable=is_deferrable,
            spec=self._spec(context, account, window),
        )


class TurnContactsToObjectStorageOperator(_TurnContactsOperator):
    """
    Sync the contacts that were updated in a window into a new prefix of object storage.

    ``<path>/turn/<account>/<YYYY-MM-DD>/<extraction_id>/`` holds the parts and, written last, ``_manifest.json``. An
    extraction is never replaced. A prefix without a manifest is incomplete, and readers skip it.

    :param path: URI of the root, as ``ObjectStoragePath`` reads it, for example ``s3://aws_default@bucket/contacts``.
    :param file_format: Format of the parts, ``jsonl.gz`` or ``parquet``. Default: ``jsonl.gz``.
    :param erased_conn_id: Connection of a store whose suppression list keeps erased contacts out of the files. Default:
        none; ``EraseContactsOperator`` erases them when it runs next.
    :param turn_conn_id: Connection of type ``turn``. Default: ``turn_default``.
    :param account: Name that contacts are stored under. Default: the connection's ``account``, or its ID.
    :param start: Start of the window, a timezone-aware ``datetime`` or an ISO 8601 string; requires ``end``. Default:
        the run's data interval.
    :param end: End of the window, exclusive; requires ``start``. Default: the run's data interval.
    :param window_length: Length of the window, which then ends with the run's data interval. Required if runs have no
        interval: manual runs, and cron presets in Airflow 3. Default: the data interval's length.
    :param lookback: Overlap with the window before, fetched again for updates that arrived late. Default: 10 minutes.
    :param settle: Delay between the window's end and the sync; the task is deferred meanwhile. Default: 5 minutes.
    :param late_after: Sync lag from which a window counts as lossy. Default: 1 hour.
    :param cursor_per_page: Create a new cursor for every page, which doubles the requests: no contact can be skipped
        when others are updated during the sync. Excludes ``ordering="desc"``. Default: ``False``.
    :param ordering: Order of rows by update time, ``asc`` or ``desc``. Default: the server's choice.
    :param page_size: Contacts on a page, 1 and up; some numbers refuse it. Default: the server's choice.
    :param scrubbing_rules: Rules by which Turn.io hashes or replaces fields before it sends them; the task fails if the
        number refuses them. Default: none.
    :param max_rejected: Share of rows, 0 to 1, that may be rejected before the task fails; the others are written
        either way. Default: 0.01.
    :param pseudonymize: Fields replaced by their HMAC-SHA256 before anything is written; a dot leads into an object, as
        in ``details.name``. Default: none.
    :param pseudonym_conn_id: Connection whose extra ``pseudonym_secret`` is the key. Default: ``wacontacts_store``.
    """

    template_fields: Sequence[str] = ("turn_conn_id", "account", "start", "end", "path", "erased_conn_id")
    validators = {**VALIDATORS, "file_format": validate_file_format}  # noqa: RUF012

    def __init__(
        self,
        *,
        path: str,
        file_format: str = "jsonl.gz",
        erased_conn_id: str | None = None,
        turn_conn_id: str = "turn_default",
        account: str | None = None,
        start: str | datetime | None = None,
        end: str | datetime | None = None,
        window_length: timedelta | None = None,
        lookback: timedelta = timedelta(minutes=10),
        settle: timedelta = timedelta(minutes=5),
        late_after: timedelta = timedelta(hours=1),
        cursor_per_page: bool = False,
        ordering: str | None = None,
        page_size: int | None = None,
        scrubbing_rules: Mapping[str, Any] | None = None,
        max_rejected: float = 0.01,
        pseudonymize: Sequence[str] | None = None,
        pseudonym_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.file_format = file_format
        self.erased_conn_id = erased_conn_id
        self.turn_conn_id = turn_conn_id
        self.account = account
        self.start = start
        self.end = end
        self.window_length = window_length
        self.lookback = lookback
        self.settle = settle
        self.late_after = late_after
        self.cursor_per_page = cursor_per_page
        self.ordering = ordering
        self.page_size = page_size
        self.scrubbing_rules = scrubbing_rules
        self.max_rejected = max_rejected
        self.pseudonymize = pseudonymize
        self.pseudonym_conn_id = pseudonym_conn_id
        self.validate_arguments(vars(self))

    def _pseudonym_conn_id(self) -> str:
        return self.pseudonym_conn_id or "wacontacts_store"

    def _write(self, context: Mapping[str, Any], window: Window, *, is_deferrable: bool) -> SyncSummary:  # noqa: ARG002
        from airflow_provider_wacontacts.hooks.object_storage import object_path
        from airflow_provider_wacontacts.pipelines.turn_sync import sync_to_files

        return sync_to_files(
            run=self.hook.driver.run,
            root=object_path(self.path),
            file_format=self.file_format,
            file_mode=self.hook.file_mode,
            suppressed=get_suppression_list(self.erased_conn_id),
            on_progress=lambda progress: self.log.info("%s", progress),
            on_commit=metrics_on_commit("turn"),
            stop=self._stop,
            spec=self._spec(context, self.account or self.hook.account, window),
        )
