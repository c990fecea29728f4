"""Write the results of a check to a table, idempotently and in atomic chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, NamedTuple, Protocol

from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.checks.model import PAST_BUDGET, REUSABLE
from airflow_provider_wacontacts.store.checks.result_rows import COLUMNS, ResultRow, TargetRow

__all__ = ["TargetTable", "WriteSummary", "write_check_results"]

#: Contacts in a transaction.
CHUNK_SIZE = 500


class TargetTable(Protocol):
    """A table of a database."""

    @property
    def columns(self) -> Collection[str]:
        """The columns of :class:`TargetRow` that the table has."""

    def find(self, column: str, values: Sequence[str]) -> Iterable[TargetRow]:
        """Return the rows whose column has one of these values."""

    def replace(self, column: str, values: Sequence[str], rows: Sequence[TargetRow]) -> None:
        """In one transaction, delete the rows whose column has one of these values, and insert others."""


@dataclass(frozen=True, slots=True)
class WriteSummary:
    """
    Results that were written: an ID and counts, no personal data.

    :param rows: rows of the check.
    :param written: rows of the check that are in the table now.
    :param removed: rows of the check that were removed from the table.
    :param kept: rows that stay because their number's result is not final, or failed.
    """

    check_id: str
    rows: int
    written: int
    removed: int
    kept: int

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for XCom and asset events."""
        return asdict(self)


class _Group(NamedTuple):
    """The results of a contact, or of a number without one."""

    key: str
    results: Sequence[ResultRow]


def write_check_results(
    check_id: str, results: Iterable[ResultRow], table: TargetTable, *, statuses: Collection[str]
) -> WriteSummary:
    """
    Update a table with the results of a check.

    Afterwards, a contact of the check has exactly the check's numbers with one of ``statuses``. Numbers whose check
    failed or is not finished keep the rows that they have. Results without a contact change the rows of their number,
    and add rows only if the table has no column ``contact_key``.

    :param results: grouped by contact, or by number if they have no contact.
    :param statuses: the statuses of the results that are written.
    :raises WaContactsError: the table failed. Earlier chunks stay written, and a retry writes the rest.
    """
    has_contacts = "contact_key" in table.columns
    counts: dict[str, int] = defaultdict(int)

    def is_of_contact(row: ResultRow) -> bool:
        return has_contacts and row.contact_key is not None

    def group_key(row: ResultRow) -> tuple[bool, str | None]:
        return is_of_contact(row), row.contact_key if is_of_contact(row) else row.number

    groups = ((of, _Group(key, list(rows))) for (of, key), rows in groupby(results, group_key) if key is not None)
    for of_contact, chunk in _chunks(groups):
        column = "contact_key" if of_contact else "number"
        found: dict[str | None, list[TargetRow]] = defaultdict(list)
        for row in table.find(column, [group.key for group in chunk]):
            found[getattr(row, column)].append(row)
        changed: dict[str, list[TargetRow]] = {}
        for group in chunk:
            before = found[group.key]
            if of_contact:
                after, kept = _desired(group, before, statuses)
            else:
                after, kept = _desired_of_number(group, before, statuses, may_add=not has_contacts)
            after = [_of_columns(row, table.columns) for row in after]
            if sorted(after, key=repr) != sorted(before, key=repr):
                changed[group.key] = after
            counts["rows"] += len(group.results)
            counts["kept"] += kept
            counts["written"] += len(after) - kept
            counts["removed"] += len(set(before) - set(after))
        if changed:
            table.replace(column, list(changed), [row for rows in changed.values() for row in rows])
    return WriteSummary(check_id, *(counts[name] for name in ("rows", "written", "removed", "kept")))


def _chunks(groups: Iterable[tuple[bool, _Group]]) -> Iterator[tuple[bool, list[_Group]]]:
    for of_contact, of_kind in groupby(groups, lambda group: group[0]):
        for chunk in batched((group for _, group in of_kind), CHUNK_SIZE):
            yield of_contact, chunk


def _desired(group: _Group, before: Sequence[TargetRow], statuses: Collection[str]) -> tuple[list[TargetRow], int]:
    """Return the rows that a contact should have, and how many of them stay although they are undecided."""
    rows = {row.number: row for row in group.results if row.number and row.status in statuses}
    undecided = {row.number for row in group.results if row.number and not _is_decided(row, statuses)}
    kept = [row for row in before if row.number in undecided - rows.keys()]
    return [TargetRow(group.key, row.number, row.wa_id, row.status) for row in rows.values()] + kept, len(kept)


def _desired_of_number(
    group: _Group, before: Sequence[TargetRow], statuses: Collection[str], *, may_add: bool
) -> tuple[list[TargetRow], int]:
    """Return the rows that a number should have, of all its contacts."""
    result = group.results[0]
    if not _is_decided(result, statuses):
        return list(before), len(before)
    if result.status not in statuses:
        return [], 0
    if before:
        return [row._replace(wa_id=result.wa_id, status=result.status) for row in before], 0
    return ([TargetRow(None, result.number, result.wa_id, result.status)] if may_add else []), 0


def _is_decided(row: ResultRow, statuses: Collection[str]) -> bool:
    if row.status == "not_asked":
        return row.reason != PAST_BUDGET
    return row.status in REUSABLE or row.status in statuses


def _of_columns(row: TargetRow, columns: Collection[str]) -> TargetRow:
    return TargetRow(*(value if name in columns else None for name, value in zip(COLUMNS, row, strict=True)))
