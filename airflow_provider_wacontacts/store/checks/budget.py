"""How many numbers a sender may be asked about in a day, drawn before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_wacontacts.store.database import Database

__all__ = ["draw", "spent", "utc_day"]

DAY = "INSERT INTO {at}wacontacts_budget (sender, day, spent) VALUES (:sender, :day, 0) ON CONFLICT DO NOTHING"
DRAW = """
UPDATE {at}wacontacts_budget SET spent = spent + :wanted
WHERE sender = :sender AND day = :day AND spent + :wanted <= :limit
"""
SPENT = "SELECT spent FROM {at}wacontacts_budget WHERE sender = :sender AND day = :day"


def utc_day(moment: datetime) -> str:
    """Return the UTC day that a budget is for."""
    return moment.astimezone(UTC).date().isoformat()


def draw(db: Database, sender: str, day: str, *, wanted: int, limit: int) -> int:
    """
    Draw as much of a day's budget as is wanted, or what is left of it.

    :param limit: checks that the sender may make in the day.
    :returns: how much was drawn; it is given back where the transaction does not commit.
    """
    if wanted <= 0:
        return 0
    own: dict[str, Any] = {"sender": sender, "day": day}
    db.execute(DAY, **own)
    while wanted > 0:
        if db.execute(DRAW, **own, wanted=wanted, limit=limit).rowcount == 1:
            return wanted
        wanted = min(wanted, limit - int(db.execute(SPENT + db.locked, **own).scalar_one()))
    return 0


def spent(db: Database, sender: str, day: str) -> int:
    """Return how much of a day's budget is drawn."""
    return int(db.execute(SPENT, sender=sender, day=day).scalar() or 0)
