"""How the accounts of Turn.io and GREEN-API stand, told by the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.coverage import gaps_between, join, lossy_among
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.status.model import Feed, Newest, Rejected, Selection, Unfinished

__all__ = ["read_feeds", "read_reach"]

Row: TypeAlias = dict[str, Any]

REACH = "CASE WHEN e.extracted_at < e.window_end THEN e.extracted_at ELSE coalesce(e.window_end, e.extracted_at) END"
#: The plus sign keeps the index by account out of it: going through a ledger of years in its own order is quicker.
OWN = "+e.account_id IN :account_ids"

ACCOUNTS = "SELECT account_id, source, account FROM {at}wacontacts_account ORDER BY source, account"
STATES = f"""
SELECT e.account_id, e.state, count(*) AS tries, min(e.extracted_at) AS first_at, max({REACH}) AS reached_at
FROM {{at}}wacontacts_extraction e WHERE {OWN} GROUP BY e.account_id, e.state
ORDER BY e.state
"""  # noqa: S608 - no value of a row is in it
#: No window that ends before it reaches as far, so the index by account and end leads there.
NEWEST = f"""
SELECT extraction_id, window_start, window_end, extracted_at, finished_at, {REACH} AS reached_at, lateness_s, rows,
    new_versions, rejected, groups_seen, others_seen, gone
FROM {{at}}wacontacts_extraction e
WHERE e.account_id = :account_id AND e.state = 'complete' AND {REACH} = :reached_at
    AND (e.window_end >= :reached_at OR e.window_end IS NULL)
ORDER BY e.extracted_at DESC, e.extraction_number DESC LIMIT 1
"""  # noqa: S608 - no value of a row is in it
WINDOWS = f"""
SELECT e.account_id, e.window_start AS start_at, {REACH} AS end_at, e.lateness_s <= :late_after_s AS in_time
FROM {{at}}wacontacts_extraction e
WHERE {OWN} AND e.state = 'complete' AND e.window_start < {REACH}
ORDER BY e.account_id, e.window_start
"""  # noqa: S608 - no value of a row is in it
UNFINISHED = f"""
SELECT e.account_id, e.state, e.reason, count(*) AS tries, min(e.started_at) AS first_at, max(e.started_at) AS last_at
FROM {{at}}wacontacts_extraction e LEFT JOIN (
    SELECT e.account_id, max(e.extraction_number) AS last_number FROM {{at}}wacontacts_extraction e
    WHERE {OWN} AND e.state = 'complete' GROUP BY e.account_id
) c ON c.account_id = e.account_id
WHERE {OWN} AND (
    e.state = 'running' OR e.state <> 'complete' AND (c.last_number IS NULL OR e.extraction_number > c.last_number)
)
GROUP BY e.account_id, e.state, e.reason ORDER BY e.account_id, e.state, coalesce(e.reason, '')
"""  # noqa: S608 - no value of a row is in it
REJECTS = f"""
SELECT e.account_id, r.reason, count(*) AS rejects, max(e.extracted_at) AS last_at
FROM {{at}}wacontacts_reject r JOIN {{at}}wacontacts_extraction e ON e.extraction_id = r.extraction_id
WHERE {OWN} GROUP BY e.account_id, r.reason ORDER BY e.account_id, count(*) DESC, r.reason
"""  # noqa: S608 - no value of a row is in it
CONTACTS = """
SELECT h.account_id, b.state, count(*) AS contacts
FROM {at}wacontacts_head h JOIN {at}wacontacts_body b ON b.version_id = h.version_id
WHERE h.account_id IN :account_ids GROUP BY h.account_id, b.state
"""
TIMES = ("first_at", "last_at", "reached_at")
TIMES_OF_NEWEST = ("window_start", "window_end", "extracted_at", "finished_at", "reached_at")


def read_reach(db: Database, selection: Selection) -> list[Feed]:
    """
    Read the newest complete extraction of each account, and how many there are by state; nothing else.

    It needs no more than the right to read ``wacontacts_account`` and ``wacontacts_extraction``.

    :returns: by source, then account.
    """
    return [feed for _, feed, _ in _feeds(db, selection)]


def read_feeds(db: Database, selection: Selection, *, late_after: timedelta, with_contacts: bool = False) -> list[Feed]:
    """
    Read all that is told of each account.

    :param late_after: how long after its end a window may be pulled and be in time, itself included.
    :param with_contacts: count the contacts, which goes through all of them.
    :returns: by source, then account.
    """
    known = _feeds(db, selection)
    account_ids = [account_id for account_id, _, _ in known]
    read = partial(_rows, db, account_ids)
    covered, in_time = _stretches(db, account_ids, late_after)
    unfinished, rejects = read(UNFINISHED), read(REJECTS)
    contacts = read(CONTACTS) if with_contacts else None

    def whole(account_id: int, feed: Feed, first_at: datetime | None) -> Feed:
        loss = _loss(covered[account_id], in_time[account_id], first_at)
        return replace(
            feed,
            unfinished=[Unfinished(**row) for row in unfinished[account_id]],
            rejects=[Rejected(**row) for row in rejects[account_id]],
            contacts=None if contacts is None else _counts(contacts[account_id]),
            **loss,
        )

    return [whole(*one) for one in known]


def _feeds(db: Database, selection: Selection) -> list[tuple[int, Feed, datetime | None]]:
    """Return each account with its key, and when it was first pulled."""
    accounts = [row for row in db.execute(ACCOUNTS) if selection.takes(row.source, row.account)]
    states = _rows(db, [account.account_id for account in accounts], STATES)

    def feed(account: Any) -> tuple[int, Feed, datetime | None]:
        own = states[account.account_id]
        complete = next((row for row in own if row["state"] == "complete"), None)
        newest = _newest(db, account.account_id, complete["reached_at"]) if complete else None
        extractions = {row["state"]: row["tries"] for row in own}
        found = Feed(account.source, account.account, newest, extractions=extractions)
        return account.account_id, found, complete["first_at"] if complete else None

    return [feed(account) for account in accounts]


def _newest(db: Database, account_id: int, reached_at: datetime) -> Newest | None:
    found = db.execute(NEWEST, times=TIMES_OF_NEWEST, account_id=account_id, reached_at=reached_at).mappings().first()
    return Newest(**found) if found else None


def _loss(covered: list[Window], in_time: list[Window], first_at: datetime | None) -> dict[str, Any]:
    if not covered or first_at is None:
        return {}
    return {
        "covered_from": covered[0].start,
        "baseline_until": first_at,
        "gaps": gaps_between(covered),
        "lossy": lossy_among(covered, in_time, baseline_until=first_at),
    }


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {"present": 0, "gone": 0} | {row["state"]: row["contacts"] for row in rows}


def _stretches(
    db: Database, account_ids: Sequence[int], late_after: timedelta
) -> tuple[Mapping[int, list[Window]], Mapping[int, list[Window]]]:
    """
    Return what windows cover, and what those that were pulled in time do, by account.

    The times of all windows stay as the database sends them; only the borders of stretches are read.
    """
    covered: defaultdict[int, list[tuple[Any, Any]]] = defaultdict(list)
    in_time: defaultdict[int, list[tuple[Any, Any]]] = defaultdict(list)
    if account_ids:
        asked: dict[str, Any] = {"account_ids": list(account_ids), "late_after_s": late_after.total_seconds()}
        for row in db.execute(WINDOWS, **asked):
            join(covered[row.account_id], row.start_at, row.end_at)
            if row.in_time:
                join(in_time[row.account_id], row.start_at, row.end_at)
    return _windows(covered), _windows(in_time)


def _windows(stretches: Mapping[int, list[tuple[Any, Any]]]) -> Mapping[int, list[Window]]:
    found = {key: [Window(_utc(start), _utc(end)) for start, end in own] for key, own in stretches.items()}
    return defaultdict(list, found)


def _utc(value: Any) -> datetime:
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


def _rows(db: Database, account_ids: Sequence[int], sql: str) -> Mapping[int, list[Row]]:
    """Ask about some accounts; return each one's rows by its key."""
    found: defaultdict[int, list[Row]] = defaultdict(list)
    if account_ids:
        times = [name for name in TIMES if f" AS {name}" in sql]
        for row in db.execute(sql, times=times, account_ids=list(account_ids)).mappings():
            own = dict(row)
            found[own.pop("account_id")].append(own)
    return found
