"""
Erasure of people from a store while tasks load contacts. No task waits for it.

1. It searches for the people without a lock.
2. It commits hashes of their identifiers and contacts to the suppression list. Transactions that begin after this write
   no rows of these people.
3. It waits until earlier writing transactions have ended, and searches again. It suppresses further identifiers and
   contacts that it finds.
4. It deletes the rows in small transactions, and repeats the search until nothing is found.

After a kill, run it again: it continues the erasure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier
from airflow_provider_wacontacts.identifiers.suppression import Contact, Named
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.changes import Changes, log_erased_identities
from airflow_provider_wacontacts.store.checks.results import resolve_checks
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.directory_copy import copy_people_again, is_in_use, refresh_directory
from airflow_provider_wacontacts.store.identifier_changes import delete_identifier_changes
from airflow_provider_wacontacts.store.person_search import (
    NO_LIMIT,
    FoundContact,
    FoundRows,
    Limit,
    PersonSearch,
    rows_by_keys,
    stated_identifiers,
)

__all__ = ["LINKED_EACH", "ErasedRows", "erase", "erase_named", "erase_suppressed", "erase_unlisted", "find"]


#: Rows, or contacts, deleted in one transaction.
CHUNK = 500
CONTACT_TYPES = {"source": "text", "account": "text", "contact_id": "text"}
#: Maximum number of further identifiers of a person, in addition to the number: other kinds and spellings.
LINKED_EACH = 3
VERSIONS = """
SELECT account_id, version_id FROM {at}wacontacts_contact_version
WHERE (account_id, contact_id) IN (SELECT given.account_id, given.contact_id FROM {given})
ORDER BY account_id, version_id
"""
DELETE_PAYLOADS = """
DELETE FROM {at}wacontacts_contact_payload
WHERE (account_id, version_id) IN (SELECT given.account_id, given.version_id FROM {given})
"""
OF_CONTACTS = "(account_id, contact_id) IN (SELECT given.account_id, given.contact_id FROM {given})"
DELETE_VERSIONS = f"DELETE FROM {{at}}wacontacts_contact_version WHERE {OF_CONTACTS}"
DELETE_CURRENT = f"DELETE FROM {{at}}wacontacts_contact_current WHERE {OF_CONTACTS}"
OF_RESULTS = "(check_id, ordinal) IN (SELECT given.check_id, given.ordinal FROM {given})"
DELETE_RESULTS = f"DELETE FROM {{at}}wacontacts_check_result WHERE {OF_RESULTS}"
CLEAR_KEYS = f"UPDATE {{at}}wacontacts_check_result SET contact_key = NULL WHERE {OF_RESULTS}"
DELETE_NUMBERS = "DELETE FROM {at}wacontacts_number WHERE number_id IN (SELECT given.id FROM {given})"
DELETE_IDENTITIES = "DELETE FROM {at}wacontacts_identity WHERE identity_id IN (SELECT given.id FROM {given})"
DELETE_REJECTS = "DELETE FROM {at}wacontacts_rejected_row WHERE reject_id IN (SELECT given.id FROM {given})"


#: CROSS JOIN fixes SQLite's join order.
IDS_OF_CONTACTS = """
SELECT DISTINCT given.source, given.account, given.contact_id, p.wa_id, p.lid, p.user_id FROM {given}
CROSS JOIN {at}wacontacts_account a
CROSS JOIN {at}wacontacts_contact_version v
CROSS JOIN {at}wacontacts_contact_payload p
WHERE a.source = given.source AND a.account = given.account
    AND v.account_id = a.account_id AND v.contact_id = given.contact_id
    AND p.account_id = v.account_id AND p.version_id = v.version_id
"""


class ErasedRows(NamedTuple):
    """
    Counts of erased rows.

    :param contacts: contacts of all accounts.
    :param versions: versions of these contacts.
    :param numbers: checked numbers, once for each sender.
    :param results: check results, and callers' keys that mentioned one of the people.
    :param changed: identifiers in other versions of the contacts, which are not erased.
    """

    contacts: int = 0
    versions: int = 0
    numbers: int = 0
    results: int = 0
    identities: int = 0
    rejects: int = 0
    changed: int = 0

    def plus(self, other: ErasedRows) -> ErasedRows:
        """Return the sums."""
        return ErasedRows(*map(sum, zip(self, other, strict=True)))

    @classmethod
    def of(cls, found: FoundRows) -> ErasedRows:
        """Count the rows that a search has found."""
        return cls(
            len(found.contacts),
            len(found.versions),
            len(found.numbers),
            len(found.results) + len(found.keyed),
            len(found.identities),
            len(found.rejects),
            len(found.changed),
        )


def find(
    context: StoreContext, given: Collection[Identifier], contacts: Iterable[Contact] = ()
) -> tuple[set[Identifier], FoundRows]:
    """
    Search for all rows of some people, as an erasure does.

    :returns: their identifiers, and the keys of their rows.
    :raises LandingError: the database failed.
    """
    with context.read() as db:
        search = PersonSearch(db)
        identifiers = search.linked(given)
        return identifiers, search.rows(identifiers, search.contacts(identifiers, contacts))


def erase(
    context: StoreContext,
    given: Collection[Identifier],
    contacts: Collection[Contact] = (),
    limit: Limit = NO_LIMIT,
) -> ErasedRows:
    """
    Erase people: delete their rows, and add hashes of their identifiers and contacts to the suppression list.

    It is idempotent. Identifiers belong to one person if they are in the same row.

    :param contacts: contacts to erase, whether the store has them or not.
    :raises ConfigError: the suppression list is keyed with another secret than the store's, or more would be erased
        than the limit allows.
    :raises LandingError: the database failed. Run it again.
    """
    identifiers, found = _suppress(context, set(given), set(contacts), limit)
    erased = ErasedRows(changed=len(found.changed))
    while any(erased_now := _delete(context, found)):
        erased = erased.plus(erased_now)
        identifiers, found = _suppress(context, identifiers, set(contacts), limit)
    _delete_changes(context, identifiers)
    return erased


def erase_named(context: StoreContext, record: Callable[[Database, Collection[Named]], Collection[Named]]) -> None:
    """
    Record data from a system. If it names new identifiers or contacts of erased people, erase these first.

    :param record: stores everything in a transaction, or stores nothing and returns such identifiers and contacts. Its
        argument is identifiers and contacts not to return again.
    :raises LandingError: the database failed.
    """
    left_alone: set[Named] = set()
    while unlisted := context.run(lambda db: record(db, left_alone)):
        erase_unlisted(context, unlisted)
        left_alone.update(unlisted)


def erase_unlisted(context: StoreContext, unlisted: Collection[Named]) -> None:
    """
    Erase identifiers and contacts that a system returned together with an identifier of an erased person.

    Identifiers that are linked to many others are not erased: the system must be wrong about them. Contacts that had
    other identifiers before are not erased either: they may have been other people's. Contacts that the store does not
    have are only added to the suppression list, so that no commit waits for another one.

    :raises LandingError: the database failed.
    """
    identifiers = {one for one in unlisted if isinstance(one, Identifier)}
    contacts = {one for one in unlisted if isinstance(one, Contact)}
    with context.read() as db:
        suppression_list = context.suppression_list.cached(db.connection)
        rows = rows_by_keys(db, IDS_OF_CONTACTS, [one._asdict() for one in sorted(contacts)], **CONTACT_TYPES)
    stored = {Contact(row.source, row.account, row.contact_id) for row in rows}
    if not contacts <= stored:
        context.run_yielding(partial(_add_hashes, context, (), contacts - stored))
    for row in rows:
        if any(not suppression_list.has(one) and one not in identifiers for one in stated_identifiers(row)):
            stored.discard(Contact(row.source, row.account, row.contact_id))
    if identifiers or stored:
        with suppress(ConfigError):
            erase(context, identifiers, stored, limit=Limit(len(identifiers) * LINKED_EACH))


def erase_suppressed(context: StoreContext) -> ErasedRows:
    """
    Erase all rows of people on the suppression list, for example after a backup was restored.

    It reads the whole store, and searches all text by hashes, which takes minutes. No task waits for it.

    :raises ConfigError: the suppression list is keyed with another secret than the store's.
    :raises LandingError: the database failed. Run it again.
    """
    with context.read() as db:
        suppression_list = context.suppression_list.read(db.connection)
        identifiers, contacts = PersonSearch(db).suppressed(suppression_list)
    erased = erase(context, identifiers, contacts, Limit(len(identifiers) * LINKED_EACH))
    with context.read() as db:
        mentioning = PersonSearch(db).rows((), (), suppression_list)
        has_copy = is_in_use(db)
    erased = erased.plus(_delete(context, mentioning))
    if has_copy:
        refresh_directory(context)
    return erased


def _suppress(
    context: StoreContext, given: set[Identifier], contacts: set[Contact], limit: Limit
) -> tuple[set[Identifier], FoundRows]:
    """Suppress people until no new rows of them can appear; return them, and the keys of their rows."""
    suppressed: tuple[set[Identifier], set[Contact]] = set(), set()
    while True:
        with context.read() as db:
            search = PersonSearch(db)
            identifiers = search.linked(given, limit)
            found = search.contacts(identifiers, contacts)
            wanted = identifiers | given, contacts | {contact.key for contact in found}
            if wanted[0] <= suppressed[0] and wanted[1] <= suppressed[1]:
                return identifiers, search.rows(identifiers, found)
        context.run_yielding(partial(_add_hashes, context, *wanted))
        context.locks.wait_for_writers()
        suppressed = wanted


def _add_hashes(
    context: StoreContext, identifiers: Iterable[Identifier], contacts: Iterable[Contact], db: Database
) -> None:
    stored, now = context.suppression_list, context.now(db.connection)
    key = stored.key(db.connection, now)
    hashes = {*map(key.hash, identifiers), *map(key.hash_contact, contacts)}
    stored.add(db.connection, key, hashes, now)


def _delete(context: StoreContext, found: FoundRows) -> ErasedRows:
    """Delete rows in small transactions. Rows that were deleted meanwhile are not counted."""
    contacts = [_delete_contacts(context, chunk) for chunk in batched(found.contacts, CHUNK)]
    keyed = _in_chunks(context, CLEAR_KEYS, _result_keys(found.keyed), check_id="uuid", ordinal="bigint")
    erased = ErasedRows(
        contacts=sum(contact for contact, _ in contacts),
        versions=sum(versions for _, versions in contacts),
        numbers=sum(
            context.run_yielding(partial(_delete_numbers, context, ids)) for ids in batched(found.numbers, CHUNK)
        ),
        results=keyed + sum(_delete_results(context, chunk) for chunk in batched(found.results, CHUNK)),
        identities=sum(
            context.run_yielding(partial(_delete_identities, context, ids)) for ids in batched(found.identities, CHUNK)
        ),
        rejects=_by_id(context, DELETE_REJECTS, found.rejects),
    )
    # Last: an earlier refresh could copy them again.
    for person_keys in batched(found.people, CHUNK):
        context.run_yielding(partial(copy_people_again, context, person_keys))
    return erased


def _delete_changes(context: StoreContext, identifiers: Collection[Identifier]) -> None:
    """Delete the identifier changes that callbacks reported."""
    for chunk in batched(sorted(identifiers), CHUNK):
        context.run_yielding(partial(_delete_changes_of, chunk))


def _delete_changes_of(identifiers: Collection[Identifier], db: Database) -> int:
    return delete_identifier_changes(db, identifiers)


def _delete_contacts(context: StoreContext, contacts: Sequence[FoundContact]) -> tuple[int, int]:
    keys = [{"account_id": contact.account_id, "contact_id": contact.contact_id} for contact in contacts]
    types = {"account_id": "bigint", "contact_id": "text"}

    def work(db: Database) -> tuple[int, int]:
        context.locks.directory_lock(db.connection)
        versions = [row._asdict() for row in rows_by_keys(db, VERSIONS, keys, **types)]
        _execute(DELETE_PAYLOADS, versions, {"account_id": "bigint", "version_id": "bigint"}, db)
        _execute(DELETE_VERSIONS, keys, types, db)
        _execute(DELETE_CURRENT, keys, types, db)
        changes: dict[int, Changes] = {}
        for row in versions:
            changes.setdefault(row["account_id"], Changes(row["account_id"])).add({row["version_id"]: "erased"})
        for of_account in changes.values():
            of_account.write(db.connection, context)
        return (len(contacts) if versions else 0), len(versions)

    return context.run_yielding(work)


def _delete_results(context: StoreContext, results: Sequence[tuple[str, int]]) -> int:
    def work(db: Database) -> int:
        deleted = _execute(DELETE_RESULTS, _result_keys(results), {"check_id": "uuid", "ordinal": "bigint"}, db)
        resolve_checks(db, sorted({check_id for check_id, _ in results}), context.now(db.connection))
        return deleted

    return context.run_yielding(work)


def _delete_numbers(context: StoreContext, number_ids: Sequence[int], db: Database) -> int:
    context.locks.directory_lock(db.connection)
    return _execute(DELETE_NUMBERS, [{"id": one} for one in number_ids], {"id": "bigint"}, db)


def _delete_identities(context: StoreContext, identity_ids: Sequence[int], db: Database) -> int:
    context.locks.directory_lock(db.connection)
    deleted = _execute(DELETE_IDENTITIES, [{"id": one} for one in identity_ids], {"id": "bigint"}, db)
    log_erased_identities(db, context.locks, identity_ids)
    return deleted


def _by_id(context: StoreContext, sql: str, ids: Iterable[int]) -> int:
    return _in_chunks(context, sql, [{"id": one} for one in ids], id="bigint")


def _result_keys(results: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"check_id": check_id, "ordinal": ordinal} for check_id, ordinal in results]


def _in_chunks(context: StoreContext, sql: str, rows: Sequence[dict[str, Any]], **types: str) -> int:
    return sum(context.run_yielding(partial(_execute, sql, chunk, types)) for chunk in batched(rows, CHUNK))


def _execute(sql: str, rows: Sequence[dict[str, Any]], types: Mapping[str, str], db: Database) -> int:
    return db.execute(sql.replace("{given}", db.given(**types)), rows=rows).rowcount if rows else 0
