"""Add inputs to a check: each is stored, each number counts once, and fresh results are reused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.checks.model import NO_OPT_IN, OPTED_OUT, REUSABLE, CheckInput
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.person_keys import add_numbers

__all__ = ["BATCH_SIZE", "add", "close", "reuse_of_other_senders"]

ERASED = "erased"
ADD_ROWS = """
INSERT INTO {at}wacontacts_check_result
    (check_id, ordinal, contact_key, input, number_id, number, status, reason, duplicate)
SELECT CAST(:check_id AS {uuid}), given.ordinal, given.contact_key, given.input, n.number_id, given.number,
    given.status, given.reason, given.is_repeated OR (
        n.number_id IS NOT NULL AND EXISTS (
            SELECT 1 FROM {at}wacontacts_check_result r WHERE r.check_id = :check_id AND r.number_id = n.number_id
        )
    )
FROM {given} LEFT JOIN {at}wacontacts_number n ON n.sender = :sender AND n.number = given.number
"""
TYPES = {
    "ordinal": "bigint",
    "contact_key": "text",
    "input": "text",
    "number": "text",
    "status": "text",
    "reason": "text",
    "is_repeated": "boolean",
}
OPTED_OUT_NUMBERS = """
SELECT DISTINCT number_id, reason FROM {at}wacontacts_check_result WHERE check_id = :check_id AND reason IN :reasons
"""
#: No statement joins a check's rows with one another: PostgreSQL has no statistics of a new check.
OPT_OUT = """
UPDATE {at}wacontacts_check_result SET status = 'not_asked', reason = :reason
WHERE check_id = :check_id AND status IS NULL AND number_id IN :number_ids
"""
BATCH_SIZE = 5_000
REUSE = """
UPDATE {at}wacontacts_check_result AS r SET (status, wa_id, checked_at, from_store) = (
    SELECT n.status, n.wa_id, n.checked_at, true FROM {at}wacontacts_number n WHERE n.number_id = r.number_id
)
WHERE r.check_id = :check_id AND r.status IS NULL AND EXISTS (
    SELECT 1 FROM {at}wacontacts_number n
    WHERE n.number_id = r.number_id AND n.status IN :reusable AND n.checked_at > :fresh_after
)
"""
IS_OF_OTHER_SENDER = """
    o.number = r.number AND o.sender <> :sender AND o.status IN :reusable AND o.checked_at > :fresh_after
"""
VERSIONS_OF_OTHER_SENDERS = f"""
SELECT DISTINCT o.client_version FROM {{at}}wacontacts_check_result r
JOIN {{at}}wacontacts_number o ON {IS_OF_OTHER_SENDER}
WHERE r.check_id = :check_id AND r.status IS NULL
"""
REUSE_OF_OTHER_SENDERS = f"""
UPDATE {{at}}wacontacts_check_result AS r SET (status, wa_id, checked_at, from_sender, from_store) = (
    SELECT o.status, o.wa_id, o.checked_at, o.sender, true FROM {{at}}wacontacts_number o
    WHERE {IS_OF_OTHER_SENDER} AND coalesce(o.client_version, '') IN :versions
    ORDER BY o.checked_at DESC, o.number_id LIMIT 1
)
WHERE r.check_id = :check_id AND r.status IS NULL AND EXISTS (
    SELECT 1 FROM {{at}}wacontacts_number o
    WHERE {IS_OF_OTHER_SENDER} AND coalesce(o.client_version, '') IN :versions
)
"""
CLOSE = "UPDATE {at}wacontacts_check SET filled_at = :now WHERE check_id = :check_id"


def add(
    db: Database,
    sender: str,
    check_id: str,
    inputs: Sequence[CheckInput],
    *,
    first: int,
    suppression_list: SuppressionList,
) -> list[str]:
    """
    Add inputs to a check.

    :param first: ordinal of the first input, 0 and up.
    :param suppression_list: erased people. Their numbers are not checked, and their inputs are not stored.
    :returns: keys of their numbers.
    """
    rows = _rows(inputs, first)
    if suppression_list is not NO_SUPPRESSIONS:
        rows = [_without_erased(row, suppression_list) for row in rows]
    keys = add_numbers(db, sender, {row["number"] for row in rows if row["number"] is not None})
    db.execute(ADD_ROWS.replace("{given}", db.given(**TYPES)), rows=rows, sender=sender, check_id=check_id)
    return keys


def close(db: Database, check_id: str, *, fresh_after: datetime | None, now: datetime) -> None:
    """
    Close a check's inputs: leave out a number that opted out in any spelling, and reuse fresh results.

    :param fresh_after: ``None`` if stored results are not reused.
    """
    reasons = (OPTED_OUT, NO_OPT_IN)
    found = db.execute(OPTED_OUT_NUMBERS, check_id=check_id, reasons=reasons).all()
    for reason in reasons:
        numbers = [row.number_id for row in found if row.reason == reason]
        for batch in batched(numbers, BATCH_SIZE):
            db.execute(OPT_OUT, check_id=check_id, number_ids=batch, reason=reason)
    if fresh_after is not None:
        db.execute(REUSE, check_id=check_id, fresh_after=fresh_after, reusable=REUSABLE)
    db.execute(CLOSE, check_id=check_id, now=now)


def reuse_of_other_senders(db: Database, is_shareable: Callable[[str | None], bool], **key: Any) -> None:
    """
    Reuse fresh results of other senders; each row then names the sender.

    :param is_shareable: whether results of a client of this version are reused.
    :param key: ``check_id``, ``sender`` and ``fresh_after``.
    """
    found = db.execute(VERSIONS_OF_OTHER_SENDERS, reusable=REUSABLE, **key)
    if versions := [version or "" for (version,) in found if is_shareable(version)]:
        db.execute(REUSE_OF_OTHER_SENDERS, reusable=REUSABLE, versions=versions, **key)


def _rows(inputs: Sequence[CheckInput], first: int) -> list[dict[str, Any]]:
    seen: set[str] = set()
    rows = []
    for ordinal, given in enumerate(inputs, first):
        status, reason = _initial_status(given)
        is_repeated = given.number in seen
        if given.number is not None:
            seen.add(given.number)
        rows.append(
            {
                "ordinal": ordinal,
                "contact_key": given.contact_key,
                "input": given.input,
                "number": given.number,
                "status": status,
                "reason": reason,
                "is_repeated": is_repeated,
            }
        )
    return rows


def _without_erased(row: dict[str, Any], suppression_list: SuppressionList) -> dict[str, Any]:
    """Clear the row of an erased person, or a key that mentions an erased person."""
    key, number = row["contact_key"], row["number"]
    if key is not None and suppression_list.found_in(key):
        row = row | {"contact_key": None}
    if suppression_list.has(Identifier(Kind.NUMBER, number)) if number else suppression_list.found_in(row["input"]):
        return row | {"input": "", "number": None, "status": "not_asked", "reason": ERASED}
    return row


def _initial_status(given: CheckInput) -> tuple[str | None, str | None]:
    if given.number is None:
        return "rejected", given.reason or "not a number"
    return ("not_asked", given.reason or OPTED_OUT) if given.opted_in is False else (None, None)
