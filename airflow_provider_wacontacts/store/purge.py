"""
Retention: remove rows older than an age while tasks write. No task waits for it.

Rows are found without a lock, a page at a time, and deleted in small transactions, with pauses between them. After a
kill, run it again. To prevent purged versions from returning, the limit is stored with the account, see
:mod:`.superseded`. A purge keeps extractions that loaded files, that define the watermark or the latest snapshot, or
that still have rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.records.retention import DEFAULT_KINDS, KINDS, MIN_AGE
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.changes import Changes
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.person_keys import refresh_person_keys
from airflow_provider_wacontacts.store.superseded import SUPERSEDED, delete_superseded

__all__ = ["PurgedRows", "purge"]

#: Rows read in one query, and rows deleted in one transaction.
PAGE = 5_000
CHUNK = 500

ACCOUNTS = "SELECT account_id FROM {at}wacontacts_account ORDER BY account_id"
STORE_LIMIT = """
UPDATE {at}wacontacts_account SET {column} = :before
WHERE account_id = :account_id AND ({column} IS NULL OR {column} < :before)
"""
REJECTS = """
SELECT r.reject_id AS row_id, r.received_at < :before AS is_old FROM {at}wacontacts_rejected_row r
WHERE r.reject_id > :after ORDER BY r.reject_id LIMIT :size
"""
DELETE_REJECTS = "DELETE FROM {at}wacontacts_rejected_row WHERE reject_id IN :row_ids"
#: The age of a check is the time since its last event, or since its deadline.
TIMES_OF_CHECK = ("heartbeat_at", "deferred_until", "finished_at", "deadline_at", "resolved_at")
OLD_CHECK = f"""
    {{greatest}}(c.created_at, {", ".join(f"coalesce(c.{name}, c.created_at)" for name in TIMES_OF_CHECK)}) < :before
"""
CHECKS = f"""
SELECT c.check_number AS row_id, {OLD_CHECK} AS is_old FROM {{at}}wacontacts_check c
WHERE c.check_number > :after ORDER BY c.check_number LIMIT :size
"""
#: A partly deleted check is shown as failed.
MARK_CHECKS = "UPDATE {at}wacontacts_check SET state = 'failed', error = 'Purged' WHERE check_number IN :row_ids"
RESULTS = """
FROM {at}wacontacts_check_result r JOIN {at}wacontacts_check c ON c.check_id = r.check_id
WHERE c.check_number IN :row_ids
"""
DELETE_RESULTS = f"""
DELETE FROM {{at}}wacontacts_check_result
WHERE (check_id, ordinal) IN (SELECT r.check_id, r.ordinal {RESULTS} LIMIT :size)
"""
DELETE_CHECKS = "DELETE FROM {at}wacontacts_check WHERE check_number IN :row_ids"
#: The first complete extraction of an account ends its baseline. The newest ones define its watermark, and are compared
#: with the next snapshot.
BOUNDS = """
SELECT min(extracted_at) AS first_at, max(covered_until) AS covered_until, max(extraction_number) AS last_number,
    max(CASE WHEN groups_seen IS NOT NULL THEN extracted_at END) AS groups_at,
    max(CASE WHEN others_seen IS NOT NULL THEN extracted_at END) AS others_at
FROM {at}wacontacts_extraction WHERE account_id = :account_id AND state = 'complete'
"""
TIMES_OF_BOUNDS = ("first_at", "covered_until", "groups_at", "others_at")
#: A version's ID begins with the number of its extraction.
EXTRACTIONS = """
SELECT e.extraction_number AS row_id, coalesce(
    coalesce(e.finished_at, e.deferred_until, e.heartbeat_at, e.started_at) < :before
    AND NOT (e.uri IS NOT NULL AND e.state IN ('complete', 'incomplete', 'refused'))
    AND NOT (e.state = 'complete' AND (
        e.extracted_at <= :first_at OR e.covered_until >= :covered_until
        OR (e.groups_seen IS NOT NULL AND e.extracted_at >= :groups_at)
        OR (e.others_seen IS NOT NULL AND e.extracted_at >= :others_at)
    ))
    AND NOT (e.state = 'incomplete' AND e.extraction_number > :last_number)
    AND NOT EXISTS (
        SELECT 1 FROM {at}wacontacts_contact_version v
        WHERE v.account_id = e.account_id AND v.version_id >= e.extraction_number << 32
            AND v.version_id < (e.extraction_number + 1) << 32
    )
    AND NOT EXISTS (SELECT 1 FROM {at}wacontacts_rejected_row r WHERE r.extraction_id = e.extraction_id)
, false) AS is_old
FROM {at}wacontacts_extraction e WHERE e.account_id = :account_id AND e.extraction_number > :after
ORDER BY e.extraction_number LIMIT :size
"""
DELETE_EXTRACTIONS = "DELETE FROM {at}wacontacts_extraction WHERE extraction_number IN :row_ids"
VERSIONS = f"""
SELECT v.version_id AS row_id, CASE WHEN v.updated_at <= :before THEN {SUPERSEDED} ELSE false END AS is_old
FROM (
    SELECT * FROM {{at}}wacontacts_contact_version
    WHERE account_id = :account_id AND version_id > :after ORDER BY version_id LIMIT :size
) v ORDER BY v.version_id
"""


class PurgedRows(NamedTuple):
    """
    Counts of purged rows.

    :param results: results of the checks, including rejected inputs.
    :param rejects: rejected rows of extractions.
    :param versions: superseded versions of contacts.
    """

    checks: int = 0
    results: int = 0
    rejects: int = 0
    extractions: int = 0
    versions: int = 0


def purge(
    context: StoreContext, max_age: timedelta, kinds: Collection[str] = DEFAULT_KINDS, *, dry_run: bool = False
) -> PurgedRows:
    """
    Remove rows that are older than an age. Followers of the change log see purged versions as ``erased``.

    Ages start at the end of a check, the receipt of a rejected row, the end or last heartbeat of an extraction, and the
    time when another version superseded a version.

    :param max_age: one day or longer.
    :param kinds: one or more of :data:`~.records.retention.KINDS`.
    :param dry_run: only count.
    :raises ConfigError: the age is too short, or a kind is unknown.
    :raises LandingError: the database failed. Run it again.
    """
    if max_age < MIN_AGE:
        raise ConfigError("max_age is shorter than a day. Set it to the retention period, for example 365 days.")
    if not kinds or not {*kinds} <= {*KINDS}:
        raise ConfigError(f"Set what to purge to one or more of {', '.join(KINDS)}.")
    old_rows = _Purge(context, context.now() - max_age, dry_run=dry_run)
    # Extractions come last: they are kept while they have versions or rejected rows.
    works: Mapping[str, Callable[[], PurgedRows]] = {
        "checks": old_rows.checks,
        "rejects": old_rows.rejects,
        "versions": old_rows.versions,
        "extractions": old_rows.extractions,
    }
    counts = [work() for kind, work in works.items() if kind in kinds]
    return PurgedRows(*map(sum, zip(*counts, strict=True)))


class _Purge:
    """A purge of all rows before one time."""

    def __init__(self, context: StoreContext, before: datetime, *, dry_run: bool) -> None:
        self._context = context
        self._before = before
        self._dry_run = dry_run

    def checks(self) -> PurgedRows:
        checks = results = 0
        for ids in self._old(CHECKS):
            checks += len(ids)
            results += self._count_results(ids) if self._dry_run else self._delete_checks(ids)
        return PurgedRows(checks=checks, results=results)

    def rejects(self) -> PurgedRows:
        return PurgedRows(rejects=sum(self._delete(DELETE_REJECTS, ids) for ids in self._old(REJECTS)))

    def extractions(self) -> PurgedRows:
        deleted = 0
        for account_id in self._account_ids():
            parameters = {"account_id": account_id, **self._bounds(account_id)}
            for n, ids in enumerate(self._old(EXTRACTIONS, **parameters)):
                if not n:
                    self._store_limit("extractions_purged_before", account_id)
                deleted += self._delete(DELETE_EXTRACTIONS, ids)
        return PurgedRows(extractions=deleted)

    def versions(self) -> PurgedRows:
        deleted = 0
        for account_id in self._account_ids():
            if not self._dry_run:
                # Versions written before the limit was stored are found here. Later transactions observe the limit.
                self._store_limit("versions_purged_before", account_id)
                self._context.locks.wait_for_writers()
            for ids in self._old(VERSIONS, account_id=account_id):
                work = partial(self._delete_versions, account_id, ids)
                deleted += len(ids) if self._dry_run else self._run(work)
        return PurgedRows(versions=deleted)

    def _old(self, sql: str, **given: Any) -> Iterator[Sequence[int]]:
        """Yield the IDs of old rows, at most :data:`CHUNK` at a time."""
        after = 0
        while True:
            with self._context.read() as db:
                rows = db.execute(sql, after=after, size=PAGE, before=self._before, **given).all()
            old = [row.row_id for row in rows if row.is_old]
            yield from batched(old, CHUNK)
            if len(rows) < PAGE:
                return
            after = rows[-1].row_id

    def _account_ids(self) -> list[int]:
        with self._context.read() as db:
            return [account_id for (account_id,) in db.execute(ACCOUNTS)]

    def _bounds(self, account_id: int) -> dict[str, Any]:
        with self._context.read() as db:
            return dict(db.execute(BOUNDS, times=TIMES_OF_BOUNDS, account_id=account_id).mappings().one())

    def _store_limit(self, column: str, account_id: int) -> None:
        sql = STORE_LIMIT.replace("{column}", column)
        if not self._dry_run:
            self._run(lambda db: db.execute(sql, account_id=account_id, before=self._before).rowcount)

    def _delete(self, sql: str, ids: Sequence[int]) -> int:
        return len(ids) if self._dry_run else self._run(lambda db: db.execute(sql, row_ids=ids).rowcount)

    def _count_results(self, ids: Sequence[int]) -> int:
        with self._context.read() as db:
            return int(db.execute(f"SELECT count(*) {RESULTS}", row_ids=ids).scalar_one())

    def _delete_checks(self, ids: Sequence[int]) -> int:
        self._run(lambda db: db.execute(MARK_CHECKS, row_ids=ids).rowcount)
        deleted = 0
        while chunk := self._run(lambda db: db.execute(DELETE_RESULTS, row_ids=ids, size=CHUNK).rowcount):
            deleted += chunk
        self._run(lambda db: db.execute(DELETE_CHECKS, row_ids=ids).rowcount)
        return deleted

    def _delete_versions(self, account_id: int, ids: Sequence[int], db: Database) -> int:
        deleted = delete_superseded(db, account_id, ids, self._before)
        changes = Changes(account_id)
        changes.extend("erased", deleted.version_ids)
        changes.write(db.connection, self._context)
        refresh_person_keys(db, self._context.locks, user_ids=deleted.user_ids, lids=deleted.lids)
        return len(deleted.version_ids)

    def _run(self, work: Callable[[Database], int]) -> int:
        """Do work in a small transaction, and pause as long as it took, so that other tasks can write."""
        started = time.monotonic()
        done = self._context.run_yielding(work)
        time.sleep(time.monotonic() - started)
        return done
