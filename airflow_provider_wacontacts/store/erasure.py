"""
Erasure of people from a store: their rows are deleted, and keyed hashes are added to the suppression list.

It is one transaction under an exclusive lock, which waits for transactions that load contacts and blocks new ones. So
no batch that is committed later holds an erased contact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from airflow_provider_wacontacts.identifiers.pseudonyms import is_pseudonym
from airflow_provider_wacontacts.identifiers.suppression import Contact, SuppressionKey, SuppressionList
from airflow_provider_wacontacts.store.changes import Changes
from airflow_provider_wacontacts.store.checks.results import resolve_checks
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database

__all__ = ["ErasedRows", "erase"]

CHUNK = 1_000
#: Domains of a WhatsApp id in a contact id, for contacts without a WhatsApp id of their own.
SERVERS = ("c.us", "s.whatsapp.net")

#: Values behind IN are looked up by index in both databases; for a join, SQLite would scan the table for each value.
ALL_IDS = """
SELECT substr(number, 2) AS id FROM {at}wacontacts_number UNION SELECT wa_id FROM {at}wacontacts_number
UNION SELECT wa_id FROM {at}wacontacts_identity UNION SELECT wa_id FROM {at}wacontacts_contact_payload
"""
LINKED = """
SELECT number_id, number, wa_id FROM {at}wacontacts_number WHERE number IN (SELECT '+' || given.id FROM {given})
UNION
SELECT number_id, number, wa_id FROM {at}wacontacts_number WHERE wa_id IN (SELECT given.id FROM {given})
"""
CONTACTS = """
SELECT a.source, a.account, s.account_id, s.contact_id FROM (
    SELECT v.account_id, v.contact_id FROM {at}wacontacts_contact_payload p
    JOIN {at}wacontacts_contact_version v ON v.account_id = p.account_id AND v.version_id = p.version_id
    WHERE p.wa_id IN (SELECT given.id FROM {given})
    UNION
    SELECT account_id, contact_id FROM {at}wacontacts_contact_version
    WHERE account_id IN (SELECT account_id FROM {at}wacontacts_account)
        AND contact_id IN (SELECT given.id FROM {given})
) s JOIN {at}wacontacts_account a ON a.account_id = s.account_id
"""
BY_CONTACT_ID = """
SELECT a.source, a.account, h.account_id, h.contact_id FROM {given}
JOIN {at}wacontacts_account a ON a.source = given.source AND a.account = given.account
JOIN {at}wacontacts_contact_current h ON h.account_id = a.account_id AND h.contact_id = given.contact_id
"""
OF_CONTACTS = "(account_id, contact_id) IN (SELECT given.account_id, given.contact_id FROM {given})"
VERSION_IDS = f"""
SELECT account_id, version_id FROM {{at}}wacontacts_contact_version WHERE {OF_CONTACTS} ORDER BY account_id, version_id
"""
PAYLOADS = """
DELETE FROM {at}wacontacts_contact_payload WHERE (account_id, version_id) IN (
    SELECT given.account_id, given.version_id FROM {given}
)
"""
VERSIONS = f"DELETE FROM {{at}}wacontacts_contact_version WHERE {OF_CONTACTS}"
CURRENT = f"DELETE FROM {{at}}wacontacts_contact_current WHERE {OF_CONTACTS}"

NUMBERS = "DELETE FROM {at}wacontacts_number WHERE number_id IN (SELECT given.number_id FROM {given})"
IDENTITIES = "DELETE FROM {at}wacontacts_identity WHERE wa_id IN (SELECT given.id FROM {given})"
RESULTS_OF_NUMBERS = """
SELECT check_id, ordinal FROM {at}wacontacts_check_result
WHERE number_id IN (SELECT given.number_id FROM {given})
"""
RESULTS_OF_IDS = """
SELECT check_id, ordinal FROM {at}wacontacts_check_result
WHERE wa_id IN (SELECT given.id FROM {given}) OR number IN (SELECT '+' || given.id FROM {given})
"""
INPUTS = """
SELECT check_id, ordinal, input, contact_key FROM {at}wacontacts_check_result
WHERE number_id IS NULL AND input <> '' AND (check_id, ordinal) > (:check_id, :ordinal)
ORDER BY check_id, ordinal LIMIT :size
"""
RESULTS = """
DELETE FROM {at}wacontacts_check_result WHERE (check_id, ordinal) IN (
    SELECT given.check_id, given.ordinal FROM {given}
)
"""
REJECTED_BODIES = """
SELECT reject_id, body FROM {at}wacontacts_rejected_row WHERE reject_id > :after ORDER BY reject_id LIMIT :size
"""
REJECTS = "DELETE FROM {at}wacontacts_rejected_row WHERE reject_id IN (SELECT given.reject_id FROM {given})"


class ErasedRows(NamedTuple):
    """
    Counts of erased rows.

    :param contacts: contacts of all accounts.
    :param versions: versions of these contacts.
    :param numbers: checked numbers, once for each sender.
    :param results: results of checks.
    """

    contacts: int = 0
    versions: int = 0
    numbers: int = 0
    results: int = 0
    identities: int = 0
    rejects: int = 0

    def plus(self, other: ErasedRows) -> ErasedRows:
        """Return the sums."""
        return ErasedRows(*map(sum, zip(self, other, strict=True)))


def erase(context: StoreContext, people: Collection[str], contacts: Collection[Contact] = ()) -> ErasedRows:
    """
    Delete people's numbers and contacts, and add their hashes to the suppression list. It is idempotent.

    A number and a WhatsApp id belong to one person if the API returned the one for the other.

    :param people: as :func:`~airflow_provider_wacontacts.identifiers.suppression.read_person` reads them.
    :param contacts: contacts to erase, whether the store has them or not.
    :raises ConfigError: the suppression list is keyed with another secret than the store's.
    :raises LandingError: the database failed; nothing was erased.
    """

    def work(db: Database) -> ErasedRows:
        context.locks.exclusive_lock(db.connection)
        return _Erasure(context, db).run(people, contacts)

    return context.run(work)


class _Erasure:
    """One erasure, in its transaction."""

    def __init__(self, context: StoreContext, db: Database) -> None:
        self._suppressions = context.suppressions
        self._db = db
        self._context = context
        self._changes: dict[int, Changes] = {}
        self._now = context.now(db.connection)
        self._key: SuppressionKey = context.suppressions.key(db.connection, self._now)

    def run(self, given: Collection[str], named: Collection[Contact]) -> ErasedRows:
        ids, number_ids = self._linked(set(given) | self._resolve_pseudonyms(given))
        pseudonyms = {found for person in ids if (found := self._key.pseudonymize(person))}
        people = [{"id": person} for person in sorted(ids | pseudonyms)]
        contacts = self._contacts(people, named)
        self._suppress(ids, {*named, *(Contact(row.source, row.account, row.contact_id) for row in contacts)})
        erased = self._suppressions.read(self._db.connection)
        versions = self._erase_contacts(contacts)
        numbers = self._delete(NUMBERS, [{"number_id": number_id} for number_id in number_ids], number_id="bigint")
        rows = ErasedRows(
            contacts=len(contacts),
            versions=versions,
            numbers=numbers,
            results=self._erase_results(people, number_ids, erased),
            identities=self._delete(IDENTITIES, people, id="text"),
            rejects=self._erase_rejects(erased),
        )
        for changes in self._changes.values():
            changes.write(self._db.connection, self._context)
        return rows

    def _resolve_pseudonyms(self, given: Iterable[str]) -> set[str]:
        """Find the digits in the store that the given pseudonyms were made of."""
        wanted = {person for person in given if is_pseudonym(person)}
        if not wanted:
            return set()
        found = (row.id for row in self._db.execute(ALL_IDS) if row.id)
        return {digits for digits in found if self._key.pseudonymize(digits) in wanted}

    def _linked(self, given: set[str]) -> tuple[set[str], list[int]]:
        """Follow numbers to WhatsApp ids that the API returned, and back; return all, and the keys of the numbers."""
        known, number_ids, new = set(given), set(), set(given)
        while new:
            rows = self._select(LINKED, [{"id": person} for person in sorted(new)], id="text")
            number_ids |= {row.number_id for row in rows}
            new = {digits for row in rows for digits in (row.number.removeprefix("+"), row.wa_id) if digits} - known
            known |= new
        return known, sorted(number_ids)

    def _contacts(self, people: list[dict[str, str]], named: Iterable[Contact]) -> list[Any]:
        spelled = [{"id": f"{person['id']}@{server}"} for person in people for server in SERVERS]
        found = self._select(CONTACTS, [*people, *spelled], id="text")
        found += self._select(
            BY_CONTACT_ID, [contact._asdict() for contact in named], source="text", account="text", contact_id="text"
        )
        return sorted(set(found), key=lambda row: (row.account_id, row.contact_id))

    def _suppress(self, people: Iterable[str], contacts: Iterable[Contact]) -> None:
        hashes = {*map(self._key.hash_person, people), *map(self._key.hash_contact, contacts)}
        self._suppressions.add(self._db.connection, self._key, hashes, self._now)

    def _erase_contacts(self, contacts: list[Any]) -> int:
        contact_keys = [{"account_id": row.account_id, "contact_id": row.contact_id} for row in contacts]
        types = {"account_id": "bigint", "contact_id": "text"}
        versions = [row._asdict() for row in self._select(VERSION_IDS, contact_keys, **types)]
        self._delete(PAYLOADS, versions, account_id="bigint", version_id="bigint")
        self._delete(VERSIONS, contact_keys, **types)
        self._delete(CURRENT, contact_keys, **types)
        for row in versions:
            self._changes.setdefault(row["account_id"], Changes(row["account_id"])).add({row["version_id"]: "erased"})
        return len(versions)

    def _erase_results(self, people: list[dict[str, str]], number_ids: list[int], erased: SuppressionList) -> int:
        of_numbers = [{"number_id": number_id} for number_id in number_ids]
        found = {
            *((row.check_id, row.ordinal) for row in self._select(RESULTS_OF_NUMBERS, of_numbers, number_id="bigint")),
            *((row.check_id, row.ordinal) for row in self._select(RESULTS_OF_IDS, people, id="text")),
            *self._inputs_with(erased),
        }
        rows = [{"check_id": check_id, "ordinal": ordinal} for check_id, ordinal in sorted(found)]
        results = self._delete(RESULTS, rows, check_id="text", ordinal="bigint")
        resolve_checks(self._db, sorted({check_id for check_id, _ in found}), self._now)
        return results

    def _inputs_with(self, erased: SuppressionList) -> Iterator[tuple[str, int]]:
        """Find inputs that were read as no number, and contain an erased one."""
        last: dict[str, Any] = {"check_id": "", "ordinal": -1}
        while rows := self._db.execute(INPUTS, size=CHUNK, **last).all():
            yield from (
                (row.check_id, row.ordinal)
                for row in rows
                if erased.found_in(row.input) or erased.found_in(row.contact_key or "")
            )
            last = {"check_id": rows[-1].check_id, "ordinal": rows[-1].ordinal}

    def _erase_rejects(self, erased: SuppressionList) -> int:
        after, deleted = 0, 0
        while rows := self._db.execute(REJECTED_BODIES, after=after, size=CHUNK).all():
            after = rows[-1].reject_id
            found = [{"reject_id": row.reject_id} for row in rows if erased.found_in(bytes(row.body))]
            deleted += self._delete(REJECTS, found, reject_id="bigint")
        return deleted

    def _select(self, sql: str, rows: Sequence[Mapping[str, Any]], **types: str) -> list[Any]:
        if not rows:
            return []
        return list(self._db.execute(sql.replace("{given}", self._db.given(**types)), rows=rows))

    def _delete(self, sql: str, rows: Sequence[Mapping[str, Any]], **types: str) -> int:
        if not rows:
            return 0
        return self._db.execute(sql.replace("{given}", self._db.given(**types)), rows=rows).rowcount
