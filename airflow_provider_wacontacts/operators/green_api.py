"""Operators for GREEN-API: contacts of an account, and which numbers are on WhatsApp."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.assets import store_uri
from airflow_provider_wacontacts.exceptions import NotEnabledError
from airflow_provider_wacontacts.hooks.metrics import send
from airflow_provider_wacontacts.operators.arguments import (
    ValidatedArguments,
    Validator,
    fail_without_retry,
    optional,
    validate_choice,
)
from airflow_provider_wacontacts.operators.green_api_checks import GreenApiCheckContactsOperator
from airflow_provider_wacontacts.operators.task_context import (
    SHRINK_VALIDATORS,
    defer_until,
    destination,
    get_pseudonymizer,
    get_suppression_list,
    metrics_on_commit,
    plural,
    publish,
    read_attempt,
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

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.pipelines.green_api_snapshot import FetchedSnapshot, SnapshotSpec
    from airflow_provider_wacontacts.pipelines.summaries import SnapshotSummary
    from airflow_provider_wacontacts.store import ShrinkGuard

__all__ = [
    "GreenApiCheckContactsOperator",
    "GreenApiContactsToObjectStorageOperator",
    "GreenApiContactsToSqlOperator",
]

EMPTY_ON_EVERY_ATTEMPT = "GREEN-API returned an empty contact list on every attempt"
EMPTY_REMEDY = (
    f"{EMPTY_ON_EVERY_ATTEMPT}. Scan the instance's QR code again. If that does not help, ask GREEN-API's support. If"
    " the account really is empty, set on_empty to 'skip' or 'accept'."
)
#: Why a snapshot marks no contacts as gone, by its reason.
INCOMPLETE_REASONS = {
    "cut": "it may be truncated by count",
    "unsynchronised": "the instance has not loaded its whole history yet",
    "nameless": "some rejected rows have no ID, so missing contacts cannot be identified; accepted after"
    " shrink_confirmations similar snapshots, or with accept_shrink=True",
    "shrunken": "it is much smaller than the last complete one; accepted after shrink_confirmations similar snapshots,"
    " or with accept_shrink=True",
    "different": "it holds few of the last complete one's contacts, as after another phone was linked; accepted after"
    " shrink_confirmations similar snapshots, or with accept_shrink=True",
    "empty": "it is empty",
}
VALIDATORS: dict[str, Validator] = {
    "group": optional(validate_bool),
    "count": optional(partial(validate_int, least=1)),
    "empty_retries": partial(validate_int, least=0),
    "empty_wait": validate_timedelta,
    "on_empty": partial(validate_choice, choices=("fail", "skip", "accept")),
    "max_rejected": validate_ratio,
    "pseudonymize": optional(validate_pseudonymize),
}


class _GreenApiContactsOperator(ValidatedArguments, BaseOperator):
    """Takes a snapshot. Subclasses set the attributes, and say where contacts are written."""

    green_api_conn_id: str
    account: str | None
    group: bool | None
    count: int | None
    empty_retries: int
    empty_wait: timedelta
    on_empty: str
    max_rejected: float
    pseudonymize: Sequence[str] | None

    def __init__(self, **kwargs: Any) -> None:
        # Airflow gives a class without its own the signature of BaseOperator, whose defaults a mapped task would take.
        super().__init__(**{"multiple_outputs": True, **kwargs})

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Take a snapshot of the account, and write it.

        :returns: the summary: counts, times and IDs.
        :raises AirflowFailException: an argument, a connection or the account must be changed first.
        """
        with fail_without_retry():
            return self._sync(context, attempt=1)

    def execute_after_wait(self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Fetch again after an empty list."""
        with fail_without_retry():
            return self._sync(context, attempt=read_attempt(event))

    @cached_property
    def hook(self) -> GreenApiHook:
        """The hook of ``green_api_conn_id``."""
        from airflow_provider_wacontacts.hooks.green_api import GreenApiHook

        return GreenApiHook(self.green_api_conn_id)

    def show_resolved(self, context: Mapping[str, Any]) -> None:  # noqa: ARG002 - a snapshot has no window
        """Put the account into the rendered fields."""
        self.validate_rendered()
        self.account = self.account or self.hook.account

    def _sync(self, context: Mapping[str, Any], *, attempt: int) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import fetch_snapshot

        self.validate_rendered()
        self.hook.check()
        spec = self._spec(context)
        self.log.info("Snapshot of account %r into %s", spec.account, destination(self))
        write = self._writer(spec)
        fetched = fetch_snapshot(spec, self.hook)
        if not fetched.snapshot.rows and not fetched.snapshot.rejects:
            self._handle_empty(attempt)
        summary = write(fetched)
        self._log_summary(summary)
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()

    def _handle_empty(self, attempt: int) -> None:
        """Defer to the next attempt. After the last one, fail, skip, or return to accept the empty list."""
        send("green_api", empty=1)
        if attempt <= self.empty_retries:
            moment = datetime.now(UTC) + self.empty_wait
            defer_until(self, moment, why="the empty list is fetched again", attempt=attempt + 1)
        if self.on_empty == "skip":
            raise AirflowSkipException(EMPTY_ON_EVERY_ATTEMPT)
        if self.on_empty == "fail":
            raise NotEnabledError(
                EMPTY_REMEDY, source="green_api", operation="green_api.contacts.get", attempts=attempt
            )
        self.log.warning("%s. An empty snapshot marks no contacts as gone", EMPTY_ON_EVERY_ATTEMPT)

    def _spec(self, context: Mapping[str, Any]) -> SnapshotSpec:
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import SnapshotSpec

        return SnapshotSpec(
            account=self.account or self.hook.account,
            task=TaskInstanceKey.from_task_instance(context["ti"]),
            package_version=__version__,
            group=self.group,
            count=self.count,
            guard=self._guard(),
            max_rejected=self.max_rejected,
            pseudonyms=get_pseudonymizer(self.pseudonymize, self._pseudonym_conn_id()),
        )

    def _guard(self) -> ShrinkGuard:
        from airflow_provider_wacontacts.store import ShrinkGuard

        return ShrinkGuard()

    def _pseudonym_conn_id(self) -> str:
        raise NotImplementedError

    def _writer(self, spec: SnapshotSpec) -> Callable[[FetchedSnapshot], SnapshotSummary]:
        """Check the destination before the first request, and return what writes a snapshot to it."""
        raise NotImplementedError

    def _log_summary(self, summary: SnapshotSummary) -> None:
        self.log.info(
            "Snapshot of %s: %s, %s gone, %s returned, %s rejected",
            plural(summary.rows, "contact"),
            plural(summary.new_versions, "new version"),
            summary.gone or 0,
            summary.back or 0,
            summary.rejected,
        )
        if summary.state == "refused":
            self.log.warning("Snapshot discarded: a newer one is already loaded")
        elif summary.reason:
            self.log.warning("This snapshot marks no contacts as gone: %s", INCOMPLETE_REASONS[summary.reason])


class GreenApiContactsToSqlOperator(_GreenApiContactsOperator):
    """
    Sync an account's full contact list into the store: new, changed, gone and returned contacts.

    Snapshots of an account are written one at a time, in the order they were taken; an older one is refused. A snapshot
    marks contacts as gone only if it is complete: not empty, truncated, unexpectedly small or of other contacts, and
    without rejected rows that have no ID.

    :param green_api_conn_id: Connection of type ``green_api``. Default: ``green_api_default``.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite. Default: ``wacontacts_store``.
    :param account: Name that contacts are stored under. Default: the connection's ``account``, or its ID.
    :param group: ``True`` for groups only, ``False`` for people only. Default: both.
    :param count: Maximum number of contacts, 1 and up; a truncated list marks no contacts as gone. Default: all.
    :param empty_retries: Number of times an empty list is fetched again, 0 and up. Default: 3.
    :param empty_wait: Delay before an empty list is fetched again; the task is deferred meanwhile. Default: 2 minutes.
    :param on_empty: Outcome if the list stays empty: ``fail``, ``skip`` or ``accept``. Default: ``fail``.
    :param shrink_guard: Share of the last complete snapshot's size, 0 to 1, that a snapshot must reach to be accepted
        as complete. Default: 0.8.
    :param shrink_confirmations: Number of consecutive similar snapshots, 1 and up, after which a smaller one, or one
        with other contacts or with rejected rows without an ID, is accepted as complete. Default: 3.
    :param accept_shrink: Accept such a snapshot at once. Default: ``False``.
    :param min_overlap: Share of the last complete snapshot's contacts, 0 to 1, that a snapshot must hold to be accepted
        as complete: after another phone was linked, it holds other people's. Default: 0.5.
    :param max_rejected: Share of rows, 0 to 1, that may be rejected before the task fails; the others are written
        either way. Default: 0.01.
    :param pseudonymize: Fields replaced by their HMAC-SHA256 before anything is written. Default: none.
    :param pseudonym_conn_id: Connection whose extra ``pseudonym_secret`` is the key. Default: ``store_conn_id``.
    """

    template_fields: Sequence[str] = ("green_api_conn_id", "store_conn_id", "account")
    validators = {**VALIDATORS, **SHRINK_VALIDATORS}  # noqa: RUF012

    def __init__(
        self,
        *,
        green_api_conn_id: str = "green_api_default",
        store_conn_id: str = "wacontacts_store",
        account: str | None = None,
        group: bool | None = None,
        count: int | None = None,
        empty_retries: int = 3,
        empty_wait: timedelta = timedelta(minutes=2),
        on_empty: str = "fail",
        shrink_guard: float = 0.8,
        shrink_confirmations: int = 3,
        accept_shrink: bool = False,
        min_overlap: float = 0.5,
        max_rejected: float = 0.01,
        pseudonymize: Sequence[str] | None = None,
        pseudonym_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.green_api_conn_id = green_api_conn_id
        self.store_conn_id = store_conn_id
        self.account = account
        self.group = group
        self.count = count
        self.empty_retries = empty_retries
        self.empty_wait = empty_wait
        self.on_empty = on_empty
        self.shrink_guard = shrink_guard
        self.shrink_confirmations = shrink_confirmations
        self.accept_shrink = accept_shrink
        self.min_overlap = min_overlap
        self.max_rejected = max_rejected
        self.pseudonymize = pseudonymize
        self.pseudonym_conn_id = pseudonym_conn_id
        self.validate_arguments(vars(self))

    def _guard(self) -> ShrinkGuard:
        from airflow_provider_wacontacts.store import ShrinkGuard

        return ShrinkGuard(self.shrink_guard, self.shrink_confirmations, self.accept_shrink, self.min_overlap)

    def _pseudonym_conn_id(self) -> str:
        return self.pseudonym_conn_id or self.store_conn_id

    def _writer(self, spec: SnapshotSpec) -> Callable[[FetchedSnapshot], SnapshotSummary]:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import snapshot_to_store

        store = open_store(self.store_conn_id)
        store.prepare()
        uri = store_uri(self.store_conn_id, "green_api", spec.account)
        return partial(snapshot_to_store, spec, store=store, uri=uri, on_commit=metrics_on_commit("green_api"))


class GreenApiContactsToObjectStorageOperator(_GreenApiContactsOperator):
    """
    Write an account's full contact list to a new prefix of object storage.

    ``<path>/green_api/<account>/<YYYY-MM-DD>/<extraction_id>/`` holds the parts and, written last, ``_manifest.json``.

    :param path: URI of the root, as ``ObjectStoragePath`` reads it, for example ``s3://aws_default@bucket/contacts``.
    :param file_format: Format of the parts, ``jsonl.gz`` or ``parquet``. Default: ``jsonl.gz``.
    :param erased_conn_id: Connection of a store whose suppression list keeps erased contacts out of the files. Default:
        none; ``EraseContactsOperator`` erases them when it runs next.
    :param green_api_conn_id: Connection of type ``green_api``. Default: ``green_api_default``.
    :param account: Name that contacts are stored under. Default: the connection's ``account``, or its ID.
    :param group: ``True`` for groups only, ``False`` for people only. Default: both.
    :param count: Maximum number of contacts, 1 and up. Default: all.
    :param empty_retries: Number of times an empty list is fetched again, 0 and up. Default: 3.
    :param empty_wait: Delay before an empty list is fetched again; the task is deferred meanwhile. Default: 2 minutes.
    :param on_empty: Outcome if the list stays empty: ``fail``, ``skip`` or ``accept``. Default: ``fail``.
    :param max_rejected: Share of rows, 0 to 1, that may be rejected before the task fails; the others are written
        either way. Default: 0.01.
    :param pseudonymize: Fields replaced by their HMAC-SHA256 before anything is written. Default: none.
    :param pseudonym_conn_id: Connection whose extra ``pseudonym_secret`` is the key. Default: ``wacontacts_store``.
    """

    template_fields: Sequence[str] = ("green_api_conn_id", "account", "path", "erased_conn_id")
    validators = {**VALIDATORS, "file_format": validate_file_format}  # noqa: RUF012

    def __init__(
        self,
        *,
        path: str,
        file_format: str = "jsonl.gz",
        erased_conn_id: str | None = None,
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
        self.path = path
        self.file_format = file_format
        self.erased_conn_id = erased_conn_id
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
        self.validate_arguments(vars(self))

    def _pseudonym_conn_id(self) -> str:
        return self.pseudonym_conn_id or "wacontacts_store"

    def _writer(self, spec: SnapshotSpec) -> Callable[[FetchedSnapshot], SnapshotSummary]:
        from airflow_provider_wacontacts.hooks.object_storage import object_path
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import snapshot_to_files

        return partial(
            snapshot_to_files,
            spec,
            root=object_path(self.path),
            file_format=self.file_format,
            file_mode=self.hook.file_mode,
            suppressed=get_suppression_list(self.erased_conn_id),
            on_commit=metrics_on_commit("green_api"),
        )
