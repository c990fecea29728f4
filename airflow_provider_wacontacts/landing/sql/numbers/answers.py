"""Answers on their way into the store: an older one never replaces a newer one, and all who wait are told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider_wacontacts.landing.sql.numbers.database import Database
from airflow_provider_wacontacts.landing.sql.numbers.model import CACHED_FOR, Answers

__all__ = ["ALL", "ASKED", "KNOWN", "OTHERS", "Results", "hand_on", "receive", "record", "settle"]

RESOLVED = "('valid', 'invalid', 'failed')"
#: A check is real where the client was forced, where its cache had run out, or where what it says now cannot have been
#: in its cache: before, the answer was on its way, or had failed.
IS_REAL = """
    :forced OR kept.checked_at IS NULL OR kept.checked_at <= :cached_after
    OR kept.status NOT IN ('valid', 'invalid', 'failed', 'missing')
    OR (kept.status = 'failed' AND excluded.status <> 'failed')
"""
KEEP = f"""
INSERT INTO {{at}}wacontacts_number AS kept (
    sender, number, status, wa_id, checked_at, answered_at, asked_at, asked_with_force, client_version, failures
)
SELECT :sender, given.number, given.status, given.wa_id,
    CASE WHEN given.status IN {RESOLVED} THEN CAST(:answered_at AS {{time}}) END,
    CAST(:answered_at AS {{time}}), CAST(:asked_at AS {{time}}), :forced, CAST(:client_version AS text),
    CASE WHEN given.status = 'failed' THEN 1 ELSE 0 END
FROM {{given}} WHERE true
ORDER BY given.number
ON CONFLICT (sender, number) DO UPDATE SET
    status = excluded.status,
    wa_id = CASE WHEN excluded.wa_id IS NULL AND excluded.status <> 'invalid' THEN kept.wa_id ELSE excluded.wa_id END,
    checked_at = CASE
        WHEN excluded.checked_at IS NOT NULL AND ({IS_REAL}) THEN excluded.checked_at ELSE kept.checked_at END,
    answered_at = excluded.answered_at,
    asked_at = excluded.asked_at,
    asked_with_force = excluded.asked_with_force,
    client_version = coalesce(excluded.client_version, kept.client_version),
    failures = CASE WHEN excluded.status = 'failed' THEN kept.failures + 1
        WHEN excluded.status IN {RESOLVED} THEN 0 ELSE kept.failures END
"""  # noqa: S608 - no value of a row is in it
#: What was asked later counts; of one second, what is final.
NEWER = f"""
WHERE kept.answered_at IS NULL OR excluded.answered_at > kept.answered_at
    OR (excluded.answered_at = kept.answered_at AND (excluded.status IN {RESOLVED} OR kept.status NOT IN {RESOLVED}))
"""
#: A delivery does not say when the number was looked up. It counts where one is awaited, or the last is out of date.
EXPECTED = f"""
WHERE kept.checked_at IS NULL OR kept.checked_at <= :cached_after
    OR (kept.status NOT IN {RESOLVED} AND excluded.answered_at >= kept.answered_at)
"""
NUMBERS = "SELECT number_id FROM {at}wacontacts_number WHERE sender = :sender AND number IN :numbers ORDER BY number_id"
LOCK = NUMBERS + " FOR UPDATE"
HAND_ON = f"""
UPDATE {{at}}wacontacts_check_result AS r
SET (status, wa_id, checked_at, from_store, failures, waiting) = (
    SELECT n.status, n.wa_id, n.checked_at, {{from_store}},
        r.failures + CASE WHEN n.status = 'failed' THEN 1 ELSE 0 END,
        n.status NOT IN {RESOLVED} OR (n.status = 'failed' AND r.failures + 1 <= c.recheck_failed)
    FROM {{at}}wacontacts_number n, {{at}}wacontacts_check c
    WHERE n.number_id = r.number_id AND c.check_id = r.check_id
)
WHERE r.number_id IN :number_ids AND {{whose}} AND (
    r.status IS NULL OR EXISTS (
        SELECT 1 FROM {{at}}wacontacts_number n WHERE n.number_id = r.number_id
            AND (n.status <> r.status OR n.asked_at = CAST(:asked_at AS {{time}}))
    )
)
"""  # noqa: S608 - no value of a row is in it


class Results(NamedTuple):
    """Which results are told of an answer, and what that makes of their ``from_store``; both in SQL."""

    rows: str
    from_store: str


ASKED = Results("r.check_id = :check_id", "false")
KNOWN = Results("r.check_id = :check_id", "true")
OTHERS = Results("r.waiting AND r.check_id <> :check_id", "r.from_store")
ALL = Results("r.waiting", "r.from_store")
SETTLE = """
UPDATE {at}wacontacts_check AS c SET state = 'resolved', resolved_at = :now_at
WHERE c.state = 'open' AND c.finished_at IS NOT NULL AND c.check_id IN (
    SELECT r.check_id FROM {at}wacontacts_check_result r WHERE r.number_id IN :number_ids
) AND NOT EXISTS (SELECT 1 FROM {at}wacontacts_check_result w WHERE w.check_id = c.check_id AND w.waiting)
"""
FREE = "UPDATE {at}wacontacts_number SET claimed_for = NULL, claimed_until = NULL WHERE number_id IN :number_ids"


def record(db: Database, sender: str, check_id: str, answers: Answers) -> None:
    """Keep what an answer says, hand it to the check that asked and to all who wait for it, and free the numbers."""
    if answers.results:
        number_ids = _keep(db, sender, answers, NEWER)
        db.execute(FREE, number_ids=number_ids)
        hand_on(db, number_ids, ASKED, check_id=check_id, asked_at=answers.asked_at)
        hand_on(db, number_ids, OTHERS, check_id=check_id, asked_at=answers.asked_at)
        settle(db, number_ids, answers.asked_at)


def receive(db: Database, sender: str, answers: Answers) -> None:
    """Keep what was delivered, where it is not known already, and hand it to all who wait for it."""
    if answers.results:
        number_ids = _keep(db, sender, answers, EXPECTED)
        hand_on(db, number_ids, ALL, asked_at=answers.asked_at)
        settle(db, number_ids, answers.asked_at)


def hand_on(
    db: Database,
    number_ids: Sequence[int],
    whose: Results,
    *,
    check_id: str | None = None,
    asked_at: datetime | None = None,
) -> None:
    """
    Copy what is known of numbers to results.

    :param whose: :data:`ASKED` and :data:`KNOWN` for those of one check, which has asked or need not ask;
        :data:`OTHERS` for those that wait in the other checks; :data:`ALL` for those that wait in any.
    :param asked_at: of the answer that has just been kept: a failure counts once, and not at all if it is late.
    """
    sql = HAND_ON.replace("{whose}", whose.rows).replace("{from_store}", whose.from_store)
    own: dict[str, Any] = {} if check_id is None else {"check_id": check_id}
    db.execute(sql, number_ids=list(number_ids), asked_at=asked_at, **own)


def settle(db: Database, number_ids: Sequence[int], now: datetime) -> None:
    """Resolve the finished checks that waited for numbers and wait for none any more."""
    db.execute(SETTLE, number_ids=list(number_ids), now_at=now)


def _keep(db: Database, sender: str, answers: Answers, guard: str) -> list[int]:
    rows = [{"number": number, "status": said[0], "wa_id": said[1]} for number, said in answers.results.items()]
    source = db.given(number="text", status="text", wa_id="text")
    numbers: dict[str, Any] = {"sender": sender, "numbers": list(answers.results)}
    if not db.is_sqlite:
        # All who write lock in the order of the keys; an upsert would take its own.
        db.execute(LOCK, **numbers)
    db.execute(
        KEEP.replace("{given}", source) + guard,
        rows=rows,
        sender=sender,
        answered_at=answers.answered_at,
        asked_at=answers.asked_at,
        cached_after=answers.answered_at - CACHED_FOR,
        client_version=answers.client_version,
        forced=answers.forced,
    )
    return [number_id for (number_id,) in db.execute(NUMBERS, **numbers)]
