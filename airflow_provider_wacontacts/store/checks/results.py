"""Store results: an older one never replaces a newer one, and each waiting check gets a copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.mentions import Mentions
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, Named, SuppressionList
from airflow_provider_wacontacts.store.checks.identifiers import IDS, refresh_keys, store_ids
from airflow_provider_wacontacts.store.checks.model import (
    BEGINNING_OF_TIME,
    CACHED_FOR,
    FINAL,
    MAX_OMISSIONS,
    MISSING,
    UNCHECKED,
    CheckResults,
    CheckTotals,
    NumberResult,
)
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.person_keys import add_numbers
from airflow_provider_wacontacts.store.person_search import PersonSearch

__all__ = [
    "KNOWN",
    "CopyScope",
    "client_versions",
    "copy_to_results",
    "count_totals",
    "record",
    "record_delivered",
    "resolve_checks",
]

NUMBERS = """
SELECT number_id, number, status, checked_at, answered_at, asked_at, lid_key, user_id_key
FROM {at}wacontacts_number WHERE sender = :sender AND number IN :numbers ORDER BY number_id
"""
TIMES = ("checked_at", "answered_at", "asked_at")
#: A result is from a real check if it bypassed the client's cache, if the cache had expired, or if it cannot have been
#: in the cache: the last result was not final, or had failed.
IS_REAL = """
    :forced OR kept.checked_at IS NULL OR kept.checked_at <= :cached_after
    OR (kept.status NOT IN :final AND kept.status <> 'missing')
    OR (kept.status = 'failed' AND excluded.status <> 'failed')
"""
UPDATE_STATUS = f"""
UPDATE {{at}}wacontacts_number AS kept SET
    status = excluded.status,
    checked_at = CASE
        WHEN excluded.checked_at IS NOT NULL AND ({IS_REAL}) THEN excluded.checked_at ELSE kept.checked_at END,
    answered_at = CASE WHEN kept.answered_at > excluded.answered_at THEN kept.answered_at ELSE excluded.answered_at END,
    client_version = CASE WHEN :is_response THEN excluded.client_version
        ELSE coalesce(excluded.client_version, kept.client_version) END,
    failures = CASE WHEN excluded.status = 'failed' THEN kept.failures + 1
        WHEN excluded.status IN :final THEN 0 ELSE kept.failures END
FROM (
    SELECT given.number_id, given.status, CAST(:answered_at AS {{time}}) AS answered_at,
        CASE WHEN given.status IN :final THEN CAST(:answered_at AS {{time}}) END AS checked_at,
        CAST(:client_version AS text) AS client_version
    FROM {{given}}
) excluded
WHERE kept.number_id = excluded.number_id
"""
#: After a late response, another worker may hold the lease.
END_LEASES = """
UPDATE {at}wacontacts_number SET
    asked_at = CASE WHEN asked_at > :asked_at THEN asked_at ELSE CAST(:asked_at AS {time}) END,
    forced_at = CASE WHEN NOT :forced OR forced_at > :asked_at THEN forced_at ELSE CAST(:asked_at AS {time}) END,
    leased_by = CASE WHEN leased_by <> :holder THEN leased_by END,
    leased_until = CASE WHEN leased_by <> :holder THEN leased_until END
WHERE number_id IN :number_ids
"""
COPY = """
UPDATE {at}wacontacts_check_result AS r
SET (status, wa_id, reason, checked_at, from_store, failures, omissions, waiting) = (
    SELECT n.status, n.wa_id, CAST(NULL AS text), n.checked_at, {from_store},
        r.failures + CASE WHEN n.status = 'failed' THEN 1 ELSE 0 END,
        r.omissions + CASE WHEN n.status = 'missing' THEN 1 ELSE 0 END,
        CASE n.status WHEN 'failed' THEN r.failures + 1 <= c.recheck_failed
            WHEN 'missing' THEN r.omissions + 1 < :max_omissions ELSE n.status NOT IN :final END
    FROM {at}wacontacts_number n, {at}wacontacts_check c
    WHERE n.number_id = r.number_id AND c.check_id = r.check_id
)
WHERE r.number_id IN :number_ids AND {rows} AND (
    r.status IS NULL OR r.number_id IN :news OR EXISTS (
        SELECT 1 FROM {at}wacontacts_number n WHERE n.number_id = r.number_id AND n.status <> r.status
    )
)
"""


class CopyScope(NamedTuple):
    """The rows of checks that a result is copied to, and their ``from_store`` afterwards; both in SQL."""

    rows: str
    from_store: str


OF_OPEN_CHECK = """
    r.check_id = :check_id
    AND EXISTS (SELECT 1 FROM {at}wacontacts_check o WHERE o.check_id = :check_id AND o.state = 'open')
"""
#: Rows of the open check that sent the request.
REQUESTED = CopyScope(OF_OPEN_CHECK, "false")
#: Rows of an open check that needs no request.
KNOWN = CopyScope(OF_OPEN_CHECK, "r.from_store OR r.status IS NULL")
#: Rows that wait in other checks.
WAITING_ELSEWHERE = CopyScope("r.waiting AND r.check_id <> :check_id", "r.from_store")
#: Rows that wait in any check.
WAITING = CopyScope("r.waiting", "r.from_store")
WAITING_CHECKS = "SELECT DISTINCT check_id FROM {at}wacontacts_check_result WHERE waiting AND number_id IN :number_ids"
LOCK_CHECKS = """
SELECT check_id FROM {at}wacontacts_check WHERE check_id IN :check_ids AND state = 'open' ORDER BY check_id
"""
RESOLVE = """
UPDATE {at}wacontacts_check AS c SET state = 'resolved', resolved_at = :now
WHERE c.check_id IN :check_ids AND c.state = 'open' AND c.finished_at IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM {at}wacontacts_check_result w WHERE w.check_id = c.check_id AND w.waiting
)
"""
STATE = "SELECT state FROM {at}wacontacts_check WHERE check_id = :check_id"
COUNTS = """
SELECT status, from_store, duplicate, waiting, count(*) AS n FROM {at}wacontacts_check_result
WHERE check_id = :check_id GROUP BY status, from_store, duplicate, waiting
"""
VERSIONS = """
SELECT DISTINCT n.client_version FROM {at}wacontacts_check_result r
JOIN {at}wacontacts_number n ON n.number = r.number AND n.sender = coalesce(r.from_sender, :sender)
WHERE r.check_id = :check_id AND r.status = 'valid'
"""
ROWS_OF_NUMBERS = """
SELECT r.check_id, r.ordinal, r.contact_key FROM {at}wacontacts_number n
JOIN {at}wacontacts_check_result r ON r.number_id = n.number_id
WHERE n.sender = :sender AND n.number IN :numbers
"""
CLEAR_ROWS = """
UPDATE {at}wacontacts_check_result SET
    status = 'not_asked', reason = 'erased', input = '', number_id = NULL, number = NULL, wa_id = NULL,
    contact_key = {contact_key}, waiting = false, from_store = false, checked_at = NULL
WHERE (check_id, ordinal) IN (SELECT given.check_id, given.ordinal FROM {given})
"""


def record(
    db: Database,
    context: StoreContext,
    sender: str,
    check_id: str,
    received: CheckResults,
    *,
    holder: str,
    left_alone: Collection[Named] = (),
) -> set[Identifier]:
    """
    Store the results of a check's request, copy them to it and to each check that waits for them, and end the leases.

    :param holder: holder of the leases to end.
    :param left_alone: identifiers that are never erased.
    :returns: identifiers of erased people that the results name, and that the suppression list lacks or the store still
        has. Then nothing is stored: erase these first.
    """
    suppression_list = context.suppression_list.locked(db.connection)
    results, unlisted = _without_suppressed(db, context, suppression_list, sender, received)
    if unlisted := unlisted.difference(left_alone):
        return unlisted
    if results.results:
        rows, added = _locked_numbers(db, sender, list(results.results))
        number_ids, news = _store_statuses(db, rows, results, is_response=True)
        identified = store_ids(db, rows, results)
        asked: dict[str, Any] = {"asked_at": results.asked_at, "forced": results.forced}
        db.execute(END_LEASES, number_ids=number_ids, holder=holder, **asked)
        waiting = _waiting_checks(db, number_ids)
        copy_to_results(db, number_ids, REQUESTED, news=news, check_id=check_id)
        if set(waiting) - {check_id}:
            copy_to_results(db, number_ids, WAITING_ELSEWHERE, news=news, check_id=check_id)
        resolve_checks(db, [check_id, *waiting], context.now(db.connection))
        refresh_keys(db, context.locks, identified, added)
    return set()


def record_delivered(
    db: Database,
    context: StoreContext,
    sender: str,
    received: CheckResults,
    *,
    suppression_list: SuppressionList,
    verified: bool,
    left_alone: Collection[Named] = (),
) -> set[Identifier]:
    """
    Store the new results of a callback, and copy them to each check that waits for them.

    :param suppression_list: the suppression list, which is locked.
    :param verified: whether the callback is authenticated as the client's. If not, its identifiers are left out: a
        forged callback could link a person's number with another person's WhatsApp ID.
    :returns: see :func:`record`.
    """
    if not verified:
        received = received.without_ids()
    results, unlisted = _without_suppressed(db, context, suppression_list, sender, received)
    if unlisted := unlisted.difference(left_alone):
        return unlisted
    if results.results:
        rows, added = _locked_numbers(db, sender, list(results.results))
        if results.arrives_now:  # read after the lock: it must not be before the result of another writer
            results = results.at(context.now(db.connection))
        number_ids, news = _store_statuses(db, rows, results, is_response=False)
        identified = store_ids(db, rows, results) if verified else {}
        if waiting := _waiting_checks(db, number_ids):
            copy_to_results(db, number_ids, WAITING, news=news)
            resolve_checks(db, waiting, context.now(db.connection))
        refresh_keys(db, context.locks, identified, added)
    return set()


def copy_to_results(
    db: Database, number_ids: Sequence[int], scope: CopyScope, *, news: Sequence[int] = (), check_id: str | None = None
) -> None:
    """
    Copy the status of numbers to rows of checks with another status.

    :param scope: the rows that may be copied to.
    :param news: numbers with a result that has just been stored: a repeated failure counts as well.
    """
    sql = COPY.replace("{rows}", scope.rows).replace("{from_store}", scope.from_store)
    key: dict[str, Any] = {} if check_id is None else {"check_id": check_id}
    db.execute(sql, number_ids=list(number_ids), news=list(news), final=FINAL, max_omissions=MAX_OMISSIONS, **key)


def resolve_checks(db: Database, check_ids: Sequence[str], now: datetime) -> None:
    """Resolve the finished checks that wait for no result."""
    if check_ids:
        if not db.is_sqlite:
            # If two workers store the last two results, the second must see the rows of the first.
            db.execute(LOCK_CHECKS + db.locked, check_ids=list(check_ids))
        db.execute(RESOLVE, check_ids=list(check_ids), now=now)


def count_totals(db: Database, check_id: str) -> CheckTotals:
    """Count a check's rows."""
    state = db.execute(STATE, check_id=check_id).scalar_one()
    counts: Counter[str] = Counter()
    for row in db.execute(COUNTS, check_id=check_id):
        counts["given"] += row.n
        counts.update(dict.fromkeys(_count_names(row.status, row.duplicate, row.from_store, row.waiting), row.n))
    return CheckTotals(state, **counts)


def client_versions(db: Database, sender: str, check_id: str) -> set[str | None]:
    """Return the versions of the clients that returned ``valid``; ``None`` for a response without one."""
    return {version for (version,) in db.execute(VERSIONS, sender=sender, check_id=check_id)}


def _without_suppressed(
    db: Database, context: StoreContext, suppression_list: SuppressionList, sender: str, received: CheckResults
) -> tuple[CheckResults, set[Identifier]]:
    """
    Leave out results about erased people: their number or another identifier is on the suppression list.

    The numbers are cleared from rows of checks as well.

    :returns: the others, and the identifiers of erased people that the list lacks, or that the store still has.
    """
    if suppression_list is NO_SUPPRESSIONS:
        return received, set()
    named = {number: _identifiers(number, result) for number, result in received.results.items()}
    theirs = {number: ids for number, ids in named.items() if any(map(suppression_list.has, ids))}
    if not theirs:
        return received, set()
    ids = set().union(*theirs.values())
    unlisted = {identifier for identifier in ids if not suppression_list.has(identifier)}
    # The process that suppressed them may have been killed before it deleted their rows.
    unlisted |= PersonSearch(db).existing({identifier.as_wa_id() for identifier in ids})
    _clear_rows(db, context, Mentions(ids), {"sender": sender, "numbers": sorted(theirs)})
    kept = {number: result for number, result in received.results.items() if number not in theirs}
    return received._replace(results=kept), unlisted


def _identifiers(number: str, result: tuple[Any, ...]) -> set[Identifier]:
    ids = NumberResult(*result)._asdict()
    return {Identifier(Kind.NUMBER, number), *(Identifier(Kind(kind), ids[kind]) for kind in IDS if ids[kind])}


def _store_statuses(
    db: Database, rows: Sequence[Any], results: CheckResults, *, is_response: bool
) -> tuple[list[int], list[int]]:
    """
    Store new statuses.

    :returns: the numbers of the results, and those of them with a new status.
    """
    is_news = _is_newer if is_response else _is_expected
    news = [
        {"number_id": row.number_id, "status": status}
        for row in rows
        for status, *_ in [results.results[row.number]]
        if is_news(row, status, results)
    ]
    if news:
        db.execute(
            UPDATE_STATUS.replace("{given}", db.given(number_id="bigint", status="text")),
            rows=news,
            answered_at=results.answered_at,
            cached_after=results.answered_at - CACHED_FOR,
            client_version=results.client_version,
            forced=results.forced,
            final=FINAL,
            is_response=is_response,
        )
    return [row.number_id for row in rows], [row["number_id"] for row in news]


def _locked_numbers(db: Database, sender: str, numbers: Sequence[str]) -> tuple[Sequence[Any], Sequence[str]]:
    """
    Add missing numbers.

    :returns: the rows of numbers, locked in key order like every writer does, and the keys of numbers that may be new.
    """
    wanted: dict[str, Any] = {"sender": sender, "numbers": numbers}
    rows = db.execute(NUMBERS + db.locked, times=TIMES, **wanted).all()
    if len(rows) == len(numbers):
        return rows, ()
    added = add_numbers(db, sender, sorted(set(numbers) - {row.number for row in rows}))
    return db.execute(NUMBERS + db.locked, times=TIMES, **wanted).all(), added


def _waiting_checks(db: Database, number_ids: Sequence[int]) -> list[str]:
    return [row.check_id for row in db.execute(WAITING_CHECKS, ids=("check_id",), number_ids=number_ids)]


def _is_newer(row: Any, status: str, results: CheckResults) -> bool:
    """
    Return whether a result is newer by the server's clock, is final at the same time, or is of a later request.

    The clocks of several servers may differ: a final result of a later request replaces one that is not final, whatever
    their dates.
    """
    if row.answered_at is None:
        return True
    is_final, was_final, asked_before = status in FINAL, row.status in FINAL, row.asked_at or BEGINNING_OF_TIME
    if is_final != was_final and results.asked_at != asked_before:
        later_is_final = is_final if results.asked_at > asked_before else was_final
        if later_is_final:
            return is_final
    return (results.answered_at, is_final, results.asked_at) > (row.answered_at, was_final, asked_before)


def _is_expected(row: Any, status: str, results: CheckResults) -> bool:
    """
    Return whether a callback's result is to be stored.

    A callback does not state when the number was looked up. It counts if a result is awaited, or the last one is stale.
    """
    if row.answered_at is None:
        return True
    if row.status not in FINAL and status in FINAL:
        # The clocks of the receipt and of the request are closer to each other than to the server's.
        return bool(results.answered_at >= min(row.answered_at, row.asked_at or row.answered_at))
    is_newer = (results.answered_at, status in FINAL) > (row.answered_at, row.status in FINAL)
    return is_newer and (row.status not in FINAL or row.checked_at <= results.answered_at - CACHED_FOR)


def _count_names(status: str | None, duplicate: bool, from_store: bool, waiting: bool) -> list[str]:  # noqa: FBT001
    if status == "rejected":
        return ["rejected"]
    if duplicate:
        return ["duplicates"]
    if status is None:
        return ["queued"]
    if status in UNCHECKED:
        return [status]
    result = status if status in (*FINAL, MISSING) else "processing"
    return [result, "from_store" if from_store else "asked", *(["waiting"] if waiting else [])]


def _clear_rows(db: Database, context: StoreContext, mentions: Mentions, key: dict[str, Any]) -> None:
    """Clear the rows of checks with numbers of erased people."""
    rows = db.execute(ROWS_OF_NUMBERS, ids=("check_id",), **key).all()
    for contact_key, is_mentioned in (("contact_key", False), ("NULL", True)):
        found = [
            {"check_id": row.check_id, "ordinal": row.ordinal}
            for row in rows
            if mentions.found_in(row.contact_key or "") is is_mentioned
        ]
        if found:
            given = db.given(check_id="uuid", ordinal="bigint")
            db.execute(CLEAR_ROWS.replace("{given}", given).replace("{contact_key}", contact_key), rows=found)
    resolve_checks(db, sorted({row.check_id for row in rows}), context.now(db.connection))
