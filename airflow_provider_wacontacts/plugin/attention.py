"""What needs attention: findings in the status of a store, the most pressing first, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from airflow_provider_wacontacts.exceptions import DOCUMENTATION
from airflow_provider_wacontacts.pipelines.store_status import StoreStatus
from airflow_provider_wacontacts.records.windows import Window, format_count, format_duration
from airflow_provider_wacontacts.store.completeness import (
    DIFFERENT,
    EMPTY,
    SHRUNKEN,
    TRUNCATED,
    UNIDENTIFIED,
    UNSYNCHRONISED,
)
from airflow_provider_wacontacts.store.fields import FieldChange
from airflow_provider_wacontacts.store.inspection import Activity
from airflow_provider_wacontacts.store.status import AccountStatus, SenderStatus, Unfinished

__all__ = ["Finding", "find_problems"]

#: A window is overdue after this many of its lengths; a snapshot after this time.
OVERDUE_WINDOWS = 2
OVERDUE_SNAPSHOT = timedelta(days=2)
#: Lossy intervals that ended before are history.
LOSSY_MATTERS = timedelta(days=7)
NEARLY_SPENT = 0.9
#: Maximum number of changed fields that a finding names.
MAX_FIELDS = 3

REMEDIES = {
    "AuthError": "Correct the token or the login in the connection, then clear the task.",
    "RejectedError": "The system refuses the request. Correct the argument that the log names, and clear the task.",
    "NotEnabledError": "Ask the system's support to enable the API for this account, then clear the task.",
    "ConfigError": "Correct the argument or the connection that the task's log names, then clear the task.",
    "PermissionDeniedError": "Run the GRANT that the task's log has, then clear the task.",
    "RateLimitedError": "Lower the number of tasks that share the rate limit with a pool, then clear the task.",
    "Lost": "The worker ended without a message: check for evictions and memory limits. Clear the task.",
    "lost": "No heartbeat for 15 minutes: check for evictions and memory limits. Clear the task.",
    "refused": "A newer snapshot is in the store already. Nothing needs to be done.",
    EMPTY: "The list was empty, which means that the system is still loading it. The next run fetches it again.",
    TRUNCATED: "The list may be truncated: it has as many contacts as count allows. Raise count, or omit it.",
    UNSYNCHRONISED: "The instance is still loading its history. The next run fetches the list again.",
    UNIDENTIFIED: "Rejected rows without an ID are in wacontacts_reject. If the list is right, set accept_shrink once.",
    SHRUNKEN: "Contacts were deleted on the phone, or the list is cut. If it is right, set accept_shrink once.",
    DIFFERENT: "Most contacts of the last complete list are missing, as after another phone was linked. If it is right,"
    " set accept_shrink once.",
}
DEFAULT_REMEDY = "Open the log of its task for the cause, and clear the task to try again."


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that needs attention.

    :param urgency: 0 data is being lost; 1 something has stopped; 2 worth a look.
    :param subject: the account or the sender.
    :param remedy: what to do.
    :param command: a shell command that does it; ``None`` if there is none.
    :param view: the page's view that shows it, with its parameters.
    :param help_url: the page of the documentation.
    """

    urgency: int
    subject: str
    what: str
    remedy: str
    view: str
    help_url: str
    command: str | None = None


def find_problems(
    status: StoreStatus,
    activity: Mapping[tuple[str, str], Activity],
    budgets: Mapping[str, Mapping[date, tuple[int, int | None]]],
) -> list[Finding]:
    """Return what needs attention, the most pressing first."""
    found = [
        *(finding for account in status.feeds for finding in _of_account(account, status, activity)),
        *(finding for sender in status.senders for finding in _of_sender(sender, status.as_of.date(), budgets)),
    ]
    return sorted(found, key=lambda finding: finding.urgency)


def _of_account(
    account: AccountStatus, status: StoreStatus, activity: Mapping[tuple[str, str], Activity]
) -> Iterator[Finding]:
    latest = activity.get((account.source, account.account))
    subject, view = account.account, f"coverage?account={latest.account_id}" if latest else "coverage"
    guide = f"{DOCUMENTATION}/how-to"
    if account.gaps:
        yield Finding(
            0,
            subject,
            f"{_count(account.gaps, 'coverage gap')}, {_total(account.gaps)} in all: these updates were never fetched.",
            "Run a backfill over the gap. Of contacts that changed since, only the latest version is still there.",
            view,
            f"{guide}/backfills.md",
            command=_backfill(latest, account.gaps[-1]) if latest else None,
        )
    yield from _overdue(account, status, subject, view)
    for group in account.unfinished:
        if finding := _unfinished(group, subject, f"extractions/{latest.extraction_id}" if latest else view):
            yield finding
    recent = [window for window in account.lossy if window.end > status.as_of - LOSSY_MATTERS]
    if recent:
        yield Finding(
            0,
            subject,
            f"{_count(recent, 'interval')} of the last 7 days synced too late, {_total(recent)} in all: versions that"
            " were overwritten before are missing.",
            "They cannot be recovered. Run the DAG more often, or remove what delayed it.",
            view,
            f"{guide}/monitoring.md",
        )
    if drift := [
        change for change in status.field_changes if (change.source, change.account) == (account.source, subject)
    ]:
        yield Finding(
            2,
            subject,
            f"{_count(drift, 'field')} changed in the last 7 days: {_described(drift)}.",
            "Adapt the queries and views that use these fields. on_drift of the operator warns or fails.",
            "",
            f"{DOCUMENTATION}/reference/operators.md#schema-drift",
        )
    if rejected := sum(group.rejects for group in account.rejects):
        reasons = ", ".join(f"{group.rejects:,} {group.reason}" for group in account.rejects[:3])
        yield Finding(
            2,
            subject,
            f"{format_count(rejected, 'row')} rejected: {reasons}.",
            "View wacontacts_reject has them. Report them to the system's support, or delete them.",
            view,
            f"{guide}/troubleshooting.md",
        )


def _described(drift: Sequence[FieldChange]) -> str:
    shown = ", ".join(f"{change.field} is {change.change_kind}" for change in drift[:MAX_FIELDS])
    return f"{shown} and others" if len(drift) > MAX_FIELDS else shown


def _overdue(account: AccountStatus, status: StoreStatus, subject: str, view: str) -> Iterator[Finding]:
    age, newest = status.age_of(account), account.newest
    guide = f"{DOCUMENTATION}/how-to/monitoring.md"
    if newest is None or age is None:
        yield Finding(1, subject, "Never synced.", "Run the account's DAG, and look at its task's log.", view, guide)
        return
    has_window = newest.window_start is not None and newest.window_end is not None
    length = newest.window_end - newest.window_start if has_window else None  # type: ignore[operator]
    limit = OVERDUE_SNAPSHOT if length is None else OVERDUE_WINDOWS * length + timedelta(hours=1)
    if age > limit:
        usual = f", and its windows are {format_duration(length)} long" if length else ""
        yield Finding(
            1,
            subject,
            f"Overdue: synced up to {format_duration(age)} ago{usual}.",
            "Check that its DAG is not paused, that it is scheduled, and that its pool has free slots.",
            view,
            guide,
        )


def _unfinished(group: Unfinished, subject: str, view: str) -> Finding | None:
    if group.state in {"running", "abandoned"}:
        return None
    reason = f": {group.reason}" if group.reason else ""
    remedy = REMEDIES.get(str(group.reason)) or REMEDIES.get(group.state, DEFAULT_REMEDY)
    anchor = f"#{group.reason.lower()}" if group.reason and group.reason.endswith("Error") else ""
    help_url = f"{DOCUMENTATION}/how-to/troubleshooting.md{anchor}"
    urgency = 2 if group.state in {"refused", "incomplete"} else 1
    return Finding(
        urgency,
        subject,
        f"{format_count(group.tries, 'extraction')} {group.state} since the last success{reason}.",
        remedy,
        view,
        help_url,
    )


def _of_sender(
    sender: SenderStatus, today: date, budgets: Mapping[str, Mapping[date, tuple[int, int | None]]]
) -> Iterator[Finding]:
    guide = f"{DOCUMENTATION}/how-to"
    spent, limit = budgets.get(sender.sender, {}).get(today, (0, None))
    if limit and spent >= limit * NEARLY_SPENT:
        yield Finding(
            1 if spent >= limit else 2,
            sender.sender,
            f"{spent:,} of today's {limit:,} checks are spent.",
            "Checks wait or fail until 00:00 UTC. Raise daily_checks only if the sender sends as many messages a day.",
            "budget",
            f"{DOCUMENTATION}/concepts/budgets.md",
        )
    if sender.overdue_checks:
        yield Finding(
            1,
            sender.sender,
            f"{format_count(sender.overdue_checks, 'check')} past the deadline with numbers that have no result.",
            "Clear the sensor that waits for the check, or run a new check.",
            "checks",
            f"{guide}/checks.md",
        )
    if sender.lost_checks:
        yield Finding(
            1,
            sender.sender,
            f"{format_count(sender.lost_checks, 'check')} lost.",
            REMEDIES["lost"],
            "checks",
            f"{guide}/checks.md",
        )
    if sender.pending_identities:
        yield Finding(
            2,
            sender.sender,
            f"{format_count(sender.pending_identities, 'user')} with an identity change to acknowledge.",
            "Until then messages to them may be refused. Run the DAG with WhatsAppGetIdentityOperator and"
            " WhatsAppAcknowledgeIdentityOperator.",
            "identities",
            f"{guide}/identities.md",
        )


def _backfill(latest: Activity, gap: Window) -> str:
    first, last = (_day(moment) for moment in (gap.start, gap.end - timedelta(microseconds=1)))
    return f"airflow backfill create --dag-id {latest.dag_id} --from-date {first} --to-date {last}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _total(windows: Sequence[Window]) -> str:
    return format_duration(sum((window.end - window.start for window in windows), timedelta()))


def _count(items: Sequence[object], word: str) -> str:
    return format_count(len(items), word)
