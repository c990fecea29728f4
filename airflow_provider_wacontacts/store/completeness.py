"""Whether a snapshot holds all contacts, judged by the earlier snapshots in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple

from sqlalchemy import Column, and_, func, or_, select
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_wacontacts.records.arguments import validate_bool, validate_int, validate_ratio
from airflow_provider_wacontacts.store.tables import Tables, UtcDateTime

__all__ = [
    "DIFFERENT",
    "EMPTY",
    "OLDER",
    "SHRUNKEN",
    "TRUNCATED",
    "UNIDENTIFIED",
    "UNSYNCHRONISED",
    "Earlier",
    "Seen",
    "ShrinkGuard",
    "SnapshotCounts",
    "earlier_snapshots",
    "incomplete_reason",
    "newest_snapshot",
]

#: Reasons why a snapshot is not complete, as stored in the ledger.
EMPTY = "empty"
TRUNCATED = "cut"
UNSYNCHRONISED = "unsynchronised"
UNIDENTIFIED = "nameless"
SHRUNKEN = "shrunken"
DIFFERENT = "different"
#: Reason why a snapshot is refused.
OLDER = "older"
#: Reasons that repetition or the user can override.
DOUBTFUL = (UNIDENTIFIED, SHRUNKEN, DIFFERENT)


@dataclass(frozen=True, slots=True)
class ShrinkGuard:
    """
    When to accept a snapshot as complete despite fewer contacts than before, other contacts, or rejects without an ID.

    :param share: 0 to 1: minimum size, as a share of the last complete snapshot.
    :param confirmations: 1 and up: how many snapshots of the same kind and of similar size in a row are accepted. Sizes
        are similar if neither is below ``share`` of the other.
    :param accepted: accept the snapshot without these checks. An empty snapshot is never accepted.
    :param min_overlap: 0 to 1: minimum share of the last complete snapshot's contacts that it contains.
    :raises ConfigError: a value is out of range.
    """

    share: float = 0.8
    confirmations: int = 3
    accepted: bool = False
    min_overlap: float = 0.5

    def __post_init__(self) -> None:
        validate_ratio("shrink_guard", self.share)
        validate_int("shrink_confirmations", self.confirmations, 1)
        validate_bool("accept_shrink", self.accepted)
        validate_ratio("min_overlap", self.min_overlap)


class SnapshotCounts(NamedTuple):
    """
    A snapshot to check for completeness.

    :param size: distinct contacts of the requested type.
    :param is_cut: whether the response has as many contacts as the requested limit.
    :param is_synchronised: whether the system has loaded all contacts; ``None`` if it does not say.
    :param has_unidentified: whether there are rejects without a readable ID, which may be missing contacts.
    :param kept: contacts of the last complete snapshot that are in it; ``None`` if that is unknown.
    """

    size: int
    is_cut: bool = False
    is_synchronised: bool | None = None
    has_unidentified: bool = False
    kept: int | None = None


class Earlier(NamedTuple):
    """
    Earlier snapshots.

    :param last_complete: size of the last complete one; ``None`` if there is none.
    :param others: sizes of snapshots of the same kind, newest first, each with the reason why it was incomplete.
    :param taken_at: times of the last complete one with groups, and of the last with other contacts; ``None`` if there
        is none.
    """

    last_complete: int | None
    others: Sequence[tuple[int, str | None]] = ()
    taken_at: tuple[datetime | None, datetime | None] = (None, None)


def incomplete_reason(counts: SnapshotCounts, earlier: Earlier, guard: ShrinkGuard) -> str | None:
    """
    Return the first reason why a snapshot is incomplete, one word; ``None`` if it is complete.

    Contacts that are missing from an incomplete snapshot are not gone.
    """
    if counts.size == 0:
        return EMPTY
    if counts.is_cut:
        return TRUNCATED
    if counts.is_synchronised is False:
        return UNSYNCHRONISED
    doubt = None if guard.accepted else _doubt(counts, earlier, guard)
    if doubt and 1 + _confirmations(counts.size, earlier.others, guard) >= guard.confirmations:
        return None
    return doubt


def _doubt(counts: SnapshotCounts, earlier: Earlier, guard: ShrinkGuard) -> str | None:
    if not _is_large_enough(counts.size, earlier.last_complete, guard.share):
        return SHRUNKEN
    if counts.kept is not None and not _is_large_enough(counts.kept, earlier.last_complete, guard.min_overlap):
        return DIFFERENT
    return UNIDENTIFIED if counts.has_unidentified else None


def _is_large_enough(size: int, measure: int | None, share: float) -> bool:
    return not measure or size / measure >= share


def _confirmations(size: int, others: Iterable[tuple[int, str | None]], guard: ShrinkGuard) -> int:
    def confirms(other: tuple[int, str | None]) -> bool:
        smaller, larger = sorted((size, other[0]))
        return other[1] in DOUBTFUL and _is_large_enough(smaller, larger, guard.share)

    return sum(1 for _ in takewhile(confirms, others))


class Seen(NamedTuple):
    """
    Distinct contacts of each type in a snapshot.

    :param groups_seen: ``None``, like ``others_seen``, if they were not requested.
    """

    groups_seen: int | None
    others_seen: int | None

    @classmethod
    def of(cls, groups: int, others: int, *, group: bool | None) -> Seen:
        """Keep the requested types: groups only, or persons only; both if it is ``None``."""
        return cls(None if group is False else groups, None if group is True else others)

    @property
    def size(self) -> int:
        """The number of contacts of both types."""
        return (self.groups_seen or 0) + (self.others_seen or 0)


def newest_snapshot(connection: Connection, tables: Tables, account_id: int, *, group: bool | None) -> datetime | None:
    """
    Return the time of the newest stored snapshot with the same types of contacts.

    Groups and persons may be fetched by separate tasks: their snapshots do not refuse each other.
    """
    ledger = tables.extraction.c
    asked = {"groups_seen": group is not False, "others_seen": group is not True}
    shared = or_(*(ledger[name].is_not(None) for name, is_asked in asked.items() if is_asked))
    query = select(func.max(ledger.extracted_at, type_=UtcDateTime)).where(_is_written(tables, account_id), shared)
    found: datetime | None = connection.execute(query).scalar()
    return found


def earlier_snapshots(
    connection: Connection, tables: Tables, account_id: int, seen: Seen, *, before: datetime, at_most: int
) -> Earlier:
    """
    Find the earlier snapshots to compare a snapshot with.

    The last complete one is found by type: groups are compared with the groups of the last complete snapshot that had
    groups.

    :param seen: counts of the snapshot to compare.
    :param before: time of the snapshot. Others of this time are the same snapshot, and confirm nothing.
    :param at_most: maximum number of others to count, 0 and up.
    """
    ledger = tables.extraction.c
    asked = [ledger[name] for name, count in seen._asdict().items() if count is not None]
    not_asked = [ledger[name] for name, count in seen._asdict().items() if count is None]
    measures = {count.name: _last_complete(connection, tables, account_id, count) for count in asked}
    known = [size for size, _ in measures.values() if size is not None]
    groups_at, others_at = (measures.get(name, (None, None))[1] for name in Seen._fields)
    reason = func.coalesce(ledger.reason, "").label("lacked")
    others = connection.execute(
        # A snapshot that is loaded twice, for example from a file, counts once.
        select(ledger.extracted_at, reason, ledger.groups_seen, ledger.others_seen)
        .distinct()
        .where(_is_written(tables, account_id), ledger.extracted_at < before, reason != TRUNCATED)
        .where(*(count.is_not(None) for count in asked), *(count.is_(None) for count in not_asked))
        .order_by(ledger.extracted_at.desc(), reason, ledger.groups_seen, ledger.others_seen)
        .limit(at_most)
    )
    sizes = [(Seen(*counts).size, lacked) for _, lacked, *counts in others]
    return Earlier(sum(known) if known else None, sizes, (groups_at, others_at))


def _last_complete(
    connection: Connection, tables: Tables, account_id: int, count: Column[Any]
) -> tuple[int | None, datetime | None]:
    """Return the size and the time of the last complete snapshot."""
    ledger = tables.extraction.c
    query = (
        select(count, ledger.extracted_at)
        .where(_is_written(tables, account_id), ledger.state == "complete", count.is_not(None))
        .order_by(ledger.extracted_at.desc(), ledger.extraction_number.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    return (None, None) if found is None else (found[0], found[1])


def _is_written(tables: Tables, account_id: int) -> ColumnElement[bool]:
    ledger = tables.extraction.c
    return and_(
        ledger.account_id == account_id, ledger.window_end.is_(None), ledger.state.in_(("complete", "incomplete"))
    )
