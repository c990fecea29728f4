"""
Person keys, which the rows of one person share. The directory has one row for each.

The key of a contact is its own WhatsApp ID. For a contact without one, it is the WhatsApp ID in the latest row of a
system with the same business-scoped user ID or linked ID; if there is none, it is that identifier. The column
``person_key`` of ``contact_current`` is null for contacts with a WhatsApp ID. The key of a number is the WhatsApp ID
that a check last returned for it, to any sender, or the number if there is none.

This lookup is not repeated with its result, and no identifiers are merged. So person keys do not depend on the order in
which contacts and results arrive.

The change log lock guarantees this: a transaction that adds or changes identifiers takes it last, and then updates the
person keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.locks import Locks

__all__ = [
    "LINKING_KINDS",
    "add_numbers",
    "refresh_contacts_of",
    "refresh_new_numbers",
    "refresh_person_keys",
    "renamed_numbers",
]

#: The kinds of identifiers by which a WhatsApp ID is looked up, the more stable first.
LINKING_KINDS = ("user_id", "lid")
CHUNK = 500
ADD_NUMBERS = """
INSERT INTO {at}wacontacts_number (sender, number, number_key, person_key)
SELECT CAST(:sender AS text), given.number, given.number_key, given.number_key FROM {given} WHERE true
ORDER BY given.number
ON CONFLICT (sender, number) DO NOTHING
"""
REFRESH_NUMBERS = """
UPDATE {at}wacontacts_number AS n SET person_key = r.person_key FROM (
    SELECT given.key, coalesce((
        SELECT m.wa_id_key FROM {at}wacontacts_number m WHERE m.number_key = given.key AND m.wa_id_key IS NOT NULL
        ORDER BY m.identified_at DESC, m.wa_id_key {bytewise} DESC LIMIT 1
    ), given.key) AS person_key
    FROM {given}
) r
WHERE n.number_key = r.key AND n.person_key <> r.person_key
"""
RENAMED = """
SELECT DISTINCT number_key FROM {at}wacontacts_number WHERE person_key <> number_key AND number_key IN :keys
"""
#: Rows with a WhatsApp ID and an identifier of another kind: contacts as systems return them, and numbers.
STATED = """(
    SELECT s.wa_id FROM (
        SELECT x.wa_id, y.updated_at AS stated_at FROM {{at}}wacontacts_contact_payload x
        JOIN {{at}}wacontacts_contact_version y ON y.account_id = x.account_id AND y.version_id = x.version_id
        WHERE x.{kind} = {row}.{kind} AND x.wa_id IS NOT NULL AND x.state = 'present'
        UNION ALL
        SELECT x.wa_id_key, x.identified_at FROM {{at}}wacontacts_number x
        WHERE x.{kind}_key = {row}.{kind} AND x.wa_id_key IS NOT NULL
    ) s ORDER BY s.stated_at DESC, s.wa_id {{bytewise}} DESC LIMIT 1
)"""
IDS_OF_VERSIONS = """
SELECT p.user_id, p.lid FROM {given}
JOIN {at}wacontacts_contact_payload p ON p.account_id = :account_id AND p.version_id = given.version_id
WHERE p.user_id IS NOT NULL OR p.lid IS NOT NULL
"""


def _person_key(row: str) -> str:
    """Return the SQL of the person key of a contact without a ``wa_id``; ``row`` is its alias."""
    stated = (STATED.format(kind=kind, row=row) for kind in LINKING_KINDS)
    identifiers = (f"{row}.{kind}" for kind in LINKING_KINDS)
    return f"coalesce({', '.join((*stated, *identifiers))})"


REFRESH_CONTACTS = """
UPDATE {{at}}wacontacts_contact_current AS c SET person_key = r.person_key FROM (
    SELECT p.account_id, p.contact_id, {person_key} AS person_key
    FROM {{given}} JOIN {{at}}wacontacts_contact_current p ON p.{kind} = given.key AND p.wa_id IS NULL
) r
WHERE c.account_id = r.account_id AND c.contact_id = r.contact_id AND c.person_key <> r.person_key
"""


def add_numbers(db: Database, sender: str, numbers: Collection[str]) -> list[str]:
    """
    Add a sender's numbers, in E.164, if they are missing. Call :func:`refresh_new_numbers` afterwards.

    :returns: the numbers' keys.
    """
    keys = db.number_keys(sorted(numbers))
    rows = [{"number": number, "number_key": key} for number, key in keys.items()]
    if rows:
        given = db.given(number="text", number_key="text")
        db.execute(ADD_NUMBERS.replace("{given}", given), rows=rows, sender=sender)
    return sorted(set(keys.values()))


def refresh_new_numbers(db: Database, locks: Locks, keys: Sequence[str]) -> None:
    """
    Update the person keys of new numbers: another sender may have a WhatsApp ID for them.

    Call it last in a transaction: it takes the change log lock.

    :param keys: keys of numbers.
    """
    refresh_person_keys(db, locks, numbers=renamed_numbers(db, locks, keys))


def renamed_numbers(db: Database, locks: Locks, keys: Sequence[str]) -> list[str]:
    """Return the keys of new numbers for which another sender has a WhatsApp ID."""
    if not keys:
        return []
    locks.change_log_lock(db.connection)
    return [key for (key,) in db.execute(RENAMED, keys=keys)]


def refresh_person_keys(
    db: Database, locks: Locks, *, numbers: Iterable[str] = (), user_ids: Iterable[str] = (), lids: Iterable[str] = ()
) -> None:
    """
    Update the person keys of all rows with some identifiers, after links between them have changed.

    Call it last in a transaction: it takes the change log lock.

    :param numbers: keys of numbers, as :meth:`.Database.number_keys` returns them, like the keys of the others.
    """
    refreshes = {
        REFRESH_NUMBERS: set(numbers),
        _refresh_contacts("user_id"): set(user_ids),
        _refresh_contacts("lid"): set(lids),
    }
    if any(refreshes.values()):
        locks.change_log_lock(db.connection)
    for sql, keys in refreshes.items():
        _refresh(db, sql, keys)


def refresh_contacts_of(db: Database, account_id: int, version_ids: Sequence[int]) -> None:
    """Update the person keys that new versions of contacts affect, while the lock of the change log is held."""
    sql = IDS_OF_VERSIONS.replace("{given}", db.given(version_id="bigint"))
    for chunk in batched(version_ids, CHUNK):
        rows = [{"version_id": version_id} for version_id in chunk]
        found = db.execute(sql, rows=rows, account_id=account_id).all()
        for kind in LINKING_KINDS:
            _refresh(db, _refresh_contacts(kind), {getattr(row, kind) for row in found} - {None})


def _refresh_contacts(kind: str) -> str:
    return REFRESH_CONTACTS.format(kind=kind, person_key=_person_key("p"))


def _refresh(db: Database, sql: str, keys: Iterable[str]) -> None:
    for chunk in batched(sorted(keys), CHUNK):
        db.execute(sql.replace("{given}", db.given(key="text")), rows=[{"key": key} for key in chunk])
