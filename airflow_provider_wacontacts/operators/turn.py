"""Operators for contacts of Turn.io."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.assets import store_uri
from airflow_provider_wacontacts.clients.turn import ExportOptions
from airflow_provider_wacontacts.exceptions import ConfigError, RateLimitedError
from airflow_provider_wacontacts.hooks.failures import fail_without_retry
from airflow_provider_wacontacts.hooks.metrics import send
from airflow_provider_wacontacts.operators.task_context import (
    defer_for_rate_limit,
    defer_until,
    get_pseudonymizer,
    get_suppression_list,
    get_task,
    metrics_on_commit,
    publish,
    read_attempt,
    resolve_window,
)
from airflow_provider_wacontacts.records.arguments import validate_bool, validate_ratio, validate_timedelta
from airflow_provider_wacontacts.records.windows import Window, format_time

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.turn import TurnHook
    from airflow_provider_wacontacts.pipelines.progress import Progress
    from airflow_provider_wacontacts.pipelines.summaries import SyncSummary
    from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec

__all__ = ["TurnContactsToObjectStorageOperator", "TurnContactsToSqlOperator"]


class _TurnContactsOperator(BaseOperator):
    """What both have in common: the window, the wait for it, and the pull."""

    def __init__(
        self,
        *,
        turn_conn_id: str = "turn_default",
        account: str | None = None,
        start: str | datetime | None = None,
        end: str | datetime | None = None,
        window_length: timedelta | None = None,
        lookback: timedelta = timedelta(minutes=10),
        cursor_per_page: bool = False,
        settle: timedelta = timedelta(minutes=5),
        late_after: timedelta = timedelta(hours=1),
        max_rejected: float = 0.01,
        pseudonymize: Sequence[str] | None = None,
        pseudonym_conn_id: str | None = None,
        ordering: str | None = None,
        page_size: int | None = None,
        scrubbing_rules: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.turn_conn_id = turn_conn_id
        self.account = account
        self.start = start
        self.end = end
        self.window_length = window_length
        self.lookback = lookback
        self.cursor_per_page = cursor_per_page
        self.settle = settle
        self.late_after = late_after
        self.max_rejected = max_rejected
        self.pseudonymize = pseudonymize
        self.pseudonym_conn_id = pseudonym_conn_id
        self.options = ExportOptions(ordering, page_size, scrubbing_rules)
        _check_figures(self)

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Pull the run's window, once it has settled.

        :returns: the summary: counts, times and ids.
        :raises AirflowFailException: an argument, a connection or the account has to be changed first.
        """
        with fail_without_retry():
            window = self._window(context)
            settled_at = window.end + self.settle
            if settled_at > datetime.now(UTC):
                defer_until(self, settled_at, why="the settle delay has passed")
            return self._pull(context, window, attempt=1)

    def execute_after_wait(self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Go on when the window has settled, or when the server is ready to be asked again."""
        with fail_without_retry():
            window = self._window(context)
            if window.end > datetime.now(UTC):
                raise ConfigError(f"end {format_time(window.end)} is in the future; nobody can know its contacts yet")
            return self._pull(context, window, attempt=read_attempt(event))

    @cached_property
    def hook(self) -> TurnHook:
        """The hook of ``turn_conn_id``."""
        from airflow_provider_wacontacts.hooks.turn import TurnHook

        return TurnHook(turn_conn_id=self.turn_conn_id)

    def _window(self, context: Mapping[str, Any]) -> Window:
        return resolve_window(context, start=self.start, end=self.end, window_length=self.window_length)

    def _pull(self, context: Mapping[str, Any], window: Window, *, attempt: int) -> dict[str, Any]:
        try:
            summary = self._land(self._plan(context, window))
        except RateLimitedError as error:
            defer_for_rate_limit(self, error, attempt)
        self._tell(summary)
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()

    def _tell(self, summary: SyncSummary) -> None:
        self.log.info(
            "Pulled %s to %s: %s rows on %s pages, %s new versions, %s rejected; extraction %s",
            summary.window_start,
            summary.window_end,
            summary.rows,
            summary.pages,
            summary.new_versions,
            summary.rejected,
            summary.extraction_id,
        )
        lateness = timedelta(seconds=summary.lateness_s or 0.0)
        send("turn", lateness=lateness, lossy=int(summary.lossy), gaps=int(summary.gap_before is not None))
        if summary.lossy:
            self.log.warning(
                "Nobody pulled this window within %s of its end: states overwritten meanwhile were never seen",
                self.late_after,
            )
        if summary.gap_before:
            self.log.warning("No extraction covers %s; pull it, or run a backfill", summary.gap_before)

    def _plan(self, context: Mapping[str, Any], window: Window) -> SyncSpec:
        from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec

        self.hook.check()
        return SyncSpec(
            account=self.account or self.hook.account,
            window=window,
            task=get_task(context),
            package_version=__version__,
            options=self.options,
            lookback=self.lookback,
            cursor_per_page=self.cursor_per_page,
            max_rejected=self.max_rejected,
            pseudonyms=get_pseudonymizer(self),
            late_after=self.late_after,
        )

    def _land(self, pull: SyncSpec) -> SyncSummary:
        raise NotImplementedError

    def _report(self, progress: Progress) -> None:
        self.log.info("%s", progress)


class TurnContactsToSqlOperator(_TurnContactsOperator):
    """
    Pull the contacts that were updated in a window into the store, keeping every state that was ever seen.

    A retry goes on from the last committed row; clearing the task pulls the window again. Neither loses or doubles
    anything, in whatever order windows are pulled.

    :param turn_conn_id: connection of type ``turn``.
    :param store_conn_id: any PostgreSQL or SQLite connection.
    :param account: what the rows are filed under; the connection's ``account``, else its id, by default.
    :param start: explicit start of the window, with ``end``; the run's data interval by default.
    :param end: explicit end of the window; it does not belong to it.
    :param window_length: length of the window, which then ends with the run's interval. Required where runs have no
        interval: with the plain presets of Airflow 3, and in manual runs.
    :param lookback: how much before the window is asked for again, for updates that arrived late.
    :param cursor_per_page: make a new cursor for every page: twice the requests, and nobody is passed over when others
        are updated while the window is read, whichever way the server pages.
    :param settle: how long after the window's end to wait before pulling it; the wait is deferred.
    :param late_after: how long after its end a window may be pulled first without counting as lossy.
    :param max_rejected: share of rows, 0 to 1, that may fail to land before the task fails, after landing the rest.
    :param pseudonymize: fields that are replaced by HMAC-SHA256 before anything is written; a dot leads into an object.
    :param pseudonym_conn_id: connection whose extra ``pseudonym_secret`` is the secret; the store's by default.
    :param ordering: ``asc`` or ``desc``; the server's choice by default.
    :param page_size: contacts a page; some numbers refuse it.
    :param scrubbing_rules: rules by which Turn.io hashes or replaces fields before they leave it; some numbers refuse
        them, and the task then fails.
    """

    template_fields: Sequence[str] = ("turn_conn_id", "store_conn_id", "account", "start", "end")

    def __init__(self, *, store_conn_id: str = "wacontacts_store", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store_conn_id = store_conn_id

    def _land(self, pull: SyncSpec) -> SyncSummary:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.turn_sync import Surroundings, sync_to_store

        store = open_store(self.store_conn_id, late_after=pull.late_after)
        uri = store_uri(self.store_conn_id, "turn", pull.account)
        world = Surroundings(self._report, metrics_on_commit("turn"))
        return sync_to_store(pull, run=self.hook.run_flow, store=store, uri=uri, world=world)


class TurnContactsToObjectStorageOperator(_TurnContactsOperator):
    """
    Pull the contacts that were updated in a window into files, in a prefix of their own.

    ``<path>/turn/<account>/<YYYY-MM-DD>/<extraction_id>/`` holds the parts and, written last, ``_manifest.json``. No
    earlier extraction is ever replaced; a prefix without a manifest is not complete and not to be read.

    :param path: anything ``ObjectStoragePath`` understands, such as ``s3://aws_default@bucket/contacts``.
    :param file_format: ``jsonl.gz`` or ``parquet``.
    :param erased_conn_id: a store; whoever was erased from it is left out of the files. By default no store is asked,
        and they are erased from the files when ``EraseContactsOperator`` runs again.
    :param turn_conn_id: connection of type ``turn``.
    :param account: what the rows are filed under; the connection's ``account``, else its id, by default.

    The other arguments are those of :class:`TurnContactsToSqlOperator`.
    """

    template_fields: Sequence[str] = ("turn_conn_id", "account", "start", "end", "path", "erased_conn_id")

    def __init__(
        self, *, path: str, file_format: str = "jsonl.gz", erased_conn_id: str | None = None, **kwargs: Any
    ) -> None:
        from airflow_provider_wacontacts.files import validate_file_format

        super().__init__(**kwargs)
        validate_file_format(file_format)
        self.path = path
        self.file_format = file_format
        self.erased_conn_id = erased_conn_id

    def _land(self, pull: SyncSpec) -> SyncSummary:
        from airflow_provider_wacontacts.hooks.paths import object_path
        from airflow_provider_wacontacts.pipelines.turn_sync import Surroundings, sync_to_files

        return sync_to_files(
            pull,
            run=self.hook.run_flow,
            root=object_path(self.path),
            file_format=self.file_format,
            world=Surroundings(self._report, metrics_on_commit("turn")),
            erased=get_suppression_list(self),
        )


def _check_figures(operator: _TurnContactsOperator) -> None:
    """Refuse at once, while the DAG is read, what is wrong whatever the templates say."""
    for name in ("lookback", "settle", "late_after"):
        validate_timedelta(name, getattr(operator, name))
    if operator.window_length is not None:
        validate_timedelta("window_length", operator.window_length, allow_zero=False)
    validate_bool("cursor_per_page", operator.cursor_per_page)
    validate_ratio("max_rejected", operator.max_rejected)
