"""The operator that lands files in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.hooks.failures import fail_without_retry
from airflow_provider_wacontacts.operators.task_context import get_task, metrics_on_commit, publish

__all__ = ["ContactFilesToSqlOperator"]


class ContactFilesToSqlOperator(BaseOperator):
    """
    Land the complete extractions below a path in the store, in the order in which they were extracted.

    So contacts are pulled once and are in both; and a store is made anew from files alone. What is in the store already
    is passed over: doing it again changes nothing.

    :param path: where the operators for files wrote to, such as ``s3://aws_default@bucket/contacts``.
    :param store_conn_id: any PostgreSQL or SQLite connection.
    :param source: only this feed's, such as ``turn``; all by default.
    :param account: only this account's; all by default.
    :param shrink_guard: as of ``GreenApiContactsToSqlOperator``, like the next two: of its snapshots.
    :param shrink_confirmations: see there.
    :param accept_shrink: see there.
    """

    template_fields: Sequence[str] = ("path", "store_conn_id", "source", "account")

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
        **kwargs: Any,
    ) -> None:
        from airflow_provider_wacontacts.store.completeness import ShrinkGuard

        super().__init__(**kwargs)
        self.path = path
        self.store_conn_id = store_conn_id
        self.source = source
        self.account = account
        self.guard = ShrinkGuard(shrink_guard, shrink_confirmations, accept_shrink)

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Land the files.

        :returns: counts.
        :raises AirflowFailException: an argument or a connection has to be changed first.
        """
        from airflow_provider_wacontacts.hooks.paths import object_path
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.import_files import ImportSpec, import_files

        with fail_without_retry():
            landing = ImportSpec(
                get_task(context),
                __version__,
                source=self.source or None,
                account=self.account or None,
                guard=self.guard,
            )
            root, store = object_path(self.path), open_store(self.store_conn_id)
            summary = import_files(landing, root=root, store=store, count=metrics_on_commit("files"))
        self.log.info(
            "Landed %s of %s extractions: %s rows, %s new versions, %s rejected, %s gone, %s back; %s too old",
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
