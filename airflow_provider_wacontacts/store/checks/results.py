"""Answers on their way into the store: an older one never replaces a newer one, and all who wait are told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_provider_wacontacts.store.checks.model import CACHED_FOR, FINAL, CheckResults
from airflow_provider_wacontacts.store.database import Database

__all__ = ["ALL", "ASKED", "KNOWN", "OTHERS", "Results", "hand_on", "record", "record_delivered", "resolve_checks"]

NEVER = datetime.min.replace(tzinfo=UTC)
ADD = """
INSERT INTO {at}wacontacts_number (sender, number)
SELECT CAST(:sender AS text), given.number FROM {given} WHERE true ORDER BY given.number
ON CONFLICT (sender, number) DO NOTHING
"""
ROWS = """
SELECT number_id, number, status, checked_at, answered_at, asked_at FROM {at}wacontacts_number
WHERE sender = :sender AND number IN :numbers ORDER BY number_id
"""
TIMES = ("checked_at", "answered_at", "asked_at")
RESOLVED = str(FINAL)
#: A check is real where the client was forced, where its cache had run out, or where what it says now cannot have been
#: in its cache: before, the answer was on its way, or had failed.
IS_REAL = """
    :forced OR kept.checked_at IS NULL OR kept.checked_at <= :cached_after
    OR kept.status NOT IN ('valid', 'invalid', 'failed', 'missing')
    OR (kept.status = 'failed' AND excluded.status <> 'failed')
"""
KEEP = f"""
INSERT INTO {{at}}wacontacts_number AS kept (
    sender, number, status, wa_id, number_pseudonym, wa_id_pseudonym, checked_at, answered_at, client_version, failures
)
SELECT CAST(:sender AS text), given.number, given.status, given.wa_id, given.number_pseudonym, given.wa_id_pseudonym,
    CASE WHEN given.status IN {RESOLVED} THEN CAST(:answered_at AS {{time}}) END,
    CAST(:answered_at AS {{time}}), CAST(:client_version AS text), CASE WHEN given.status = 'failed' THEN 1 ELSE 0 END
FROM {{given}} WHERE true
ORDER BY given.number
ON CONFLICT (sender, number) DO UPDATE SET
    status = excluded.status,
    wa_id = CASE WHEN excluded.wa_id IS NULL AND excluded.status <> 'invalid' THEN kept.wa_id ELSE excluded.wa_id END,
    number_pseudonym = excluded.number_pseudonym,
    wa_id_pseudonym = CASE WHEN excluded.wa_id IS NULL AND excluded.status <> 'invalid'
        THEN kept.wa_id_pseudonym ELSE excluded.wa_id_pseudonym END,
    checked_at = CASE
        WHEN excluded.checked_at IS NOT NULL AND ({IS_REAL}) THEN excluded.checked_at ELSE kept.checked_at END,
    answered_at = CASE WHEN kept.answered_at > excluded.answered_at THEN kept.answered_at ELSE excluded.answered_at END,
    client_version = CASE WHEN :is_answer THEN excluded.client_version
        ELSE coalesce(excluded.client_version, kept.client_version) END,
    failures = CASE WHEN excluded.status = 'failed' THEN kept.failures + 1
        WHEN excluded.status IN {RESOLVED} THEN 0 ELSE kept.failures END
"""  # noqa: S608 - no value of a row is in it
#: Somebody else may have claimed the numbers, where the answer was long in coming.
ASKED_ABOUT = """
UPDATE {at}wacontacts_number SET
    asked_at = CASE WHEN asked_at > :asked_at THEN asked_at ELSE CAST(:asked_at AS {time}) END,
    forced_at = CASE WHEN NOT :forced OR forced_at > :asked_at THEN forced_at ELSE CAST(:asked_at AS {time}) END,
    claimed_for = CASE WHEN claimed_for <> :holder THEN claimed_for END,
    claimed_until = CASE WHEN claimed_for <> :holder THEN claimed_until END
WHERE number_id IN :number_ids
"""
HAND_ON = f"""
UPDATE {{at}}wacontacts_check_result AS r
SET (status, wa_id, reason, checked_at, from_store, failures, waiting) = (
    SELECT n.status, n.wa_id, CAST(NULL AS text), n.checked_at, {{from_store}},
        r.failures + CASE WHEN n.status = 'failed' THEN 1 ELSE 0 END,
        n.status NOT IN {RESOLVED} OR (n.status = 'failed' AND r.failures + 1 <= c.recheck_failed)
    FROM {{at}}wacontacts_number n, {{at}}wacontacts_check c
    WHERE n.number_id = r.number_id AND c.check_id = r.check_id
)
WHERE r.number_id IN :number_ids AND {{whose}} AND (
    r.status IS NULL OR r.number_id IN :news OR EXISTS (
        SELECT 1 FROM {{at}}wacontacts_number n WHERE n.number_id = r.number_id AND n.status <> r.status
    )
)
"""  # noqa: S608 - no value of a row is in it


class Results(NamedTuple):
    """Which results are told of an answer, and what that makes of their ``from_store``; both in SQL."""

    rows: str
    from_store: str


OWN = """
    r.check_id = :check_id
    AND EXISTS (SELECT 1 FROM {at}wacontacts_check o WHERE o.check_id = :check_id AND o.state = 'open')
"""
ASKED = Results(OWN, "false")
KNOWN = Results(OWN, "r.from_store OR r.status IS NULL")
OTHERS = Results("r.waiting AND r.check_id <> :check_id", "r.from_store")
ALL = Results("r.waiting", "r.from_store")
AWAITING = "SELECT DISTINCT check_id FROM {at}wacontacts_check_result WHERE waiting AND number_id IN :number_ids"
HOLD = "SELECT check_id FROM {at}wacontacts_check WHERE check_id IN :check_ids AND state = 'open' ORDER BY check_id"
SETTLE = """
UPDATE {at}wacontacts_check AS c SET state = 'resolved', resolved_at = :now_at
WHERE c.check_id IN :check_ids AND c.state = 'open' AND c.finished_at IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM {at}wacontacts_check_result w WHERE w.check_id = c.check_id AND w.waiting
)
"""


def record(db: Database, sender: str, check_id: str, said: CheckResults, now: datetime, *, holder: str) -> None:
    """
    Keep what an answer says, hand it to the check that asked and to all who wait for it, and free the numbers.

    :param holder: whose claims end.
    """
    if said.results:
        number_ids, news = _keep(db, sender, said, is_answer=True)
        db.execute(ASKED_ABOUT, number_ids=number_ids, holder=holder, asked_at=said.asked_at, forced=said.forced)
        awaiting = _awaiting(db, number_ids)
        hand_on(db, number_ids, ASKED, news=news, check_id=check_id)
        if set(awaiting) - {check_id}:
            hand_on(db, number_ids, OTHERS, news=news, check_id=check_id)
        resolve_checks(db, [check_id, *awaiting], now)


def record_delivered(db: Database, sender: str, said: CheckResults, now: datetime) -> None:
    """Keep what was delivered, where it is not known already, and hand it to all who wait for it."""
    if said.results:
        number_ids, news = _keep(db, sender, said, is_answer=False)
        awaiting = _awaiting(db, number_ids)
        hand_on(db, number_ids, ALL, news=news)
        resolve_checks(db, awaiting, now)


def hand_on(
    db: Database,
    number_ids: Sequence[int],
    whose: Results,
    *,
    news: Sequence[int] = (),
    check_id: str | None = None,
) -> None:
    """
    Copy what is known of numbers to results, where it is not what they hold.

    :param whose: :data:`ASKED` and :data:`KNOWN` for those of one open check, which has asked or need not ask;
        :data:`OTHERS` for those that wait in the other checks; :data:`ALL` for those that wait in any.
    :param news: of the numbers, those of which an answer has just been kept: another failure counts.
    """
    sql = HAND_ON.replace("{whose}", whose.rows).replace("{from_store}", whose.from_store)
    own: dict[str, Any] = {} if check_id is None else {"check_id": check_id}
    db.execute(sql, number_ids=list(number_ids), news=list(news), **own)


def resolve_checks(db: Database, check_ids: Sequence[str], now: datetime) -> None:
    """Resolve those of some checks that are finished and wait for nothing any more."""
    if check_ids:
        if not db.is_sqlite:
            # Of two workers who bring the last two answers, the second has to see what the first has brought.
            db.execute(HOLD + db.locked, check_ids=list(check_ids))
        db.execute(SETTLE, check_ids=list(check_ids), now_at=now)


def _keep(db: Database, sender: str, said: CheckResults, *, is_answer: bool) -> tuple[list[int], list[int]]:
    """
    Keep what is news of an answer, or of a delivery.

    :returns: the numbers it is about, and those of them that there is news of.
    """
    is_news = _is_newer if is_answer else _is_expected
    rows = _locked(db, sender, list(said.results))
    news = [row for row in rows if is_news(row, said.results[row.number][0], said)]
    kept = [
        {
            "number": row.number,
            "status": status,
            "wa_id": wa_id,
            "number_pseudonym": db.pseudonym(row.number[1:]),
            "wa_id_pseudonym": db.pseudonym(wa_id),
        }
        for row in news
        for status, wa_id in [said.results[row.number]]
    ]
    if kept:
        db.execute(
            KEEP.replace("{given}", db.given(**dict.fromkeys(kept[0], "text"))),
            rows=kept,
            sender=sender,
            answered_at=said.answered_at,
            cached_after=said.answered_at - CACHED_FOR,
            client_version=said.client_version,
            forced=said.forced,
            is_answer=is_answer,
        )
    return [row.number_id for row in rows], [row.number_id for row in news]


def _locked(db: Database, sender: str, numbers: Sequence[str]) -> Sequence[Any]:
    """Return the rows of numbers, locked in the order of their keys as by all who write."""
    wanted: dict[str, Any] = {"sender": sender, "numbers": numbers}
    rows = db.execute(ROWS + db.locked, times=TIMES, **wanted).all()
    if len(rows) < len(numbers):
        given = db.given(number="text")
        db.execute(ADD.replace("{given}", given), rows=[{"number": number} for number in numbers], sender=sender)
        rows = db.execute(ROWS + db.locked, times=TIMES, **wanted).all()
    return rows


def _awaiting(db: Database, number_ids: Sequence[int]) -> list[str]:
    return [check_id for (check_id,) in db.execute(AWAITING, number_ids=number_ids)]


def _is_newer(row: Any, status: str, said: CheckResults) -> bool:
    """Tell what is newer by the server's clock; of one second, what is final, and then what was asked later."""
    if row.answered_at is None:
        return True
    kept = (row.answered_at, row.status in FINAL, row.asked_at or NEVER)
    return (said.answered_at, status in FINAL, said.asked_at) > kept


def _is_expected(row: Any, status: str, said: CheckResults) -> bool:
    """
    Tell what a delivery says that is not known already.

    It does not say when the number was looked up: it counts where one is awaited, or the last is out of date.
    """
    if row.answered_at is None:
        return True
    if row.status not in FINAL and status in FINAL:
        # When it came in, and when the question was sent, are of clocks nearer to each other than the server's.
        return bool(said.answered_at >= min(row.answered_at, row.asked_at or row.answered_at))
    is_newer = (said.answered_at, status in FINAL) > (row.answered_at, row.status in FINAL)
    return is_newer and (row.status not in FINAL or row.checked_at <= said.answered_at - CACHED_FOR)
