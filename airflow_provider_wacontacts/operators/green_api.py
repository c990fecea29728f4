"""Operators for GREEN-API: contacts of an account, and which numbers are on WhatsApp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.assets import store_uri
from airflow_provider_wacontacts.operators.arguments import DRIFT_VALIDATORS, SHRINK_VALIDATORS, validate_file_format
from airflow_provider_wacontacts.operators.green_api_checks import (
    GreenApiCheckContactsOperator,
    GreenApiRevalidateContactsOperator,
)
from airflow_provider_wacontacts.operators.green_api_contacts import VALIDATORS, GreenApiContactsOperator
from airflow_provider_wacontacts.operators.task_context import get_suppression_list, metrics_on_commit, report_drift
from airflow_provider_wacontacts.plugin.links import StoreLink

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.green_api_snapshot import FetchedSnapshot, SnapshotSpec
    from airflow_provider_wacontacts.pipelines.summaries import SnapshotSummary
    from airflow_provider_wacontacts.store import ShrinkGuard

__all__ = [
    "GreenApiCheckContactsOperator",
    "GreenApiContactsToObjectStorageOperator",
    "GreenApiContactsToSqlOperator",
    "GreenApiRevalidateContactsOperator",
]


class GreenApiContactsToSqlOperator(GreenApiContactsOperator):
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
    :param include_fields: Fields to write, next to ``id``; the others are left out. Excludes ``exclude_fields``.
        Default: all.
    :param exclude_fields: Fields to leave out before anything is written, rejected rows included. Default: none.
    :param on_drift: Reaction to fields that are new, gone or of another type since the last extraction: ``evolve`` logs
        them, ``warn`` logs a warning, ``fail`` fails the task after loading. Default: ``evolve``.
    :param pseudonymize: Fields replaced by their HMAC-SHA256 before anything is written. Default: none.
    :param pseudonym_conn_id: Connection whose extra ``pseudonym_secret`` is the key. Default: ``store_conn_id``.
    """

    template_fields: Sequence[str] = ("green_api_conn_id", "store_conn_id", "account")
    operator_extra_links = (StoreLink(),)
    validators = {**VALIDATORS, **SHRINK_VALIDATORS, **DRIFT_VALIDATORS}  # noqa: RUF012

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
        include_fields: Sequence[str] | None = None,
        exclude_fields: Sequence[str] | None = None,
        on_drift: str = "evolve",
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
        self.include_fields = include_fields
        self.exclude_fields = exclude_fields
        self.on_drift = on_drift
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
        return partial(
            snapshot_to_store,
            spec,
            store=store,
            uri=uri,
            on_drift=lambda drift: report_drift(self, drift),
            on_commit=metrics_on_commit("green_api"),
        )


class GreenApiContactsToObjectStorageOperator(GreenApiContactsOperator):
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
    :param include_fields: Fields to write, next to ``id``; the others are left out. Excludes ``exclude_fields``.
        Default: all.
    :param exclude_fields: Fields to leave out before anything is written, rejected rows included. Default: none.
    :param pseudonymize: Fields replaced by their HMAC-SHA256 before anything is written. Default: none.
    :param pseudonym_conn_id: Connection whose extra ``pseudonym_secret`` is the key. Default: ``wacontacts_store``.
    :param on_drift: Reaction to fields that are new, gone or of another type since the account's newest extraction:
        ``evolve`` logs them, ``warn`` logs a warning, ``fail`` fails the task after its files were written. Default:
        ``evolve``.
    """

    template_fields: Sequence[str] = ("green_api_conn_id", "account", "path", "erased_conn_id")
    validators = {**VALIDATORS, **DRIFT_VALIDATORS, "file_format": validate_file_format}  # noqa: RUF012

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
        include_fields: Sequence[str] | None = None,
        exclude_fields: Sequence[str] | None = None,
        pseudonymize: Sequence[str] | None = None,
        pseudonym_conn_id: str | None = None,
        on_drift: str = "evolve",
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
        self.include_fields = include_fields
        self.exclude_fields = exclude_fields
        self.pseudonymize = pseudonymize
        self.pseudonym_conn_id = pseudonym_conn_id
        self.on_drift = on_drift
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
            get_suppression_list=get_suppression_list(self.erased_conn_id),
            on_drift=lambda drift: report_drift(self, drift),
            on_commit=metrics_on_commit("green_api"),
        )
