"""Deliveries to a webhook that cannot be read, kept for a look at what the client sent."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database

__all__ = ["store_rejected_delivery"]

#: They belong to no extraction. A delivery may be repeated.
INSERT = """
INSERT INTO {at}wacontacts_rejected_row (reason, body, received_at)
SELECT :reason, :body, :received_at WHERE NOT EXISTS (
    SELECT 1 FROM {at}wacontacts_rejected_row WHERE extraction_id IS NULL AND reason = :reason AND body = :body
)
"""


def store_rejected_delivery(context: StoreContext, reason: str, body: bytes, *, received_at: datetime) -> None:
    """
    Store a delivery, once, however often it is repeated. One that mentions an erased person is not stored.

    :param received_at: when it arrived, timezone-aware.
    :raises LandingError: the database failed.
    """

    def work(db: Database) -> None:
        suppressed = context.suppressions.locked(db.connection)
        for reject in suppressed.remove_suppressed_rejects([Reject(reason, body)]):
            db.execute(INSERT, reason=reject.reason, body=reject.body, received_at=received_at)

    context.run(work)
