"""The operator that keeps a view with typed columns up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts.operators.arguments import ValidatedArguments, fail_without_retry
from airflow_provider_wacontacts.records.arguments import validate_bool

__all__ = ["ContactsViewOperator"]


class ContactsViewOperator(ValidatedArguments, BaseOperator):
    """
    Create or update a view of an account's contacts with one typed column for each custom field of Turn.io.

    The fields come from Turn.io's schema and from the stored contacts. Each run adds the columns of new fields. Columns
    keep their names and types, also if a field is removed. A value of another type than its column's is null, and
    counted in the column ``type_mismatches``. ``missing_fields`` lists the columns whose fields the account did not
    have when the version was last seen.

    :param view: Name of the view: lower-case letters, digits and underscores.
    :param turn_conn_id: Connection of type ``turn``, for the fields and their types. Default: ``turn_default``.
    :param account: Name that contacts are stored under. Default: the connection's ``account``, or its ID.
    :param history: Show all versions, with ``valid_from`` and ``valid_to``, instead of the current contacts. Default:
        ``False``.
    :param store_conn_id: Connection of the store. Its user needs the privilege to create views. Default:
        ``wacontacts_store``.
    """

    template_fields: Sequence[str] = ("view", "turn_conn_id", "account", "store_conn_id")
    validators = {"history": validate_bool}  # noqa: RUF012 - as the base has it

    def __init__(
        self,
        *,
        view: str,
        turn_conn_id: str = "turn_default",
        account: str | None = None,
        history: bool = False,
        store_conn_id: str = "wacontacts_store",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.view = view
        self.turn_conn_id = turn_conn_id
        self.account = account
        self.history = history
        self.store_conn_id = store_conn_id
        self.validate_arguments(vars(self))

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - as Airflow has it
        """
        Create or update the view.

        :returns: the summary: counts of columns.
        :raises AirflowFailException: an argument or a connection must be changed first, or the name is in use.
        """
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.hooks.turn import TurnHook
        from airflow_provider_wacontacts.store.typed_views import ViewSpec, update_view

        with fail_without_retry():
            self.validate_rendered()
            hook, store = TurnHook(self.turn_conn_id), open_store(self.store_conn_id)
            store.prepare()
            spec = ViewSpec(self.view, self.account or hook.account, self.history)
            summary = update_view(store.context, spec, hook.get_schemas())._asdict()
        self.log.info("View %r: %s", self.view, summary)
        return summary
