"""Operators that check numbers at GREEN-API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_wacontacts.operators.check_run import QUERY_FIELDS, WEEK, _CheckOperator
from airflow_provider_wacontacts.operators.check_sources import (
    CONTACTS_VALIDATORS,
    REVALIDATE_VALIDATORS,
    _CheckContactsOperator,
    _RevalidateContactsOperator,
)
from airflow_provider_wacontacts.plugin.links import StoreLink

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.pipelines.check_numbers import NumberClient

__all__ = ["GreenApiCheckContactsOperator", "GreenApiRevalidateContactsOperator"]


class _GreenApiSender(_CheckOperator):
    """Sends the requests of a check to GREEN-API."""

    source = "green_api_checks"
    template_fields: Sequence[str] = ("green_api_conn_id", "store_conn_id", *QUERY_FIELDS)
    operator_extra_links = (StoreLink(),)

    green_api_conn_id: str

    @cached_property
    def hook(self) -> GreenApiHook:
        """The hook of ``green_api_conn_id``."""
        from airflow_provider_wacontacts.hooks.green_api import GreenApiHook

        return GreenApiHook(self.green_api_conn_id, clock=self._clock())

    def _client(self) -> NumberClient:
        from airflow_provider_wacontacts.hooks.number_clients import GreenApiNumberClient

        return GreenApiNumberClient(self.hook, self.force_check)


class GreenApiCheckContactsOperator(_GreenApiSender, _CheckContactsOperator):
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
    :param require_opt_in: Check only numbers whose ``opted_in`` is true, and not those where it is null or there is no
        such column. Default: ``False``.
    :param fresh_for: Maximum age of a result that is reused. Results with status ``failed`` are never reused. Default:
        7 days.
    :param reuse_across_senders: Also reuse fresh results of other senders in the store, except those of WhatsApp
        Business clients from v2.43 on. Default: ``False``.
    :param force_check: Bypass the store's results and GREEN-API's cache. Default: ``False``.
    :param max_checks: Maximum checks this task may spend per UTC day, 1 and up. Default: the sender's whole budget.
    :param on_budget: When the budget is spent, ``fail``, ``defer`` to the day with a new budget, or finish with the
        results so far (``partial``). Default: ``fail``.
    :param max_rejected: Share of inputs, 0 to 1, that may be rejected before the task fails; no number is checked then.
        Default: 0.5.
    :param messages_sql: SELECT with the columns ``day`` and ``messages``, the messages that the sender has sent in each
        UTC day. If the last 7 days have more checks than messages, today's budget is lowered to the messages of an
        average day. Default: the budget is the connection's.
    :param messages_conn_id: SQL connection that runs ``messages_sql``. Required with ``messages_sql``.
    :param dry_run: Count what the check would do, and what it would cost; send and store nothing. Default: ``False``.
    """

    validators = CONTACTS_VALIDATORS

    def __init__(
        self,
        *,
        contacts_sql: str | None = None,
        contacts_conn_id: str | None = None,
        contacts: Iterable[object] | XComArg | None = None,
        green_api_conn_id: str = "green_api_default",
        store_conn_id: str = "wacontacts_store",
        default_region: str | None = None,
        require_opt_in: bool = False,
        fresh_for: timedelta = WEEK,
        reuse_across_senders: bool = False,
        force_check: bool = False,
        max_checks: int | None = None,
        on_budget: str = "fail",
        max_rejected: float = 0.5,
        messages_sql: str | None = None,
        messages_conn_id: str | None = None,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.contacts_sql = contacts_sql
        self.contacts_conn_id = contacts_conn_id
        self.contacts = contacts
        self.green_api_conn_id = green_api_conn_id
        self.store_conn_id = store_conn_id
        self.default_region = default_region
        self.require_opt_in = require_opt_in
        self.fresh_for = fresh_for
        self.reuse_across_senders = reuse_across_senders
        self.force_check = force_check
        self.max_checks = max_checks
        self.on_budget = on_budget
        self.max_rejected = max_rejected
        self.messages_sql = messages_sql
        self.messages_conn_id = messages_conn_id
        self.dry_run = dry_run
        self.validate_arguments(vars(self))
        self._validate_source()


class GreenApiRevalidateContactsOperator(_GreenApiSender, _RevalidateContactsOperator):
    """
    Recheck with GREEN-API the numbers whose last real check will be stale by the end of the run's day, oldest first.

    Several of these tasks may run at once: they never check the same number at the same time. A result from GREEN-API's
    cache makes no number fresher.

    :param contacts_sql: SELECT with a column ``number``, and optionally ``opted_in``: only these numbers are rechecked.
        Default: all numbers except those marked opted-out in their most recent check.
    :param contacts_conn_id: SQL connection that runs ``contacts_sql``. Required with ``contacts_sql``.
    :param green_api_conn_id: Connection of type ``green_api``. Its ``daily_checks`` and ``monthly_checks`` are the
        budget.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite.
    :param default_region: Two letters, for example ``IN``, for numbers without a plus sign. Default: such numbers are
        ignored.
    :param require_opt_in: Check only numbers whose ``opted_in`` is true, and not those where it is null or there is no
        such column. Default: ``False``.
    :param stale_after: Age at which a check becomes stale. Default: 7 days.
    :param limit: Maximum number of numbers, 1 and up. Default: 1,000.
    :param statuses: Statuses of the numbers to recheck: ``valid``, ``invalid``, ``failed``. Default: ``valid`` and
        ``failed``.
    :param force_check: Bypass GREEN-API's cache. Default: ``False``.
    :param max_checks: Maximum checks this task may spend per UTC day, 1 and up. Default: the sender's whole budget.
    :param on_budget: When the budget is spent, leave the other numbers to the next run (``partial``), ``fail``, or
        ``defer`` to the day with a new budget. Default: ``partial``.
    :param messages_sql: SELECT with the columns ``day`` and ``messages``, the messages that the sender has sent in each
        UTC day. If the last 7 days have more checks than messages, today's budget is lowered to the messages of an
        average day. Default: the budget is the connection's.
    :param messages_conn_id: SQL connection that runs ``messages_sql``. Required with ``messages_sql``.
    :param dry_run: Count what the check would do, and what it would cost; send and store nothing. Default: ``False``.
    """

    validators = REVALIDATE_VALIDATORS

    def __init__(
        self,
        *,
        contacts_sql: str | None = None,
        contacts_conn_id: str | None = None,
        green_api_conn_id: str = "green_api_default",
        store_conn_id: str = "wacontacts_store",
        default_region: str | None = None,
        require_opt_in: bool = False,
        stale_after: timedelta = WEEK,
        limit: int = 1000,
        statuses: Sequence[str] = ("valid", "failed"),
        force_check: bool = False,
        max_checks: int | None = None,
        on_budget: str = "partial",
        messages_sql: str | None = None,
        messages_conn_id: str | None = None,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.contacts_sql = contacts_sql
        self.contacts_conn_id = contacts_conn_id
        self.green_api_conn_id = green_api_conn_id
        self.store_conn_id = store_conn_id
        self.default_region = default_region
        self.require_opt_in = require_opt_in
        self.stale_after = stale_after
        self.limit = limit
        self.statuses = statuses
        self.force_check = force_check
        self.max_checks = max_checks
        self.on_budget = on_budget
        self.messages_sql = messages_sql
        self.messages_conn_id = messages_conn_id
        self.dry_run = dry_run
        self.validate_arguments(vars(self))
        self._validate_source()
