"""Batches into SQLite. The transaction holds the only write lock, so nobody writes in between."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.store.batches import Batch, Write
from airflow_provider_wacontacts.store.tables import Tables, sqlite_time

__all__ = ["writer"]

SIGHTINGS = """
INSERT INTO {at}wacontacts_sighting AS kept
    (version_id, account_id, contact_id, updated_at, row_hash, first_seen_at, last_seen_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account_id, contact_id, updated_at, row_hash) DO UPDATE
SET first_seen_at = min(kept.first_seen_at, excluded.first_seen_at),
    last_seen_at = max(kept.last_seen_at, excluded.last_seen_at)
WHERE excluded.first_seen_at < kept.first_seen_at OR excluded.last_seen_at > kept.last_seen_at
"""
NEW = "SELECT version_id FROM {at}wacontacts_sighting WHERE version_id BETWEEN ? AND ?"
BODIES = "INSERT INTO {at}wacontacts_body (version_id, repaired, state, wa_id, payload) VALUES (?, ?, ?, ?, ?)"
HEADS = """
INSERT INTO {at}wacontacts_head AS kept (version_id, account_id, updated_at, last_seen_at, contact_id, row_hash)
SELECT version_id, account_id, updated_at, last_seen_at, contact_id, row_hash FROM {at}wacontacts_sighting
WHERE account_id = ? AND contact_id = ? AND updated_at = ? AND row_hash = ?
ON CONFLICT (account_id, contact_id) DO UPDATE
SET version_id = excluded.version_id, updated_at = excluded.updated_at,
    last_seen_at = excluded.last_seen_at, row_hash = excluded.row_hash
WHERE (excluded.updated_at, excluded.last_seen_at, excluded.row_hash)
    > (kept.updated_at, kept.last_seen_at, kept.row_hash)
"""


def writer(tables: Tables) -> Write:
    """Return what writes batches into a store's tables."""
    sightings, new, bodies, heads = (sql.format(at=tables.prefix) for sql in (SIGHTINGS, NEW, BODIES, HEADS))

    def write(connection: Connection, batch: Batch) -> int:
        seen_at = sqlite_time(batch.seen_at)
        keys = {
            number: (batch.account_id, record.contact_id, sqlite_time(record.updated_at), record.row_hash)
            for number, record in batch.rows
        }
        connection.exec_driver_sql(sightings, [(number, *key, seen_at, seen_at) for number, key in keys.items()])
        first, last = batch.rows[0].version_id, batch.rows[-1].version_id
        numbers = {number for (number,) in connection.exec_driver_sql(new, (first, last))}
        if numbers:
            connection.exec_driver_sql(
                bodies,
                [
                    (number, record.repaired, record.state, record.wa_id, record.payload.decode())
                    for number, record in batch.rows
                    if number in numbers
                ],
            )
        connection.exec_driver_sql(heads, list(keys.values()))
        return len(numbers)

    return write
