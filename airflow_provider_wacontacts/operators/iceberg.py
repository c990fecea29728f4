"""The operator that appends contacts from files to an Iceberg table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts.operators.arguments import SHRINK_VALIDATORS, ValidatedArguments, fail_without_retry
from airflow_provider_wacontacts.operators.task_context import get_suppression_list, publish

__all__ = ["ContactFilesToIcebergOperator"]


class ContactFilesToIcebergOperator(ValidatedArguments, BaseOperator):
    """
    Append the complete extractions below a path to an Iceberg table, in the order of extraction.

    The table is created if it is missing. Each extraction is one commit: all of it or nothing. Extractions that the
    table already has are skipped, so the task can be repeated, and several tasks can append to one table. Rows are
    never changed. Of GREEN-API's snapshots, only new, changed, returned and gone contacts are appended. A snapshot that
    is not newer than the account's newest one in the table is refused.

    :param path: URI that an ``…ToObjectStorageOperator`` writes to, for example ``s3://aws_default@bucket/contacts``.
    :param table: Name of the table with its namespace, for example ``contacts.whatsapp``.
    :param iceberg_conn_id: Connection of the catalog, of type ``iceberg``. Default: ``iceberg_default``.
    :param erased_conn_id: Connection of a store whose suppression list keeps erased contacts out of the table. Default:
        none.
    :param source: Feed to append, ``turn`` or ``green_api``. Default: all feeds.
    :param account: Account to append. Default: all accounts.
    :param shrink_guard: Share of the last complete snapshot's size, 0 to 1, that a snapshot of GREEN-API must reach to
        be accepted as complete. Default: 0.8.
    :param shrink_confirmations: Number of consecutive similar snapshots, 1 and up, after which a smaller one, or one
        with other contacts or with rejected rows without an ID, is accepted as complete. Default: 3.
    :param accept_shrink: Accept such a snapshot at once. Default: ``False``.
    :param min_overlap: Share of the last complete snapshot's contacts, 0 to 1, that a snapshot must hold to be accepted
        as complete: after another phone was linked, it holds other people's. Default: 0.5.
    """

    template_fields: Sequence[str] = ("path", "table", "iceberg_conn_id", "erased_conn_id", "source", "account")
    validators = SHRINK_VALIDATORS

    def __init__(
        self,
        *,
        path: str,
        table: str,
        iceberg_conn_id: str = "iceberg_default",
        erased_conn_id: str | None = None,
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
        self.table = table
        self.iceberg_conn_id = iceberg_conn_id
        self.erased_conn_id = erased_conn_id
        self.source = source
        self.account = account
        self.shrink_guard = shrink_guard
        self.shrink_confirmations = shrink_confirmations
        self.accept_shrink = accept_shrink
        self.min_overlap = min_overlap
        self.validate_arguments(vars(self))

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Append the files.

        :returns: the summary: counts.
        :raises AirflowFailException: an argument or a connection must be changed first.
        """
        from airflow_provider_wacontacts.files.iceberg.table import ContactTable
        from airflow_provider_wacontacts.hooks.iceberg import open_catalog
        from airflow_provider_wacontacts.hooks.object_storage import object_path
        from airflow_provider_wacontacts.pipelines.append_to_iceberg import AppendSpec, append_files
        from airflow_provider_wacontacts.store import ShrinkGuard

        with fail_without_retry():
            self.validate_rendered()
            spec = AppendSpec(
                source=self.source or None,
                account=self.account or None,
                guard=ShrinkGuard(self.shrink_guard, self.shrink_confirmations, self.accept_shrink, self.min_overlap),
                get_suppression_list=get_suppression_list(self.erased_conn_id),
            )
            root = object_path(self.path)
            table = ContactTable.open(open_catalog(self.iceberg_conn_id), self.table)
            summary = append_files(spec, root=root, table=table)
        self.log.info(
            "Appended %s of %s extractions to %s: %s rows, %s gone, %s returned; %s refused",
            summary.appended,
            summary.prefixes,
            self.table,
            summary.rows,
            summary.gone,
            summary.back,
            summary.refused,
        )
        if not summary.prefixes:
            self.log.warning("There is no complete extraction below the path. Check `path`, `source` and `account`")
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()
