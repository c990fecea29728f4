"""Webhook deliveries that cannot be parsed, kept to inspect what the client sent."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database

__all__ = ["store_rejected_deliveries"]

#: They belong to no extraction. A delivery may be repeated.
INSERT = """
INSERT INTO {at}wacontacts_rejected_row (reason, body, delivery_hash, received_at)
VALUES (:reason, :body, :delivery_hash, :received_at) ON CONFLICT (delivery_hash) DO NOTHING
"""
HASH_BYTES = 16


def store_rejected_deliveries(context: StoreContext, reason: str, bodies: Iterable[bytes]) -> None:
    """
    Store deliveries, each once, even if it is repeated. Deliveries that mention an erased person are not stored.

    :raises LandingError: the database failed.
    """
    # Sorted, so that two writers do not deadlock.
    rejects = [Reject(reason, body) for body in sorted(set(bodies))]

    def work(db: Database) -> None:
        received_at = context.now(db.connection)
        suppression_list = context.suppression_list.locked(db.connection)
        for reject in suppression_list.remove_suppressed_rejects(rejects):
            parameters: dict[str, Any] = {"reason": reject.reason, "body": reject.body, "received_at": received_at}
            db.execute(INSERT, delivery_hash=blake2b(reject.body, digest_size=HASH_BYTES).digest(), **parameters)

    context.run(work)
