"""Answers about people who were erased, while they were asked about or before: nothing of them is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_wacontacts.store.checks.model import CheckResults
from airflow_provider_wacontacts.store.checks.results import resolve_checks
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.suppression import StoredSuppressionList

__all__ = ["without_erased"]

THEIRS = """
SELECT r.check_id, r.ordinal, r.contact_key FROM {at}wacontacts_number n
JOIN {at}wacontacts_check_result r ON r.number_id = n.number_id
WHERE n.sender = :sender AND n.number IN :numbers
"""
EMPTY = """
UPDATE {at}wacontacts_check_result SET
    status = 'not_asked', reason = 'erased', input = '', number_id = NULL, number = NULL, wa_id = NULL,
    contact_key = {contact_key}, waiting = false, from_store = false, checked_at = NULL
WHERE (check_id, ordinal) IN (SELECT given.check_id, given.ordinal FROM {given})
"""
DELETE = "DELETE FROM {at}wacontacts_number WHERE sender = :sender AND number IN :numbers"


def without_erased(
    db: Database, people: StoredSuppressionList, sender: str, said: CheckResults, now: datetime
) -> CheckResults:
    """
    Leave out of an answer who was erased.

    A number that turns out to be theirs, by the WhatsApp id in the answer, is erased with its results.
    """
    erased = people.locked(db.connection)
    theirs = [
        number
        for number, (_, wa_id) in said.results.items()
        if erased and (erased.has_person(number.removeprefix("+")) or erased.has_person(wa_id))
    ]
    if not theirs:
        return said
    key = people.key(db.connection, now)
    people.add(db.connection, key, [key.hash_person(number.removeprefix("+")) for number in theirs], now)
    _empty(db, people, {"sender": sender, "numbers": theirs}, now)
    kept = {number: result for number, result in said.results.items() if number not in set(theirs)}
    return said._replace(results=kept)


def _empty(db: Database, people: StoredSuppressionList, own: dict[str, Any], now: datetime) -> None:
    erased = people.read(db.connection)
    rows = db.execute(THEIRS, **own).all()
    for contact_key, named in (("contact_key", False), ("NULL", True)):
        found = [
            {"check_id": row.check_id, "ordinal": row.ordinal}
            for row in rows
            if erased.found_in(row.contact_key or "") is named
        ]
        if found:
            given = db.given(check_id="text", ordinal="bigint")
            db.execute(EMPTY.replace("{given}", given).replace("{contact_key}", contact_key), rows=found)
    db.execute(DELETE, **own)
    resolve_checks(db, sorted({row.check_id for row in rows}), now)
