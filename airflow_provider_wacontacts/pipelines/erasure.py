"""Erase people from the store and from files, and put them on the suppression list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files import ObjectPath
from airflow_provider_wacontacts.files.erasure import ErasedFiles, erase_files
from airflow_provider_wacontacts.identifiers.suppression import read_person
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.erasure import ErasedRows, erase

__all__ = ["COLUMNS", "ErasureSummary", "erase_people", "parse_people", "people_in_rows"]

#: The columns of a query that identify people.
COLUMNS = ("wa_id", "number")


@dataclass(frozen=True, slots=True)
class ErasureSummary:
    """
    The summary of an erasure: counts, no personal data.

    :param people: different WhatsApp IDs and numbers given.
    :param contacts: contacts erased from the store, over all feeds and accounts.
    :param versions: versions of these contacts.
    :param numbers: checked numbers, counted for each sender.
    :param results: check results.
    :param extractions: complete extractions in files that were searched.
    :param files: files rewritten, or deleted because no row was left.
    :param file_rows: rows erased from files.
    :param leftovers: files of killed extractions, which were deleted.
    :param unfinished: extractions to files that may still be running, which were skipped.
    """

    people: int = 0
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

    def as_dict(self) -> dict[str, Any]:
        """Return it as the dictionary that XCom carries."""
        return asdict(self)


def people_in_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[object]:
    """Yield the WhatsApp IDs and numbers in a query's rows; skip nulls and other columns."""
    return (row[name] for row in rows for name in COLUMNS if row.get(name) is not None)


def parse_people(values: Iterable[object]) -> list[str]:
    """
    Read WhatsApp IDs and international numbers.

    :returns: sorted, without duplicates.
    :raises ConfigError: a value is neither. The message holds counts only.
    """
    people: set[str] = set()
    total = invalid = 0
    for total, value in enumerate(values, 1):  # noqa: B007 - the last count is the total
        try:
            people.add(read_person(value))
        except ValueError:
            invalid += 1
    if invalid:
        raise ConfigError(
            f"{invalid} of {total} IDs {'is' if invalid == 1 else 'are'} invalid: expected a WhatsApp ID or a number"
            " with country code. Nothing was erased."
        )
    return sorted(people)


def erase_people(people: Sequence[str], *, store: Store, roots: Sequence[ObjectPath] = ()) -> ErasureSummary:
    """
    Erase people from the store, then erase the store's whole suppression list from files.

    Only one run per store rewrites files at a time. A killed run is completed by the next one, whatever its ``people``.

    :param people: as :func:`parse_people` returns them; may be empty.
    :param roots: paths below which files are rewritten.
    :raises ConfigError: the store cannot be used, or its suppression list was made with another secret.
    :raises LandingError: the store or the files failed. Run it again.
    """
    store.prepare()
    rows = erase(store.context, people)
    files = ErasedFiles()
    if roots:
        with store.context.locks.file_rewrite_lock():
            more_rows, files = _erase_files(store, roots)
        rows = rows.plus(more_rows)
    return _summary(len(set(people)), rows, files)


def _erase_files(store: Store, roots: Sequence[ObjectPath]) -> tuple[ErasedRows, ErasedFiles]:
    rows, total = ErasedRows(), ErasedFiles()
    while True:
        suppressed = store.suppression_list()
        files = ErasedFiles()
        for root in roots:
            files = files.plus(erase_files(root, suppressed))
        total = total.plus(files)._replace(unfinished=files.unfinished, extractions=files.extractions)
        if not files.contacts:
            return rows, total
        # Other versions of these contacts, in the store and in files read before, may have no WhatsApp ID.
        rows = rows.plus(erase(store.context, (), files.contacts))


def _summary(people: int, rows: ErasedRows, files: ErasedFiles) -> ErasureSummary:
    return ErasureSummary(
        people=people,
        **rows._asdict(),
        extractions=files.extractions,
        files=files.files,
        file_rows=files.rows,
        file_rejects=files.rejects,
        leftovers=files.leftovers,
        unfinished=files.unfinished,
    )
