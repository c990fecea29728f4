"""An extraction of a window: one attempt, with batches that are committed one by one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.identifiers.suppression import Named
from airflow_provider_wacontacts.records.record import Record, Reject
from airflow_provider_wacontacts.store import accounts, ledger
from airflow_provider_wacontacts.store.attempts import ExtractionAttempt
from airflow_provider_wacontacts.store.batches import (
    Batch,
    dedupe_and_number,
    flag_repaired,
    insert_rejects,
    write_bisecting,
)
from airflow_provider_wacontacts.store.changes import Changes
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.erasure import erase_named
from airflow_provider_wacontacts.store.fields import FieldObservation, is_latest, record_fields
from airflow_provider_wacontacts.store.superseded import without_purged

__all__ = ["Extraction"]


class Extraction(ExtractionAttempt):
    """
    One attempt, created by :meth:`.Store.begin`.

    :ivar rows: contacts that this attempt has committed, including repeated ones.
    :ivar rejected: rows that it has quarantined, including rows that the database refused.
    """

    def __init__(self, context: StoreContext, started: ledger.StartedExtraction) -> None:
        super().__init__(context, started)
        self.rows = 0
        self.rejected = 0

    def write(
        self,
        records: Sequence[Record],
        rejects: Sequence[Reject] = (),
        *,
        position: datetime | None,
        pages: int,
        size: int,
        extracted_at: datetime,
        number_ids: Collection[str] = (),
    ) -> int:
        """
        Commit a batch: rows, rejects, changes, counters and position, in one transaction.

        Rows that the database refuses become rejects. Erased contacts are skipped and not counted. Rows of them that
        the erasure could not find are erased now. Superseded versions that the account no longer keeps are not written.

        :param records: in any order; may be empty, and may repeat each other and committed rows.
        :param position: checkpoint for a later attempt; ``None`` if it must start from the beginning.
        :param pages: number of responses in the batch.
        :param size: size of the responses in bytes.
        :param extracted_at: time of the system's first response to this attempt; the same for all its batches.
        :param number_ids: the system's IDs of the numbers that the records belong to.
        :returns: count of new versions.
        :raises ConfigError: they belong to another number than the account's earlier contacts.
        :raises LandingError: another attempt has taken over, or the database failed or lost committed rows.
        """
        context, account_id = self._context, self._started.account_id

        counts = ledger.CommitCounts(0, 0, 0, 0, 0)

        def work(db: Database, left_alone: Collection[Named]) -> set[Named]:
            nonlocal counts
            connection, tables, now = db.connection, context.tables, context.now(db.connection)
            first = ledger.lock_running(connection, tables, self.extraction_id, self.rows + self.rejected)
            if number_ids:
                accounts.pin_number_id(connection, tables, account_id, set(number_ids))
            suppression_list = context.suppression_list.locked(connection)
            kept, named = suppression_list.remove_suppressed(self._started.source, self._started.account, records)
            if unlisted := named.difference(left_alone):
                return unlisted
            batch = Batch(account_id, extracted_at, dedupe_and_number(kept, first))
            new, refused = write_bisecting(connection, context.write_batch, batch)
            new = without_purged(db, account_id, new)
            flag_repaired(connection, tables, batch)
            quarantined = [*suppression_list.remove_suppressed_rejects(rejects), *refused]
            insert_rejects(connection, tables, self.extraction_id, quarantined, received_at=now)
            counts = ledger.CommitCounts(len(kept) - len(refused), len(new), len(quarantined), pages, size)
            at: dict[str, Any] = {"position": position, "extracted_at": extracted_at, "heartbeat_at": now}
            ledger.count(connection, tables, self.extraction_id, counts, **at)
            changes = Changes(account_id)
            changes.add(new, batch.rows)
            changes.write(connection, context)
            return set()

        erase_named(context, work)
        self.rows += counts.rows
        self.rejected += counts.rejected
        return counts.new_versions

    def finish(self, state: str = "complete", fields: FieldObservation | None = None) -> ledger.ExtractionResult:
        """
        Close the attempt: it can commit nothing after this.

        :param state: ``complete``, ``incomplete`` or ``refused``.
        :param fields: the fields of its contacts; ``None`` if they were not observed.
        :raises LandingError: another attempt has taken over, or the database failed or lost committed rows.
        """
        context = self._context

        def work(connection: Connection) -> ledger.ExtractionResult:
            ledger.lock_running(connection, context.tables, self.extraction_id, self.rows + self.rejected)
            result = ledger.finish(connection, context, self.extraction_id, state)
            are_latest = is_latest(connection, context.tables, result)
            at: dict[str, Any] = {"extracted_at": result.extracted_at, "are_latest": are_latest}
            return result._replace(drift=record_fields(connection, context, self._started, fields, **at))

        result = context.transactions.run(work)
        ledger.analyze(context, result)
        return result
