"""
The keys of numbers and identities: pseudonyms if the store has a secret, otherwise the identifiers themselves.

Numbers and identities are stored unhashed next to their keys. So a key shows whether it was made with the same secret,
and can be recomputed with another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Kind
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.person_keys import refresh_person_keys

__all__ = ["recompute_keys", "require_same_secret"]

CHUNK = 1_000
#: The oldest and the newest row suffice: keys of different secrets are never mixed.
SAMPLES = """
SELECT number, number_key FROM {at}wacontacts_number WHERE number_id IN (
    (SELECT min(number_id) FROM {at}wacontacts_number), (SELECT max(number_id) FROM {at}wacontacts_number)
)
"""
NUMBERS = """
SELECT number_id, number, wa_id, lid, user_id FROM {at}wacontacts_number WHERE number_id > :after
ORDER BY number_id LIMIT :size
"""
UPDATE_NUMBERS = """
UPDATE {at}wacontacts_number AS n SET
    number_key = given.number_key, person_key = given.number_key, wa_id_key = given.wa_id_key,
    lid_key = given.lid_key, user_id_key = given.user_id_key
FROM {given} WHERE n.number_id = given.number_id
"""
IDENTITIES = """
SELECT identity_id, wa_id FROM {at}wacontacts_identity WHERE identity_id > :after ORDER BY identity_id LIMIT :size
"""
UPDATE_IDENTITIES = """
UPDATE {at}wacontacts_identity AS i SET wa_id_key = given.wa_id_key, person_key = given.wa_id_key
FROM {given} WHERE i.identity_id = given.identity_id
"""
FORGET_SECRETS = "UPDATE {at}wacontacts_account SET secret_id = NULL WHERE secret_id IS NOT NULL"


def require_same_secret(db: Database) -> None:
    """
    Require that the store's numbers have keys of this connection's secret.

    :raises ConfigError: they have keys of another secret, so old and new rows would not join.
    """
    for row in db.execute(SAMPLES):
        if row.number_key != db.keys_of({Kind.NUMBER: row.number})["number_key"]:
            raise ConfigError(
                "The store's numbers have keys of another 'pseudonym_secret' than the connection's, or of none, so rows"
                " from before and after would not join. Set the old secret again, or run"
                " `wacontacts store repseudonymize`."
            )


def recompute_keys(context: StoreContext) -> int:
    """
    Compute the keys of all numbers and identities with the connection's secret, in one transaction.

    Pseudonyms in contacts are not recomputed, because the store does not have their original values. The next
    extraction of an account may use another secret.

    :returns: count of rows with new keys.
    :raises LandingError: the database failed; nothing has changed.
    """

    def work(db: Database) -> int:
        db.execute(FORGET_SECRETS)
        return _recompute_numbers(db, context) + _recompute_identities(db)

    return context.run(work)


def _recompute_numbers(db: Database, context: StoreContext) -> int:
    context.locks.change_log_lock(db.connection)
    keys: dict[str, set[str]] = {"number": set(), "lid": set(), "user_id": set()}
    count = 0
    for rows in _chunks(db, NUMBERS, "number_id"):
        given = [{"number_id": row.number_id} | _keys(db, row, ("number", "wa_id", "lid", "user_id")) for row in rows]
        _update(db, UPDATE_NUMBERS, given, "number_id")
        count += len(given)
        for kind in keys:
            keys[kind] |= {row[f"{kind}_key"] for row in given} - {None}
    refresh_person_keys(db, context.locks, numbers=keys["number"], lids=keys["lid"], user_ids=keys["user_id"])
    return count


def _recompute_identities(db: Database) -> int:
    count = 0
    for rows in _chunks(db, IDENTITIES, "identity_id"):
        given = [{"identity_id": row.identity_id} | _keys(db, row, ("wa_id",)) for row in rows]
        _update(db, UPDATE_IDENTITIES, given, "identity_id")
        count += len(given)
    return count


def _keys(db: Database, row: Any, kinds: Sequence[str]) -> dict[str, Any]:
    return db.keys_of({Kind(kind): getattr(row, kind) for kind in kinds})


def _chunks(db: Database, sql: str, id_column: str) -> Iterator[Sequence[Any]]:
    after = 0
    while rows := db.execute(sql, after=after, size=CHUNK).all():
        yield rows
        after = getattr(rows[-1], id_column)


def _update(db: Database, sql: str, rows: list[dict[str, Any]], id_column: str) -> None:
    types = dict.fromkeys(rows[0], "text") | {id_column: "bigint"}
    db.execute(sql.replace("{given}", db.given(**types)), rows=rows)
