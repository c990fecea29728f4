"""What the ledger knows of an account's snapshots."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, and_, func, or_, select
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_wacontacts.store.completeness import TRUNCATED, Earlier
from airflow_provider_wacontacts.store.tables import Tables, UtcDateTime

__all__ = ["Seen", "earlier", "newest"]


class Seen(NamedTuple):
    """
    How many contacts of each type a snapshot held, each once.

    :param groups_seen: ``None``, like ``others_seen``, where they were not asked for.
    """

    groups_seen: int | None
    others_seen: int | None

    @classmethod
    def of(cls, groups: int, others: int, *, group: bool | None) -> Seen:
        """Keep what was asked for: groups only, or persons only; both where it is ``None``."""
        return cls(None if group is False else groups, None if group is True else others)

    @property
    def size(self) -> int:
        """How many they are together."""
        return (self.groups_seen or 0) + (self.others_seen or 0)


def newest(connection: Connection, tables: Tables, account_id: int, *, group: bool | None) -> datetime | None:
    """
    Tell when the newest landed snapshot was taken that says anything of the same types of contacts.

    Groups alone and persons alone have nothing in common, so tasks that ask for them side by side refuse nothing.
    """
    ledger = tables.extraction.c
    asked = {"groups_seen": group is not False, "others_seen": group is not True}
    shared = or_(*(ledger[name].is_not(None) for name, is_asked in asked.items() if is_asked))
    query = select(func.max(ledger.extracted_at, type_=UtcDateTime)).where(_landed(tables, account_id), shared)
    found: datetime | None = connection.execute(query).scalar()
    return found


def earlier(
    connection: Connection, tables: Tables, account_id: int, seen: Seen, *, before: datetime, at_most: int
) -> Earlier:
    """
    Find what a snapshot is measured by.

    The last complete one is looked for by type: a snapshot of the groups is measured by the groups of the last one that
    had them, whatever else that had.

    :param seen: of the snapshot that is measured.
    :param before: others of its time are the same one again, and confirm nothing.
    :param at_most: so many of the others are enough, 0 and up.
    """
    ledger = tables.extraction.c
    asked = [ledger[name] for name, count in seen._asdict().items() if count is not None]
    not_asked = [ledger[name] for name, count in seen._asdict().items() if count is None]
    measures = [_last_complete(connection, tables, account_id, count) for count in asked]
    known = [measure for measure in measures if measure is not None]
    reason = func.coalesce(ledger.reason, "").label("lacked")
    others = connection.execute(
        # One that lands twice, from a file say, is one.
        select(ledger.extracted_at, reason, ledger.groups_seen, ledger.others_seen)
        .distinct()
        .where(_landed(tables, account_id), ledger.extracted_at < before, reason != TRUNCATED)
        .where(*(count.is_not(None) for count in asked), *(count.is_(None) for count in not_asked))
        .order_by(ledger.extracted_at.desc(), reason, ledger.groups_seen, ledger.others_seen)
        .limit(at_most)
    )
    return Earlier(sum(known) if known else None, [(Seen(*counts).size, lacked) for _, lacked, *counts in others])


def _last_complete(connection: Connection, tables: Tables, account_id: int, count: Column[Any]) -> int | None:
    ledger = tables.extraction.c
    query = (
        select(count)
        .where(_landed(tables, account_id), ledger.state == "complete", count.is_not(None))
        .order_by(ledger.extracted_at.desc(), ledger.extraction_number.desc())
        .limit(1)
    )
    found: int | None = connection.execute(query).scalar()
    return found


def _landed(tables: Tables, account_id: int) -> ColumnElement[bool]:
    ledger = tables.extraction.c
    return and_(
        ledger.account_id == account_id, ledger.window_end.is_(None), ledger.state.in_(("complete", "incomplete"))
    )
