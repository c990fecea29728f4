"""Erase people: from the store, and from files, for good."""

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

__all__ = ["COLUMNS", "ErasureSummary", "erase_people", "people_in", "people_of"]

#: What a query names people by.
COLUMNS = ("wa_id", "number")


@dataclass(frozen=True, slots=True)
class ErasureSummary:
    """
    What was erased, in figures: nothing personal, nothing but what JSON has.

    :param people: WhatsApp ids and numbers that were given, each once.
    :param contacts: of all feeds and accounts, in the store.
    :param versions: states of these contacts.
    :param numbers: numbers that had been asked about, a sender's each.
    :param results: of checks.
    :param extractions: in files, complete ones that were read.
    :param files: that were written anew, or deleted because nothing was left of them.
    :param file_rows: contacts in files, as often as they were pulled.
    :param leftovers: files that nobody reads, and that were deleted: of tries that were killed.
    :param unfinished: tries at writing files that may still be running, and were left alone.
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


def people_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[object]:
    """Yield the WhatsApp ids and numbers in rows of a query, whatever else is in them; what is null is passed over."""
    return (row[name] for row in rows for name in COLUMNS if row.get(name) is not None)


def people_in(given: Iterable[object]) -> list[str]:
    """
    Read WhatsApp ids and international numbers.

    :returns: each once.
    :raises ConfigError: one is neither; the message tells how many, and no more.
    """
    found: set[str] = set()
    total = wrong = 0
    for total, one in enumerate(given, 1):  # noqa: B007 - how many there were
        try:
            found.add(read_person(one))
        except ValueError:
            wrong += 1
    if wrong:
        raise ConfigError(
            f"{wrong} of the {total} that were given are neither WhatsApp ids nor numbers with their country code; "
            "nobody was erased"
        )
    return sorted(found)


def erase_people(people: Sequence[str], *, store: Store, roots: Sequence[ObjectPath] = ()) -> ErasureSummary:
    """
    Erase people from the store; then from files everybody who ever was erased from the store.

    Another run of the same store waits before the files. Nothing is lost when it is killed in between, and whoever
    comes into files again is found by a later run, which need not name anybody.

    :param people: as :func:`people_in` reads them; may be empty.
    :param roots: below which files are written anew.
    :raises ConfigError: the store cannot be used, or it knows those who were erased before by another secret.
    :raises LandingError: the store or the files failed; to be run again.
    """
    store.prepare()
    rows = erase(store.context, people)
    sums = ErasedFiles()
    if roots:
        with store.context.locks.file_rewrite_lock():
            more, sums = _erase_files(store, roots)
        rows = rows.plus(more)
    return _summary(len(set(people)), rows, sums)


def _erase_files(store: Store, roots: Sequence[ObjectPath]) -> tuple[ErasedRows, ErasedFiles]:
    rows, sums = ErasedRows(), ErasedFiles()
    while True:
        erased = store.suppression_list()
        files = ErasedFiles()
        for root in roots:
            files = files.plus(erase_files(root, erased))
        sums = sums.plus(files)._replace(unfinished=files.unfinished, extractions=files.extractions)
        if not files.contacts:
            return rows, sums
        # Other states of theirs, in the store and in files read before, may have no WhatsApp id.
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
