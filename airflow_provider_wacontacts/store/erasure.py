"""
Erasing people from a store: every row of theirs goes, and hashes stay that keep them from coming back.

It is one transaction, alone: it waits for all who land, and all who land wait for it. So nobody who is erased is in a
batch that is committed later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from airflow_provider_wacontacts.identifiers.suppression import Contact, SuppressionKey, SuppressionList
from airflow_provider_wacontacts.identifiers.wa_ids import is_pseudonym
from airflow_provider_wacontacts.store.changes import Changes
from airflow_provider_wacontacts.store.checks.results import resolve_checks
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database

__all__ = ["ErasedRows", "erase"]

AT_ONCE = 1_000
#: Other spellings of a WhatsApp id that a contact may be filed under without having one.
SERVERS = ("c.us", "s.whatsapp.net")

#: A list of values behind IN is looked up by both databases; SQLite would go through the table for each row of a join.
EVERYBODY = """
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
NAMED = """
SELECT a.source, a.account, h.account_id, h.contact_id FROM {given}
JOIN {at}wacontacts_account a ON a.source = given.source AND a.account = given.account
JOIN {at}wacontacts_contact_current h ON h.account_id = a.account_id AND h.contact_id = given.contact_id
"""
THEIRS = "(account_id, contact_id) IN (SELECT given.account_id, given.contact_id FROM {given})"
VERSION_IDS = f"""
SELECT account_id, version_id FROM {{at}}wacontacts_contact_version WHERE {THEIRS} ORDER BY account_id, version_id
"""
PAYLOADS = """
DELETE FROM {at}wacontacts_contact_payload WHERE (account_id, version_id) IN (
    SELECT given.account_id, given.version_id FROM {given}
)
"""
VERSIONS = f"DELETE FROM {{at}}wacontacts_contact_version WHERE {THEIRS}"
CURRENT = f"DELETE FROM {{at}}wacontacts_contact_current WHERE {THEIRS}"

NUMBERS = "DELETE FROM {at}wacontacts_number WHERE number_id IN (SELECT given.number_id FROM {given})"
IDENTITIES = "DELETE FROM {at}wacontacts_identity WHERE wa_id IN (SELECT given.id FROM {given})"
OF_NUMBERS = """
SELECT check_id, ordinal FROM {at}wacontacts_check_result
WHERE number_id IN (SELECT given.number_id FROM {given})
"""
OF_PEOPLE = """
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
BODIES_ASIDE = """
SELECT reject_id, body FROM {at}wacontacts_reject WHERE reject_id > :after ORDER BY reject_id LIMIT :size
"""
REJECTS = "DELETE FROM {at}wacontacts_reject WHERE reject_id IN (SELECT given.reject_id FROM {given})"


class ErasedRows(NamedTuple):
    """
    What was erased from a store, in figures.

    :param contacts: of all accounts.
    :param versions: states of these.
    :param numbers: numbers that were asked about, a sender's each.
    :param results: of checks.
    """

    contacts: int = 0
    versions: int = 0
    numbers: int = 0
    results: int = 0
    identities: int = 0
    rejects: int = 0

    def plus(self, other: ErasedRows) -> ErasedRows:
        """Add up."""
        return ErasedRows(*(one + more for one, more in zip(self, other, strict=True)))


def erase(context: StoreContext, people: Collection[str], contacts: Collection[Contact] = ()) -> ErasedRows:
    """
    Erase people, with their numbers and contacts, and remember them by hashes. Doing so again finds nothing more.

    A number and a WhatsApp id are one person's where the API has answered the one for the other.

    :param people: as :func:`~airflow_provider_wacontacts.identifiers.suppression.read_person` reads them.
    :param contacts: of people who are erased, whatever the store knows of them.
    :raises ConfigError: who was erased before is known by another secret than the store's.
    :raises LandingError: the database failed; nobody was erased.
    """

    def work(db: Database) -> ErasedRows:
        context.locks.exclusive_lock(db.connection)
        return _Erasing(context, db).run(people, contacts)

    return context.run(work)


class _Erasing:
    """People who are erased, in the transaction in which they are."""

    def __init__(self, context: StoreContext, db: Database) -> None:
        self._suppressions = context.suppressions
        self._db = db
        self._context = context
        self._changes: dict[int, Changes] = {}
        self._now = context.now()
        self._key: SuppressionKey = context.suppressions.key(db.connection, self._now)

    def run(self, given: Collection[str], named: Collection[Contact]) -> ErasedRows:
        everybody, number_ids = self._linked(set(given) | self._behind(given))
        pseudonyms = {found for person in everybody if (found := self._key.pseudonymize(person))}
        people = [{"id": person} for person in sorted(everybody | pseudonyms)]
        contacts = self._contacts(people, named)
        self._remember(everybody, {*named, *(Contact(row.source, row.account, row.contact_id) for row in contacts)})
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

    def _behind(self, given: Iterable[str]) -> set[str]:
        """Find the digits in the store that pseudonyms stand for."""
        wanted = {person for person in given if is_pseudonym(person)}
        if not wanted:
            return set()
        found = (row.id for row in self._db.execute(EVERYBODY) if row.id)
        return {digits for digits in found if self._key.pseudonymize(digits) in wanted}

    def _linked(self, given: set[str]) -> tuple[set[str], list[int]]:
        """Add the numbers that the API has answered an id for, and the ids; return all, and the numbers' keys."""
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
            NAMED, [contact._asdict() for contact in named], source="text", account="text", contact_id="text"
        )
        return sorted(set(found), key=lambda row: (row.account_id, row.contact_id))

    def _remember(self, people: Iterable[str], contacts: Iterable[Contact]) -> None:
        hashes = {*map(self._key.hash_person, people), *map(self._key.hash_contact, contacts)}
        self._suppressions.add(self._db.connection, self._key, hashes, self._now)

    def _erase_contacts(self, contacts: list[Any]) -> int:
        theirs = [{"account_id": row.account_id, "contact_id": row.contact_id} for row in contacts]
        types = {"account_id": "bigint", "contact_id": "text"}
        versions = [row._asdict() for row in self._select(VERSION_IDS, theirs, **types)]
        self._delete(PAYLOADS, versions, account_id="bigint", version_id="bigint")
        self._delete(VERSIONS, theirs, **types)
        self._delete(CURRENT, theirs, **types)
        for row in versions:
            self._changes.setdefault(row["account_id"], Changes(row["account_id"])).add({row["version_id"]: "erased"})
        return len(versions)

    def _erase_results(self, people: list[dict[str, str]], number_ids: list[int], erased: SuppressionList) -> int:
        of_numbers = [{"number_id": number_id} for number_id in number_ids]
        found = {
            *((row.check_id, row.ordinal) for row in self._select(OF_NUMBERS, of_numbers, number_id="bigint")),
            *((row.check_id, row.ordinal) for row in self._select(OF_PEOPLE, people, id="text")),
            *self._inputs_with(erased),
        }
        rows = [{"check_id": check_id, "ordinal": ordinal} for check_id, ordinal in sorted(found)]
        results = self._delete(RESULTS, rows, check_id="text", ordinal="bigint")
        resolve_checks(self._db, sorted({check_id for check_id, _ in found}), self._now)
        return results

    def _inputs_with(self, erased: SuppressionList) -> Iterator[tuple[str, int]]:
        """Find the results of what was taken for no number, but holds one of somebody who is erased."""
        last: dict[str, Any] = {"check_id": "", "ordinal": -1}
        while rows := self._db.execute(INPUTS, size=AT_ONCE, **last).all():
            yield from (
                (row.check_id, row.ordinal)
                for row in rows
                if erased.found_in(row.input) or erased.found_in(row.contact_key or "")
            )
            last = {"check_id": rows[-1].check_id, "ordinal": rows[-1].ordinal}

    def _erase_rejects(self, erased: SuppressionList) -> int:
        after, deleted = 0, 0
        while rows := self._db.execute(BODIES_ASIDE, after=after, size=AT_ONCE).all():
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
