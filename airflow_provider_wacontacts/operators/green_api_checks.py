"""The operator that checks numbers at GREEN-API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_wacontacts.operators.check_run import CHECK_VALIDATORS, WEEK, _CheckContactsOperator
from airflow_provider_wacontacts.records.arguments import validate_timedelta

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.pipelines.check_numbers import NumberClient

__all__ = ["GreenApiCheckContactsOperator"]


class GreenApiCheckContactsOperator(_CheckContactsOperator):
    """
    Check with GREEN-API which numbers are on WhatsApp, within the instance's daily and monthly budgets.

    The operator normalizes numbers to E.164, reuses fresh results from the store, and skips numbers that another task
    is checking. It sends one number in a request, up to ten requests a second. View ``wacontacts_check_result`` has a
    row for each number given. A retry checks only the remaining numbers.

    :param contacts_sql: SELECT with a column ``number``, and optionally ``contact_key`` (your own key) and ``opted_in``
        (numbers are never checked if it is false). Default: ``contacts`` is used.
    :param contacts_conn_id: SQL connection that runs ``contacts_sql``. Required with ``contacts_sql``.
    :param contacts: Instead of ``contacts_sql``, a short list of numbers, or of mappings with the same keys, or an
        XComArg that returns one. It is neither rendered nor serialized. Default: ``contacts_sql`` is used.
    :param green_api_conn_id: Connection of type ``green_api``. Its ``daily_checks`` and ``monthly_checks`` are the
        budget.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite.
    :param default_region: Two letters, for example ``IN``, for numbers without a plus sign. Default: such numbers are
        rejected.
    :param fresh_for: Maximum age of a result that is reused. Results with status ``failed`` are never reused. Default:
        7 days.
    :param force_check: Bypass the store's results and GREEN-API's cache. Default: ``False``.
    :param max_checks: Maximum checks this task may spend per UTC day, 1 and up. Default: the sender's whole budget.
    :param on_budget: When the budget is spent, ``fail``, ``defer`` to the day with a new budget, or finish with the
        results so far (``partial``). Default: ``fail``.
    :param max_rejected: Share of inputs, 0 to 1, that may be rejected before the task fails; no number is checked then.
        Default: 0.5.
    """

    validators = {**CHECK_VALIDATORS, "fresh_for": validate_timedelta}  # noqa: RUF012
    source = "green_api_checks"
    template_fields: Sequence[str] = ("green_api_conn_id", "store_conn_id", "contacts_conn_id", "contacts_sql")

    def __init__(
        self,
        *,
        contacts_sql: str | None = None,
        contacts_conn_id: str | None = None,
        contacts: Iterable[object] | XComArg | None = None,
        green_api_conn_id: str = "green_api_default",
        store_conn_id: str = "wacontacts_store",
        default_region: str | None = None,
        fresh_for: timedelta = WEEK,
        force_check: bool = False,
        max_checks: int | None = None,
        on_budget: str = "fail",
        max_rejected: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.contacts_sql = contacts_sql
        self.contacts_conn_id = contacts_conn_id
        self.contacts = contacts
        self.green_api_conn_id = green_api_conn_id
        self.store_conn_id = store_conn_id
        self.default_region = default_region
        self.fresh_for = fresh_for
        self.force_check = force_check
        self.max_checks = max_checks
        self.on_budget = on_budget
        self.max_rejected = max_rejected
        self.validate_arguments(vars(self))
        self._validate_source()

    @cached_property
    def hook(self) -> GreenApiHook:
        """The hook of ``green_api_conn_id``."""
        from airflow_provider_wacontacts.hooks.green_api import GreenApiHook

        return GreenApiHook(self.green_api_conn_id, clock=self._clock())

    def _client(self) -> NumberClient:
        from airflow_provider_wacontacts.hooks.number_clients import GreenApiNumbers

        return GreenApiNumbers(self.hook, self.force_check)
