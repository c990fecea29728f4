"""Erase people from the store, which also suppresses them from then on, then from files and Iceberg tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import msgspec

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files.erasure import ErasedFiles, erase_files, suppressed_rows
from airflow_provider_wacontacts.files.iceberg.erasure import ErasedFromTable, erase_rows
from airflow_provider_wacontacts.files.iceberg.table import ContactTable
from airflow_provider_wacontacts.files.layout import ObjectPath
from airflow_provider_wacontacts.identifiers.identifier import Identifier, InvalidIdentifierError
from airflow_provider_wacontacts.identifiers.reader import read_identifier
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, Contact, SuppressionList
from airflow_provider_wacontacts.identifiers.variants import variants
from airflow_provider_wacontacts.records.json import UNDECODABLE
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.erasure import LINKED_EACH, ErasedRows, erase, erase_suppressed, find
from airflow_provider_wacontacts.store.export_person import export_rows
from airflow_provider_wacontacts.store.person_search import Limit, PersonSearch
from airflow_provider_wacontacts.store.suppression import Dump

__all__ = ["COLUMNS", "ErasureSummary", "People", "erase_people", "people_in_rows", "read_people"]

#: Query columns that identify people, with the kind of identifier if the value does not show it.
COLUMNS = {
    **dict.fromkeys(("number", "wa_id"), ""),
    "lid": "lid:",
    "user_id": "user_id:",
    "group_id": "group:",
    "contact_id": "contact:",
}


class People(NamedTuple):
    """
    The people to erase.

    :param identifiers: distinct identifiers given.
    :param unreadable: given values that are not identifiers.
    """

    identifiers: frozenset[Identifier]
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class ErasureSummary:
    """
    The summary of an erasure: counts, no personal data.

    :param dry_run: whether nothing was erased. The counts then show what would be erased.
    :param people: distinct identifiers given.
    :param unreadable: given values that are not identifiers, and were ignored.
    :param linked: further identifiers found in the same rows as the given ones. They are erased as well.
    :param variants: other spellings of numbers of Brazil, Mexico and Argentina that the store has. They are erased
        only with ``include_variants``.
    :param changed: identifiers in other versions of the erased contacts: changed numbers or user IDs, or other
        people's. They are not erased.
    :param contacts: contacts erased from the store, over all feeds and accounts.
    :param versions: versions of these contacts.
    :param numbers: checked numbers, counted for each sender.
    :param results: check results.
    :param extractions: complete extractions in files that were searched.
    :param files: files rewritten, or deleted because no row was left.
    :param file_rows: rows erased from files.
    :param leftovers: files of killed extractions, which were deleted.
    :param unfinished: extractions to files that may still be running, which were skipped.
    :param table_rows: rows erased from Iceberg tables.
    :param table_files: files of Iceberg tables that were deleted.
    """

    dry_run: bool = False
    people: int = 0
    unreadable: int = 0
    linked: int = 0
    variants: int = 0
    changed: int = 0
    contacts: int = 0
    versions: int = 0
    numbers: int = 0
    results: int = 0
    identities: int = 0
    rejects: int = 0
    extractions: int = 0
    files: int = 0
    file_rows: int = 0
    file_rejects: int = 0
    leftovers: int = 0
    unfinished: int = 0
    table_rows: int = 0
    table_files: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for XCom."""
        return asdict(self)


def people_in_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[object]:
    """Yield the identifiers in a query's rows; skip nulls and other columns."""
    for row in rows:
        for name, kind in COLUMNS.items():
            if (value := row.get(name)) is not None:
                yield f"{kind}{value}" if kind else value


def read_people(values: Iterable[object], *, ignore_unreadable: bool = False) -> People:
    """
    Read identifiers of any kind; numbers need their country code.

    :param ignore_unreadable: count values that are not identifiers instead of raising.
    :raises ConfigError: a value is not an identifier. The message holds counts only.
    """
    identifiers: set[Identifier] = set()
    total = unreadable = 0
    for total, value in enumerate(values, 1):  # noqa: B007 - the last count is the total
        try:
            identifiers.add(read_identifier(value).as_wa_id())
        except InvalidIdentifierError:
            unreadable += 1
    if unreadable and not ignore_unreadable:
        raise ConfigError(
            f"{unreadable} of {total} IDs {'is' if unreadable == 1 else 'are'} invalid: expected a number with country"
            " code, a WhatsApp ID, a LID, a user ID, a group ID, or `contact:` and a contact's ID. Nothing was erased."
            " Correct them, or set `ignore_unreadable` to erase the others."
        )
    return People(frozenset(identifiers), unreadable)


class _Scope(NamedTuple):
    """
    The people to erase.

    :param given: identifiers, with variants if these are included.
    :param linked: all identifiers found, including the given ones.
    :param variants: variants that the store has.
    """

    given: set[Identifier]
    linked: set[Identifier]
    variants: set[Identifier]


class _Copies(NamedTuple):
    """Counts of an erasure from the copies outside the store."""

    files: ErasedFiles = ErasedFiles()
    rows: ErasedFromTable = ErasedFromTable()

    @property
    def contacts(self) -> frozenset[Contact]:
        return self.files.contacts | self.rows.contacts


class _Lake(NamedTuple):
    """The copies outside the store."""

    roots: Sequence[ObjectPath]
    tables: Sequence[ContactTable]

    def erase(self, suppression_list: SuppressionList, *, dry_run: bool = False) -> _Copies:
        files, rows = ErasedFiles(), ErasedFromTable()
        for root in self.roots:
            files = files.plus(erase_files(root, suppression_list, dry_run=dry_run))
        for table in self.tables:
            rows = rows.plus(erase_rows(table, suppression_list, dry_run=dry_run))
        return _Copies(files, rows)


def erase_people(
    people: People,
    *,
    store: Store,
    roots: Sequence[ObjectPath] = (),
    tables: Sequence[ContactTable] = (),
    include_variants: bool = False,
    max_linked: int = LINKED_EACH,
    dry_run: bool = False,
) -> ErasureSummary:
    """
    Erase people from the store, then erase the store's whole suppression list from files and Iceberg tables.

    Only one run per store rewrites files at a time. The next run, with any ``people``, completes a killed one.

    :param people: as :func:`read_people` returns them; may be empty.
    :param roots: paths below which files are rewritten.
    :param tables: Iceberg tables whose rows are erased.
    :param include_variants: erase other spellings of numbers of Brazil, Mexico and Argentina as well.
    :param max_linked: maximum number of further identifiers to erase, for each given one.
    :param dry_run: count what would be erased, and change nothing.
    :raises ConfigError: the store cannot be used, its suppression list was made with another secret, or more would be
        erased than ``max_linked`` allows.
    :raises LandingError: the store or the files failed. Run it again.
    """
    store.prepare()
    limit = Limit(max_linked * len(people.identifiers))
    scope = _scope(store, people, limit, include_variants=include_variants)
    if dry_run:
        return _count(store, people, scope, _Lake(roots, tables))
    rows, copies = erase(store.context, scope.given, limit=limit), _Copies()
    if roots or tables:
        with store.context.locks.file_rewrite_lock():
            more_rows, copies = _erase_copies(store, _Lake(roots, tables))
        rows = rows.plus(more_rows)
    return _summary(people, scope, rows, copies)


def export_people(
    people: People,
    *,
    store: Store,
    roots: Sequence[ObjectPath] = (),
    include_variants: bool = False,
    max_linked: int = LINKED_EACH,
) -> dict[str, list[Any]]:
    """
    Return all data of some people in the store and in files: the rows that :func:`erase_people` would erase.

    :returns: rows by table name; ``identifiers``; and ``files``, rows with the URI of their file.
    :raises ConfigError: the store cannot be used, or more was found than ``max_linked`` allows.
    :raises LandingError: the store or the files failed.
    """
    store.prepare()
    limit = Limit(max_linked * len(people.identifiers))
    given = _scope(store, people, limit, include_variants=include_variants).given
    contacts: frozenset[Contact] = frozenset()
    while True:
        identifiers, found = find(store.context, given, contacts)
        keys = {contact.key for contact in found.contacts} | contacts
        theirs = NO_SUPPRESSIONS.plus(identifiers, keys, store.context.secret)
        files = [row for root in roots for row in suppressed_rows(root, theirs)]
        named: frozenset[Contact] = frozenset().union(*(row.contacts for row in files))
        if named <= keys:
            shown = [{"kind": str(one.kind), "value": one.value} for one in sorted(identifiers)]
            in_files = [{"file": row.uri, "body": row.body} for row in files]
            return {"identifiers": shown, **export_rows(store.context, found), "files": in_files}
        contacts |= named


def export_suppression_list(store: Store) -> tuple[bytes, int]:
    """
    Return the suppression list as a file that :func:`apply_suppression_list` reads, and how many hashes it has.

    :raises LandingError: the database failed.
    """
    store.prepare()
    with store.context.transactions.read() as connection:
        dump = store.context.suppression_list.dump(connection)
    return msgspec.json.encode(dump), len(dump.hashes)


def apply_suppression_list(store: Store, data: bytes) -> dict[str, int]:
    """
    Add a file's hashes to the suppression list, and erase all rows of people on the list from the store.

    :returns: counts: ``added`` hashes, and rows that were erased.
    :raises ConfigError: the file is not a suppression list, or was made with a secret other than the store's.
    :raises LandingError: the database failed. Run it again.
    """
    try:
        dump = msgspec.json.decode(data, type=Dump)
    except UNDECODABLE:
        raise ConfigError(
            "The file is not a suppression list. Create one with `wacontacts store suppression export`."
        ) from None
    store.prepare()
    context = store.context
    added = context.transactions.run(lambda connection: context.suppression_list.restore(connection, dump))
    context.locks.wait_for_writers()
    rows = erase_suppressed(context)._asdict()
    del rows["changed"]
    return {"added": added, **rows}


def _scope(store: Store, people: People, limit: Limit, *, include_variants: bool) -> _Scope:
    given, existing = set(people.identifiers), set()
    with store.context.read() as db:
        search = PersonSearch(db)
        while True:
            linked = search.linked(given, limit)
            spellings = {variant for one in linked for variant in variants(one)} - linked
            existing |= search.existing(spellings)
            if not include_variants or not spellings:
                return _Scope(given, linked, existing)
            given |= spellings


def _count(store: Store, people: People, scope: _Scope, lake: _Lake) -> ErasureSummary:
    contacts: frozenset[Contact] = frozenset()
    while True:
        identifiers, found = find(store.context, scope.given, contacts)
        keys = {contact.key for contact in found.contacts} | contacts
        suppression_list = store.suppression_list().plus(identifiers, keys, store.context.secret)
        copies = lake.erase(suppression_list, dry_run=True)
        if copies.contacts <= contacts:
            return _summary(people, scope, ErasedRows.of(found), copies, dry_run=True)
        contacts |= copies.contacts


def _erase_copies(store: Store, lake: _Lake) -> tuple[ErasedRows, _Copies]:
    rows, total = ErasedRows(), _Copies()
    while True:
        copies = lake.erase(store.suppression_list())
        files, once = total.files.plus(copies.files), copies.files
        total = _Copies(
            files._replace(unfinished=once.unfinished, extractions=once.extractions), total.rows.plus(copies.rows)
        )
        if not copies.contacts:
            return rows, total
        # Other versions of these contacts, in the store and in copies read before, may have none of the identifiers.
        rows = rows.plus(erase(store.context, (), copies.contacts))


def _summary(
    people: People, scope: _Scope, rows: ErasedRows, copies: _Copies, *, dry_run: bool = False
) -> ErasureSummary:
    files = copies.files
    return ErasureSummary(
        dry_run=dry_run,
        people=len(people.identifiers),
        unreadable=people.unreadable,
        linked=len(scope.linked) - len(scope.given),
        variants=len(scope.variants),
        **rows._asdict(),
        extractions=files.extractions,
        files=files.files,
        file_rows=files.rows,
        file_rejects=files.rejects,
        leftovers=files.leftovers,
        unfinished=files.unfinished,
        table_rows=copies.rows.rows,
        table_files=copies.rows.files,
    )
