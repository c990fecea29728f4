"""Where the numbers of a check come from: a query or a list, or the stale numbers of the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.arguments import Validator, validate_words
from airflow_provider_wacontacts.operators.check_run import CHECK_VALIDATORS, _CheckOperator
from airflow_provider_wacontacts.operators.task_context import end_of_run_day
from airflow_provider_wacontacts.records.arguments import validate_bool, validate_int, validate_timedelta

if TYPE_CHECKING:
    from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckSpec
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["CONTACTS_VALIDATORS", "REVALIDATE_VALIDATORS", "validate_statuses"]

STATUSES = ("valid", "invalid", "failed", "processing", "missing")
validate_statuses = partial(validate_words, words=STATUSES)


CONTACTS_VALIDATORS: dict[str, Validator] = {
    **CHECK_VALIDATORS,
    "fresh_for": validate_timedelta,
    "reuse_across_senders": validate_bool,
}
REVALIDATE_VALIDATORS: dict[str, Validator] = {
    **CHECK_VALIDATORS,
    "stale_after": validate_timedelta,
    "limit": partial(validate_int, minimum=1),
    "statuses": validate_statuses,
}


class _CheckContactsOperator(_CheckOperator):
    """Checks the numbers of ``contacts_sql`` or ``contacts``."""

    contacts: Iterable[object] | XComArg | None
    fresh_for: timedelta

    def _validate_source(self) -> None:
        self._validate_queries()
        if (self.contacts is None) == (self.contacts_sql is None):
            raise ConfigError("Set either contacts, or contacts_sql with contacts_conn_id.")
        if isinstance(self.contacts, XComArg):
            XComArg.apply_upstream_relationship(self, self.contacts)

    def validate_rendered(self) -> None:
        """
        Validate what templates may have changed.

        :raises ConfigError: an argument is wrong.
        """
        super().validate_rendered()
        if isinstance(self.contacts, (str, bytes, Mapping)):
            raise ConfigError(
                "contacts is a single value. Set it to a list of numbers, or to the output of a task that returns one."
            )

    def _spec(self, context: Mapping[str, Any]) -> CheckSpec:
        # A list that changed between two attempts is another check.
        listed = self.contacts if isinstance(self.contacts, (list, tuple)) else None
        options = ("check", self.fresh_for.total_seconds(), self.reuse_across_senders, listed)
        return self._make_spec(context, datetime.now(UTC) - self.fresh_for, *options)

    def _inputs(self, context: Mapping[str, Any], checks: SenderChecks) -> Iterable[CheckInput]:  # noqa: ARG002 - the other operator's
        from airflow_provider_wacontacts.pipelines.check_inputs import parse_inputs

        return parse_inputs(self._given(context), self._region(), require_opt_in=self.require_opt_in)

    def _given(self, context: Mapping[str, Any]) -> Iterable[object]:
        if self.contacts_sql is not None:
            return self._read_contacts()
        # The argument of a mapped task group is no XComArg, but resolves like one.
        resolve = getattr(self.contacts, "resolve", None)
        given = resolve(context) if resolve else self.contacts
        if given is None or isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            raise ConfigError("contacts: the upstream task did not return a list of numbers.")
        return given


class _RevalidateContactsOperator(_CheckOperator):
    """Rechecks the stale numbers of the store."""

    stale_after: timedelta
    limit: int
    statuses: Sequence[str]

    def _validate_source(self) -> None:
        self._validate_queries()
        if self.require_opt_in and self.contacts_sql is None:
            raise ConfigError("require_opt_in needs contacts_sql, whose column opted_in says who has opted in.")

    def _spec(self, context: Mapping[str, Any]) -> CheckSpec:
        options = ("revalidate", self.stale_after.total_seconds(), self.limit, *self.statuses)
        return self._make_spec(context, end_of_run_day(context) - self.stale_after, *options)

    def _inputs(self, context: Mapping[str, Any], checks: SenderChecks) -> Iterable[CheckInput]:
        from airflow_provider_wacontacts.store.checks.model import CheckInput

        opted_out: set[str] = set()
        stale = self._stale(context, checks, opted_out)
        # A number may opt out in a later row under another spelling.
        while not opted_out.isdisjoint(stale):
            stale = self._stale(context, checks, opted_out)
        return [CheckInput(number, number) for number in stale]

    def _stale(self, context: Mapping[str, Any], checks: SenderChecks, opted_out: set[str]) -> list[str]:
        return checks.stale(
            statuses=self.statuses,
            not_after=end_of_run_day(context) - self.stale_after,
            limit=self.limit,
            wanted=None if self.contacts_sql is None else self._wanted(opted_out),
        )

    def _wanted(self, opted_out: set[str]) -> Iterator[str]:
        """Yield the numbers of ``contacts_sql``, and add to ``opted_out``."""
        from airflow_provider_wacontacts.pipelines.check_inputs import parse_inputs

        for row in parse_inputs(self._read_contacts(), self._region(), require_opt_in=self.require_opt_in):
            if row.number and row.opted_in is False:
                opted_out.add(row.number)
            elif row.number and row.number not in opted_out:
                yield row.number
