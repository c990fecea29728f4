"""Store the identifiers that checks return for numbers. The last returned one counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from airflow_provider_wacontacts.identifiers.identifier import Kind
from airflow_provider_wacontacts.store.checks.model import CheckResults, NumberResult
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.locks import Locks
from airflow_provider_wacontacts.store.person_keys import refresh_person_keys, renamed_numbers

__all__ = ["IDS", "refresh_keys", "store_ids"]

IDS = ("wa_id", "lid", "user_id")
#: The last returned one counts, by time and value, in any order of arrival.
UPDATE_IDS = """
UPDATE {at}wacontacts_number AS n SET
    wa_id = given.wa_id, lid = given.lid, user_id = given.user_id, wa_id_key = given.wa_id_key,
    lid_key = given.lid_key, user_id_key = given.user_id_key, number_key = given.number_key,
    identified_at = CAST(:answered_at AS {time})
FROM {given}
WHERE n.number_id = given.number_id AND (
    n.identified_at IS NULL
    OR (n.identified_at, coalesce(n.wa_id, ''), coalesce(n.lid, ''), coalesce(n.user_id, ''))
        < (CAST(:answered_at AS {time}), coalesce(given.wa_id, ''), coalesce(given.lid, ''),
            coalesce(given.user_id, ''))
)
"""
RENAMED = """
SELECT number_key FROM {at}wacontacts_number
WHERE number_id IN :number_ids AND coalesce(wa_id_key, number_key) <> person_key
"""


def store_ids(db: Database, rows: Sequence[Any], results: CheckResults) -> dict[str, set[Any]]:
    """
    Store the returned identifiers, or that an invalid number has none.

    :param rows: the numbers' rows, locked.
    :returns: the inputs of person keys: ``number_ids``, and keys of ``lids`` and ``user_ids``.
    """
    identified: dict[str, set[Any]] = {"number_ids": set(), "lids": set(), "user_ids": set()}
    given: list[dict[str, Any]] = []
    for row in rows:
        result = NumberResult(*results.results[row.number])
        if any(result[1:]) or result.status == "invalid":
            ids = {name: getattr(result, name) for name in IDS}
            keys = db.keys_of({Kind.NUMBER: row.number} | {Kind(name): value for name, value in ids.items()})
            given.append({"number_id": row.number_id, **ids, **keys})
            identified["number_ids"].add(row.number_id)
            identified["lids"] |= {row.lid_key, keys["lid_key"]} - {None}
            identified["user_ids"] |= {row.user_id_key, keys["user_id_key"]} - {None}
    if given:
        types = dict.fromkeys(given[0], "text") | {"number_id": "bigint"}
        db.execute(UPDATE_IDS.replace("{given}", db.given(**types)), rows=given, answered_at=results.answered_at)
    return identified


def refresh_keys(db: Database, locks: Locks, identified: Mapping[str, Collection[Any]], added: Sequence[str]) -> None:
    """
    Update person keys after numbers were added or identifiers changed.

    Call it last in a transaction: it may take the change log lock.

    :param added: keys of numbers.
    """
    numbers = renamed_numbers(db, locks, added)
    if number_ids := identified.get("number_ids"):
        numbers += [key for (key,) in db.execute(RENAMED, number_ids=sorted(number_ids))]
    user_ids, lids = identified.get("user_ids", ()), identified.get("lids", ())
    refresh_person_keys(db, locks, numbers=numbers, lids=lids, user_ids=user_ids)
