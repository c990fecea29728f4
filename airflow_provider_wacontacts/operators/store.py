"""Operators for what is in the store already: erase people, and land files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts.hooks.failures import fail_without_retry
from airflow_provider_wacontacts.operators.contact_files import ContactFilesToSqlOperator
from airflow_provider_wacontacts.operators.task_context import publish

__all__ = ["ContactFilesToSqlOperator", "EraseContactsOperator"]


class EraseContactsOperator(BaseOperator):
    """
    Erase people: from every table of the store and from files, with all their numbers, and for good.

    Keyed hashes keep any later pull, snapshot, check, callback or landing of files from bringing them back into the
    store. Files hold what the APIs send; whoever was pulled into them again is erased when this runs again, with the
    same ``paths`` and whatever query: every run erases from files all who ever were erased. Or the operators for files
    leave them out to begin with, by their ``erased_conn_id``. Runs for one store write to files one after another; let
    no two stores' write below one path.

    The output tells counts. A retry goes on where this one stopped.

    :param contacts_sql: a SELECT with a column ``wa_id`` or ``number``, of WhatsApp ids, or numbers with their country
        code. Its text is rendered and shown by Airflow: no number belongs into it.
    :param contacts_conn_id: any SQL connection that it is asked of; the store's by default.
    :param paths: below which files are written anew, such as ``s3://aws_default@bucket/contacts``: those that were
        given to the operators for files.
    :param store_conn_id: any PostgreSQL or SQLite connection. Its user needs the right to delete.
    """

    template_fields: Sequence[str] = ("contacts_sql", "contacts_conn_id", "paths", "store_conn_id")
    template_fields_renderers = {"contacts_sql": "sql"}  # noqa: RUF012 - as Airflow has it

    def __init__(
        self,
        *,
        contacts_sql: str,
        contacts_conn_id: str | None = None,
        paths: Sequence[str] = (),
        store_conn_id: str = "wacontacts_store",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.contacts_sql = contacts_sql
        self.contacts_conn_id = contacts_conn_id
        self.paths = paths
        self.store_conn_id = store_conn_id

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Erase them.

        :returns: counts.
        :raises AirflowFailException: an argument or a connection has to be changed first.
        """
        from airflow_provider_wacontacts.hooks.paths import object_path
        from airflow_provider_wacontacts.hooks.sql_rows import read_rows
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.erasure import COLUMNS, erase_people, people_in, people_of

        with fail_without_retry():
            paths = [self.paths] if isinstance(self.paths, str) else self.paths
            rows = read_rows(self.contacts_conn_id or self.store_conn_id, self.contacts_sql, columns=COLUMNS)
            people = people_in(people_of(rows))
            roots = [object_path(path, "paths") for path in paths]
            summary = erase_people(people, store=open_store(self.store_conn_id), roots=roots)
        self.log.info("Erased %s people: %s", summary.people, summary.as_dict())
        if summary.unfinished:
            self.log.warning(
                "%s tries at writing files have not finished and were left alone; run this again when they have",
                summary.unfinished,
            )
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()
