"""Operators for the WhatsApp Business API: which numbers are on WhatsApp, and which users have changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_wacontacts.operators.check_results import WhatsAppCheckResultsToSqlOperator
from airflow_provider_wacontacts.operators.check_run import QUERY_FIELDS, WEEK, _CheckOperator
from airflow_provider_wacontacts.operators.check_sources import (
    CONTACTS_VALIDATORS,
    REVALIDATE_VALIDATORS,
    _CheckContactsOperator,
    _RevalidateContactsOperator,
)
from airflow_provider_wacontacts.operators.whatsapp_business_identities import (
    WhatsAppAcknowledgeIdentityOperator,
    WhatsAppGetIdentityOperator,
)
from airflow_provider_wacontacts.plugin.links import StoreLink
from airflow_provider_wacontacts.triggers.whatsapp_business import WhatsAppContactsTrigger

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
    from airflow_provider_wacontacts.pipelines.check_numbers import NumberClient
    from airflow_provider_wacontacts.store.checks.lifecycle import Check

__all__ = [
    "WhatsAppAcknowledgeIdentityOperator",
    "WhatsAppCheckContactsOperator",
    "WhatsAppCheckResultsToSqlOperator",
    "WhatsAppGetIdentityOperator",
    "WhatsAppRevalidateContactsOperator",
]


class _WhatsAppSender(_CheckOperator):
    """Sends the requests of a check to a WhatsApp Business API client."""

    source = "whatsapp_business"
    region_remedy = "Set extra 'sender' of connection '{}' to the registered number, or set default_region."
    template_fields: Sequence[str] = ("whatsapp_business_conn_id", "store_conn_id", *QUERY_FIELDS)
    operator_extra_links = (StoreLink(),)

    whatsapp_business_conn_id: str
    batch_size: int
    blocking: str

    @cached_property
    def hook(self) -> WhatsAppBusinessHook:
        """The hook of ``whatsapp_business_conn_id``."""
        from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

        return WhatsAppBusinessHook(self.whatsapp_business_conn_id, clock=self._clock())

    def _client(self) -> NumberClient:
        from airflow_provider_wacontacts.hooks.number_clients import WhatsAppNumberClient

        return WhatsAppNumberClient(self.hook, self.batch_size, self.blocking, self.force_check)

    def _region(self) -> str | None:
        return super()._region() or self.hook.region

    def _await_results(self, check: Check) -> None:
        if self.blocking == "no_wait":
            return
        timeout = self.hook.wait_timeout
        self.log.info("Check %s: waiting for its results in the triggerer, for up to %s", check.check_id, timeout)
        self.defer(
            trigger=WhatsAppContactsTrigger(
                check.check_id,
                datetime.now(UTC) + timeout,
                whatsapp_business_conn_id=self.whatsapp_business_conn_id,
                store_conn_id=self.store_conn_id,
                batch_size=self.batch_size,
            ),
            method_name="execute_after_results",
        )


class WhatsAppCheckContactsOperator(_WhatsAppSender, _CheckContactsOperator):
    """
    Check which numbers are on WhatsApp, as rarely as possible and within the sender's daily budget.

    The operator normalizes numbers to E.164, reuses fresh results from the store, and skips numbers that another task
    is checking. View ``wacontacts_check_result`` has a row for each number given. ``WhatsAppContactsSensor`` waits for
    results that take longer. A retry checks only the remaining numbers.

    :param contacts_sql: SELECT with a column ``number``, and optionally ``contact_key`` (your own key) and ``opted_in``
        (numbers are never checked if it is false). Default: ``contacts`` is used.
    :param contacts_conn_id: SQL connection that runs ``contacts_sql``. Required with ``contacts_sql``.
    :param contacts: Instead of ``contacts_sql``, a short list of numbers, or of mappings with the same keys, or an
        XComArg that returns one. It is neither rendered nor serialized. Default: ``contacts_sql`` is used.
    :param whatsapp_business_conn_id: Connection of type ``whatsapp_business``. Its ``daily_checks`` is the budget.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite.
    :param default_region: Two letters, for example ``IN``, for numbers without a plus sign. Default: the sender's
        region.
    :param require_opt_in: Check only numbers whose ``opted_in`` is true, and not those where it is null or there is no
        such column. Default: ``False``.
    :param fresh_for: Maximum age of a result that is reused. Results with status ``failed`` are never reused. Default:
        7 days.
    :param reuse_across_senders: Also reuse fresh results of other senders in the store, GREEN-API's included, except
        those of clients from v2.43 on. Default: ``False``.
    :param force_check: Bypass the client's 7-day cache. Avoid: it is the main cause of bans. Default: ``False``.
    :param blocking: ``wait`` until all results are final, after a minute in the triggerer, or ``no_wait``. Default:
        ``no_wait``.
    :param batch_size: Numbers in a request, 1 to 1,000. Default: 100.
    :param max_checks: Maximum checks this task may spend per UTC day, 1 and up. Default: the sender's whole budget.
    :param max_rejected: Share of inputs, 0 to 1, that may be rejected before the task fails; no number is checked then.
        Default: 0.5.
    :param on_budget: When the budget is spent, ``fail``, ``defer`` to the next UTC day, or finish with the results so
        far (``partial``). Default: ``fail``.
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
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        store_conn_id: str = "wacontacts_store",
        default_region: str | None = None,
        require_opt_in: bool = False,
        fresh_for: timedelta = WEEK,
        reuse_across_senders: bool = False,
        force_check: bool = False,
        blocking: str = "no_wait",
        batch_size: int = 100,
        max_checks: int | None = None,
        max_rejected: float = 0.5,
        on_budget: str = "fail",
        messages_sql: str | None = None,
        messages_conn_id: str | None = None,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        # Each field of the summary is an XCom of its own: a sensor takes `check.output["check_id"]`.
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.contacts_sql = contacts_sql
        self.contacts_conn_id = contacts_conn_id
        self.contacts = contacts
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.store_conn_id = store_conn_id
        self.default_region = default_region
        self.require_opt_in = require_opt_in
        self.fresh_for = fresh_for
        self.reuse_across_senders = reuse_across_senders
        self.force_check = force_check
        self.blocking = blocking
        self.batch_size = batch_size
        self.max_checks = max_checks
        self.max_rejected = max_rejected
        self.on_budget = on_budget
        self.messages_sql = messages_sql
        self.messages_conn_id = messages_conn_id
        self.dry_run = dry_run
        self.validate_arguments(vars(self))
        self._validate_source()


class WhatsAppRevalidateContactsOperator(_WhatsAppSender, _RevalidateContactsOperator):
    """
    Recheck the numbers whose last real check will be stale by the end of the run's day, oldest first.

    Several of these tasks may run at once: they never check the same number at the same time.

    :param contacts_sql: SELECT with a column ``number``, and optionally ``opted_in``: only these numbers are rechecked.
        Default: all numbers except those marked opted-out in their most recent check.
    :param contacts_conn_id: SQL connection that runs ``contacts_sql``. Required with ``contacts_sql``.
    :param whatsapp_business_conn_id: Connection of type ``whatsapp_business``. Its ``daily_checks`` is the budget.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite.
    :param default_region: Two letters, for example ``IN``, for numbers without a plus sign. Default: the sender's
        region.
    :param require_opt_in: Check only numbers whose ``opted_in`` is true, and not those where it is null or there is no
        such column. Default: ``False``.
    :param stale_after: Age at which a check becomes stale. Clients cache results for 7 days: a shorter age without
        ``force_check`` returns nothing new. Default: 7 days.
    :param limit: Maximum number of numbers, 1 and up. Default: 1,000.
    :param statuses: Statuses of the numbers to recheck: ``valid``, ``invalid``, ``failed``, ``processing``,
        ``missing``. Default: ``valid`` and ``failed``.
    :param force_check: Bypass the client's 7-day cache. Avoid: it is the main cause of bans. Default: ``False``.
    :param blocking: ``wait`` until all results are final, after a minute in the triggerer, or ``no_wait``. Default:
        ``no_wait``.
    :param batch_size: Numbers in a request, 1 to 1,000. Default: 100.
    :param max_checks: Maximum checks this task may spend per UTC day, 1 and up. Default: the sender's whole budget.
    :param on_budget: When the budget is spent, leave the other numbers to the next run (``partial``), ``fail``, or
        ``defer`` to the next UTC day. Default: ``partial``.
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
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        store_conn_id: str = "wacontacts_store",
        default_region: str | None = None,
        require_opt_in: bool = False,
        stale_after: timedelta = WEEK,
        limit: int = 1000,
        statuses: Sequence[str] = ("valid", "failed"),
        force_check: bool = False,
        blocking: str = "no_wait",
        batch_size: int = 100,
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
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.store_conn_id = store_conn_id
        self.default_region = default_region
        self.require_opt_in = require_opt_in
        self.stale_after = stale_after
        self.limit = limit
        self.statuses = statuses
        self.force_check = force_check
        self.blocking = blocking
        self.batch_size = batch_size
        self.max_checks = max_checks
        self.on_budget = on_budget
        self.messages_sql = messages_sql
        self.messages_conn_id = messages_conn_id
        self.dry_run = dry_run
        self.validate_arguments(vars(self))
        self._validate_source()
