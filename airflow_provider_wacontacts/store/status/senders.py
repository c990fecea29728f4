"""How the senders of WhatsApp Business stand: budget, checks, numbers, and users who have changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_provider_wacontacts.store.checks.budget import utc_day
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.identities import count_pending
from airflow_provider_wacontacts.store.status.model import Rejected, Selection, Sender

__all__ = ["SOURCE", "read_senders"]

SOURCE = "whatsapp_business"

SPENT = """
SELECT sender, sum(CASE WHEN day = :day THEN spent ELSE 0 END) AS spent FROM {at}wacontacts_budget GROUP BY sender
"""
CHECKS = """
SELECT sender, count(CASE WHEN state = 'open' THEN 1 END) AS open_checks,
    count(CASE WHEN state = 'open' AND deadline_at < :now THEN 1 END) AS overdue_checks,
    min(CASE WHEN state = 'open' THEN created_at END) AS oldest_open_at
FROM {at}wacontacts_check GROUP BY sender
"""
NUMBERS = """
SELECT sender, coalesce(status, 'unasked') AS status, count(*) AS numbers FROM {at}wacontacts_number
GROUP BY sender, status ORDER BY sender, status
"""
REJECTS = """
SELECT c.sender, r.reason, count(*) AS rejects, max(c.created_at) AS last_at
FROM {at}wacontacts_reject r JOIN {at}wacontacts_check c ON c.check_id = r.check_id
GROUP BY c.sender, r.reason ORDER BY c.sender, count(*) DESC, r.reason
"""


def read_senders(
    db: Database, selection: Selection, *, now: datetime, limits: Mapping[str, int] | None = None
) -> list[Sender]:
    """
    Read all that is told of each sender that the store has heard of.

    :param now: aware: whose day the budget is of, and what is overdue.
    :param limits: how many checks a sender may make in a day, where that is known. Who is in it is told of in any case.
    :returns: by sender.
    """
    known = limits or {}
    found: defaultdict[str, dict[str, Any]] = defaultdict(dict, {sender: {} for sender in known})
    for row in db.execute(SPENT, day=utc_day(now)):
        found[row.sender]["spent"] = int(row.spent)
    for checks in db.execute(CHECKS, times=("oldest_open_at",), now=now).mappings():
        found[checks["sender"]].update(checks)
    for row in db.execute(NUMBERS):
        found[row.sender].setdefault("numbers", {})[row.status] = row.numbers
    for sender, identities in count_pending(db).items():
        found[sender]["pending_identities"] = identities
    for row in db.execute(REJECTS, times=("last_at",)):
        found[row.sender].setdefault("rejects", []).append(Rejected(row.reason, row.rejects, row.last_at))
    return [
        Sender(**{**found[sender], "sender": sender, "limit": known.get(sender)})
        for sender in sorted(found)
        if selection.takes(SOURCE, sender)
    ]
