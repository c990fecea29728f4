"""
Load snapshots: responses with all contacts of an account, without update times.

A snapshot is loaded in one transaction: readers see all of it or nothing, and a killed worker leaves only a running row
in the ledger. The transaction locks the account's row first, so snapshots of one account are written one by one, and an
attempt that waits for the lock can still be taken over. Contacts are written in batches, which limits memory use. The
database finds which contacts are known and which are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, Named
from airflow_provider_wacontacts.identifiers.whatsapp_ids import GROUP_DOMAIN
from airflow_provider_wacontacts.records.record import Record, Reject
from airflow_provider_wacontacts.records.windows import format_time
from airflow_provider_wacontacts.store import ledger
from airflow_provider_wacontacts.store.attempts import ExtractionAttempt
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.batches import (
    Batch,
    dedupe_and_number,
    flag_repaired,
    insert_rejects,
    write_bisecting,
)
from airflow_provider_wacontacts.store.changes import Changes
from airflow_provider_wacontacts.store.completeness import (
    OLDER,
    Earlier,
    Seen,
    ShrinkGuard,
    SnapshotCounts,
    earlier_snapshots,
    incomplete_reason,
    newest_snapshot,
)
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.erasure import erase_unlisted
from airflow_provider_wacontacts.store.fields import FieldObservation, record_fields
from airflow_provider_wacontacts.store.snapshot_rows import SnapshotRows, version_to_write

__all__ = ["SnapshotExtraction"]

BATCH_ROWS = 5_000


class _Sums(NamedTuple):
    """Counts of contacts written, new versions, rejects, and contacts that returned."""

    rows: int = 0
    new_versions: int = 0
    rejected: int = 0
    back: int = 0

    def plus(self, other: _Sums) -> _Sums:
        return _Sums(*map(sum, zip(self, other, strict=True)))


class SnapshotExtraction(ExtractionAttempt):
    """One attempt at a snapshot, created by :meth:`.Store.begin_snapshot`. Earlier attempts have committed nothing."""

    def __init__(self, context: StoreContext, begun: ledger.StartedExtraction, *, group: bool | None) -> None:
        super().__init__(context, begun)
        self._group = group

    def write(
        self,
        records: Callable[[], Iterable[Record]],
        rejects: Sequence[Reject] = (),
        *,
        extracted_at: datetime,
        size: int,
        is_cut: bool = False,
        is_synchronised: bool | None = None,
        guard: ShrinkGuard | None = None,
        rejected_ids: Collection[str] = (),
        has_unidentified: bool = False,
        pages: int = 1,
        fields: Callable[[], FieldObservation | None] = lambda: None,
    ) -> ledger.ExtractionResult:
        """
        Commit a whole snapshot, after concurrent snapshots of the account, and close the attempt.

        A new or changed contact gets a version with the snapshot's time. The seen times of an unchanged one widen. If
        the snapshot is complete, a missing contact gets a ``gone`` version, which keeps the last known payload. A
        snapshot older than the newest one of the same types of contacts is ``refused``, and nothing of it is written.
        If several rows have the same ID, the first one counts. Rows that the database refuses become rejects. Erased
        contacts are skipped, and count only when sizes of snapshots are compared. Rows of them that the erasure could
        not find are erased now.

        :param records: returns the contacts in the order of the response; called again if the transaction is retried.
            Their ``updated_at`` is ignored.
        :param extracted_at: when the system responded.
        :param size: bytes received.
        :param is_cut: whether the response has as many contacts as the requested limit.
        :param is_synchronised: whether the system has loaded all contacts; ``None`` if it does not say.
        :param guard: when fewer contacts than before are accepted as complete.
        :param rejected_ids: IDs of contacts with only rejected rows in the response: they are not gone.
        :param has_unidentified: whether there are rejects without a readable ID, which may be any contact.
        :param pages: responses received.
        :param fields: returns the fields of the contacts; called after these were written.
        :returns: the result, ``complete``, ``incomplete`` or ``refused``.
        :raises LandingError: another attempt has taken over, the database failed, or the newest snapshot is dated in
            the future; nothing was written.
        """
        shrinking, context = guard or ShrinkGuard(), self._context
        unlisted: set[Named] = set()

        def work(connection: Connection) -> ledger.ExtractionResult:
            writer = _SnapshotWriter(connection, context, self._started, extracted_at)
            writer.lock()
            newest = writer.newest(group=self._group)
            if newest is not None and extracted_at < newest:
                _expect_past(newest, context.now(connection))
                return writer.close("refused", _Sums(), size=size, pages=pages, reason=OLDER)
            sums = writer.write(records(), rejects, rejected_ids)
            unlisted.update(writer.unlisted)
            seen = Seen.of(*writer.seen(), group=self._group)
            earlier = writer.earlier(seen, shrinking.confirmations - 1)
            kept = writer.rows.kept(earlier.taken_at) + writer.skipped
            counts = SnapshotCounts(seen.size if sums.rows else 0, is_cut, is_synchronised, has_unidentified, kept)
            reason = incomplete_reason(counts, earlier, shrinking)
            gone = 0 if reason else writer.mark_gone(sums, group=self._group)
            result = writer.close(
                "incomplete" if reason else "complete",
                sums._replace(new_versions=sums.new_versions + gone),
                size=size,
                pages=pages,
                reason=reason,
                gone=gone,
                **seen._asdict(),
            )
            # People and groups have different fields.
            at: dict[str, Any] = {"extracted_at": extracted_at, "are_latest": not reason and self._group is None}
            return result._replace(drift=record_fields(connection, context, self._started, fields(), **at))

        result = context.transactions.run(work)
        if unlisted:
            erase_unlisted(context, unlisted)
        ledger.analyze(context, result)
        return result


class _SnapshotWriter:
    """A snapshot in its transaction."""

    def __init__(
        self, connection: Connection, context: StoreContext, begun: ledger.StartedExtraction, extracted_at: datetime
    ) -> None:
        self.rows = SnapshotRows(connection, context.tables, begun.account_id, extracted_at)
        self._connection = connection
        self._context = context
        self._tables = context.tables
        self._begun = begun
        self._extracted_at = extracted_at
        self._suppression_list = NO_SUPPRESSIONS
        self._skipped: set[str] = set()
        #: Identifiers in records of erased people that the suppression list lacks.
        self.unlisted: set[Named] = set()
        self._changes = Changes(begun.account_id)
        self._first = 0

    def lock(self) -> None:
        """Lock the account, then the extraction. Until then, a retry may take over."""
        account = self._tables.account.c.account_id
        row = select(account).where(account == self._begun.account_id)
        self._connection.execute(row.with_for_update(key_share=True))
        self._first = ledger.lock_running(self._connection, self._tables, self._begun.extraction_id, 0)
        self._suppression_list = self._context.suppression_list.locked(self._connection)

    def newest(self, *, group: bool | None) -> datetime | None:
        """Return the time of the newest snapshot that was written; ``None`` if there is none."""
        return newest_snapshot(self._connection, self._tables, self._begun.account_id, group=group)

    def earlier(self, seen: Seen, at_most: int) -> Earlier:
        """Find the snapshots that this one is compared with."""
        return earlier_snapshots(
            self._connection,
            self._tables,
            self._begun.account_id,
            seen,
            before=self._extracted_at,
            at_most=at_most,
        )

    def seen(self) -> tuple[int, int]:
        """Count the groups, and the others, in the response, including skipped ones."""
        groups, others = self.rows.seen()
        skipped_groups = sum(name.endswith(GROUP_DOMAIN) for name in self._skipped)
        return groups + skipped_groups, others + len(self._skipped) - skipped_groups

    @property
    def skipped(self) -> int:
        """The contacts of erased people in the response. Earlier snapshots may include them."""
        return len(self._skipped)

    def write(self, records: Iterable[Record], rejects: Sequence[Reject], rejected_ids: Collection[str]) -> _Sums:
        """Write the contacts of the response."""
        kept = self._suppression_list.remove_suppressed_rejects(rejects)
        self._insert_rejects(kept)
        sums = _Sums(rejected=len(kept))
        for batch in batched(records, BATCH_ROWS):
            if others := self._without_erased(batch):
                sums = sums.plus(self._write_batch(others, self._first + sums.rows + sums.rejected))
        self.rows.mark_seen(rejected_ids)
        return sums

    def mark_gone(self, sums: _Sums, *, group: bool | None) -> int:
        """Mark missing contacts as gone; return their count."""
        first = self._first + sums.rows + sums.rejected
        gone = self.rows.mark_gone(first, group=group)
        self._changes.extend("gone", range(first, first + gone))
        return gone

    def close(
        self,
        state: str,
        sums: _Sums,
        *,
        size: int,
        pages: int,
        reason: str | None,
        gone: int = 0,
        groups_seen: int | None = None,
        others_seen: int | None = None,
    ) -> ledger.ExtractionResult:
        """Close the extraction with the snapshot's counts, and write the change log."""
        connection, tables, extraction_id = self._connection, self._tables, self._begun.extraction_id
        counts = ledger.CommitCounts(sums.rows, sums.new_versions, sums.rejected, pages, size)
        ledger.count(
            connection,
            tables,
            extraction_id,
            counts,
            position=None,
            extracted_at=self._extracted_at,
            heartbeat_at=self._context.now(connection),
        )
        connection.execute(
            update(tables.extraction)
            .where(tables.extraction.c.extraction_id == extraction_id)
            .values(groups_seen=groups_seen, others_seen=others_seen, gone=gone, back=sums.back, reason=reason)
        )
        result = ledger.finish(connection, self._context, extraction_id, state)
        self._changes.write(connection, self._context)
        return result

    def _write_batch(self, records: Sequence[Record], first: int) -> _Sums:
        first_rows: dict[str, Record] = {}
        for record in records:
            first_rows.setdefault(record.contact_id, record)
        # The versions of repaired rows are flagged.
        hashes = {name: record.row_hash for name, record in first_rows.items() if not record.repaired}
        for name in self.rows.mark_unchanged(hashes):
            del first_rows[name]
        known = self.rows.known(first_rows) if first_rows else {}
        chosen = (version_to_write(record, known.get(name), self._extracted_at) for name, record in first_rows.items())
        kept = [record for record in chosen if record is not None]
        batch = Batch(self._begun.account_id, self._extracted_at, dedupe_and_number(kept, first))
        new, refused = write_bisecting(self._connection, self._context.write_batch, batch)
        flag_repaired(self._connection, self._tables, batch)
        self._insert_rejects(refused)
        was_gone = {contact_id for contact_id, version in known.items() if not version.is_present}
        returned = {row.version_id for row in batch.rows if row.record.contact_id in was_gone}
        kinds = {i: "returned" if kind == "changed" and i in returned else kind for i, kind in new.items()}
        self._changes.add(kinds, batch.rows)
        bodies = {reject.body for reject in refused}
        refused_ids = {record.contact_id for record in kept if record.payload in bodies}
        self.rows.mark_seen(refused_ids)
        back = sum(record.contact_id in was_gone - refused_ids for record in kept)
        return _Sums(len(records) - len(refused), len(new), len(refused), back)

    def _insert_rejects(self, rejects: Sequence[Reject]) -> None:
        extraction_id, now = self._begun.extraction_id, self._context.now(self._connection)
        insert_rejects(self._connection, self._tables, extraction_id, rejects, received_at=now)

    def _without_erased(self, records: list[Record]) -> list[Record]:
        source, account = self._begun.source, self._begun.account
        found = self._suppression_list.find_rows(source, account, records)
        self._skipped.update(records[index].contact_id for index in found)
        self.unlisted.update(*(self._suppression_list.unlisted(source, account, records[index]) for index in found))
        return [record for index, record in enumerate(records) if index not in found]


def _expect_past(newest: datetime, now: datetime) -> None:
    if newest > now:
        raise LandingError(
            f"The account's newest snapshot is dated {format_time(newest)}, in the future: a clock was wrong. Snapshots"
            " are refused until then. Correct the clocks, remove the account with `wacontacts store forget-account`,"
            " and sync it again."
        )
