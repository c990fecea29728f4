"""Inputs on their way into a check: each kept, each number once, and what the store knows answered from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionList
from airflow_provider_wacontacts.store.checks.model import CheckInput
from airflow_provider_wacontacts.store.database import Database

__all__ = ["OPTED_OUT", "add", "close"]

NUMBERS = """
INSERT INTO {at}wacontacts_number (sender, number, number_pseudonym)
SELECT DISTINCT CAST(:sender AS text), given.number, given.pseudonym FROM {given} WHERE given.number IS NOT NULL
ORDER BY 2
ON CONFLICT (sender, number) DO NOTHING
"""
RESULTS = """
INSERT INTO {at}wacontacts_check_result
    (check_id, ordinal, contact_key, input, number_id, number, status, reason, duplicate)
SELECT CAST(:check_id AS text), given.ordinal, given.contact_key, given.input, n.number_id, given.number, given.status,
    given.reason, given.is_repeated OR (
        n.number_id IS NOT NULL AND EXISTS (
            SELECT 1 FROM {at}wacontacts_check_result r WHERE r.check_id = :check_id AND r.number_id = n.number_id
        )
    )
FROM {given} LEFT JOIN {at}wacontacts_number n ON n.sender = :sender AND n.number = given.number
"""
REJECTS = """
INSERT INTO {at}wacontacts_reject (check_id, reason, body)
SELECT r.check_id, r.reason, {body} FROM {at}wacontacts_check_result r
WHERE r.check_id = :check_id AND r.status = 'rejected' AND r.ordinal BETWEEN :first AND :last
"""
BODIES = {"postgresql": "convert_to(r.input, 'UTF8')", "sqlite": "CAST(r.input AS blob)"}
OPTED_OUT = "opted out"
ERASED = "erased"
OUT = f"""
SELECT DISTINCT number_id FROM {{at}}wacontacts_check_result WHERE check_id = :check_id AND reason = '{OPTED_OUT}'
"""  # noqa: S608 - no value of a row is in it
LEAVE_OUT = f"""
UPDATE {{at}}wacontacts_check_result SET status = 'not_asked', reason = '{OPTED_OUT}'
WHERE check_id = :check_id AND status IS NULL AND number_id IN :number_ids
"""  # noqa: S608 - no value of a row is in it
#: No statement joins a check's results with one another: PostgreSQL has no statistics of a check that is new.
AT_ONCE = 5_000
#: What is fresh is answered without a question.
ANSWER = """
UPDATE {at}wacontacts_check_result AS r SET (status, wa_id, checked_at, from_store) = (
    SELECT n.status, n.wa_id, n.checked_at, true FROM {at}wacontacts_number n WHERE n.number_id = r.number_id
)
WHERE r.check_id = :check_id AND r.status IS NULL AND EXISTS (
    SELECT 1 FROM {at}wacontacts_number n
    WHERE n.number_id = r.number_id AND n.status IN ('valid', 'invalid') AND n.checked_at > :fresh_after
)
"""
CLOSE = "UPDATE {at}wacontacts_check SET filled_at = :now_at WHERE check_id = :check_id"


def add(
    db: Database,
    own: Mapping[str, Any],
    first: int,
    inputs: Sequence[CheckInput],
    erased: SuppressionList = NO_SUPPRESSIONS,
) -> None:
    """
    Add inputs to a check.

    :param own: ``sender`` and ``check_id``.
    :param first: place of the first of them among all, 0 and up.
    :param erased: who is not asked about, and whose inputs are not kept.
    """
    rows = [_emptied(row, erased) if _is_erased(row, erased) else row for row in _rows(inputs, first)]
    source = db.given(
        ordinal="bigint",
        contact_key="text",
        input="text",
        number="text",
        status="text",
        reason="text",
        is_repeated="boolean",
        pseudonym="text",
    )
    for row in rows if db.secret else ():
        row["pseudonym"] = db.pseudonym(row["number"] and row["number"][1:])
    db.execute(NUMBERS.replace("{given}", source), rows=rows, sender=own["sender"])
    db.execute(RESULTS.replace("{given}", source), rows=rows, **own)
    if any(row["status"] == "rejected" for row in rows):
        body = BODIES["sqlite" if db.is_sqlite else "postgresql"]
        last = first + len(inputs) - 1
        db.execute(REJECTS.replace("{body}", body), check_id=own["check_id"], first=first, last=last)


def close(db: Database, check_id: str, *, fresh_after: datetime | None, now: datetime) -> None:
    """
    Have all inputs: leave out whoever opted out under any spelling, and answer what is fresh.

    :param fresh_after: ``None`` where nothing the store has will do.
    """
    out = [number_id for (number_id,) in db.execute(OUT, check_id=check_id)]
    for first in range(0, len(out), AT_ONCE):
        db.execute(LEAVE_OUT, check_id=check_id, number_ids=out[first : first + AT_ONCE])
    if fresh_after is not None:
        db.execute(ANSWER, check_id=check_id, fresh_after=fresh_after)
    db.execute(CLOSE, check_id=check_id, now_at=now)


def _rows(inputs: Sequence[CheckInput], first: int) -> list[dict[str, Any]]:
    seen: set[str] = set()
    rows = []
    for ordinal, one in enumerate(inputs, first):
        status, reason = _standing(one)
        is_repeated = one.number in seen
        if one.number is not None:
            seen.add(one.number)
        rows.append(
            {
                "ordinal": ordinal,
                "contact_key": one.contact_key,
                "input": one.input,
                "number": one.number,
                "status": status,
                "reason": reason,
                "is_repeated": is_repeated,
            }
        )
    return rows


def _is_erased(row: Mapping[str, Any], erased: SuppressionList) -> bool:
    if not erased:
        return False
    number = row["number"]
    return erased.has_person(number.removeprefix("+")) if number else erased.found_in(row["input"])


def _emptied(row: dict[str, Any], erased: SuppressionList) -> dict[str, Any]:
    key = row["contact_key"]
    kept_key = None if key is not None and erased.found_in(key) else key
    return row | {"contact_key": kept_key, "input": "", "number": None, "status": "not_asked", "reason": ERASED}


def _standing(one: CheckInput) -> tuple[str | None, str | None]:
    if one.number is None:
        return "rejected", one.reason or "not a number"
    return ("not_asked", OPTED_OUT) if one.opted_in is False else (None, None)
