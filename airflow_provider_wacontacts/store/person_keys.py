"""
Person keys: what the rows of one person have in common, and what the directory lists them under.

A row's own key is the digits that it carries, or their pseudonym. Its person key is the WhatsApp id that the API last
returned for these digits, to any sender; without one, it is the row's own key. That is one step: person keys are not
looked up again, so the order in which contacts and results arrive makes no difference.

The lock of the change log keeps it so: whoever changes what digits stand for, and whoever adds rows that carry them,
takes it last and looks once more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.locks import Locks

__all__ = ["PERSON_KEY", "add_numbers", "refresh_new_keys", "refresh_person_keys", "set_person_keys"]

ADD_NUMBERS = """
INSERT INTO {at}wacontacts_number (sender, number, number_key, person_key)
SELECT CAST(:sender AS text), given.number, given.number_key, given.number_key FROM {given} WHERE true
ORDER BY given.number
ON CONFLICT (sender, number) DO NOTHING
"""
#: Of the results for the same digits, the newest that names a WhatsApp id counts.
RESOLVE = """
SELECT given.own_key, coalesce((
    SELECT n.wa_id_key FROM {at}wacontacts_number n WHERE n.number_key = given.own_key AND n.wa_id_key IS NOT NULL
    ORDER BY n.answered_at DESC, n.sender {bytewise} LIMIT 1
), given.own_key) AS person_key
FROM {given}
"""
UPDATES = (
    """
    UPDATE {at}wacontacts_number AS n SET person_key = given.person_key FROM {given}
    WHERE n.number_key = given.own_key AND n.person_key <> given.person_key
    """,
    """
    UPDATE {at}wacontacts_identity AS i SET person_key = given.person_key FROM {given}
    WHERE i.wa_id_key = given.own_key AND i.person_key <> given.person_key
    """,
    """
    UPDATE {at}wacontacts_contact_current AS c SET person_key = given.person_key
    FROM {given} JOIN {at}wacontacts_contact_payload p ON p.wa_id = given.own_key
    WHERE c.account_id = p.account_id AND c.version_id = p.version_id AND c.person_key <> given.person_key
    """,
)
RENAMED = """
SELECT DISTINCT number_key FROM {at}wacontacts_number WHERE person_key <> number_key AND number_key IN :keys
"""
#: The person key of a contact, from its WhatsApp id.
PERSON_KEY = """coalesce((
        SELECT n.person_key FROM {{at}}wacontacts_number n
        WHERE n.number_key = {0} AND n.person_key <> n.number_key LIMIT 1
    ), {0})"""
OF_VERSIONS = """
UPDATE {at}wacontacts_contact_current AS c SET person_key = n.person_key
FROM {at}wacontacts_contact_payload p JOIN {at}wacontacts_number n ON n.number_key = p.wa_id
WHERE c.account_id = :account_id AND c.version_id = ANY (CAST(:version_ids AS bigint[])) AND p.account_id = c.account_id
    AND p.version_id = c.version_id AND n.person_key <> n.number_key AND n.person_key <> c.person_key
"""
HAS_RENAMED = "SELECT EXISTS (SELECT 1 FROM {at}wacontacts_number WHERE person_key <> number_key)"


def add_numbers(db: Database, sender: str, numbers: Collection[str]) -> None:
    """Add a sender's numbers, in E.164, where they are not there."""
    rows = [{"number": number, "number_key": db.key_of(number[1:])} for number in sorted(numbers)]
    if rows:
        given = db.given(number="text", number_key="text")
        db.execute(ADD_NUMBERS.replace("{given}", given), rows=rows, sender=sender)


def refresh_person_keys(db: Database, locks: Locks, own_keys: Sequence[str]) -> None:
    """
    Update the person keys of all rows that carry some keys: what stands for these has changed.

    To be called last in a transaction, which holds the lock of the change log from now on.
    """
    if not own_keys:
        return
    locks.change_log_lock(db.connection)
    given = db.given(own_key="text")
    rows: list[Mapping[str, Any]] = [{"own_key": key} for key in sorted(set(own_keys))]
    resolved = [row._asdict() for row in db.execute(RESOLVE.replace("{given}", given), rows=rows)]
    both = db.given(own_key="text", person_key="text")
    for update in UPDATES:
        db.execute(update.replace("{given}", both), rows=resolved)


def refresh_new_keys(db: Database, locks: Locks, own_keys: Collection[str]) -> None:
    """Update the person keys of rows that were just added; see :func:`refresh_person_keys`."""
    if own_keys:
        locks.change_log_lock(db.connection)
        refresh_person_keys(db, locks, [key for (key,) in db.execute(RENAMED, keys=sorted(own_keys))])


def set_person_keys(db: Database, account_id: int, version_ids: Sequence[int]) -> None:
    """
    Set the person keys of contacts whose current version is new, while the lock of the change log is held.

    It looks again at what was looked up as they were written: results may have been stored since.
    """
    if not db.is_sqlite and db.execute(HAS_RENAMED).scalar():
        versions = "{" + ",".join(map(str, version_ids)) + "}"
        db.execute(OF_VERSIONS, account_id=account_id, version_ids=versions)
