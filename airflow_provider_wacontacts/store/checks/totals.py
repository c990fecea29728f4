"""How a check stands, counted from its results."""

from __future__ import annotations

from collections import Counter

from airflow_provider_wacontacts.store.checks.model import FINAL, MISSING, CheckTotals
from airflow_provider_wacontacts.store.database import Database

__all__ = ["client_versions", "count"]

STATE = "SELECT state FROM {at}wacontacts_check WHERE check_id = :check_id"
COUNTS = """
SELECT status, from_store, duplicate, waiting, count(*) AS n FROM {at}wacontacts_check_result
WHERE check_id = :check_id GROUP BY status, from_store, duplicate, waiting
"""
VERSIONS = """
SELECT DISTINCT n.client_version FROM {at}wacontacts_check_result r
JOIN {at}wacontacts_number n ON n.number_id = r.number_id
WHERE r.check_id = :check_id AND r.status = 'valid'
"""


def count(db: Database, check_id: str) -> CheckTotals:
    """Count a check's results."""
    state = db.execute(STATE, check_id=check_id).scalar_one()
    found: Counter[str] = Counter()
    for row in db.execute(COUNTS, check_id=check_id):
        found["given"] += row.n
        found.update(dict.fromkeys(_kinds(row.status, row.duplicate, row.from_store, row.waiting), row.n))
    return CheckTotals(state, **found)


def client_versions(db: Database, check_id: str) -> set[str | None]:
    """Return the versions of the clients that called the check's numbers valid; ``None`` for one that did not say."""
    return {version for (version,) in db.execute(VERSIONS, check_id=check_id)}


def _kinds(status: str | None, duplicate: bool, from_store: bool, waiting: bool) -> list[str]:  # noqa: FBT001 - a row
    if status == "rejected":
        return ["rejected"]
    if duplicate:
        return ["duplicates"]
    if status is None:
        return ["queued"]
    if status == "not_asked":
        return ["not_asked"]
    answer = status if status in (*FINAL, MISSING) else "processing"
    return [answer, "from_store" if from_store else "asked", *(["waiting"] if waiting else [])]
