"""What the operators for contacts of GREEN-API have in common: a snapshot, its waits, and the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.exceptions import NotEnabledError, TransientError
from airflow_provider_wacontacts.hooks.metrics import send
from airflow_provider_wacontacts.operators.arguments import (
    ValidatedArguments,
    Validator,
    fail_without_retry,
    optional,
    select_fields,
    validate_choice,
    validate_pseudonymize,
)
from airflow_provider_wacontacts.operators.task_context import (
    defer_for_retry_after,
    defer_until,
    destination,
    get_pseudonymizer,
    publish,
    read_attempt,
    warn_of_rejected,
    warn_of_unmatched_fields,
)
from airflow_provider_wacontacts.records.arguments import (
    validate_bool,
    validate_int,
    validate_ratio,
    validate_timedelta,
)
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import format_count

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.pipelines.green_api_snapshot import FetchedSnapshot, SnapshotSpec
    from airflow_provider_wacontacts.pipelines.summaries import SnapshotSummary
    from airflow_provider_wacontacts.records.fields import FieldSelection
    from airflow_provider_wacontacts.store import ShrinkGuard

__all__ = ["VALIDATORS", "GreenApiContactsOperator"]

EMPTY_ON_EVERY_ATTEMPT = "GREEN-API returned an empty contact list on every attempt"
EMPTY_REMEDY = (
    f"{EMPTY_ON_EVERY_ATTEMPT}. Scan the instance's QR code again. If that does not help, contact GREEN-API's support."
    " If the account really is empty, set on_empty to 'skip' or 'accept'."
)
#: Why a snapshot marks no contacts as gone, by its reason.
INCOMPLETE_REASONS = {
    "cut": "it may be truncated by count",
    "unsynchronised": "the instance has not loaded its whole history yet",
    "nameless": "some rejected rows have no ID, so missing contacts cannot be identified; accepted after"
    " shrink_confirmations similar snapshots, or with accept_shrink=True",
    "shrunken": "it is much smaller than the last complete one; accepted after shrink_confirmations similar snapshots,"
    " or with accept_shrink=True",
    "different": "it holds few of the last complete one's contacts, as after another phone was linked; accepted after"
    " shrink_confirmations similar snapshots, or with accept_shrink=True",
    "empty": "it is empty",
}
VALIDATORS: dict[str, Validator] = {
    "group": optional(validate_bool),
    "count": optional(partial(validate_int, minimum=1)),
    "empty_retries": partial(validate_int, minimum=0),
    "empty_wait": validate_timedelta,
    "on_empty": partial(validate_choice, choices=("fail", "skip", "accept")),
    "max_rejected": validate_ratio,
    "pseudonymize": optional(validate_pseudonymize),
}


class GreenApiContactsOperator(ValidatedArguments, BaseOperator):
    """Takes a snapshot. Subclasses set the attributes, and say where contacts are written."""

    green_api_conn_id: str
    account: str | None
    group: bool | None
    count: int | None
    empty_retries: int
    empty_wait: timedelta
    on_empty: str
    max_rejected: float
    include_fields: Sequence[str] | None
    exclude_fields: Sequence[str] | None
    pseudonymize: Sequence[str] | None

    def __init__(self, **kwargs: Any) -> None:
        # Without a signature of its own, a class gets BaseOperator's, whose defaults a mapped task would take.
        super().__init__(**{"multiple_outputs": True, **kwargs})

    @classmethod
    def validate_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """
        Validate the given arguments.

        :raises ConfigError: an argument is wrong, or two of them exclude each other.
        """
        super().validate_arguments(arguments)
        select_fields(arguments, "green_api")

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Take a snapshot of the account, and write it.

        :returns: the summary: counts, times and IDs.
        :raises AirflowFailException: an argument, a connection or the account must be changed first.
        """
        with fail_without_retry():
            return self._sync(context, attempt=1)

    def execute_after_wait(self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Fetch again after an empty list, or when the server allows it."""
        with fail_without_retry():
            return self._sync(context, attempt=read_attempt(event))

    @cached_property
    def hook(self) -> GreenApiHook:
        """The hook of ``green_api_conn_id``."""
        from airflow_provider_wacontacts.hooks.green_api import GreenApiHook

        return GreenApiHook(self.green_api_conn_id)

    @cached_property
    def selection(self) -> FieldSelection | None:
        """The fields to write; ``None`` for all."""
        return select_fields(vars(self), "green_api")

    def show_resolved(self, context: Mapping[str, Any]) -> None:  # noqa: ARG002 - a snapshot has no window
        """Put the account into the rendered fields."""
        self.validate_rendered()
        self.account = self.account or self.hook.account

    def _sync(self, context: Mapping[str, Any], *, attempt: int) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import fetch_snapshot

        self.validate_rendered()
        self.hook.validate_connection()
        spec = self._spec(context)
        self.log.info("Snapshot of account %r into %s", spec.account, destination(self))
        write = self._writer(spec)
        try:
            fetched = fetch_snapshot(spec, self.hook)
        except TransientError as error:
            defer_for_retry_after(self, error, attempt)
        if not fetched.snapshot.rows and not fetched.snapshot.rejects:
            self._handle_empty(attempt)
        summary = write(fetched)
        self._log_summary(summary)
        warn_of_unmatched_fields(self, self.selection, summary.rows)
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()

    def _handle_empty(self, attempt: int) -> None:
        """Defer to the next attempt. After the last one, fail, skip, or return to accept the empty list."""
        send("green_api", empty=1)
        if attempt <= self.empty_retries:
            moment = datetime.now(UTC) + self.empty_wait
            defer_until(self, moment, why="the empty list is fetched again", attempt=attempt + 1)
        if self.on_empty == "skip":
            raise AirflowSkipException(EMPTY_ON_EVERY_ATTEMPT)
        if self.on_empty == "fail":
            from airflow_provider_wacontacts.clients.green_api import CONTACTS

            raise NotEnabledError(EMPTY_REMEDY, source="green_api", operation=CONTACTS, attempts=attempt)
        self.log.warning("%s. An empty snapshot marks no contacts as gone", EMPTY_ON_EVERY_ATTEMPT)

    def _spec(self, context: Mapping[str, Any]) -> SnapshotSpec:
        from airflow_provider_wacontacts.pipelines.green_api_snapshot import SnapshotSpec
        from airflow_provider_wacontacts.pipelines.written_fields import WrittenFields

        return SnapshotSpec(
            account=self.account or self.hook.account,
            task=TaskInstanceKey.from_task_instance(context["ti"]),
            package_version=__version__,
            group=self.group,
            count=self.count,
            guard=self._guard(),
            max_rejected=self.max_rejected,
            fields=WrittenFields(self.selection, get_pseudonymizer(self.pseudonymize, self._pseudonym_conn_id())),
        )

    def _guard(self) -> ShrinkGuard:
        from airflow_provider_wacontacts.store import ShrinkGuard

        return ShrinkGuard()

    def _pseudonym_conn_id(self) -> str:
        raise NotImplementedError

    def _writer(self, spec: SnapshotSpec) -> Callable[[FetchedSnapshot], SnapshotSummary]:
        """Check the destination before the first request, and return what writes a snapshot to it."""
        raise NotImplementedError

    def _log_summary(self, summary: SnapshotSummary) -> None:
        self.log.info(
            "Snapshot of %s: %s, %s gone, %s returned, %s rejected",
            format_count(summary.rows, "contact"),
            format_count(summary.new_versions, "new version"),
            summary.gone or 0,
            summary.back or 0,
            summary.rejected,
        )
        warn_of_rejected(self, summary)
        if summary.state == "refused":
            self.log.warning("Snapshot discarded: a newer one is already loaded")
        elif summary.reason:
            self.log.warning("This snapshot marks no contacts as gone: %s", INCOMPLETE_REASONS[summary.reason])
