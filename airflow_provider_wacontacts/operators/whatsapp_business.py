"""Operators for the WhatsApp Business API: which numbers are on WhatsApp, and who has changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, XComArg

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.exceptions import BudgetExceededError, ConfigError, LandingError, RateLimitedError
from airflow_provider_wacontacts.hooks.failures import fail_without_retry
from airflow_provider_wacontacts.hooks.metrics import send, statuses_of
from airflow_provider_wacontacts.operators.task_context import (
    defer_for_rate_limit,
    defer_until,
    end_of_run_day,
    get_task,
    publish,
    read_attempt,
)
from airflow_provider_wacontacts.operators.whatsapp_business_identities import (
    WhatsAppAcknowledgeIdentityOperator,
    WhatsAppGetIdentityOperator,
)
from airflow_provider_wacontacts.records.arguments import validate_int, validate_timedelta
from airflow_provider_wacontacts.records.task_instances import options_digest

if TYPE_CHECKING:
    from airflow_provider_wacontacts.clients.whatsapp_business import CheckAnswer
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
    from airflow_provider_wacontacts.pipelines.check_numbers import Surroundings
    from airflow_provider_wacontacts.store.checks.lifecycle import Check
    from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckSpec, CheckTotals
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = [
    "WhatsAppAcknowledgeIdentityOperator",
    "WhatsAppCheckContactsOperator",
    "WhatsAppGetIdentityOperator",
    "WhatsAppRevalidateContactsOperator",
]

WEEK = timedelta(days=7)
STATUSES = ("valid", "invalid", "failed", "processing", "missing")
ON_BUDGET = ("fail", "defer", "partial")
#: What came of a check's inputs without a question: counted once a check, when it is done.
GIVEN = ("given", "duplicates", "rejected", "not_asked", "from_store")
UNRELIABLE = (
    "The client is of v2.43 or newer, which calls every number valid: it says that the number can be written to, not"
    " that somebody is on WhatsApp"
)


class _WhatsAppChecksOperator(BaseOperator):
    """What both have in common: a check that is filled, asked about within the budget, and summed up."""

    def __init__(
        self,
        *,
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        store_conn_id: str = "wacontacts_store",
        contacts_sql: str | None = None,
        contacts_conn_id: str | None = None,
        default_region: str | None = None,
        batch_size: int = 100,
        blocking: str = "no_wait",
        force_check: bool = False,
        max_checks: int | None = None,
        on_budget: str = "fail",
        **kwargs: Any,
    ) -> None:
        from airflow_provider_wacontacts.pipelines.check_options import CheckOptions

        # Each count is an XCom of its own as well, so `check.output["check_id"]` is what a sensor takes.
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.store_conn_id = store_conn_id
        self.contacts_sql = contacts_sql
        self.contacts_conn_id = contacts_conn_id
        self.default_region = default_region
        self.max_checks = max_checks
        self.on_budget = on_budget
        self.check_options = CheckOptions(batch_size, blocking, force_check)
        self._world: Surroundings | None = None
        if max_checks is not None:
            validate_int("max_checks", max_checks, 1)
        if on_budget not in ON_BUDGET:
            raise ConfigError(f"on_budget is {on_budget!r}; it can be one of {', '.join(ON_BUDGET)}")

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Check the numbers.

        :returns: the summary: counts and ids.
        :raises AirflowFailException: an argument or a connection has to be changed first, or the budget is spent.
        """
        with fail_without_retry():
            return self._run(context, attempt=1)

    def execute_after_wait(self, context: Mapping[str, Any], event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Go on with the same check when there is a new budget, or when the server is ready to be asked again."""
        with fail_without_retry():
            return self._run(context, attempt=read_attempt(event))

    def on_kill(self) -> None:
        """Ask nothing more; what was answered is kept."""
        if self._world is not None:
            self._world.stop.set()

    @cached_property
    def hook(self) -> WhatsAppBusinessHook:
        """The hook of ``whatsapp_business_conn_id``."""
        from airflow_provider_wacontacts.clients.requests_driver import Clock
        from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

        sleeping = Clock(sleep=self._world.sleep) if self._world else None
        return WhatsAppBusinessHook(self.whatsapp_business_conn_id, clock=sleeping)

    def _run(self, context: Mapping[str, Any], *, attempt: int) -> dict[str, Any]:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.check_numbers import Surroundings
        from airflow_provider_wacontacts.store.checks.sender import SenderChecks

        self._world = Surroundings(
            lambda asked: self.log.info("Asked about %s numbers so far", asked),
            retried=lambda: send("whatsapp_business", retries=1),
        )
        self._check_arguments()
        self.hook.check()
        store = open_store(self.store_conn_id)
        store.prepare()
        checks = SenderChecks(store.context, self.hook.sender, daily_checks=self.hook.daily_checks)
        check = checks.open(self._rules(context))
        if not check.is_filled:
            check.fill(self._world.through(self._inputs(context, checks)))
        totals = self._ask(check, checks, self._world, attempt)
        return self._tell(context, check, checks, totals)

    def _ask(self, check: Check, checks: SenderChecks, world: Surroundings, attempt: int) -> CheckTotals:
        from airflow_provider_wacontacts.pipelines.check_numbers import ask_about_all

        tomorrow = _tomorrow(checks)
        try:
            ask_about_all(check, checks, ask=self._question, check_options=self.check_options, world=world)
        except RateLimitedError as error:
            defer_for_rate_limit(self, error, attempt)
        except BudgetExceededError as error:
            with suppress(LandingError):
                send("whatsapp_business", self.whatsapp_business_conn_id, budget_left=checks.budget_left())
            if self.on_budget == "fail":
                raise
            self.log.warning("%s", error)
            if self.on_budget == "defer":
                defer_until(self, tomorrow, why="there is a new budget")
        return check.finish()

    def _question(self, numbers: Sequence[str], *, blocking: str, force_check: bool) -> CheckAnswer:
        answer = self.hook.check_contacts(numbers, blocking=blocking, force_check=force_check, is_counted=True)
        send("whatsapp_business", asked=len(numbers), **statuses_of(answer))
        return answer

    def _tell(
        self, context: Mapping[str, Any], check: Check, checks: SenderChecks, totals: CheckTotals
    ) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.summaries import CheckSummary

        summary = CheckSummary.of(check, checks, totals)
        if not summary.given:
            self.log.info("No numbers were given; check %s is empty", summary.check_id)
        self.log.info(
            "Check %s: %s given, %s asked, %s from the store, %s not asked, %s rejected; %s valid, %s invalid,"
            " %s failed, %s missing, %s processing; %s checks left today",
            *(summary.check_id, summary.given, summary.asked, summary.from_store, summary.not_asked),
            *(summary.rejected, summary.valid, summary.invalid, summary.failed, summary.missing),
            *(summary.processing, summary.budget_left),
        )
        given = {name: getattr(summary, name) for name in GIVEN}
        send("whatsapp_business", self.whatsapp_business_conn_id, budget_left=summary.budget_left, **given)
        if summary.status_is_reliable is False:
            self.log.warning(UNRELIABLE)
        publish(context, self.outlets, summary.as_dict())
        return summary.as_dict()

    def _rules_of(self, context: Mapping[str, Any], fresh_after: datetime, *options: object) -> CheckSpec:
        from airflow_provider_wacontacts.store.checks.model import CheckSpec

        own = (self.contacts_conn_id, self.contacts_sql, self.default_region, self.check_options.force_check)
        return CheckSpec(
            task=get_task(context),
            options_digest=options_digest(*own, *options),
            package_version=__version__,
            fresh_after=fresh_after,
            force_check=self.check_options.force_check,
            max_checks=self.max_checks,
        )

    def _read(self) -> Iterator[Mapping[str, Any]]:
        """Go through the rows of ``contacts_sql``."""
        from airflow_provider_wacontacts.hooks.sql_rows import read_rows

        return read_rows(str(self.contacts_conn_id), str(self.contacts_sql))

    def _region(self) -> str | None:
        from airflow_provider_wacontacts.identifiers.numbers import validate_region

        return validate_region(self.default_region) if self.default_region else self.hook.region

    def _check_arguments(self) -> None:
        if self.default_region:
            self._region()
        if self.contacts_sql is not None and not self.contacts_conn_id:
            raise ConfigError("contacts_sql is given without contacts_conn_id, the connection that it is asked of")

    def _rules(self, context: Mapping[str, Any]) -> CheckSpec:
        raise NotImplementedError

    def _inputs(self, context: Mapping[str, Any], checks: SenderChecks) -> Iterable[CheckInput]:
        raise NotImplementedError


class WhatsAppCheckContactsOperator(_WhatsAppChecksOperator):
    """
    Ask which numbers are on WhatsApp, and under which ids, as rarely as can be.

    Each number is made E.164 first; what the store knows is not asked again, nor what another task asks now; what is
    asked is drawn from the sender's daily budget. The answers are in the store, ``wacontacts_check_result`` has a row
    for each number given. What is not answered at once is waited for by ``WhatsAppContactsSensor``. A retry asks only
    about the rest.

    :param contacts_sql: a SELECT with a column ``number`` and, where wanted, ``contact_key``, the caller's own key, and
        ``opted_in``: nobody is asked about where it is false.
    :param contacts_conn_id: any SQL connection; ``contacts_sql`` is asked of it.
    :param contacts: instead of those, a few numbers, or mappings with the same members: a list, or a task's output. It
        is neither rendered nor serialized.
    :param whatsapp_business_conn_id: connection of type ``whatsapp_business``; its ``daily_checks`` are the budget.
    :param store_conn_id: any PostgreSQL or SQLite connection.
    :param default_region: two letters, such as ``IN``, for numbers without a plus sign; the sender's by default.
    :param fresh_for: how old a real answer may be to be used again; ``failed`` never is.
    :param force_check: have the client look anew, past its own memory of 7 days. Too much of it gets a number banned.
    :param blocking: ``no_wait``, or ``wait`` until all of a request are resolved.
    :param batch_size: numbers in a request, 1 to 1,000.
    :param max_checks: less than the sender's budget, for this task.
    :param on_budget: past it, ``fail``, ``defer`` to the next UTC day and go on, or finish with a ``partial`` answer.
    """

    template_fields: Sequence[str] = (
        "whatsapp_business_conn_id",
        "store_conn_id",
        "contacts_conn_id",
        "contacts_sql",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"contacts_sql": "sql"}  # noqa: RUF012 - as Airflow has it

    def __init__(
        self,
        *,
        contacts: Iterable[object] | XComArg | None = None,
        fresh_for: timedelta = WEEK,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.contacts = contacts
        self.fresh_for = fresh_for
        validate_timedelta("fresh_for", fresh_for)
        if isinstance(contacts, XComArg):
            XComArg.apply_upstream_relationship(self, contacts)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if (self.contacts is None) == (self.contacts_sql is None):
            raise ConfigError("give either contacts_sql or contacts, and not both")
        if isinstance(self.contacts, (str, bytes, Mapping)):
            raise ConfigError(
                "contacts is one value; it is a list of numbers, or the output of a task that returns one"
            )

    def _rules(self, context: Mapping[str, Any]) -> CheckSpec:
        # What is in a list that was changed between two tries is not what the first has begun with.
        listed = self.contacts if isinstance(self.contacts, (list, tuple)) else None
        options = ("check", self.fresh_for.total_seconds(), listed)
        return self._rules_of(context, datetime.now(UTC) - self.fresh_for, *options)

    def _inputs(self, context: Mapping[str, Any], checks: SenderChecks) -> Iterable[CheckInput]:  # noqa: ARG002 - the other's
        from airflow_provider_wacontacts.pipelines.check_inputs import parse_inputs

        return parse_inputs(self._given(context), self._region())

    def _given(self, context: Mapping[str, Any]) -> Iterable[object]:
        if self.contacts_sql is not None:
            return self._read()
        # What a mapped task group is given is no XComArg, but is looked up as one is.
        resolve = getattr(self.contacts, "resolve", None)
        given = resolve(context) if resolve else self.contacts
        if given is None or isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            raise ConfigError("contacts: the task returned no list of numbers")
        return given


class WhatsAppRevalidateContactsOperator(_WhatsAppChecksOperator):
    """
    Ask anew about the numbers whose last real check will be too old by the end of the run's day, the oldest first.

    Two of these may run at once: they never ask about the same number.

    :param stale_after: from which age on a check is too old. Clients answer from memory for 7 days: sooner, and without
        ``force_check``, nothing new is learned.
    :param limit: at most so many numbers.
    :param statuses: only numbers with one of these.
    :param contacts_sql: only numbers that this SELECT has in its column ``number``.
    :param on_budget: past the budget, ``partial`` (the others wait for the next run), ``fail``, or ``defer``.

    The other arguments are those of :class:`WhatsAppCheckContactsOperator`.
    """

    template_fields: Sequence[str] = WhatsAppCheckContactsOperator.template_fields
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"contacts_sql": "sql"}  # noqa: RUF012 - as Airflow has it

    def __init__(
        self,
        *,
        stale_after: timedelta = WEEK,
        limit: int = 1000,
        statuses: Sequence[str] = ("valid", "failed"),
        on_budget: str = "partial",
        **kwargs: Any,
    ) -> None:
        super().__init__(on_budget=on_budget, **kwargs)
        self.stale_after = stale_after
        self.limit = limit
        validate_timedelta("stale_after", stale_after)
        validate_int("limit", limit, 1)
        is_list = isinstance(statuses, Iterable) and not isinstance(statuses, (str, Mapping))
        self.statuses = tuple(statuses) if is_list else ()
        if not self.statuses:
            raise ConfigError("statuses is a list of one or more words, such as ['valid', 'failed']")
        for word in self.statuses:
            if word not in STATUSES:
                raise ConfigError(f"statuses has {word!r}; it can have {', '.join(STATUSES)}")

    def _rules(self, context: Mapping[str, Any]) -> CheckSpec:
        options = ("revalidate", self.stale_after.total_seconds(), self.limit, *self.statuses)
        return self._rules_of(context, end_of_run_day(context) - self.stale_after, *options)

    def _inputs(self, context: Mapping[str, Any], checks: SenderChecks) -> Iterable[CheckInput]:
        from airflow_provider_wacontacts.store.checks.model import CheckInput

        opted_out: set[str] = set()
        stale = self._stale(context, checks, opted_out)
        # Whoever opts out under one spelling may stand before that under another.
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
        """Go through the numbers of ``contacts_sql``, and add to those who opted out."""
        from airflow_provider_wacontacts.pipelines.check_inputs import parse_inputs

        for one in parse_inputs(self._read(), self._region()):
            if one.number and one.opted_in is False:
                opted_out.add(one.number)
            elif one.number and one.number not in opted_out:
                yield one.number


def _tomorrow(checks: SenderChecks) -> datetime:
    """Return the beginning of the next UTC day."""
    today = checks.context.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=1)
