"""Operators for contacts of GREEN-API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.assets import store_uri
from airflow_provider_wacontacts.exceptions import ConfigError, NotEnabledError
from airflow_provider_wacontacts.hooks.failures import fail_without_retry
from airflow_provider_wacontacts.hooks.metrics import send
from airflow_provider_wacontacts.operators.task_context import (
    get_pseudonymizer,
    get_suppression_list,
    get_task,
    metrics_on_commit,
    publish,
    read_attempt,
)
from airflow_provider_wacontacts.records.arguments import (
    validate_bool,
    validate_int,
    validate_ratio,
    validate_timedelta,
)
from airflow_provider_wacontacts.records.windows import format_time
from airflow_provider_wacontacts.triggers.wait import WaitUntilTrigger

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.pipelines.green_api_snapshot import Answered, SnapshotSpec
    from airflow_provider_wacontacts.pipelines.summaries import SnapshotSummary

__all__ = ["GreenApiContactsToObjectStorageOperator", "GreenApiContactsToSqlOperator"]

ON_EMPTY = ("fail", "skip", "accept")
EMPTY = (
    "the account has no contacts, however often it was asked: rescan the QR code of the instance, and if that does not"
    " help, ask GREEN-API's support; on_empty='skip' or 'accept' lets such runs pass"
)
WHY = {
    "cut": "it was cut off by count",
    "unsynchronised": "the instance has not loaded all of its history yet",
    "nameless": "rows of it were rejected that have no id, so they may be of whoever is missing: it is believed when it"
    " stays like this, or once with accept_shrink=True",
    "shrunken": "it is much smaller than the last complete one: it is believed when it stays like this, or once with"
    " accept_shrink=True",
    "empty": "it is empty",
}


class _GreenApiContactsOperator(BaseOperator):
    """What both have in common: the account's whole list, asked for again where it is empty."""

    def __init__(
        self,
        *,
        green_api_conn_id: str = "green_api_default",
        account: str | None = None,
        group: bool | None = None,
        count: int | None = None,
        empty_retries: int = 3,
        empty_wait: timedelta = timedelta(minutes=2),
        on_empty: str = "fail",
        max_rejected: float = 0.01,
        pseudonymize: Sequence[str] | None = None,
        pseudonym_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.green_api_conn_id = green_api_conn_id
        self.account = account
        self.group = group
        self.count = count
        self.empty_retries = empty_retries
        self.empty_wait = empty_wait
        self.on_empty = on_empty
        self.max_rejected = max_rejected
        self.pseudonymize = pseudonymize
        self.pseudonym_conn_id = pseudonym_conn_id
        _check_figures(self)

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Take a snapshot of the account, and land it.

        :returns: the summary: counts, times and ids.
        :raises AirflowFailException: an argument, a connection or the account has to be changed first.
        """
        with fail_without_retry():
            return self._take(context, attempt=1)

    def execute_after_wait(self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask again after an empty answer."""
        with fail_without_retry():
            return self._take(context, attempt=read_attempt(event))

    @cached_property
    def hook(self) -> GreenApiHook:
        """The hook of ``green_api_conn_id``."""
        from airflow_provider_wacontacts.hooks.green_api import GreenApiHook

        return GreenApiHook(self.green_api_conn_id)

    def _take(self, context: Mapping[str, Any], *, attempt: int) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import ask

        self.hook.check()
        pull = self._plan(context)
        land = self._landing(pull)
        answered = ask(pull, self.hook)
        if not answered.snapshot.rows and not answered.snapshot.rejects:
            self._face_nobody(attempt)
        summary = land(answered)
        self._tell(summary)
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()

    def _face_nobody(self, attempt: int) -> None:
        """Ask again later, and decide in the end what an empty answer means."""
        send("green_api", empty=1)
        if attempt <= self.empty_retries:
            moment = datetime.now(UTC) + self.empty_wait
            self.log.info("The answer holds nobody; asking again at %s", format_time(moment))
            self.defer(trigger=WaitUntilTrigger(until=moment, attempt=attempt + 1), method_name="execute_after_wait")
        if self.on_empty == "skip":
            raise AirflowSkipException("the account has no contacts, however often it was asked")
        if self.on_empty == "fail":
            raise NotEnabledError(EMPTY, source="green_api", operation="green_api.contacts.get", attempts=attempt)
        self.log.warning("The account has no contacts, however often it was asked; nobody is gone on its strength")

    def _plan(self, context: Mapping[str, Any]) -> SnapshotSpec:
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import SnapshotSpec

        return SnapshotSpec(
            account=self.account or self.hook.account,
            task=get_task(context),
            package_version=__version__,
            group=self.group,
            count=self.count,
            max_rejected=self.max_rejected,
            pseudonyms=get_pseudonymizer(self),
        )

    def _tell(self, summary: SnapshotSummary) -> None:
        self.log.info(
            "Took a snapshot of %s contacts: %s new versions, %s gone, %s back, %s rejected; extraction %s",
            summary.rows,
            summary.new_versions,
            summary.gone,
            summary.back,
            summary.rejected,
            summary.extraction_id,
        )
        if summary.state == "refused":
            self.log.warning("The snapshot is older than the newest that has landed, so nothing of it was")
        elif summary.reason:
            self.log.warning("Nobody is gone on the strength of this snapshot: %s", WHY[summary.reason])

    def _landing(self, pull: SnapshotSpec) -> Callable[[Answered], SnapshotSummary]:
        """Open what a snapshot is landed in, before anything is asked for."""
        raise NotImplementedError


class GreenApiContactsToSqlOperator(_GreenApiContactsOperator):
    """
    Take a snapshot of an account's contacts, and keep in the store what is new, has changed, is gone and is back.

    Snapshots of an account land one at a time, in the order in which they were taken; an older one is refused. Nobody
    is gone on the strength of an empty answer, of one that was cut off, of one that is suddenly much smaller, or of one
    with rejected rows of nobody knows whom.

    :param green_api_conn_id: connection of type ``green_api``.
    :param store_conn_id: any PostgreSQL or SQLite connection.
    :param account: what the rows are filed under; the connection's ``account``, else its id, by default.
    :param group: groups only, or persons only; both by default.
    :param count: how many contacts at most; all by default.
    :param empty_retries: how often to ask again where the answer holds nobody.
    :param empty_wait: how long to wait in between; the wait is deferred.
    :param on_empty: in the end, ``fail``, ``skip``, or ``accept``.
    :param shrink_guard: share of the last complete snapshot, 0 to 1, that one has to reach to count as complete.
    :param shrink_confirmations: how many like-sized ones in a row are believed although they are smaller, or have
        rejected rows without an id.
    :param accept_shrink: believe such a one at once.
    :param max_rejected: share of rows, 0 to 1, that may fail to land before the task fails, after landing the rest.
    :param pseudonymize: fields that are replaced by HMAC-SHA256 before anything is written; a dot leads into an object.
    :param pseudonym_conn_id: connection whose extra ``pseudonym_secret`` is the secret; the store's by default.
    """

    template_fields: Sequence[str] = ("green_api_conn_id", "store_conn_id", "account")

    def __init__(
        self,
        *,
        store_conn_id: str = "wacontacts_store",
        shrink_guard: float = 0.8,
        shrink_confirmations: int = 3,
        accept_shrink: bool = False,
        **kwargs: Any,
    ) -> None:
        from airflow_provider_wacontacts.store.completeness import ShrinkGuard

        super().__init__(**kwargs)
        self.store_conn_id = store_conn_id
        self.guard = ShrinkGuard(shrink_guard, shrink_confirmations, accept_shrink)

    def _plan(self, context: Mapping[str, Any]) -> SnapshotSpec:
        from dataclasses import replace

        return replace(super()._plan(context), guard=self.guard)

    def _landing(self, pull: SnapshotSpec) -> Callable[[Answered], SnapshotSummary]:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import snapshot_to_store

        store = open_store(self.store_conn_id)
        store.prepare()
        uri = store_uri(self.store_conn_id, "green_api", pull.account)
        return partial(snapshot_to_store, pull, store=store, uri=uri, count=metrics_on_commit("green_api"))


class GreenApiContactsToObjectStorageOperator(_GreenApiContactsOperator):
    """
    Take a snapshot of an account's contacts, and file it whole, in a prefix of its own.

    ``<path>/green_api/<account>/<YYYY-MM-DD>/<extraction_id>/`` holds the parts and, written last, ``_manifest.json``.

    :param path: anything ``ObjectStoragePath`` understands, such as ``s3://aws_default@bucket/contacts``.
    :param file_format: ``jsonl.gz`` or ``parquet``.
    :param erased_conn_id: a store; whoever was erased from it is left out of the files. By default no store is asked,
        and they are erased from the files when ``EraseContactsOperator`` runs again.

    The other arguments are those of :class:`GreenApiContactsToSqlOperator` that do not compare with an earlier one.
    """

    template_fields: Sequence[str] = ("green_api_conn_id", "account", "path", "erased_conn_id")

    def __init__(
        self, *, path: str, file_format: str = "jsonl.gz", erased_conn_id: str | None = None, **kwargs: Any
    ) -> None:
        from airflow_provider_wacontacts.files import validate_file_format

        super().__init__(**kwargs)
        validate_file_format(file_format)
        self.path = path
        self.file_format = file_format
        self.erased_conn_id = erased_conn_id

    def _landing(self, pull: SnapshotSpec) -> Callable[[Answered], SnapshotSummary]:
        from airflow_provider_wacontacts.hooks.paths import object_path
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import snapshot_to_files

        root, count = object_path(self.path), metrics_on_commit("green_api")
        erased = get_suppression_list(self)
        return partial(snapshot_to_files, pull, root=root, file_format=self.file_format, erased=erased, count=count)


def _check_figures(operator: _GreenApiContactsOperator) -> None:
    """Refuse at once, while the DAG is read, what is wrong whatever the templates say."""
    if operator.count is not None:
        validate_int("count", operator.count, 1)
    if operator.group is not None:
        validate_bool("group", operator.group)
    validate_int("empty_retries", operator.empty_retries, 0)
    validate_timedelta("empty_wait", operator.empty_wait)
    if operator.on_empty not in ON_EMPTY:
        raise ConfigError(f"on_empty is {operator.on_empty!r}; it can be one of {', '.join(ON_EMPTY)}")
    validate_ratio("max_rejected", operator.max_rejected)
