"""
The status of a store: watermarks, coverage and gaps of its accounts, and spent budgets of its senders.

.. code-block:: python

    with context.read() as db:
        now = context.now(db.connection)
        accounts = read_accounts(db, selection, now=now, late_after=context.late_after)
        senders = read_senders(db, selection, now=now)

Nothing is written, and nothing is locked. The database aggregates the ledger, for example two years of hourly windows,
to a few rows for each account. All times are timezone-aware, UTC; counts are 0 and up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.checks.budget import utc_day
from airflow_provider_wacontacts.store.coverage import gaps_between, intervals_since, lossy_among
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.identities import count_pending
from airflow_provider_wacontacts.store.intervals import Synced, read_synced
from airflow_provider_wacontacts.store.ledger import IS_SILENT, LOST_AFTER

__all__ = [
    "SENDERS",
    "AccountStatus",
    "Newest",
    "Rejected",
    "Selection",
    "SenderStatus",
    "Unfinished",
    "read_accounts",
    "read_senders",
    "read_watermarks",
]

SENDERS = "whatsapp_business"

SPENT = """
SELECT sender, sum(CASE WHEN day = :day THEN spent ELSE 0 END) AS spent FROM {at}wacontacts_budget GROUP BY sender
"""
CHECKS = f"""
SELECT sender, count(CASE WHEN state = 'open' THEN 1 END) AS open_checks,
    count(CASE WHEN state = 'open' AND deadline_at < :now THEN 1 END) AS overdue_checks,
    count(CASE WHEN state = 'open' AND finished_at IS NULL AND {IS_SILENT} THEN 1 END) AS lost_checks,
    min(CASE WHEN state = 'open' THEN created_at END) AS oldest_open_at
FROM {{at}}wacontacts_check e GROUP BY sender
"""
NUMBERS = """
SELECT sender, coalesce(status, 'unasked') AS status, count(*) AS numbers FROM {at}wacontacts_number
GROUP BY sender, status ORDER BY sender, status
"""
SENDER_REJECTS = """
SELECT c.sender, r.reason, count(*) AS rejects, max(c.created_at) AS last_at
FROM {at}wacontacts_reject r JOIN {at}wacontacts_check c ON c.check_id = r.check_id
GROUP BY c.sender, r.reason ORDER BY c.sender, count(*) DESC, r.reason
"""

Row: TypeAlias = dict[str, Any]

#: The plus sign prevents the use of the index by account: a scan of a ledger of years in its own order is faster.
OF_ACCOUNTS = "+e.account_id IN :account_ids"

ACCOUNTS = "SELECT account_id, source, account FROM {at}wacontacts_account ORDER BY source, account"
#: An attempt without a heartbeat is lost, unless its task is deferred.
STATE = f"CASE WHEN e.state = 'running' AND {IS_SILENT} THEN 'lost' ELSE e.state END"
STATES = f"""
SELECT e.account_id, {STATE} AS state, count(*) AS tries, min(e.extracted_at) AS first_at,
    max(e.covered_until) AS reached_at
FROM {{at}}wacontacts_extraction e WHERE {OF_ACCOUNTS} GROUP BY 1, 2 ORDER BY 2
"""
NEWEST = """
SELECT extraction_id, window_start, window_end, extracted_at, finished_at, covered_until AS reached_at, lateness_s,
    row_count AS rows, new_versions, rejected, groups_seen, others_seen, gone
FROM {at}wacontacts_extraction e
WHERE e.account_id = :account_id AND e.state = 'complete' AND e.covered_until = :reached_at
ORDER BY e.extracted_at DESC, e.extraction_number DESC LIMIT 1
"""
UNFINISHED = f"""
SELECT e.account_id, {STATE} AS state, coalesce(e.reason, e.error) AS reason, count(*) AS tries,
    min(e.started_at) AS first_at, max(e.started_at) AS last_at
FROM {{at}}wacontacts_extraction e LEFT JOIN (
    SELECT e.account_id, max(e.extraction_number) AS last_number FROM {{at}}wacontacts_extraction e
    WHERE {OF_ACCOUNTS} AND e.state = 'complete' GROUP BY e.account_id
) c ON c.account_id = e.account_id
WHERE {OF_ACCOUNTS} AND (
    e.state = 'running' OR e.state <> 'complete' AND (c.last_number IS NULL OR e.extraction_number > c.last_number)
)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 NULLS FIRST
"""
REJECTS = f"""
SELECT e.account_id, r.reason, count(*) AS rejects, max(e.extracted_at) AS last_at
FROM {{at}}wacontacts_reject r JOIN {{at}}wacontacts_extraction e ON e.extraction_id = r.extraction_id
WHERE {OF_ACCOUNTS} GROUP BY e.account_id, r.reason ORDER BY e.account_id, count(*) DESC, r.reason
"""
CONTACTS = """
SELECT h.account_id, b.state, count(*) AS contacts
FROM {at}wacontacts_contact_current h
JOIN {at}wacontacts_contact_payload b ON b.account_id = h.account_id AND b.version_id = h.version_id
WHERE h.account_id IN :account_ids GROUP BY h.account_id, b.state
"""
PURGED = "SELECT account_id, extractions_purged_before FROM {at}wacontacts_account"
TIMES = ("first_at", "last_at", "reached_at")
TIMES_OF_NEWEST = ("window_start", "window_end", "extracted_at", "finished_at", "reached_at")


@dataclass(frozen=True, slots=True)
class Selection:
    """
    The accounts and senders to read.

    :param sources: ``turn``, ``green_api``, ``whatsapp_business``; empty for all.
    :param accounts: accounts and senders; empty for all.
    """

    sources: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()

    def takes(self, source: str, account: str) -> bool:
        """Return whether an account or a sender is selected."""
        return (not self.sources or source in self.sources) and (not self.accounts or account in self.accounts)


@dataclass(frozen=True, slots=True)
class Newest:
    """
    The complete extraction of an account with the latest watermark.

    :param window_start: ``None``, like ``window_end`` and ``lateness_s``, for a snapshot.
    :param reached_at: the watermark: the end of the window, or the time of the snapshot. If a window was synced before
        it ended, the watermark is the time of the extraction.
    :param groups_seen: groups in a snapshot; ``None`` if they were not requested, like ``others_seen``.
    """

    extraction_id: str
    window_start: datetime | None
    window_end: datetime | None
    extracted_at: datetime
    finished_at: datetime
    reached_at: datetime
    lateness_s: float | None
    rows: int
    new_versions: int
    rejected: int
    groups_seen: int | None
    others_seen: int | None
    gone: int | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """
    Unfinished attempts: running ones, and ones that started after the last complete one.

    :param state: ``running``, ``lost``, ``failed``, ``abandoned``, ``incomplete`` or ``refused``.
    :param reason: the error's class, or the reason why a snapshot is not complete.
    :param first_at: start of the first one.
    """

    state: str
    reason: str | None
    tries: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """
    Rejected rows with one reason.

    :param last_at: time of the last one.
    """

    reason: str
    rejects: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """
    An account of Turn.io or GREEN-API.

    :param newest: ``None`` if no sync was ever complete.
    :param covered_from: the start of the first complete window; ``None``, like ``baseline_until``, for snapshots.
    :param baseline_until: when the account was first synced. Before this, only latest versions are known.
    :param gaps: intervals between the first window and the last that no extraction covers, ascending.
    :param lossy: intervals that were never synced in time, so versions in them may have been overwritten; ascending,
        without the baseline.
    :param extractions: count by state.
    :param contacts: counts of ``present`` and ``gone`` contacts; ``None`` if they were not counted.
    """

    source: str
    account: str
    newest: Newest | None = None
    covered_from: datetime | None = None
    baseline_until: datetime | None = None
    gaps: Sequence[Window] = ()
    lossy: Sequence[Window] = ()
    extractions: Mapping[str, int] = field(default_factory=dict)
    unfinished: Sequence[Unfinished] = ()
    rejects: Sequence[Rejected] = ()
    contacts: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class SenderStatus:
    """
    A sender: a WhatsApp Business number, or an instance of GREEN-API.

    :param spent: checks spent today, by UTC.
    :param limit: maximum checks a day; ``None`` if unknown: it is the connection's, not the store's.
    :param open_checks: checks with pending results.
    :param overdue_checks: open checks whose deadline has passed.
    :param lost_checks: open checks without a heartbeat of their task.
    :param oldest_open_at: start of the oldest open check.
    :param numbers: count of numbers by status; ``unasked`` for numbers without one.
    :param pending_identities: users with a pending identity change.
    """

    sender: str
    spent: int = 0
    limit: int | None = None
    open_checks: int = 0
    overdue_checks: int = 0
    lost_checks: int = 0
    oldest_open_at: datetime | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    pending_identities: int = 0
    rejects: Sequence[Rejected] = ()


def read_watermarks(db: Database, selection: Selection, *, now: datetime) -> list[AccountStatus]:
    """
    Read only the newest complete extraction of each account, and the count of extractions by state.

    It needs SELECT on ``wacontacts_account`` and ``wacontacts_extraction``.

    :returns: by source, then account.
    """
    return [account for _, account, _ in _accounts(db, selection, now - LOST_AFTER)]


def read_accounts(
    db: Database, selection: Selection, *, now: datetime, late_after: timedelta, with_contacts: bool = False
) -> list[AccountStatus]:
    """
    Read the status of each account.

    :param late_after: maximum sync lag of a window that is synced in time, inclusive.
    :param with_contacts: count the contacts, which scans all of them.
    :returns: by source, then account.
    """
    silent_since = now - LOST_AFTER
    known = _accounts(db, selection, silent_since)
    account_ids = [account_id for account_id, _, _ in known]
    read = partial(_rows, db, account_ids)
    synced = read_synced(db, account_ids, late_after=late_after)
    purged_before = dict(map(tuple, db.execute(PURGED, times=["extractions_purged_before"])))
    unfinished, rejects = read(UNFINISHED, silent_since=silent_since), read(REJECTS)
    contacts = read(CONTACTS) if with_contacts else None

    def whole(account_id: int, account: AccountStatus, first_at: datetime | None) -> AccountStatus:
        loss = _loss(synced[account_id], first_at, purged_before.get(account_id))
        return replace(
            account,
            unfinished=[Unfinished(**row) for row in unfinished[account_id]],
            rejects=[Rejected(**row) for row in rejects[account_id]],
            contacts=None if contacts is None else _counts(contacts[account_id]),
            **loss,
        )

    return [whole(*one) for one in known]


def _accounts(
    db: Database, selection: Selection, silent_since: datetime
) -> list[tuple[int, AccountStatus, datetime | None]]:
    """Return each account with its key, and the time of its first sync."""
    selected = [row for row in db.execute(ACCOUNTS) if selection.takes(row.source, row.account)]
    states_by_account = _rows(db, [row.account_id for row in selected], STATES, silent_since=silent_since)

    def account(row: Any) -> tuple[int, AccountStatus, datetime | None]:
        states = states_by_account[row.account_id]
        complete = next((state for state in states if state["state"] == "complete"), None)
        newest = _newest(db, row.account_id, complete["reached_at"]) if complete else None
        extractions = {state["state"]: state["tries"] for state in states}
        status = AccountStatus(row.source, row.account, newest, extractions=extractions)
        return row.account_id, status, complete["first_at"] if complete else None

    return [account(row) for row in selected]


def _newest(db: Database, account_id: int, reached_at: datetime) -> Newest | None:
    rows = db.execute(
        NEWEST, times=TIMES_OF_NEWEST, ids=("extraction_id",), account_id=account_id, reached_at=reached_at
    )
    found = rows.mappings().first()
    return Newest(**found) if found else None


def _loss(synced: Synced, first_at: datetime | None, purged_before: datetime | None) -> dict[str, Any]:
    if not synced.all or first_at is None:
        return {}
    lossy = lossy_among(synced.all, synced.in_time, baseline_until=first_at)
    known = {
        name: intervals_since(purged_before, intervals)
        for name, intervals in (("gaps", gaps_between(synced.all)), ("lossy", lossy))
    }
    return {"covered_from": synced.all[0].start, "baseline_until": first_at, **known}


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {"present": 0, "gone": 0} | {row["state"]: row["contacts"] for row in rows}


def _rows(db: Database, account_ids: Sequence[int], sql: str, **parameters: Any) -> Mapping[int, list[Row]]:
    """Query some accounts; return the rows of each by its key."""
    found: defaultdict[int, list[Row]] = defaultdict(list)
    if account_ids:
        times = [name for name in TIMES if f" AS {name}" in sql]
        for row in db.execute(sql, times=times, account_ids=list(account_ids), **parameters).mappings():
            values = dict(row)
            found[values.pop("account_id")].append(values)
    return found


def read_senders(
    db: Database, selection: Selection, *, now: datetime, limits: Mapping[str, int] | None = None
) -> list[SenderStatus]:
    """
    Read the status of each sender that the store knows.

    :param now: timezone-aware; determines the day of the budget and overdue checks.
    :param limits: daily checks of the senders, where known. These senders are always listed.
    :returns: by sender.
    """
    known = limits or {}
    found: defaultdict[str, dict[str, Any]] = defaultdict(dict, {sender: {} for sender in known})
    for row in db.execute(SPENT, day=utc_day(now)):
        found[row.sender]["spent"] = int(row.spent)
    for checks in db.execute(CHECKS, times=("oldest_open_at",), now=now, silent_since=now - LOST_AFTER).mappings():
        found[checks["sender"]].update(checks)
    for row in db.execute(NUMBERS):
        found[row.sender].setdefault("numbers", {})[row.status] = row.numbers
    for sender, identities in count_pending(db).items():
        found[sender]["pending_identities"] = identities
    for row in db.execute(SENDER_REJECTS, times=("last_at",)):
        found[row.sender].setdefault("rejects", []).append(Rejected(row.reason, row.rejects, row.last_at))
    return [
        SenderStatus(**{**found[sender], "sender": sender, "limit": known.get(sender)})
        for sender in sorted(found)
        if selection.takes(SENDERS, sender)
    ]
