"""
Find the changes that a GREEN-API snapshot makes to an Iceberg table: new, changed, returned and gone contacts.

The rules are the same as in the store. For each account, a table property keeps the earlier snapshots to compare with.
It is set in the commit that appends the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from airflow_provider_wacontacts.files import CompletePrefix, Manifest
from airflow_provider_wacontacts.files.iceberg.table import ContactTable
from airflow_provider_wacontacts.files.reader import read_prefix, read_rejects
from airflow_provider_wacontacts.identifiers.suppression import SuppressionList
from airflow_provider_wacontacts.identifiers.whatsapp_ids import GROUP_DOMAIN
from airflow_provider_wacontacts.records.green_api import SOURCE
from airflow_provider_wacontacts.records.record import Record, has_unidentified, ids_in_rejects
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.completeness import (
    TRUNCATED,
    Earlier,
    Seen,
    ShrinkGuard,
    SnapshotCounts,
    incomplete_reason,
)

__all__ = ["SnapshotChanges", "skip_reason", "snapshot_changes"]

#: Snapshots kept in an account's property, in addition to the last complete ones.
KEPT_SNAPSHOTS = 20
#: Number of contacts to read the last version of in one scan.
SCAN_IDS = 500


class _Snapshot(msgspec.Struct, frozen=True):
    """
    A snapshot in the table.

    :param groups_seen: ``None``, like ``others_seen``, if they were not requested.
    :param reason: why it was not accepted as complete.
    """

    extraction_id: str
    extracted_at: datetime
    groups_seen: int | None
    others_seen: int | None
    reason: str | None

    @property
    def seen(self) -> Seen:
        return Seen(self.groups_seen, self.others_seen)


class _Version(NamedTuple):
    """A version of a contact in the table."""

    updated_at: datetime
    row_hash: bytes
    state: str


class SnapshotChanges(NamedTuple):
    """
    The rows that a snapshot adds.

    :param properties: table properties to set in the same commit.
    :param back: contacts that returned.
    """

    records: Sequence[Record]
    properties: Mapping[str, str]
    gone: int
    back: int


def skip_reason(table: ContactTable, manifest: Manifest) -> str | None:
    """
    Return why a snapshot is not appended; ``None`` to append it.

    It is ``known`` if the table has it, ``older`` if the table has a newer one of the same types of contacts.
    """
    past = _past(table, manifest.account)
    if any(each.extraction_id == manifest.extraction_id for each in past):
        return "known"
    asked = Seen.of(0, 0, group=manifest.group)
    newest = (each.extracted_at for each in past if _types(each.seen) & _types(asked))
    return "older" if any(moment >= manifest.extracted_at for moment in newest) else None


def snapshot_changes(
    table: ContactTable, prefix: CompletePrefix, guard: ShrinkGuard, suppression_list: SuppressionList
) -> SnapshotChanges:
    """
    Compare a snapshot with the table.

    If several rows have the same ID, the first one counts. A gone contact keeps its last known content.

    :raises LandingError: a file or the table cannot be read.
    """
    manifest = prefix.manifest
    rejects = list(read_rejects(prefix))
    versions = _versions(table, manifest.account)
    rows: dict[str, Record] = {}
    skipped: set[str] = set()
    for record in read_prefix(prefix):
        if suppression_list and suppression_list.has_record(SOURCE, manifest.account, record):
            skipped.add(record.contact_id)
        else:
            rows.setdefault(record.contact_id, record)
    present = {contact_id for contact_id, known in versions.items() if known[-1].state == "present"}
    seen_ids = rows.keys() | (ids_in_rejects(rejects) & present)
    groups = sum(name.endswith(GROUP_DOMAIN) for name in (*seen_ids, *skipped))
    seen = Seen.of(groups, len(seen_ids) + len(skipped) - groups, group=manifest.group)
    past = _past(table, manifest.account)
    earlier = _earlier(past, seen, guard.confirmations - 1)
    counts = SnapshotCounts(
        seen.size if rows else 0,
        manifest.is_cut,
        manifest.is_synchronised,
        has_unidentified(rejects),
        _kept(versions, seen_ids, earlier.taken_at) + len(skipped),
    )
    reason = incomplete_reason(counts, earlier, guard)
    missing = set() if reason else {name for name in present - seen_ids if _can_be_missing(name, group=manifest.group)}
    changed = [record for name, record in rows.items() if _is_changed(record, versions.get(name))]
    gone = _gone(table, manifest, {name: versions[name][-1] for name in missing})
    written = _Snapshot(manifest.extraction_id, manifest.extracted_at, *seen, reason)
    return SnapshotChanges(
        [*changed, *gone],
        {_property(manifest.account): msgspec.json.encode(_shortened([*past, written])).decode()},
        len(gone),
        sum(record.contact_id in versions and record.contact_id not in present for record in changed),
    )


def _property(account: str) -> str:
    return f"wacontacts.snapshots.{account}"


def _past(table: ContactTable, account: str) -> list[_Snapshot]:
    """Return the snapshots that the table has, oldest first."""
    found = table.table.properties.get(_property(account), "[]")
    return msgspec.json.decode(found, type=list[_Snapshot])


def _shortened(past: Sequence[_Snapshot]) -> list[_Snapshot]:
    ordered = sorted(past, key=lambda each: each.extracted_at)
    last = [_last_complete(ordered, name) for name in Seen._fields]
    return [each for place, each in enumerate(ordered) if place >= len(ordered) - KEPT_SNAPSHOTS or each in last]


def _last_complete(past: Sequence[_Snapshot], name: str) -> _Snapshot | None:
    complete = [each for each in past if each.reason is None and getattr(each, name) is not None]
    return complete[-1] if complete else None


def _earlier(past: Sequence[_Snapshot], seen: Seen, at_most: int) -> Earlier:
    asked = [name for name, count in seen._asdict().items() if count is not None]
    last = {name: _last_complete(past, name) for name in asked}
    sizes = [getattr(each, name) for name, each in last.items() if each]
    others = [each for each in reversed(past) if _types(each.seen) == _types(seen) and each.reason != TRUNCATED]
    groups_at, others_at = (each.extracted_at if (each := last.get(name)) else None for name in Seen._fields)
    return Earlier(
        sum(sizes) if sizes else None,
        [(each.seen.size, each.reason) for each in others[:at_most]],
        (groups_at, others_at),
    )


def _types(seen: Seen) -> set[str]:
    return {name for name, count in seen._asdict().items() if count is not None}


def _versions(table: ContactTable, account: str) -> dict[str, list[_Version]]:
    """Return the versions of each contact of an account, oldest first."""
    from pyiceberg.expressions import EqualTo

    found: dict[str, set[_Version]] = defaultdict(set)
    columns = ("contact_id", *_Version._fields)
    for contact_id, *version in (
        row.values() for row in table.scan(columns, EqualTo("source", SOURCE), EqualTo("account", account))
    ):
        found[contact_id].add(_Version(*version))
    return {contact_id: sorted(versions) for contact_id, versions in found.items()}


def _kept(
    versions: Mapping[str, Sequence[_Version]],
    seen_ids: Iterable[str],
    taken_at: tuple[datetime | None, datetime | None],
) -> int:
    """Count the contacts of the last complete snapshot that are in this one."""

    def was_there(contact_id: str) -> bool:
        moment = taken_at[0 if contact_id.endswith(GROUP_DOMAIN) else 1]
        before = [each for each in versions.get(contact_id, ()) if moment and each.updated_at <= moment]
        return bool(before) and before[-1].state == "present"

    return sum(map(was_there, seen_ids))


def _can_be_missing(contact_id: str, *, group: bool | None) -> bool:
    """Return whether a contact can be missing. An ID without a type, for example a pseudonym, has neither type."""
    is_group = contact_id.endswith(GROUP_DOMAIN)
    return group is None or (is_group if group else not is_group and "@" in contact_id)


def _is_changed(record: Record, known: Sequence[_Version] | None) -> bool:
    return not known or (known[-1].state, known[-1].row_hash) != ("present", record.row_hash)


def _gone(table: ContactTable, manifest: Manifest, last: Mapping[str, _Version]) -> list[Record]:
    """Return a row for each gone contact."""
    from pyiceberg.expressions import EqualTo, In

    columns = ("contact_id", "updated_at", "row_hash", "payload", "wa_id", "lid", "user_id", "repaired")
    ids, gone = sorted(last), {}
    account = EqualTo("source", SOURCE), EqualTo("account", manifest.account)
    for batch in batched(ids, SCAN_IDS):
        for row in table.scan(columns, *account, In("contact_id", batch)):
            if (row["updated_at"], row["row_hash"]) == last[row["contact_id"]][:2]:
                given: dict[str, Any] = row | {"payload": row["payload"].encode(), "updated_at": manifest.extracted_at}
                gone[row["contact_id"]] = Record(**given, state="gone")
    return list(gone.values())
