"""Operators for a store: load contacts from files, erase people, and look after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.operators.arguments import (
    SHRINK_VALIDATORS,
    DryRun,
    ValidatedArguments,
    fail_without_retry,
)
from airflow_provider_wacontacts.operators.iceberg import ContactFilesToIcebergOperator
from airflow_provider_wacontacts.operators.store_upkeep import (
    CheckFreshnessOperator,
    PurgeStoreOperator,
    RefreshDirectoryOperator,
)
from airflow_provider_wacontacts.operators.task_context import metrics_on_commit, publish
from airflow_provider_wacontacts.operators.typed_views import ContactsViewOperator
from airflow_provider_wacontacts.plugin.links import StoreLink
from airflow_provider_wacontacts.records.arguments import validate_bool, validate_int
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey

__all__ = [
    "CheckFreshnessOperator",
    "ContactFilesToIcebergOperator",
    "ContactFilesToSqlOperator",
    "ContactsViewOperator",
    "EraseContactsOperator",
    "PurgeStoreOperator",
    "RefreshDirectoryOperator",
]


class ContactFilesToSqlOperator(ValidatedArguments, BaseOperator):
    """
    Load the complete extractions below a path into the store, in the order of extraction.

    Extractions that the store already has are skipped, so the task can be repeated. Use it to keep contacts in files
    and in the store with one sync, or to rebuild a store from files.

    :param path: URI that an ``…ToObjectStorageOperator`` writes to, for example ``s3://aws_default@bucket/contacts``.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite. Default: ``wacontacts_store``.
    :param source: Feed to load, ``turn`` or ``green_api``. Default: all feeds.
    :param account: Account to load. Default: all accounts.
    :param shrink_guard: Share of the last complete snapshot's size, 0 to 1, that a snapshot of GREEN-API must reach to
        be accepted as complete. Default: 0.8.
    :param shrink_confirmations: Number of consecutive similar snapshots, 1 and up, after which a smaller one, or one
        with other contacts or with rejected rows without an ID, is accepted as complete. Default: 3.
    :param accept_shrink: Accept such a snapshot at once. Default: ``False``.
    :param min_overlap: Share of the last complete snapshot's contacts, 0 to 1, that a snapshot must hold to be accepted
        as complete: after another phone was linked, it holds other people's. Default: 0.5.
    """

    template_fields: Sequence[str] = ("path", "store_conn_id", "source", "account")
    operator_extra_links = (StoreLink(),)
    validators = SHRINK_VALIDATORS

    def __init__(
        self,
        *,
        path: str,
        store_conn_id: str = "wacontacts_store",
        source: str | None = None,
        account: str | None = None,
        shrink_guard: float = 0.8,
        shrink_confirmations: int = 3,
        accept_shrink: bool = False,
        min_overlap: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.path = path
        self.store_conn_id = store_conn_id
        self.source = source
        self.account = account
        self.shrink_guard = shrink_guard
        self.shrink_confirmations = shrink_confirmations
        self.accept_shrink = accept_shrink
        self.min_overlap = min_overlap
        self.validate_arguments(vars(self))

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Load the files.

        :returns: the summary: counts.
        :raises AirflowFailException: an argument or a connection must be changed first.
        """
        from airflow_provider_wacontacts.hooks.object_storage import object_path
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.import_files import ImportSpec, import_files
        from airflow_provider_wacontacts.store import ShrinkGuard

        with fail_without_retry():
            self.validate_rendered()
            spec = ImportSpec(
                TaskInstanceKey.from_task_instance(context["ti"]),
                __version__,
                source=self.source or None,
                account=self.account or None,
                guard=ShrinkGuard(self.shrink_guard, self.shrink_confirmations, self.accept_shrink, self.min_overlap),
            )
            root, store = object_path(self.path), open_store(self.store_conn_id)
            summary = import_files(spec, root=root, store=store, on_commit=metrics_on_commit("files"))
        self.log.info(
            "Loaded %s of %s extractions: %s rows, %s new versions, %s rejected, %s gone, %s returned; %s refused",
            summary.prefixes - summary.known,
            summary.prefixes,
            summary.rows,
            summary.new_versions,
            summary.rejected,
            summary.gone,
            summary.back,
            summary.refused,
        )
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()


class EraseContactsOperator(ValidatedArguments, BaseOperator):
    """
    Erase people from the store, from files and from Iceberg tables, and put them on the suppression list (GDPR).

    The suppression list holds keyed hashes. It keeps later syncs, checks, callbacks and imports from writing these
    people to the store again. Files and Iceberg tables may receive them again: every run erases the whole suppression
    list from ``paths`` and ``iceberg_tables``, and ``erased_conn_id`` of the operators that write there keeps them out
    from the start. Other tasks never wait for an erasure. Runs for one store rewrite files one after another; never let
    two stores rewrite one path. A retry resumes.

    :param contacts_sql: SELECT with one or more of the columns ``number`` (with country code), ``wa_id``, ``lid``,
        ``user_id``, ``group_id`` and ``contact_id``. Its text is rendered and shown by Airflow, so never put a number
        into it.
    :param contacts_conn_id: SQL connection that runs ``contacts_sql``. Default: ``store_conn_id``.
    :param paths: URIs below which files are rewritten, for example ``["s3://aws_default@bucket/contacts"]``. Default:
        none.
    :param iceberg_tables: Iceberg tables whose rows are erased, for example ``["contacts.whatsapp"]``. Snapshots from
        before the erasure expire, and their data files are deleted. Default: none.
    :param iceberg_conn_id: Connection of the catalog of ``iceberg_tables``. Default: ``iceberg_default``.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite. Its user needs DELETE. Default:
        ``wacontacts_store``.
    :param include_variants: Erase other spellings of numbers of Brazil, Mexico and Argentina as well, with and without
        the digit that WhatsApp IDs have or lack. Default: ``False``, which counts them.
    :param max_linked: Maximum identifiers beyond the given ones that may be erased, for each given one. With more, the
        task fails before it erases anything. Default: 3.
    :param ignore_unreadable: Skip and count values that are not identifiers. Default: ``False``, which fails the task
        before it erases anything.
    :param dry_run: Count what would be erased, and change nothing. Default: ``False``.
    """

    template_fields: Sequence[str] = (
        *("contacts_sql", "contacts_conn_id", "paths", "iceberg_tables", "iceberg_conn_id", "store_conn_id"),
    )
    template_fields_renderers = {"contacts_sql": "sql"}  # noqa: RUF012 - as Airflow has it
    dry_run: Any = DryRun()
    validators = {  # noqa: RUF012 - as the base has it
        "max_linked": partial(validate_int, minimum=0),
        **dict.fromkeys(("include_variants", "ignore_unreadable", "dry_run"), validate_bool),
    }

    def __init__(
        self,
        *,
        contacts_sql: str,
        contacts_conn_id: str | None = None,
        paths: Sequence[str] = (),
        iceberg_tables: Sequence[str] = (),
        iceberg_conn_id: str = "iceberg_default",
        store_conn_id: str = "wacontacts_store",
        include_variants: bool = False,
        max_linked: int = 3,
        ignore_unreadable: bool = False,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.contacts_sql = contacts_sql
        self.contacts_conn_id = contacts_conn_id
        self.paths = paths
        self.iceberg_tables = iceberg_tables
        self.iceberg_conn_id = iceberg_conn_id
        self.store_conn_id = store_conn_id
        self.include_variants = include_variants
        self.max_linked = max_linked
        self.ignore_unreadable = ignore_unreadable
        self.dry_run = dry_run
        self.validate_arguments(vars(self))

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Erase the people that ``contacts_sql`` returns.

        :returns: the summary: counts.
        :raises AirflowFailException: an argument or a connection must be changed first.
        """
        from airflow_provider_wacontacts.hooks.iceberg import open_tables
        from airflow_provider_wacontacts.hooks.object_storage import object_path
        from airflow_provider_wacontacts.hooks.queries import read_rows
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.erasure import COLUMNS, erase_people, people_in_rows, read_people

        with fail_without_retry():
            paths = [self.paths] if isinstance(self.paths, str) else self.paths
            rows = read_rows(self.contacts_conn_id or self.store_conn_id, self.contacts_sql, columns=list(COLUMNS))
            people = read_people(people_in_rows(rows), ignore_unreadable=self.ignore_unreadable)
            roots = [object_path(path, "paths") for path in paths]
            names = [self.iceberg_tables] if isinstance(self.iceberg_tables, str) else self.iceberg_tables
            summary = erase_people(
                people,
                store=open_store(self.store_conn_id),
                roots=roots,
                tables=open_tables(self.iceberg_conn_id, names),
                include_variants=self.include_variants,
                max_linked=self.max_linked,
                dry_run=bool(self.dry_run),
            )
        done = "Would erase" if summary.dry_run else "Erased"
        self.log.info("%s %s people: %s", done, summary.people, summary.as_dict())
        if summary.unreadable:
            self.log.warning(
                "Ignored %s values that are not identifiers. Correct them and run again", summary.unreadable
            )
        if summary.variants and not self.include_variants:
            self.log.warning(
                "The store has %s other spellings of numbers. Set include_variants to erase them", summary.variants
            )
        if summary.unfinished:
            self.log.warning(
                "Skipped %s extractions to files that are still running. Run this task again when they have finished",
                summary.unfinished,
            )
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()
