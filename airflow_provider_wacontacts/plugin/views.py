"""The views of the page that show counts: what each reads from the store, for its template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_wacontacts.pipelines.store_status import read_status, read_store
from airflow_provider_wacontacts.plugin.attention import find_problems
from airflow_provider_wacontacts.plugin.parameters import MAX_ACCOUNT_ID, Parameters
from airflow_provider_wacontacts.plugin.strips import STATES, budget_chart, day_strip, hour_strip
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.calendar import read_calendars
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.fields import read_extraction_drift
from airflow_provider_wacontacts.store.inspection import (
    read_activity,
    read_attempts,
    read_budgets,
    read_check,
    read_checks,
    read_extraction,
    read_identities,
)
from airflow_provider_wacontacts.store.status import Selection

__all__ = ["VIEWS", "NotFoundError", "View"]

Read = Callable[[Store, Parameters], Mapping[str, Any]]

BUDGET_DAYS = 30
#: Maximum number of rows in a list. It says so if there are more.
MAX_ROWS = 200
SHOWN_INTERVALS = 20
SOURCES = {"turn": "Turn.io", "green_api": "GREEN-API", "whatsapp_business": "WhatsApp Business"}


class NotFoundError(Exception):
    """The store has no such row. The message names its kind."""


@dataclass(frozen=True, slots=True)
class View:
    """
    A view of the page.

    :param path: below the page's own, as FastAPI has it.
    :param template: its file.
    :param title: its heading.
    :param tab: the tab that is marked as current.
    :param read: reads what the template shows.
    """

    path: str
    template: str
    title: str
    tab: str
    read: Read


def _overview(store: Store, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001 - as the others
    def read(db: Database, now: datetime) -> tuple[Any, Any]:
        return read_activity(db, now=now), read_budgets(db, now=now, days=BUDGET_DAYS)

    activity, budgets = read_store(store, read)
    status = read_status(store, Selection())
    by_account = {(each.source, each.account): each for each in activity}
    findings = find_problems(status, by_account, budgets)
    pressing = [finding.subject for finding in findings]
    today = status.as_of.date()

    def place(name: str) -> tuple[int, str]:
        return (pressing.index(name) if name in pressing else len(pressing), name)

    return {
        "as_of": status.as_of,
        "findings": findings,
        "drift": status.field_changes,
        "accounts": sorted(
            (
                (account, by_account.get((account.source, account.account)), status.age_of(account))
                for account in status.feeds
            ),
            key=lambda row: place(row[0].account),
        ),
        "senders": sorted(
            ((sender, *budgets.get(sender.sender, {}).get(today, (sender.spent, None))) for sender in status.senders),
            key=lambda row: place(row[0].sender),
        ),
    }


def _coverage(store: Store, parameters: Parameters) -> Mapping[str, Any]:
    account_id, day, weeks = parameters.account_id, parameters.day, parameters.weeks
    span = parameters.calendar_span() if day is None else parameters.week_span(day)

    def read(db: Database, now: datetime) -> Mapping[str, Any]:
        calendars = read_calendars(
            db,
            span,
            now=now,
            late_after=store.context.late_after,
            by_hour=day is not None,
            account_id=min(account_id or 0, MAX_ACCOUNT_ID) or None,
        )
        if account_id is not None and not calendars:
            raise NotFoundError("account")
        attempts = None
        if day is not None and account_id is not None:
            attempts = read_attempts(db, account_id, span, now=now, size=MAX_ROWS + 1)
        strips = [
            (
                calendar,
                day_strip(calendar, span, now.date()) if day is None else hour_strip(calendar, span, now),
                _intervals(calendar.intervals, span, now),
            )
            for calendar in calendars
        ]
        return {"as_of": now, "strips": strips, "attempts": attempts}

    shown = {"span": span, "day": day, "weeks": weeks, "account_id": account_id, "states": STATES}
    return {**read_store(store, read), **shown, "max_rows": MAX_ROWS, "max_intervals": SHOWN_INTERVALS}


def _intervals(found: Mapping[str, Sequence[Window]], span: Window, now: datetime) -> Sequence[tuple[str, Window]]:
    """Return the intervals that are running, failed, late or not covered, the latest first."""
    listed = [
        (state, window)
        for state in ("running", "failed", "gap", "late")
        for window in found.get(state, ())
        if window.end > span.start and window.start < min(now, span.end)
    ]
    return sorted(listed, key=lambda each: each[1].start, reverse=True)


def _extraction(store: Store, parameters: Parameters) -> Mapping[str, Any]:
    def read(db: Database, now: datetime) -> Mapping[str, Any]:
        found = read_extraction(db, parameters.row_id, now=now) if parameters.row_id else None
        if found is None:
            raise NotFoundError("extraction")
        row, rejects = found
        return {"as_of": now, "row": row, "rejects": rejects, "drift": read_extraction_drift(db, row["extraction_id"])}

    return read_store(store, read)


def _checks(store: Store, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001 - as the others
    return read_store(
        store,
        lambda db, now: {"as_of": now, "checks": read_checks(db, now=now, size=MAX_ROWS + 1), "max_rows": MAX_ROWS},
    )


def _check(store: Store, parameters: Parameters) -> Mapping[str, Any]:
    def read(db: Database, now: datetime) -> Mapping[str, Any]:
        found = read_check(db, parameters.row_id, now=now) if parameters.row_id else None
        if found is None:
            raise NotFoundError("check")
        return {"as_of": now, "row": found[0], "counts": found[1], "reasons": found[2]}

    return read_store(store, read)


def _budget(store: Store, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001 - as the others
    def read(db: Database, now: datetime) -> Mapping[str, Any]:
        budgets, today = read_budgets(db, now=now, days=BUDGET_DAYS), now.date()
        senders = [
            (sender, spent.get(today, (0, None)), budget_chart(spent, today, BUDGET_DAYS), spent)
            for sender, spent in budgets.items()
        ]
        return {"as_of": now, "senders": senders, "days": BUDGET_DAYS}

    return read_store(store, read)


def _identities(store: Store, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001 - as the others
    return read_store(
        store,
        lambda db, now: {"as_of": now, "identities": read_identities(db, size=MAX_ROWS + 1), "max_rows": MAX_ROWS},
    )


VIEWS = (
    View("/", "overview.html", "Overview", "", _overview),
    View("/coverage", "coverage.html", "Coverage", "coverage", _coverage),
    View("/extractions/{row_id}", "extraction.html", "Extraction", "coverage", _extraction),
    View("/checks", "checks.html", "Checks", "checks", _checks),
    View("/checks/{row_id}", "check.html", "Check", "checks", _check),
    View("/budget", "budget.html", "Check budget", "budget", _budget),
    View("/identities", "identities.html", "Identity changes", "identities", _identities),
)
