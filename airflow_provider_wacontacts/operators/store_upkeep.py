"""Operators that look after a store: remove old rows, check that contacts are fresh, refresh the directory's copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.arguments import (
    DryRun,
    ValidatedArguments,
    fail_without_retry,
    optional,
    validate_choice,
    validate_words,
)
from airflow_provider_wacontacts.operators.task_context import publish
from airflow_provider_wacontacts.plugin.links import StoreLink
from airflow_provider_wacontacts.records.arguments import validate_bool, validate_timedelta
from airflow_provider_wacontacts.records.retention import DEFAULT_KINDS, KINDS, MIN_AGE
from airflow_provider_wacontacts.records.windows import format_duration

__all__ = ["CheckFreshnessOperator", "PurgeStoreOperator", "RefreshDirectoryOperator"]

PROBLEMS = ("stale", "gap", "lossy")


class PurgeStoreOperator(ValidatedArguments, BaseOperator):
    """
    Remove rows of the store that are older than a retention period.

    Other tasks do not wait for it. A retry continues. What was purged is not written again by a backfill or a file. To
    give kinds of rows different periods, use one task for each.

    :param max_age: Retention period, a ``timedelta`` of one day or longer. The age of a check counts from its end, that
        of a rejected row from its receipt, that of an extraction from its end, and that of a version from when the next
        version of the contact superseded it.
    :param include: Kinds of rows to remove: ``checks`` with their results, ``rejects``, ``extractions`` that have
        ended, and ``versions``, which are the change history. The current version of a contact always stays. Default:
        all but ``versions``.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite. Its user needs DELETE. Default:
        ``wacontacts_store``.
    :param dry_run: Count the rows, and remove nothing. Default: ``False``.
    """

    template_fields: Sequence[str] = ("store_conn_id",)
    operator_extra_links = (StoreLink(),)
    dry_run: Any = DryRun()
    validators = {  # noqa: RUF012 - as the base has it
        "max_age": partial(validate_timedelta, minimum=MIN_AGE),
        "include": partial(validate_words, words=KINDS),
        "dry_run": validate_bool,
    }

    def __init__(
        self,
        *,
        max_age: timedelta,
        include: Sequence[str] = DEFAULT_KINDS,
        store_conn_id: str = "wacontacts_store",
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.max_age = max_age
        self.include = include
        self.store_conn_id = store_conn_id
        self.dry_run = dry_run
        self.validate_arguments(vars(self))

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Remove the rows.

        :returns: the summary: counts.
        :raises AirflowFailException: an argument or a connection must be changed first.
        """
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.store.purge import purge

        with fail_without_retry():
            self.validate_rendered()
            store, dry_run = open_store(self.store_conn_id), bool(self.dry_run)
            store.prepare()
            rows = purge(store.context, self.max_age, self.include, dry_run=dry_run)._asdict()
        self.log.info("%s %s", "Would remove" if dry_run else "Removed", rows)
        summary = rows | {"dry_run": dry_run}
        publish(context, self.outlets, summary)
        return summary


class CheckFreshnessOperator(ValidatedArguments, BaseOperator):
    """
    Check that the store's contacts are fresh and complete, and fail the task if they are not.

    It checks once, without waiting. Place it before tasks that need fresh contacts.

    :param max_age: Maximum age of each account: the time since the end of its newest complete window, or since its
        newest complete snapshot.
    :param source: Only accounts of this source, ``turn`` or ``green_api``. Default: both.
    :param account: Only this account. It is stale if it was never synced. Default: all that were ever synced.
    :param fail_on: Problems that fail the task: ``stale``, an account older than ``max_age`` or no account at all;
        ``gap``, an interval that no sync covers; ``lossy``, an interval that was synced too late. The summary counts
        all of them. Default: the three.
    :param loss_window: Gaps and lossy intervals that ended longer ago than this are ignored: lossy intervals cannot be
        repaired. Default: 7 days.
    :param late_after: Sync lag from which a window's first sync counts as lossy, as in the sync operators.
        Default: 1 hour.
    :param store_conn_id: Connection of the store. Its user needs SELECT. Default: ``wacontacts_store``.
    """

    template_fields: Sequence[str] = ("store_conn_id", "source", "account")
    operator_extra_links = (StoreLink(),)
    validators = {  # noqa: RUF012 - as the base has it
        "max_age": partial(validate_timedelta, allow_zero=False),
        "fail_on": partial(validate_words, words=PROBLEMS, minimum=0),
        "loss_window": validate_timedelta,
        "late_after": validate_timedelta,
    }

    def __init__(
        self,
        *,
        max_age: timedelta,
        source: str | None = None,
        account: str | None = None,
        fail_on: Sequence[str] = ("stale", "gap", "lossy"),
        loss_window: timedelta = timedelta(days=7),
        late_after: timedelta = timedelta(hours=1),
        store_conn_id: str = "wacontacts_store",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.max_age = max_age
        self.source = source
        self.account = account
        self.fail_on = fail_on
        self.loss_window = loss_window
        self.late_after = late_after
        self.store_conn_id = store_conn_id
        self.validate_arguments(vars(self))

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Check the store once.

        :returns: the summary: the number of accounts, the greatest age in seconds, and the number of problems by kind.
        :raises AirflowFailException: there is a problem, or an argument or a connection must be changed first.
        """
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.store_status import FEEDS, check_freshness, find_loss, read_status
        from airflow_provider_wacontacts.store.status import Selection

        with fail_without_retry():
            self.validate_rendered()
            optional(partial(validate_choice, choices=FEEDS))("source", self.source or None)
            sources = frozenset({self.source} if self.source else FEEDS)
            selection = Selection(sources, frozenset({self.account} if self.account else ()))
            status = read_status(open_store(self.store_conn_id, late_after=self.late_after), selection)
            if status.problem:
                raise ConfigError(status.problem)
        named = selection if self.source else Selection(accounts=selection.accounts)
        freshness = check_freshness(status, self.max_age, named)
        found = {"stale": freshness.describe_stale(), **find_loss(status, status.as_of - self.loss_window)}
        for kind, problems in found.items():
            for problem in problems:
                self.log.warning("%s: %s", kind, problem)
        if problems := [problem for kind in self.fail_on for problem in found[kind]]:
            limit = f"max_age is {format_duration(self.max_age)}, fail_on is {', '.join(self.fail_on)}"
            raise AirflowFailException(f"The store is not up to date: {'; '.join(problems)}. ({limit})")
        oldest_s = None if freshness.oldest is None else freshness.oldest.total_seconds()
        summary = {"accounts": len(status.feeds), "oldest_s": oldest_s}
        summary |= {kind: len(problems) for kind, problems in found.items()}
        publish(context, self.outlets, summary)
        return summary


class RefreshDirectoryOperator(ValidatedArguments, BaseOperator):
    """
    Refresh ``wacontacts_directory_copy``, a table with the rows of the view ``wacontacts_directory``.

    Index, join and scan the copy where the view is too slow. A refresh writes only rows that differ, in one
    transaction: readers see the copy as it was until it commits. Erasures remove people from the copy as well.

    :param store_conn_id: Connection of the store, PostgreSQL or SQLite. Default: ``wacontacts_store``.
    """

    template_fields: Sequence[str] = ("store_conn_id",)

    def __init__(self, *, store_conn_id: str = "wacontacts_store", **kwargs: Any) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.store_conn_id = store_conn_id
        self.validate_arguments(vars(self))

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Refresh the copy.

        :returns: the summary: ``people``, rows of the copy; ``written``, rows that differed; ``deleted``.
        :raises AirflowFailException: an argument or a connection must be changed first.
        """
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.store.directory_copy import refresh_directory

        with fail_without_retry():
            self.validate_rendered()
            store = open_store(self.store_conn_id)
            store.prepare()
            refreshed = refresh_directory(store.context)
        self.log.info("%s people: %s rows written, %s deleted", *refreshed)
        publish(context, self.outlets, refreshed._asdict())
        return refreshed._asdict()
