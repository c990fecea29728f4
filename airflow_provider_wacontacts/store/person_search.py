"""
Search for all rows of some people, starting from the given identifiers.

Identifiers belong to one person if they are in the same row: a contact, a number with its returned identifiers, or an
identity. Nothing is locked, so no task waits for a search.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.mentions import Mentions, identifiers_in_contact_id
from airflow_provider_wacontacts.identifiers.pseudonyms import is_pseudonym, pseudonymize
from airflow_provider_wacontacts.identifiers.suppression import Contact, SuppressionList
from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.directory_copy import PEOPLE, PEOPLE_OF_CONTACTS
from airflow_provider_wacontacts.store.identifier_changes import changed_identifiers

__all__ = ["NO_LIMIT", "FoundContact", "FoundRows", "Limit", "PersonSearch", "rows_by_keys", "stated_identifiers"]

CHUNK = 1_000
#: Values behind IN are looked up by index in both databases; for a join, SQLite would scan the table for each value.
GIVEN = "(SELECT given.value FROM {given} WHERE given.kind = '%s')"
WA_IDS, LIDS, USER_IDS, CONTACT_IDS = (GIVEN % kind for kind in ("wa_id", "lid", "user_id", "contact"))
NUMBERS = f"""
SELECT number_id, number, wa_id, lid, user_id FROM {{at}}wacontacts_number WHERE number_key IN {WA_IDS}
UNION SELECT number_id, number, wa_id, lid, user_id FROM {{at}}wacontacts_number
WHERE number IN (SELECT '+' || given.value FROM {{given}} WHERE given.kind = 'wa_id')
UNION SELECT number_id, number, wa_id, lid, user_id FROM {{at}}wacontacts_number WHERE wa_id IN {WA_IDS}
UNION SELECT number_id, number, wa_id, lid, user_id FROM {{at}}wacontacts_number WHERE lid IN {LIDS}
UNION SELECT number_id, number, wa_id, lid, user_id FROM {{at}}wacontacts_number WHERE user_id IN {USER_IDS}
"""
#: For pseudonyms, which are given if the numbers are unknown.
NUMBERS_OF_PSEUDONYMS = f"""
SELECT number_id, number, wa_id, lid, user_id FROM {{at}}wacontacts_number
WHERE wa_id_key IN {WA_IDS} OR lid_key IN {LIDS} OR user_id_key IN {USER_IDS}
"""
IDENTITIES = f"""
SELECT identity_id, wa_id, user_id FROM {{at}}wacontacts_identity WHERE wa_id IN {WA_IDS}
UNION SELECT identity_id, wa_id, user_id FROM {{at}}wacontacts_identity WHERE wa_id_key IN {WA_IDS}
UNION SELECT identity_id, wa_id, user_id FROM {{at}}wacontacts_identity WHERE user_id IN {USER_IDS}
"""
PAYLOADS = f"""
SELECT wa_id, lid, user_id FROM {{at}}wacontacts_contact_payload WHERE wa_id IN {WA_IDS}
UNION SELECT wa_id, lid, user_id FROM {{at}}wacontacts_contact_payload WHERE lid IN {LIDS}
UNION SELECT wa_id, lid, user_id FROM {{at}}wacontacts_contact_payload WHERE user_id IN {USER_IDS}
"""
CONTACTS = f"""
SELECT a.source, a.account, s.account_id, s.contact_id FROM (
    SELECT v.account_id, v.contact_id FROM {{at}}wacontacts_contact_payload p
    JOIN {{at}}wacontacts_contact_version v ON v.account_id = p.account_id AND v.version_id = p.version_id
    WHERE p.wa_id IN {WA_IDS}
    UNION SELECT v.account_id, v.contact_id FROM {{at}}wacontacts_contact_payload p
    JOIN {{at}}wacontacts_contact_version v ON v.account_id = p.account_id AND v.version_id = p.version_id
    WHERE p.lid IN {LIDS}
    UNION SELECT v.account_id, v.contact_id FROM {{at}}wacontacts_contact_payload p
    JOIN {{at}}wacontacts_contact_version v ON v.account_id = p.account_id AND v.version_id = p.version_id
    WHERE p.user_id IN {USER_IDS}
    UNION SELECT account_id, contact_id FROM {{at}}wacontacts_contact_version
    WHERE account_id IN (SELECT account_id FROM {{at}}wacontacts_account) AND contact_id IN {CONTACT_IDS}
) s JOIN {{at}}wacontacts_account a ON a.account_id = s.account_id
"""
#: IDs that begin with a number, followed by a character that is not a digit.
CONTACTS_BEGINNING = """
SELECT DISTINCT a.source, a.account, v.account_id, v.contact_id
FROM {at}wacontacts_contact_version v JOIN {at}wacontacts_account a ON a.account_id = v.account_id
WHERE v.account_id IN (SELECT account_id FROM {at}wacontacts_account) AND v.contact_id >= :low AND v.contact_id < :high
"""
CONTACTS_NAMED = """
SELECT DISTINCT a.source, a.account, v.account_id, v.contact_id FROM {given}
CROSS JOIN {at}wacontacts_account a
CROSS JOIN {at}wacontacts_contact_version v
WHERE a.source = given.source AND a.account = given.account
    AND v.account_id = a.account_id AND v.contact_id = given.contact_id
"""
VERSIONS = """
SELECT account_id, version_id FROM {at}wacontacts_contact_version
WHERE (account_id, contact_id) IN (SELECT given.account_id, given.contact_id FROM {given})
"""
OTHER_IDS = """
SELECT DISTINCT p.wa_id, p.lid, p.user_id FROM {at}wacontacts_contact_payload p
WHERE (p.account_id, p.version_id) IN (SELECT given.account_id, given.version_id FROM {given})
"""
RESULTS_OF_NUMBERS = """
SELECT CAST(check_id AS text) AS check_id, ordinal FROM {at}wacontacts_check_result
WHERE number_id IN (SELECT given.number_id FROM {given})
"""
#: Includes rows of numbers that were deleted since.
RESULTS_OF_IDS = f"""
SELECT CAST(check_id AS text) AS check_id, ordinal FROM {{at}}wacontacts_check_result
WHERE wa_id IN {WA_IDS} OR number IN (SELECT '+' || given.value FROM {{given}} WHERE given.kind = 'wa_id')
"""
#: Rows with unparsed text: rejected inputs, and callers' keys.
WRITTEN = """
SELECT CAST(r.check_id AS text) AS check_id, r.ordinal, r.contact_key,
    CASE WHEN r.number_id IS NULL THEN r.input ELSE '' END AS input
FROM {at}wacontacts_check_result r
WHERE ((r.number_id IS NULL AND r.input <> '') OR r.contact_key IS NOT NULL)
    AND (r.check_id, r.ordinal) > (CAST(:check_id AS {uuid}), :ordinal)
ORDER BY r.check_id, r.ordinal LIMIT :size
"""
REJECTED_BODIES = """
SELECT reject_id, body FROM {at}wacontacts_rejected_row WHERE reject_id > :reject_id ORDER BY reject_id LIMIT :size
"""
BEGINNING = (Kind.WA_ID, Kind.LID, Kind.GROUP)
ALL_CONTACTS = """
SELECT p.account_id, p.version_id, a.source, a.account, v.contact_id, p.wa_id, p.lid, p.user_id
FROM {at}wacontacts_contact_payload p
JOIN {at}wacontacts_contact_version v ON v.account_id = p.account_id AND v.version_id = p.version_id
JOIN {at}wacontacts_account a ON a.account_id = p.account_id
WHERE (p.account_id, p.version_id) > (:account_id, :version_id) ORDER BY p.account_id, p.version_id LIMIT :size
"""
ALL_NUMBERS = """
SELECT number_id, number, wa_id, lid, user_id FROM {at}wacontacts_number
WHERE number_id > :number_id ORDER BY number_id LIMIT :size
"""
ALL_IDENTITIES = """
SELECT identity_id, wa_id, user_id FROM {at}wacontacts_identity
WHERE identity_id > :identity_id ORDER BY identity_id LIMIT :size
"""
#: The prefixes of a number in a contact's ID, and the range of the character that may follow it.
PREFIXES = ("", "+", "whatsapp:", "whatsapp:+")
FIRST, LAST = "-", "`"


class _IdsOfContact(NamedTuple):
    contact_id: str
    ids: IdsByKind


class FoundContact(NamedTuple):
    """A contact in the store."""

    source: str
    account: str
    account_id: int
    contact_id: str

    @property
    def key(self) -> Contact:
        """The contact's key in files and in the suppression list."""
        return Contact(self.source, self.account, self.contact_id)


@dataclass(slots=True)
class FoundRows:
    """
    The keys of all rows of some people, by table.

    :param versions: versions of the contacts: account and version.
    :param results: check results: check and ordinal.
    :param keyed: results of other people's numbers with a ``contact_key`` that mentions one of the people.
    :param people: rows of the directory's copy.
    :param changed: identifiers in other versions of the contacts: changed numbers or user IDs, or other people's.
    """

    contacts: list[FoundContact] = field(default_factory=list)
    versions: list[tuple[int, int]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    results: list[tuple[str, int]] = field(default_factory=list)
    keyed: list[tuple[str, int]] = field(default_factory=list)
    identities: list[int] = field(default_factory=list)
    rejects: list[int] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    changed: set[Identifier] = field(default_factory=set)


class FindsInText(Protocol):
    """Finds texts that mention one of some people: :class:`.Mentions`, or a suppression list."""

    def found_in(self, text: bytes | str, /) -> bool:
        """Return whether a text mentions one of them."""


class Limit(NamedTuple):
    """
    The limit of identifiers that a search may find in addition to the given ones.

    :param at_most: further identifiers for all given ones together; ``None`` for no limit.
    """

    at_most: int | None = None

    def require(self, given: int, found: int) -> None:
        """
        Require that no more identifiers were found than the limit allows.

        :raises ConfigError: there are too many. The message holds counts only.
        """
        if self.at_most is not None and found - given > self.at_most:
            raise ConfigError(
                f"The {given} given identifiers are linked with {found - given} others at least. `max_linked` allows"
                f" {self.at_most} in all, because others may belong to other people. Nothing was deleted. Find out what"
                " links them, then set a larger `max_linked`."
            )


NO_LIMIT = Limit()


class PersonSearch:
    """
    A search, which reads committed rows.

    :param db: a connection outside any transaction: a search may take minutes.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def linked(self, given: Iterable[Identifier], limit: Limit = NO_LIMIT) -> set[Identifier]:
        """
        Follow identifiers to others in the same rows, and from these to further ones.

        :returns: all identifiers, including the given ones. A number is returned as a WhatsApp ID.
        :raises ConfigError: more identifiers were found than the limit allows.
        """
        known: dict[Identifier, Identifier] = {}
        new = self._unknown(known, (identifier.as_wa_id() for identifier in given))
        people = len(known)
        while new:
            rows = self._rows_stating(new)
            new = self._unknown(known, (identifier for row in rows for identifier in stated_identifiers(row)))
            limit.require(people, len(known))
        return set(known.values())

    def existing(self, identifiers: Collection[Identifier]) -> set[Identifier]:
        """Return which of the identifiers the store has."""
        stated = {identifier for row in self._rows_stating(identifiers) for identifier in stated_identifiers(row)}
        return {one for one in identifiers if stated & self._all_spellings([one])}

    def _unknown(self, known: dict[Identifier, Identifier], found: Iterable[Identifier]) -> list[Identifier]:
        """Add unknown identifiers; return them, and those known only by a pseudonym."""
        new = []
        for identifier in found:
            key = Identifier(identifier.kind, max(self._spellings(identifier)))
            is_clear = not is_pseudonym(identifier.value)
            if key not in known or (is_clear and is_pseudonym(known[key].value)):
                known[key] = identifier
                new.append(identifier)
        return new

    def suppressed(self, suppression_list: SuppressionList) -> tuple[set[Identifier], set[Contact]]:
        """Find the identifiers and contacts in the store that are on the suppression list. It reads the whole store."""
        identifiers, contacts = set(), set()
        for row in self._pages(ALL_CONTACTS, {"account_id": 0, "version_id": 0}):
            ids = IdsByKind(row.wa_id, row.lid, row.user_id)
            if suppression_list.has_record(row.source, row.account, _IdsOfContact(row.contact_id, ids)):
                contacts.add(Contact(row.source, row.account, row.contact_id))
                identifiers |= set(stated_identifiers(row))
        for sql, key in ((ALL_NUMBERS, "number_id"), (ALL_IDENTITIES, "identity_id")):
            for row in self._pages(sql, {key: 0}):
                identifiers |= set(stated_identifiers(row))
        return {one for one in identifiers if suppression_list.has(one)}, contacts

    def contacts(self, identifiers: Collection[Identifier], named: Iterable[Contact] = ()) -> list[FoundContact]:
        """
        Find the contacts that have one of the identifiers in any version.

        :param named: contacts to find as well.
        """
        found = {FoundContact(*row) for row in self._select(CONTACTS, identifiers)}
        found |= {FoundContact(*row) for row in self._beginning(identifiers)}
        found |= _contacts_named(self._db, named)
        return sorted(found, key=lambda contact: (contact.account_id, contact.contact_id))

    def rows(
        self,
        identifiers: Collection[Identifier],
        contacts: Sequence[FoundContact],
        mentions: FindsInText | None = None,
    ) -> FoundRows:
        """
        Find all rows of the people with these identifiers and contacts.

        :param mentions: finds texts that mention one of the people. Default: by their identifiers.
        """
        keys = [{"account_id": contact.account_id, "contact_id": contact.contact_id} for contact in contacts]
        versions = rows_by_keys(self._db, VERSIONS, keys, account_id="bigint", contact_id="text")
        version_keys = [{"account_id": row.account_id, "version_id": row.version_id} for row in versions]
        others = rows_by_keys(self._db, OTHER_IDS, version_keys, account_id="bigint", version_id="bigint")
        found = FoundRows(
            contacts=list(contacts),
            versions=[(row.account_id, row.version_id) for row in versions],
            numbers=sorted({row.number_id for row in self._numbers(identifiers)}),
            identities=sorted({row.identity_id for row in self._select(IDENTITIES, identifiers)}),
            people=self._people(identifiers, contacts),
            changed={
                *changed_identifiers(self._db, identifiers),
                *(other for row in others for other in stated_identifiers(row)),
            }
            - self._all_spellings(identifiers),
        )
        if identifiers or mentions:
            mentions = mentions or Mentions(self._all_spellings(identifiers))
            self._add_results(found, identifiers, mentions)
            found.rejects = list(self._rejects(mentions))
        return found

    def _rows_stating(self, identifiers: Collection[Identifier]) -> list[Any]:
        contacts, identities = (self._select(sql, identifiers) for sql in (PAYLOADS, IDENTITIES))
        return [*self._numbers(identifiers), *contacts, *identities]

    def _numbers(self, identifiers: Collection[Identifier]) -> list[Any]:
        found = self._select(NUMBERS, identifiers)
        return [*found, *self._select(NUMBERS_OF_PSEUDONYMS, identifiers)] if self._db.secret else found

    def _beginning(self, identifiers: Iterable[Identifier]) -> Iterator[Any]:
        wanted = {one for one in self._all_spellings(identifiers) if one.kind in BEGINNING}
        starts = [(prefix, one.local_part) for one in sorted(wanted) for prefix in PREFIXES]
        for prefix, start in starts:
            # IDs of digits only are a system's own numbering. One query each: for many ranges at once, databases scan
            # the table.
            low = f"{prefix}{start}{'' if prefix else FIRST}"
            yield from self._with_ids(wanted, self._db.execute(CONTACTS_BEGINNING, low=low, high=prefix + start + LAST))

    def _with_ids(self, wanted: set[Identifier], rows: Iterable[Any]) -> Iterator[Any]:
        for row in rows:
            if wanted & set(identifiers_in_contact_id(row.contact_id)):
                yield row

    def _add_results(self, found: FoundRows, identifiers: Collection[Identifier], mentions: FindsInText) -> None:
        numbers = [{"number_id": number_id} for number_id in found.numbers]
        of_numbers = rows_by_keys(self._db, RESULTS_OF_NUMBERS, numbers, number_id="bigint")
        theirs = {(row.check_id, row.ordinal) for row in (*of_numbers, *self._select(RESULTS_OF_IDS, identifiers))}
        keyed = set()
        for row in self._written():
            if row.input and mentions.found_in(row.input):
                theirs.add((row.check_id, row.ordinal))
            elif row.contact_key and mentions.found_in(row.contact_key):
                keyed.add((row.check_id, row.ordinal))
        found.results, found.keyed = sorted(theirs), sorted(keyed - theirs)

    def _people(self, identifiers: Collection[Identifier], contacts: Iterable[FoundContact]) -> list[str]:
        keys = [contact.key._asdict() for contact in contacts]
        types = {"source": "text", "account": "text", "contact_id": "text"}
        of_contacts = rows_by_keys(self._db, PEOPLE_OF_CONTACTS, keys, **types)
        return sorted({row.person_key for row in (*of_contacts, *self._select(PEOPLE, identifiers))})

    def _written(self) -> Iterator[Any]:
        return self._pages(WRITTEN, {"check_id": "0" * 32, "ordinal": -1})

    def _rejects(self, mentions: FindsInText) -> Iterator[int]:
        rows = self._pages(REJECTED_BODIES, {"reject_id": 0})
        return (row.reject_id for row in rows if mentions.found_in(bytes(row.body)))

    def _pages(self, sql: str, after: dict[str, Any]) -> Iterator[Any]:
        """Yield rows page by page in key order, after a key. The key is part of each row."""
        while rows := self._db.execute(sql, size=CHUNK, **after).all():
            yield from rows
            after = {name: getattr(rows[-1], name) for name in after}

    def _select(self, sql: str, identifiers: Iterable[Identifier]) -> list[Any]:
        given = [{"kind": one.kind, "value": value} for one in sorted(identifiers) for value in self._spellings(one)]
        return rows_by_keys(self._db, sql, given, kind="text", value="text")

    def _spellings(self, identifier: Identifier) -> set[str]:
        """Return an identifier's values in rows: the plain value, and its pseudonym if the store has a secret."""
        if self._db.secret is None or identifier.kind is Kind.CONTACT:
            return {identifier.value}
        return {identifier.value, pseudonymize(identifier, self._db.secret)}

    def _all_spellings(self, identifiers: Iterable[Identifier]) -> set[Identifier]:
        return {Identifier(one.kind, value) for one in identifiers for value in self._spellings(one)}


def _contacts_named(db: Database, named: Iterable[Contact]) -> set[FoundContact]:
    """Find contacts by their feed, account and ID, including contacts without a current version."""
    given = [contact._asdict() for contact in named]
    rows = rows_by_keys(db, CONTACTS_NAMED, given, source="text", account="text", contact_id="text")
    return {FoundContact(*row) for row in rows}


def rows_by_keys(db: Database, sql: str, given: Iterable[dict[str, Any]], **types: str) -> list[Any]:
    """Select rows by keys, in chunks."""
    found: list[Any] = []
    for chunk in batched(given, CHUNK):
        found += db.execute(sql.replace("{given}", db.given(**types)), rows=chunk).all()
    return found


def stated_identifiers(row: Any) -> Iterator[Identifier]:
    """Yield the identifiers of one person in a row."""
    values = row._asdict()
    if number := values.get("number"):
        yield Identifier(Kind.NUMBER, number).as_wa_id()
    for kind in (Kind.WA_ID, Kind.LID, Kind.USER_ID):
        if value := values.get(kind):
            yield Identifier(kind, value)
