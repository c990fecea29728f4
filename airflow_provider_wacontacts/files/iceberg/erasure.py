"""
Erase people from an Iceberg table: first their rows, then all files of old snapshots that still contain them.

Old data files and manifests are deleted before their snapshots expire, so after a kill the next erasure finds the rest
by a property of the erasure's snapshot.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.files.iceberg.errors import ConflictError, table_errors
from airflow_provider_wacontacts.files.iceberg.table import NO_RETRIES, ContactTable
from airflow_provider_wacontacts.identifiers.suppression import Contact, SuppressionList
from airflow_provider_wacontacts.identifiers.whatsapp_ids import IdsByKind

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["ErasedFromTable", "erase_rows"]

#: Property of snapshots that an erasure creates.
ERASURE = "wacontacts.erasure"
#: Maximum attempts to erase while other tasks commit to the table.
ATTEMPTS = 10


class ErasedFromTable(NamedTuple):
    """
    Counts of an erasure from tables.

    :param contacts: contacts found only by an identifier; other rows of these contacts may have none.
    :param files: data files and manifests that were deleted.
    """

    contacts: frozenset[Contact] = frozenset()
    rows: int = 0
    files: int = 0

    def plus(self, other: ErasedFromTable) -> ErasedFromTable:
        """Return the sum."""
        return ErasedFromTable(self.contacts | other.contacts, self.rows + other.rows, self.files + other.files)


class _Row(NamedTuple):
    contact_id: str
    ids: IdsByKind


def erase_rows(table: ContactTable, suppression_list: SuppressionList, *, dry_run: bool = False) -> ErasedFromTable:
    """
    Erase people from a table. If it had rows of them, all snapshots except the newest expire.

    :param suppression_list: the people to erase.
    :param dry_run: count what would be erased, and change nothing.
    :raises ConfigError: a tag or another branch than ``main`` would keep the rows.
    :raises LandingError: the catalog or the storage failed. Run it again.
    """
    for _ in range(ATTEMPTS):
        table.refresh()
        try:
            return _erase(table, suppression_list, dry_run=dry_run)
        except ConflictError:
            continue
    raise LandingError(f"Other tasks committed to the table {ATTEMPTS} times before the erasure could. Run it again.")


def _erase(table: ContactTable, suppression_list: SuppressionList, *, dry_run: bool) -> ErasedFromTable:
    rows, named = _find(table, suppression_list)
    found = ErasedFromTable(frozenset(named), rows=sum(rows.values()))
    if dry_run or not (rows or _is_unfinished(table.table)):
        return found
    _expect_one_branch(table.table)
    with table_errors("The rows cannot be erased from the table"):
        if rows:
            target = table.table
            target.metadata = target.metadata.model_copy(update={"properties": target.properties | NO_RETRIES})
            target.delete(_rows_of(rows), snapshot_properties={ERASURE: "true"})
        return found._replace(files=_purge(table.table))


def _find(table: ContactTable, suppression_list: SuppressionList) -> tuple[Counter[Contact], set[Contact]]:
    """Return the contacts to erase, with the number of their rows, and those of them that are not on the list."""
    counts: Counter[Contact] = Counter()
    erased: set[Contact] = set()
    judged: dict[tuple[Any, ...], bool] = {}
    for row in table.scan(("source", "account", "contact_id", *IdsByKind._fields)):
        contact = Contact(row["source"], row["account"], row["contact_id"])
        ids = IdsByKind(**{name: row[name] for name in IdsByKind._fields})
        counts[contact] += 1
        key = (contact, ids)
        if key not in judged:
            judged[key] = suppression_list.has_record(*contact[:2], _Row(contact.contact_id, ids))
        if judged[key]:
            erased.add(contact)
    named = {contact for contact in erased if not suppression_list.has_contact(contact)}
    return Counter({contact: counts[contact] for contact in erased}), named


def _rows_of(contacts: Iterable[Contact]) -> Any:
    from pyiceberg.expressions import AlwaysFalse, And, EqualTo, In, Or

    accounts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source, account, contact_id in contacts:
        accounts[source, account].append(contact_id)
    each = [
        And(EqualTo("source", source), EqualTo("account", account), In("contact_id", ids))
        for (source, account), ids in accounts.items()
    ]
    return Or(AlwaysFalse(), AlwaysFalse(), *each)


def _expect_one_branch(table: Table) -> None:
    if others := sorted(set(table.refs()) - {"main"}):
        raise ConfigError(
            f"The table has tags or branches that keep old rows: {', '.join(others)}. Remove them, and run the erasure"
            " again. Nothing was erased from the table."
        )


def _is_unfinished(table: Table) -> bool:
    """Return whether an erasure was killed before older snapshots expired."""
    ages = {each.sequence_number or 0: each for each in table.snapshots()}
    return any(
        each.summary is not None and ERASURE in each.summary.additional_properties and min(ages) < age
        for age, each in ages.items()
    )


def _purge(table: Table) -> int:
    """Delete the files of all snapshots except the newest, and expire these snapshots; return the number of files."""
    newest = table.current_snapshot()
    old = [snapshot for snapshot in table.snapshots() if newest is None or snapshot.snapshot_id != newest.snapshot_id]
    kept, kept_manifests = _files_of(table, [newest] if newest else [])
    files, manifests = _files_of(table, old)
    lists = {snapshot.manifest_list for snapshot in old if snapshot.manifest_list}
    gone = [*sorted(files - kept), *sorted(manifests - kept_manifests), *sorted(lists)]
    for location in gone:
        _delete(table, location)
    if old:
        table.maintenance.expire_snapshots().by_ids([snapshot.snapshot_id for snapshot in old]).commit()
    return len(gone)


def _files_of(table: Table, snapshots: Collection[Snapshot]) -> tuple[set[str], set[str]]:
    """Return the data files, and the manifests, of snapshots; skip files that a killed erasure has deleted."""
    files: set[str] = set()
    seen: set[str] = set()
    for snapshot in snapshots:
        for manifest in _skip_deleted(lambda at=snapshot: at.manifests(table.io)):
            if manifest.manifest_path not in seen:
                seen.add(manifest.manifest_path)
                entries = _skip_deleted(lambda at=manifest: at.fetch_manifest_entry(table.io))
                files.update(entry.data_file.file_path for entry in entries)
    return files, seen


def _skip_deleted(read: Any) -> Iterator[Any]:
    try:
        yield from read()
    except FileNotFoundError:
        return


def _delete(table: Table, location: str) -> None:
    try:
        table.io.delete(location)
    except FileNotFoundError:
        return
