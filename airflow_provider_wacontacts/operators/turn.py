"""Operators for contacts of Turn.io."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.assets import store_uri
from airflow_provider_wacontacts.operators.arguments import DRIFT_VALIDATORS, validate_file_format
from airflow_provider_wacontacts.operators.task_context import get_suppression_list, metrics_on_commit, report_drift
from airflow_provider_wacontacts.operators.turn_contacts import VALIDATORS, TurnContactsOperator
from airflow_provider_wacontacts.plugin.links import StoreLink

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.summaries import SyncSummary
    from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec

__all__ = ["TurnContactsToObjectStorageOperator", "TurnContactsToSqlOperator"]


class TurnContactsToSqlOperator(TurnContactsOperator):
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
    :param include_fields: Fields to write, next to the keys that contacts are stored under; the others are left out.
        A dot leads into an object, as in ``details.name``. Excludes ``exclude_fields``. Default: all.
    :param exclude_fields: Fields to leave out before anything is written, rejected rows included. Default: none.
    :param on_drift: Reaction to fields that are new, gone or of another type since the last extraction: ``evolve`` logs
        them, ``warn`` logs a warning, ``fail`` fails the task after loading. Default: ``evolve``.
    :param pseudonymize: Fields replaced by their HMAC-SHA256 before anything is written; a dot leads into an object, as
        in ``details.name``. Default: none.
    :param pseudonym_conn_id: Connection whose extra ``pseudonym_secret`` is the key. Default: ``store_conn_id``.
    :param fail_on_lossy: Fail the task, without a retry, if the window is lossy. Its contacts are loaded either way.
        Default: ``False``, which logs a warning.
    :param fail_on_gap: Fail the task, without a retry, if no sync covers the time right before the window. Its contacts
        are loaded either way. Default: ``False``, which logs a warning.
    """

    template_fields: Sequence[str] = ("turn_conn_id", "store_conn_id", "account", "start", "end")
    operator_extra_links = (StoreLink(),)
    validators = {**VALIDATORS, **DRIFT_VALIDATORS}  # noqa: RUF012

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
        include_fields: Sequence[str] | None = None,
        exclude_fields: Sequence[str] | None = None,
        on_drift: str = "evolve",
        pseudonymize: Sequence[str] | None = None,
        pseudonym_conn_id: str | None = None,
        fail_on_lossy: bool = False,
        fail_on_gap: bool = False,
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
        self.include_fields = include_fields
        self.exclude_fields = exclude_fields
        self.on_drift = on_drift
        self.pseudonymize = pseudonymize
        self.pseudonym_conn_id = pseudonym_conn_id
        self.fail_on_lossy = fail_on_lossy
        self.fail_on_gap = fail_on_gap
        self.validate_arguments(vars(self))

    def _pseudonym_conn_id(self) -> str:
        return self.pseudonym_conn_id or self.store_conn_id

    def _write(self, spec: SyncSpec, *, is_deferrable: bool) -> SyncSummary:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.turn_sync import sync_to_store

        return sync_to_store(
            spec,
            run=self.hook.driver.run,
            on_commit=metrics_on_commit("turn"),
            uri=store_uri(self.store_conn_id, "turn", spec.account),
            store=open_store(self.store_conn_id, late_after=self.late_after),
            declared_types=self.hook.get_declared_types,
            on_drift=lambda drift: report_drift(self, drift),
            on_progress=lambda progress: self.log.info("%s", progress),
            stop=self._stop,
            is_deferrable=is_deferrable,
        )


class TurnContactsToObjectStorageOperator(TurnContactsOperator):
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
    :param include_fields: Fields to write, next to the keys that contacts are stored under; the others are left out.
        A dot leads into an object, as in ``details.name``. Excludes ``exclude_fields``. Default: all.
    :param exclude_fields: Fields to leave out before anything is written, rejected rows included. Default: none.
    :param pseudonymize: Fields replaced by their HMAC-SHA256 before anything is written; a dot leads into an object, as
        in ``details.name``. Default: none.
    :param pseudonym_conn_id: Connection whose extra ``pseudonym_secret`` is the key. Default: ``wacontacts_store``.
    :param on_drift: Reaction to fields that are new, gone or of another type since the account's newest extraction:
        ``evolve`` logs them, ``warn`` logs a warning, ``fail`` fails the task after its files were written. Default:
        ``evolve``.
    :param fail_on_lossy: Fail the task, without a retry, if the window is lossy. Its files are written either way.
        Default: ``False``, which logs a warning.
    """

    template_fields: Sequence[str] = ("turn_conn_id", "account", "start", "end", "path", "erased_conn_id")
    validators = {**VALIDATORS, **DRIFT_VALIDATORS, "file_format": validate_file_format}  # noqa: RUF012

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
        include_fields: Sequence[str] | None = None,
        exclude_fields: Sequence[str] | None = None,
        pseudonymize: Sequence[str] | None = None,
        pseudonym_conn_id: str | None = None,
        on_drift: str = "evolve",
        fail_on_lossy: bool = False,
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
        self.include_fields = include_fields
        self.exclude_fields = exclude_fields
        self.pseudonymize = pseudonymize
        self.pseudonym_conn_id = pseudonym_conn_id
        self.on_drift = on_drift
        self.fail_on_lossy = fail_on_lossy
        self.validate_arguments(vars(self))

    def _pseudonym_conn_id(self) -> str:
        return self.pseudonym_conn_id or "wacontacts_store"

    def _write(self, spec: SyncSpec, *, is_deferrable: bool) -> SyncSummary:  # noqa: ARG002 - the other operator's
        from airflow_provider_wacontacts.hooks.object_storage import object_path
        from airflow_provider_wacontacts.pipelines.turn_sync import sync_to_files

        return sync_to_files(
            spec,
            run=self.hook.driver.run,
            root=object_path(self.path),
            file_format=self.file_format,
            file_mode=self.hook.file_mode,
            get_suppression_list=get_suppression_list(self.erased_conn_id),
            declared_types=self.hook.get_declared_types,
            on_drift=lambda drift: report_drift(self, drift),
            on_progress=lambda progress: self.log.info("%s", progress),
            on_commit=metrics_on_commit("turn"),
            stop=self._stop,
        )
