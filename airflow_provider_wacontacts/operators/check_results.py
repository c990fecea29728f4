"""The operator that passes the results of a check on to a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts.operators.arguments import ValidatedArguments, fail_without_retry, validate_check_id
from airflow_provider_wacontacts.operators.check_sources import validate_statuses
from airflow_provider_wacontacts.operators.task_context import publish
from airflow_provider_wacontacts.plugin.links import StoreLink
from airflow_provider_wacontacts.records.arguments import validate_bool
from airflow_provider_wacontacts.records.windows import format_count

__all__ = ["WhatsAppCheckResultsToSqlOperator"]


class WhatsAppCheckResultsToSqlOperator(ValidatedArguments, BaseOperator):
    """
    Pass the results of a check on to a table of any SQL database, in chunks. It is idempotent.

    After the task, a contact of the check has the numbers of the check with one of the ``statuses``, and no others: a
    number that became ``invalid``, or whose contact opted out, is removed. A number that ``failed``, or is not checked
    yet, keeps the rows that it has. Results of a revalidation, which have no ``contact_key``, change the rows of their
    number. Checks of both WhatsApp Business and GREEN-API can be passed on.

    :param check_id: ID of a check, from the summary of a check operator.
    :param target_conn_id: SQL connection of the table.
    :param target_table: Table with the columns ``number`` and ``wa_id``, and optionally ``contact_key`` and ``status``.
        Other columns get their defaults when a row changes.
    :param statuses: Statuses of the results to pass on: ``valid``, ``invalid``, ``failed``, ``processing``,
        ``missing``. Default: ``valid``.
    :param create_table: Create the table if it is missing. Default: ``False``.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite, that holds the check.
    """

    template_fields: Sequence[str] = ("check_id", "target_conn_id", "target_table", "store_conn_id")
    operator_extra_links = (StoreLink(),)
    validators = {"statuses": validate_statuses, "create_table": validate_bool}  # noqa: RUF012 - as the base has it

    def __init__(
        self,
        *,
        check_id: str,
        target_conn_id: str,
        target_table: str,
        statuses: Sequence[str] = ("valid",),
        create_table: bool = False,
        store_conn_id: str = "wacontacts_store",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.check_id = check_id
        self.target_conn_id = target_conn_id
        self.target_table = target_table
        self.statuses = statuses
        self.create_table = create_table
        self.store_conn_id = store_conn_id
        self.validate_arguments(vars(self))

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Pass the results on.

        :returns: the summary: counts and the check's ID.
        :raises AirflowFailException: an argument, a connection or the table must be changed first.
        """
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.hooks.target_table import open_table, validate_table_name
        from airflow_provider_wacontacts.pipelines.write_check_results import write_check_results
        from airflow_provider_wacontacts.store.checks.result_rows import read_result_rows

        with fail_without_retry():
            validate_check_id(self.check_id)
            self.validate_rendered()
            validate_table_name("target_table", self.target_table)
            rows = read_result_rows(open_store(self.store_conn_id).context, self.check_id)
            with open_table(self.target_conn_id, self.target_table, create=self.create_table) as table:
                summary = write_check_results(self.check_id, rows, table, statuses=self.statuses)
        self.log.info(
            "Check %s: %s in %s; %s removed, %s kept although their check failed or is not finished",
            *(summary.check_id, format_count(summary.written, "row"), self.target_table, summary.removed, summary.kept),
        )
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()
